//! Running other programs in the foreground.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::error::{Failure, Outcome, Trying};

/// Runs a command with our output, and fails if it does.
pub fn run(command: &mut Command) -> Outcome<()> {
    let line = format_command(command);
    let status = command.status().trying(|| format!("run `{line}`"))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{line}` failed ({status})"))) }
}

/// Runs a command that ends with 2 where it cannot do its work here, and has printed why.
pub fn run_if_possible(command: &mut Command) -> Outcome<()> {
    let line = format_command(command);
    let status = command.status().trying(|| format!("run `{line}`"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::missing("nothing was tested, see above")),
        _ => Err(Failure::new(format!("`{line}` failed ({status})"))),
    }
}

/// Runs a command and takes what it prints; its errors go to our standard error.
pub fn capture(command: &mut Command) -> Outcome<String> {
    let line = format_command(command);
    let output = command.stderr(Stdio::inherit()).output().trying(|| format!("run `{line}`"))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{line}` failed ({})", output.status)));
    }
    String::from_utf8(output.stdout).trying(|| format!("read what `{line}` printed"))
}

/// Runs a command silently; nothing if it cannot be started or fails.
pub fn probe(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let Output { status, stdout, .. } = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    status.success().then(|| String::from_utf8_lossy(&stdout).into_owned())
}

/// Takes variables of ours out of a command that happen to be set: it does the same everywhere.
pub fn clear_own_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LINKGATE_")) {
        command.env_remove(name);
    }
}

/// The command as a person would type it.
fn format_command(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
