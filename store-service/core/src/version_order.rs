//! The natural order of versions: 1.9 before 1.10, 1.0-rc1 before 1.0.
//!
//! Promises: every text has a key, and the order of versions is that of their keys, byte by byte, so any database can keep and
//! compare them. Numbers count as numbers, however long; a `v` before the first one, leading zeros and the case of letters
//! count for nothing. What is written for a release that is not out yet (`dev`, `alpha`, `beta`, `rc` and their like, and `a1`,
//! `b2`, `c3`, `m4`) comes before the release, every other addition after it and before the next number. Versions that differ
//! only in what counts for nothing have the same key. Knows nothing of what a project means by its versions: hashes come
//! in some order, too.

/// How the parts of a key begin. What is greater comes later; the end of a version has its place among them.
mod tag {
    /// And the rank of the stage, which is below [`END`].
    pub(super) const STAGE: u8 = 0x10;
    pub(super) const END: u8 = 0x20;
    pub(super) const WORD: u8 = 0x30;
    /// After `-`, `_`, `+` and the like: an addition.
    pub(super) const ADDED_NUMBER: u8 = 0x40;
    pub(super) const NUMBER: u8 = 0x50;
    /// Of what is not released yet: after numbers, as Semantic Versioning has it.
    pub(super) const WORD_OF_STAGE: u8 = 0x60;
}

/// Words for what is not released yet, the earliest first.
const STAGES: [&[&str]; 5] = [
    &["dev", "nightly", "snapshot"],
    &["alpha"],
    &["beta"],
    &["milestone"],
    &["pre", "preview", "prerelease", "rc", "cr", "candidate"],
];
/// The same, where a number follows.
const SHORT_STAGES: [&[&str]; 5] = [&[], &["a"], &["b"], &["m"], &["c"]];

/// Ends a word: less than every character that a version may have, so that a word comes before those that begin with it.
const WORD_END: u8 = 0;

