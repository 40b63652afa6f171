//! `cargo xtask build-wasm`: the filter that Envoy loads.
//!
//! Promises: the file is within its size budget, or the task fails.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Failure, Outcome, Trying};
use crate::run::run;
use crate::workspace::Workspace;

/// The target of the filter.
pub const TARGET: &str = "wasm32-wasip1";
/// The name of the file.
pub const FILE: &str = "linkgate_filter.wasm";
/// Every worker of Envoy compiles and holds a copy.
const BUDGET_BYTES: u64 = 1_500_000;

/// Builds the filter and returns its path.
pub fn build(workspace: &Workspace) -> Outcome<PathBuf> {
    workspace.need_target(TARGET)?;
    run(workspace.cargo_build_for(TARGET).args(["--profile", "wasm", "-p", "linkgate-filter"]))?;
    let path = workspace.target.join(TARGET).join("wasm").join(FILE);
    weigh(&path)?;
    Ok(path)
}

/// Prints the filter's size and holds it against the budget.
pub fn weigh(path: &Path) -> Outcome<()> {
    let bytes = fs::metadata(path).trying(|| format!("find the built filter {}", path.display()))?.len();
    if bytes > BUDGET_BYTES {
        return Err(Failure::new(format!(
            "{FILE} has {bytes} bytes, the budget is {BUDGET_BYTES}: find what made it grow, for example with twiggy"
        )));
    }
    println!("{}: {bytes} bytes of {BUDGET_BYTES}", path.display());
    Ok(())
}
