//! The store of an earlier revision, built beside the one of this folder.
//!
//! Promises: neither this folder's files nor what was built of them change; a revision is built once, and the worktree that takes
//! is gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Failure, Outcome, Trying};
use crate::run::{capture, probe, run};
use crate::workspace::Workspace;

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
    let commit = format!("{revision}^{{commit}}");
    let found = capture(git(workspace).args(["rev-parse", "--verify", "--end-of-options", &commit]))?;
    Ok(found.trim().to_owned())
}

fn git(workspace: &Workspace) -> Command {
    let mut git = Command::new("git");
    git.current_dir(&workspace.root);
    git
}

/// The files of a commit; gone when it is dropped.
struct Worktree<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
}

impl<'a> Worktree<'a> {
    fn add(workspace: &'a Workspace, folder: PathBuf, commit: &str) -> Outcome<Self> {
        // Of a run that was cut off.
        remove(workspace, &folder);
        let tree = Self { workspace, folder };
        run(git(workspace).args(["worktree", "add", "--quiet", "--detach"]).arg(&tree.folder).arg(commit))?;
        Ok(tree)
    }
}

impl Drop for Worktree<'_> {
    fn drop(&mut self) {
        remove(self.workspace, &self.folder);
    }
}

/// Fails where there is none, which is fine.
fn remove(workspace: &Workspace, folder: &Path) {
    let _none = git(workspace).args(["worktree", "remove", "--force"]).arg(folder).output();
}
