//! The pages of `docs/reference/`: made of the code and its own documentation, so that nobody writes or updates them by hand.
//!
//! Promises: `cargo xtask docs` writes them, `cargo xtask check` names each that is stale, and what has no sentence in the code is
//! a fault. Refuses to explain: that is for the guides in `docs/`.

mod entries;
mod logs;
mod metrics;
mod policy;
mod reasons;
mod settings;

use std::fs;

use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;

/// Where the pages are; nothing else is there.
const FOLDER: &str = "docs/reference/";

/// Says what a page holds.
type Maker = fn(&Sources<'_>) -> Outcome<String>;

const PAGES: [(&str, Maker); 5] = [
    ("docs/reference/LOGS.md", logs::page),
    ("docs/reference/METRICS.md", metrics::page),
    ("docs/reference/POLICY.md", policy::page),
    ("docs/reference/REASONS.md", reasons::page),
    ("docs/reference/SETTINGS.md", settings::page),
];

/// The files that pages are made of.
struct Sources<'a>(&'a Workspace);

impl Sources<'_> {
    fn read(&self, path: &str) -> Outcome<String> {
        fs::read_to_string(self.0.path(path)).trying(|| format!("read {path}"))
    }

    /// A file of code without its tests.
    fn read_code(&self, path: &str) -> Outcome<String> {
        let text = self.read(path)?;
        Ok(text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned())
    }

    /// Files of code below a folder, in order, without those that are tests alone.
    fn list_code(&self, folder: &str) -> Outcome<Vec<String>> {
        let is_of_tests =
            |path: &str| path.split(['/', '_', '.']).any(|part| ["test", "tests", "testing"].contains(&part));
        let is_code = |path: &String| path.starts_with(folder) && path.ends_with(".rs") && !is_of_tests(path);
        let mut files: Vec<_> = self.0.list_files()?.into_iter().filter(is_code).collect();
        files.sort_unstable();
        Ok(files)
    }
}

/// Writes all pages.
pub fn write(workspace: &Workspace) -> Outcome<()> {
    fs::create_dir_all(workspace.path(FOLDER)).trying(|| format!("make {FOLDER}"))?;
    for (path, text) in make(workspace)? {
        fs::write(workspace.path(path), text).trying(|| format!("write {path}"))?;
        println!("{path}");
    }
    Ok(())
}

/// Fails if a page is not what the code says.
pub fn check(workspace: &Workspace) -> Outcome<()> {
    let there = workspace.list_files()?.into_iter().filter(|path| path.starts_with(FOLDER));
    let there: Vec<_> = there.map(|path| fs::read_to_string(workspace.path(&path)).map(|text| (path, text))).collect();
    let there = there.into_iter().collect::<Result<Vec<_>, _>>().trying(|| format!("read {FOLDER}"))?;
    let faults = find_stale(&make(workspace)?, &there);
    if faults.is_empty() { Ok(()) } else { Err(Failure::new(faults.join("\n"))) }
}

fn make(workspace: &Workspace) -> Outcome<Vec<(&'static str, String)>> {
    PAGES.iter().map(|(path, page)| Ok((*path, page(&Sources(workspace))?))).collect()
}

fn find_stale(made: &[(&str, String)], there: &[(String, String)]) -> Vec<String> {
    let stale = made.iter().filter(|(path, text)| !there.iter().any(|(known, is)| known == path && is == text));
    let stale = stale.map(|(path, _)| format!("{path} is stale: write it anew with `cargo xtask docs`"));
    let strange = there.iter().filter(|(path, _)| !made.iter().any(|(known, _)| known == path));
    stale.chain(strange.map(|(path, _)| format!("{path} is made by nothing: remove it"))).collect()
}

/// The beginning of a page.
fn begin(title: &str, guide: &str) -> String {
    format!("<!-- generated: cargo xtask docs -->\n# {title}\n\n{guide}\n")
}

/// A row of a table.
fn row(cells: &[&str]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The head of a table.
fn head(cells: &[&str]) -> String {
    format!("\n{}|{}\n", row(cells), "---|".repeat(cells.len()))
}

/// A fault for each thing that the code says nothing about.
fn all_said(faults: &[String]) -> Outcome<()> {
    if faults.is_empty() { Ok(()) } else { Err(Failure::new(faults.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_stale_missing_or_of_nobody_is_named() {
        let made = [("docs/reference/A.md", "new\n".to_owned()), ("docs/reference/B.md", "b\n".to_owned())];
        let there = |path: &str, text: &str| (format!("docs/reference/{path}"), text.to_owned());
        assert_eq!(find_stale(&made, &[there("A.md", "new\n"), there("B.md", "b\n")]), Vec::<String>::new());
        let faults = find_stale(&made, &[there("A.md", "old\n"), there("C.md", "c\n")]);
        let want = [
            "docs/reference/A.md is stale: write it anew with `cargo xtask docs`",
            "docs/reference/B.md is stale: write it anew with `cargo xtask docs`",
            "docs/reference/C.md is made by nothing: remove it",
        ];
        assert_eq!(faults, want);
    }

    #[test]
    fn a_bar_in_a_cell_is_no_end_of_it() {
        assert_eq!(head(&["a", "b"]) + &row(&["1|2", "3"]), "\n| a | b |\n|---|---|\n| 1\\|2 | 3 |\n");
    }

    #[test]
    fn the_pages_of_the_tree_are_what_the_code_says() {
        check(&Workspace::find().unwrap()).unwrap();
    }
}
