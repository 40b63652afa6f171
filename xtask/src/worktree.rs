//! The files of a commit in a folder of their own.
//!
//! Promises: neither this folder's files nor what was built of them change; the worktree is gone afterwards, with all that was
//! built in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Outcome;
use crate::run::{capture, run};
use crate::workspace::Workspace;

/// The full name of the commit that this revision means.
pub fn find_commit(workspace: &Workspace, revision: &str) -> Outcome<String> {
    let commit = format!("{revision}^{{commit}}");
    let found = capture(git(workspace).args(["rev-parse", "--verify", "--end-of-options", &commit]))?;
    Ok(found.trim().to_owned())
}

/// Whether there are files that differ from the commit, or that it does not have.
pub fn has_changes(workspace: &Workspace) -> Outcome<bool> {
    Ok(!capture(git(workspace).args(["status", "--porcelain"]))?.is_empty())
}

fn git(workspace: &Workspace) -> Command {
    let mut git = Command::new("git");
    git.current_dir(&workspace.root);
    git
}

/// The files of a commit; gone when it is dropped.
pub struct Worktree<'a> {
    workspace: &'a Workspace,
    /// Where they are.
    pub folder: PathBuf,
}

impl<'a> Worktree<'a> {
    /// Lays them out in a folder.
    pub fn add(workspace: &'a Workspace, folder: PathBuf, commit: &str) -> Outcome<Self> {
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
