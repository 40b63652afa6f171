//! `cargo xtask dist --check`: one commit, built in two folders.
//!
//! Promises: every file that is handed out is compared, and so is every file that is packed into those, so that a difference is
//! named where it is. Refuses files that no commit has: they would be in one folder only.

use std::collections::BTreeSet;
use std::path::Path;

use super::Contents;
use crate::error::{Failure, Outcome};
use crate::workspace::Workspace;
use crate::worktree::{self, Worktree};

/// Builds here, with the archives in this folder, and elsewhere; gives the number of files that are the same.
pub fn build_twice(workspace: &Workspace, quick: bool, folder: &Path) -> Outcome<usize> {
    if worktree::has_changes(workspace)? {
        return Err(Failure::new(
            "files here are in no commit, so that no other folder could have them: commit them first",
        ));
    }
    let commit = worktree::find_commit(workspace, "HEAD")?;
    let here = sums(workspace, quick, folder)?;
    // Its path has another length, which moves what is aligned in a program that names it.
    let tree = Worktree::add(workspace, workspace.target.join("dist-in-another-folder"), &commit)?;
    let elsewhere = Workspace::find_at(&tree.folder)?;
    let there = sums(&elsewhere, quick, &elsewhere.target.join("dist"))?;
    let differing = differing(&here, &there);
    if differing.is_empty() {
        return Ok(here.lines().count());
    }
    Err(Failure::new(format!("built in another folder, these differ: {}", differing.join(", "))))
}

/// A line for each file of the release, and for each archive of them.
fn sums(workspace: &Workspace, quick: bool, folder: &Path) -> Outcome<String> {
    let contents = Contents::build(workspace, quick)?;
    Ok(contents.tree.sums() + &contents.pack(workspace, folder)?)
}

/// The files of which both lists do not say the same, each once.
fn differing<'a>(one: &'a str, other: &'a str) -> Vec<&'a str> {
    let [one, other] = [one, other].map(|lines| lines.lines().collect::<BTreeSet<_>>());
    let files: BTreeSet<_> =
        one.symmetric_difference(&other).filter_map(|line| Some(line.split_once("  ")?.1)).collect();
    files.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_differs_or_is_in_one_folder_only_is_named_once() {
        let here = "aa  bin/linkgate\nbb  README.md\ncc  only-here\n";
        assert_eq!(
            differing(here, "ab  bin/linkgate\nbb  README.md\ndd  only-there\n"),
            ["bin/linkgate", "only-here", "only-there"]
        );
        assert_eq!(differing(here, here), Vec::<&str>::new());
    }
}
