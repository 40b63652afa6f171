//! The store of an earlier revision, built beside the one of this folder.
//!
//! Promises: neither this folder's files nor what was built of them change; a revision is built once, and the worktree that takes
//! is gone afterwards.

use std::fs;
use std::path::PathBuf;

use crate::error::{Failure, Outcome, Trying};
use crate::run::{probe, run};
use crate::workspace::Workspace;
use crate::worktree::{self, Worktree};

const STORE: &str = "linkgate-store";

/// The program of this revision, or of the newest release.
pub fn build_store(workspace: &Workspace, revision: Option<&str>) -> Outcome<PathBuf> {
    let commit = find_commit(workspace, revision)?;
    let folder = workspace.target.join("release-before");
    let program = folder.join(&commit).join(STORE);
    if program.is_file() {
        return Ok(program);
    }
    let tree = Worktree::add(workspace, folder.join(&commit).join("tree"), &commit)?;
    let mut cargo = workspace.cargo();
    cargo.current_dir(&tree.folder).env("CARGO_TARGET_DIR", folder.join("target"));
    run(cargo.args(["build", "--locked", "-p", STORE]))?;
    let built = folder.join("target/debug").join(STORE);
    fs::copy(&built, &program).trying(|| format!("copy {}", built.display()))?;
    Ok(program)
}

fn find_commit(workspace: &Workspace, revision: Option<&str>) -> Outcome<String> {
    let tag = || {
        let root = workspace.root.to_string_lossy();
        probe("git", &["-C", &root, "describe", "--tags", "--abbrev=0"]).map(|tag| tag.trim().to_owned())
    };
    let Some(revision) = revision.map(str::to_owned).or_else(tag) else {
        return Err(Failure::new("no revision has a tag: name one with --from"));
    };
    worktree::find_commit(workspace, &revision)
}
