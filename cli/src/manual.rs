//! Completions of shells and pages of the manual, made of the very commands that are parsed.

use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::Error;
use crate::files::{Existing, write_atomically};

/// The completions of a shell.
pub fn complete(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "linkgate", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes `linkgate.1`, and `linkgate-COMMAND.1` for each command that is not hidden.
pub fn write_pages(folder: &Path) -> Result<String, Error> {
    std::fs::create_dir_all(folder).map_err(|source| Error::file("make", folder, source))?;
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    write_page(folder, &whole, "linkgate")
}

fn write_page(folder: &Path, command: &Command, name: &str) -> Result<String, Error> {
    let path = folder.join(format!("{name}.1"));
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone().display_name(name.to_owned()));
    page.render(&mut text).map_err(|source| Error::file("write", &path, source))?;
    write_atomically(&path, &text, 0o644, Existing::Replace)?;
    let mut report = format!("{}\n", path.display());
    let is_shown = |below: &&Command| !below.is_hide_set() && below.get_name() != "help";
    for below in command.get_subcommands().filter(is_shown) {
        report += &write_page(folder, below, &format!("{name}-{}", below.get_name()))?;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shell_gets_every_command_that_is_shown() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = complete(shell);
            for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let written = write_pages(folder.path()).unwrap();
        for page in ["linkgate", "linkgate-push", "linkgate-job-watch", "linkgate-policy-deploy"] {
            assert!(written.contains(&format!("/{page}.1\n")), "{page}: {written}");
        }
        assert!(!written.contains("linkgate-man.1") && !written.contains("help"), "{written}");
        let text = std::fs::read_to_string(folder.path().join("linkgate-push.1")).unwrap();
        assert!(text.contains(".TH linkgate-push 1") && text.contains("overwrite"), "{text}");
    }
}
