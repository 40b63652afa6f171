//! `cargo xtask dist`: the command line as it is handed out: the program, completions of shells, and the manual.
//!
//! Promises: completions and pages are made by the very program that lies beside them. Replaces what an earlier run
//! left.

use std::fs;
use std::path::Path;

use clap::Args;

use crate::error::{Outcome, Trying};
use crate::programs::Programs;
use crate::run::{capture, run};
use crate::workspace::{Profile, Workspace};

/// What is handed out, and where to.
#[derive(Args)]
pub struct Options {
    /// The folder to write to [default: target/dist]
    #[arg(long, value_name = "DIR")]
    to: Option<std::path::PathBuf>,
    /// Build the program quickly instead of to be fast
    #[arg(long)]
    debug: bool,
}

/// Shells, and how each names its file of completions.
const SHELLS: [(&str, &str); 3] = [("bash", "linkgate"), ("zsh", "_linkgate"), ("fish", "linkgate.fish")];

/// Builds the program and writes what goes with it.
pub fn dist(workspace: &Workspace, options: &Options) -> Outcome<()> {
    let profile = if options.debug { Profile::Dev } else { Profile::Release };
    let built = workspace.build(profile, &["linkgate-cli"])?.join("linkgate");
    let folder = options.to.clone().unwrap_or_else(|| workspace.target.join("dist"));
    let program = folder.join("bin/linkgate");
    make_folder(&folder.join("bin"))?;
    fs::copy(&built, &program).trying(|| format!("copy {}", built.display()))?;
    for (shell, name) in SHELLS {
        let text = capture(Programs::command(&program).args(["completions", shell]))?;
        let path = folder.join("completions").join(shell).join(name);
        make_folder(&folder.join("completions").join(shell))?;
        fs::write(&path, text).trying(|| format!("write {}", path.display()))?;
    }
    let pages = folder.join("man/man1");
    if pages.is_dir() {
        fs::remove_dir_all(&pages).trying(|| format!("remove {}", pages.display()))?;
    }
    run(Programs::command(&program).args(["man", "--to"]).arg(&pages))?;
    println!("{}", folder.display());
    Ok(())
}

fn make_folder(path: &Path) -> Outcome<()> {
    fs::create_dir_all(path).trying(|| format!("make {}", path.display()))
}
