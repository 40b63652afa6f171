//! The links between the documents: each leads to a file of the repository, and to a heading that this file has.
//!
//! Promises: looks at every Markdown file that is not ignored; names each link that leads nowhere, with its line. Text within
//! fences and backticks holds no links. Links to other sites are not followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;

/// Looks at all documents.
pub fn check(workspace: &Workspace) -> Outcome<()> {
    let mut documents = BTreeMap::new();
    for path in workspace.list_files()?.into_iter().filter(|path| path.ends_with(".md")) {
        let text = fs::read_to_string(workspace.path(&path)).trying(|| format!("read {path}"))?;
        documents.insert(PathBuf::from(path), text);
    }
    let dead = dead_links(&documents, |path| workspace.path(path).exists());
    if dead.is_empty() { Ok(()) } else { Err(Failure::new(dead.join("\n"))) }
}

/// Links that lead nowhere, `file:line: target`.
fn dead_links(documents: &BTreeMap<PathBuf, String>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let anchors: BTreeMap<_, _> = documents.iter().map(|(path, text)| (path.as_path(), anchors(text))).collect();
    let mut dead = Vec::new();
    for (path, text) in documents {
        for (line, target) in links(text) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let leads_to = if file.is_empty() { path.clone() } else { beside(path, file) };
            let is_good = match anchors.get(leads_to.as_path()) {
                Some(anchors) => anchor.is_empty() || anchors.contains(anchor),
                None => anchor.is_empty() && exists(&leads_to),
            };
            if !is_good {
                dead.push(format!("{}:{line}: nothing is at {target}", path.display()));
            }
        }
    }
    dead
}

/// What a file names that is read beside another one.
fn beside(path: &Path, file: &str) -> PathBuf {
    let mut joined = PathBuf::new();
    for component in path.parent().unwrap_or(Path::new("")).join(file).components() {
        match component {
            Component::ParentDir => _ = joined.pop(),
            Component::CurDir => {}
            other => joined.push(other),
        }
    }
    joined
}

/// Lines outside of fences, with their numbers, and without what stands in backticks.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return None;
        }
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        (!is_code).then_some((number + 1, outside))
    })
}

/// Targets of links within the repository, with their lines.
fn links(text: &str) -> impl Iterator<Item = (usize, String)> {
    prose(text).flat_map(|(number, line)| {
        let targets = line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        let inside = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
        inside.map(|target| (number, target.to_owned())).collect::<Vec<_>>()
    })
}

/// What can stand behind `#`: each heading in the form that forges make of it, a second one of a kind with `-1`.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut anchors, mut is_code) = (BTreeSet::new(), false);
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')) else { continue };
        if let Some(heading) = heading.strip_prefix(' ').filter(|_| !is_code) {
            let slug = slug(heading);
            let more = (1..).map(|number| format!("{slug}-{number}"));
            let free = std::iter::once(slug.clone()).chain(more).find(|slug| !anchors.contains(slug));
            anchors.extend(free);
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    let is_part = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(is_part).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(documents: &[(&str, &str)]) -> Vec<String> {
        let documents = documents.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        dead_links(&documents, |path| path == Path::new("src/lib.rs"))
    }

    #[test]
    fn a_link_leads_to_a_file_and_to_a_heading_of_it() {
        let guide = "# A guide\n\n## What `x` is\n\n## Twice\n\n## Twice\n\n[up](../README.md#the-end), [here](#what-x-is), [2](#twice-1)";
        let readme = "# The end\n[guide](docs/GUIDE.md#a-guide) [code](src/lib.rs) [site](https://example.com/a#b)";
        assert_eq!(dead(&[("docs/GUIDE.md", guide), ("README.md", readme)]), Vec::<String>::new());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_with_its_line() {
        let text = "# A\n\n[1](B.md)\n[2](#b) [3](src/lib.rs#a)\n[4](src/gone.rs)";
        let want = ["A.md:3: nothing is at B.md", "A.md:4: nothing is at #b", "A.md:4: nothing is at src/lib.rs#a"];
        let want = [&want[..], &["A.md:5: nothing is at src/gone.rs"]].concat();
        assert_eq!(dead(&[("A.md", text)]), want);
    }

    #[test]
    fn the_tree_has_no_dead_link() {
        check(&Workspace::find().unwrap()).unwrap();
    }

    #[test]
    fn code_holds_neither_links_nor_headings() {
        let text = "# A\n```\n# B\n[1](gone.md)\n```\n`[2](gone.md)` [3](#b)";
        assert_eq!(dead(&[("A.md", text)]), ["A.md:6: nothing is at #b"]);
    }
}
