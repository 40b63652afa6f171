//! Programs written in Python with which tests try things, in an environment of their own below the target folder.
//!
//! Promises: the machine's own Python gets no package; what is there already is not fetched again. Where there is no Python,
//! or no index of packages, the tests that need it say so and pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Outcome, Trying};
use crate::run::run;
use crate::workspace::Workspace;

/// What is installed, each in one version.
const REQUIREMENTS: &str = "tests/requirements.txt";

/// The environment's interpreter, with all that tests need; `None` where it could not be had.
pub fn prepare(workspace: &Workspace) -> Option<PathBuf> {
    let made = make(&workspace.path(REQUIREMENTS), &workspace.target.join("python"));
    made.inspect_err(|e| println!("Python packages are missing: the tests that need them say so and pass\n{e}")).ok()
}

/// A copy of the requirements in the environment says that it has them.
fn make(requirements: &Path, folder: &Path) -> Outcome<PathBuf> {
    let (python, stamp) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let wanted = fs::read(requirements).trying(|| format!("read {}", requirements.display()))?;
    if fs::read(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(python);
    }
    println!("adding Python packages");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(requirements))?;
    fs::write(&stamp, wanted).trying(|| format!("write {}", stamp.display()))?;
    Ok(python)
}
