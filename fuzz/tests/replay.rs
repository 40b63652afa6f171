//! Every input of `fuzz/corpus/` once more, with the workspace's own compiler and without libFuzzer.
//!
//! Promises: no input is left out, and each must pass all that its target holds. Where one fails, the last input that the
//! output names is the one.

// Panicking is how a test says no; clippy knows that of test functions, but not of their helpers.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use linkgate_fuzz::{memory, targets};

#[global_allocator]
static COUNTING: memory::Counting = memory::Counting;

/// The corpus holds regressions, which people read. What long runs learn goes elsewhere.
const MOST_INPUTS: usize = 349;

macro_rules! replay {
    ($($target:ident),*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $target() {
            for input in inputs_of(stringify!($target)) {
                println!("{}", input.display());
                targets::$target::check_input(&fs::read(&input).unwrap());
            }
        })*
    };
}

replay!(archive, body, credentials, download, form, keys, path, policy, token);

fn list_folder(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    assert!(!entries.is_empty(), "{}", folder.display());
    entries
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs_of(target: &str) -> Vec<PathBuf> {
    list_folder(&corpus().join(target))
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn every_folder_of_the_corpus_is_replayed() {
    let folders = list_folder(&corpus());
    assert!(folders.iter().map(|folder| name_of(folder)).eq(TARGETS.iter().copied()), "{folders:?}");
}

#[test]
fn inputs_are_few_and_named_by_what_they_show() {
    let inputs: Vec<_> = TARGETS.iter().flat_map(|target| inputs_of(target)).collect();
    assert!(inputs.len() <= MOST_INPUTS, "{} inputs", inputs.len());
    for input in &inputs {
        let name = name_of(input);
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        assert!(name.bytes().all(is_plain), "{name}: lower case and dashes");
        let is_digest = name.len() >= 16 && name.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(!is_digest && name.contains(|c: char| c.is_ascii_lowercase()), "{name}: a name that shows nothing");
    }
}

#[test]
fn no_two_inputs_of_a_target_are_the_same() {
    for target in TARGETS {
        let mut seen = BTreeSet::new();
        for input in inputs_of(target) {
            assert!(seen.insert(fs::read(&input).unwrap()), "{} is there under another name, too", input.display());
        }
    }
}

#[test]
fn memory_is_counted() {
    let (bytes, most) = memory::most_in(|| vec![1_u8; 100_000].len());
    assert!((bytes..2 * bytes).contains(&most), "{most} bytes");
}
