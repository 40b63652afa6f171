//! Programs written in Python with which tests try things, in an environment of their own below the target folder.
//!
//! Promises: the machine's own Python gets no package; what is there already is not fetched again. Where there is no Python,
//! or no index of packages, the tests that need it say so and pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::install_once;
use crate::error::Outcome;
use crate::run::run;
use crate::workspace::Workspace;

/// What is installed, each in one version.
const REQUIREMENTS: &str = "tests/requirements.txt";

/// The environment's interpreter, with all that tests need; `None` where it could not be had.
pub fn prepare(workspace: &Workspace) -> Option<PathBuf> {
    let made = make(&workspace.path(REQUIREMENTS), &workspace.target.join("python"));
    made.inspect_err(|e| println!("Python packages are missing: the tests that need them say so and pass\n{e}")).ok()
}

fn make(requirements: &Path, folder: &Path) -> Outcome<PathBuf> {
    let python = folder.join("bin/python");
    install_once(requirements, &folder.join("requirements.txt"), || {
        println!("adding Python packages");
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(&python).args(pip).arg(requirements))
    })?;
    Ok(python)
}
