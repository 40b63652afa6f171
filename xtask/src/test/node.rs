//! What drives a browser in tests: packages of Node.js, in a folder of their own below the target folder.
//!
//! Promises: the machine's own packages stay as they are; what is there already is not fetched again. Where there is no Node.js, or
//! no index of packages, the tests that need it say so and pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::install_once;
use super::tools::has_program;
use crate::error::{Failure, Outcome, Trying};
use crate::run::run;
use crate::workspace::Workspace;

/// What is installed, each in one version.
const PACKAGES: &str = "tests/e2e/browser/package.json";

/// The folder with the packages; `None` where it could not be had, or there is no browser to drive.
pub fn prepare(workspace: &Workspace) -> Option<PathBuf> {
    let made = make(&workspace.path(PACKAGES), &workspace.target.join("node"));
    made.inspect_err(|e| println!("A browser cannot be driven: the tests that need one say so and pass\n{e}")).ok()
}

fn make(list: &Path, folder: &Path) -> Outcome<PathBuf> {
    for program in ["chromium", "node", "npm"] {
        if !has_program(program) {
            return Err(Failure::new(format!("{program} is missing")));
        }
    }
    install_once(list, &folder.join("installed.json"), || {
        println!("adding packages of Node.js");
        fs::create_dir_all(folder).trying(|| format!("create {}", folder.display()))?;
        fs::copy(list, folder.join("package.json")).trying(|| format!("write into {}", folder.display()))?;
        let quietly = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
        run(Command::new("npm").args(quietly).current_dir(folder))
    })?;
    Ok(folder.join("node_modules"))
}