/// What a version is made of.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Digits.
    Number { digits: &'a str, is_added: bool },
    /// Neither digits nor what separates them; whether a digit follows at once.
    Word { text: &'a str, is_numbered: bool },
}

/// The key by which versions are compared.
#[must_use]
pub fn natural_key(version: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(version.len() + 8);
    let mut has_stage = false;
    for part in parts(without_sign(version)) {
        match part {
            Part::Number { digits, is_added } => push_number(&mut key, digits, is_added),
            Part::Word { text, is_numbered } => {
                let word = text.to_lowercase();
                match stage(&word, is_numbered).filter(|_| !has_stage) {
                    Some(rank) => {
                        has_stage = true;
                        key.push(tag::STAGE + rank);
                    }
                    None => push_word(&mut key, &word, has_stage),
                }
            }
        }
    }
    key.push(tag::END);
    key
}

/// Without the `v` of `v1.2`.
fn without_sign(version: &str) -> &str {
    let rest = version.strip_prefix(['v', 'V']).map(|rest| rest.strip_prefix('.').unwrap_or(rest));
    rest.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(version)
}

fn parts(version: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = version;
    std::iter::from_fn(move || {
        let begin = rest.find(|c: char| !is_separator(c))?;
        let is_added = begin > 0 && !rest.get(..begin)?.ends_with('.');
        rest = rest.get(begin..)?;
        let is_number = rest.starts_with(|c: char| c.is_ascii_digit());
        let is_over = |c: char| is_separator(c) || c.is_ascii_digit() != is_number;
        let (text, after) = rest.split_at(rest.find(is_over).unwrap_or(rest.len()));
        rest = after;
        let is_numbered = after.starts_with(|c: char| c.is_ascii_digit());
        Some(if is_number { Part::Number { digits: text, is_added } } else { Part::Word { text, is_numbered } })
    })
}

fn is_separator(c: char) -> bool {
    c.is_ascii_punctuation() || c.is_whitespace() || c.is_control()
}

fn stage(word: &str, is_numbered: bool) -> Option<u8> {
    let find = |list: &[&[&str]]| list.iter().position(|words| words.contains(&word));
    let rank = find(&STAGES).or_else(|| find(&SHORT_STAGES).filter(|_| is_numbered))?;
    u8::try_from(rank).ok()
}

/// A longer number is greater. Versions have at most 128 characters; of what has more than 255 digits nobody wants to know.
fn push_number(key: &mut Vec<u8>, digits: &str, is_added: bool) {
    let digits = digits.trim_start_matches('0');
    key.push(if is_added { tag::ADDED_NUMBER } else { tag::NUMBER });
    key.push(u8::try_from(digits.len()).unwrap_or(u8::MAX));
    key.extend_from_slice(digits.as_bytes());
}

fn push_word(key: &mut Vec<u8>, word: &str, has_stage: bool) {
    key.push(if has_stage { tag::WORD_OF_STAGE } else { tag::WORD });
    key.extend_from_slice(word.as_bytes());
    key.push(WORD_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_ascending(versions: &[&str]) {
        for (at, earlier) in versions.iter().enumerate() {
            for later in &versions[at + 1..] {
                assert!(natural_key(earlier) < natural_key(later), "{earlier} comes before {later}");
            }
        }
    }

    #[test]
    fn numbers_count_as_numbers() {
        assert_ascending(&["0.9", "1", "1.0", "1.0.1", "1.2", "1.9", "1.10", "1.10.2", "2", "10"]);
        let (long, longer) = (format!("1.{}", "9".repeat(60)), format!("1.1{}", "0".repeat(60)));
        assert_ascending(&["1.2", &long, &longer, "2"]);
    }

    #[test]
    fn a_sign_zeros_and_case_count_for_nothing() {
        for (one, other) in
            [("v1.2", "1.2"), ("V1.2", "1.2"), ("v.1.2", "1.2"), ("1.02", "1.2"), ("1.0-RC1", "1.0-rc1")]
        {
            assert_eq!(natural_key(one), natural_key(other), "{one} {other}");
        }
        assert_ascending(&["v1.9", "1.10", "v1.11"]);
        assert_ne!(natural_key("version"), natural_key("ersion"));
    }

    #[test]
    fn what_is_not_released_yet_comes_before_the_release_and_additions_after_it() {
        assert_ascending(&["1.0-dev", "1.0-alpha", "1.0-beta", "1.0-rc1", "1.0-rc2", "1.0-rc10", "1.0", "1.0.1"]);
        assert_ascending(&[
            "1.0.dev3",
            "1.0a1",
            "1.0b2",
            "1.0m1",
            "1.0c3",
            "1.0",
            "1.0.post1",
            "1.0-1",
            "1.0-2",
            "1.0.1-rc1",
        ]);
        assert_ascending(&["1.1.1", "1.1.1a", "1.1.1b", "1.1.2"]);
        assert_ascending(&["0.9-SNAPSHOT", "0.9", "1.0-nightly", "1.0+build.5", "1.0+build.11", "1.0.0"]);
    }

    #[test]
    fn the_example_of_semantic_versioning_is_in_its_order() {
        assert_ascending(&[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ]);
    }

    #[test]
    fn dates_are_in_the_order_of_time() {
        assert_ascending(&["2023.12.31", "2024.1.5", "2024.08.20", "2024.8.20.1", "2024.10.01"]);
        assert_ascending(&["20231231", "20240820", "20240820120000"]);
        assert_ascending(&["2024-08-20", "2024-08-20-2", "2024-10-01"]);
    }

    #[test]
    fn words_hashes_and_other_scripts_have_an_order_too() {
        assert_ascending(&["main", "master", "1.0"]);
        assert_ascending(&["版本2", "版本10", "1"]);
        assert_ascending(&["a", "ab", "b"]);
        for odd in ["", "-", "...", "\0", "e3b0c44298fc1c14", "1..2", "一二", &"9".repeat(10_000)] {
            assert_eq!(natural_key(odd).last(), Some(&tag::END), "{odd}");
        }
    }
}
