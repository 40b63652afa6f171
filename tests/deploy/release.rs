//! The release that files name is the one that is built from them.

use std::fs;
use std::path::Path;

use crate::{read, root};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What stands before a version of ours, in whatever file.
const BEFORE: [&str; 9] = [
    "LINKGATE_VERSION:-",
    "newTag: ",
    "linkgate-cli:",
    "linkgate-filter:",
    "linkgate-filter-",
    "linkgate-gateway:",
    "linkgate-sample:",
    "linkgate-store:",
    "the tag of all images. | `",
];

/// The versions that a text names behind these words, each with the words.
fn versions(text: &str) -> Vec<(&'static str, &str)> {
    let behind = |before: &'static str| {
        let rests = text.split(before).skip(1);
        let version = |rest: &str| rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        rests.map(move |rest| (before, rest[..version(rest)].trim_end_matches('.')))
    };
    BEFORE.into_iter().flat_map(behind).filter(|(_, version)| !version.is_empty()).collect()
}

fn files_below(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_below(&path, found),
            false => found.push(path.strip_prefix(root()).unwrap().display().to_string()),
        }
    }
}

#[test]
fn every_file_names_the_release_that_is_built_of_it() {
    let mut files = vec!["docker-compose.yml".to_owned()];
    for folder in ["deploy/kubernetes", "docs"] {
        files_below(&root().join(folder), &mut files);
    }
    let mut named = 0;
    for file in files.iter().filter(|file| !file.ends_with(".png")) {
        for (before, version) in versions(&read(file)) {
            assert_eq!(version, VERSION, "{file}: {before}");
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

#[test]
fn versions_are_found_behind_what_is_ours() {
    let text = "image: linkgate-store:1.2.3\nnewTag: 4.5.6 }\n${LINKGATE_VERSION:-7.8.9}\nlinkgate-store:\n";
    let found: Vec<_> = versions(text).into_iter().map(|(_, version)| version).collect();
    assert_eq!(found, ["7.8.9", "4.5.6", "1.2.3"]);
}

/// Whoever upgrades reads what the list says of the release; the guide installs it, and goes on to another.
#[test]
fn the_list_of_changes_and_the_guide_begin_with_this_release() {
    let changes = read("CHANGELOG.md");
    let newest =
        changes.lines().filter_map(|line| line.strip_prefix("## [")).find(|name| !name.starts_with("Unreleased"));
    assert_eq!(newest.and_then(|line| line.split(']').next()), Some(VERSION));
    let guide = read("docs/DEPLOYMENT.md");
    let packages: Vec<_> = guide.split("./linkgate_").skip(1).map(|rest| rest.split('_').next().unwrap()).collect();
    let [installed, next, back] = packages[..] else { panic!("{packages:?}") };
    assert_eq!((installed, back), (VERSION, VERSION));
    assert_ne!(next, VERSION);
}
