//! The length of the documents that people write: together they have a bound, so that each stays worth reading.
//!
//! Promises: counts words as `wc -w` does, in the guides at the root and in `docs/`. Generated pages, decisions and the list of changes do
//! not count.

use std::fs;

use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;

/// Words of all of them together.
const MOST_WORDS: usize = 20_000;
const AT_THE_ROOT: [&str; 3] = ["CONTRIBUTING.md", "README.md", "SECURITY.md"];
/// Made of the code, as is all in folders below `docs/` but decisions.
const GENERATED: &str = "docs/REFERENCE.md";

/// Fails if there are too many words.
pub fn check(workspace: &Workspace) -> Outcome<()> {
    let mut texts = Vec::new();
    for path in workspace.list_files()?.into_iter().filter(|path| is_written_by_hand(path)) {
        let text = fs::read_to_string(workspace.path(&path)).trying(|| format!("read {path}"))?;
        texts.push((path, text));
    }
    let words = count(&texts, MOST_WORDS)?;
    println!("{words} of {MOST_WORDS} words in {} documents", texts.len());
    Ok(())
}

fn is_written_by_hand(path: &str) -> bool {
    let guide = path.strip_prefix("docs/").filter(|name| name.ends_with(".md") && !name.contains('/'));
    AT_THE_ROOT.contains(&path) || (guide.is_some() && path != GENERATED)
}

/// All words; the failure names the longest documents.
fn count(texts: &[(String, String)], most: usize) -> Outcome<usize> {
    let mut words: Vec<_> = texts.iter().map(|(path, text)| (text.split_whitespace().count(), path)).collect();
    let sum = words.iter().map(|(count, _)| count).sum();
    if sum <= most {
        return Ok(sum);
    }
    words.sort_unstable_by(|a, b| b.cmp(a));
    let longest: Vec<_> = words.iter().take(3).map(|(count, path)| format!("{path} ({count})")).collect();
    let longest = longest.join(", ");
    Err(Failure::new(format!("the documents have {sum} words, {} too many; the longest are {longest}", sum - most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guides_count_and_what_is_generated_or_decided_does_not() {
        for path in ["README.md", "docs/API.md"] {
            assert!(is_written_by_hand(path), "{path}");
        }
        for path in
            ["CHANGELOG.md", "docs/REFERENCE.md", "docs/reference/LOGS.md", "docs/adr/0001-a.md", "samples/README.md"]
        {
            assert!(!is_written_by_hand(path), "{path}");
        }
    }

    #[test]
    fn one_word_too_many_is_a_failure_that_names_the_count() {
        let texts = |words: &str| [("a.md".to_owned(), "one two\n".to_owned()), ("b.md".to_owned(), words.to_owned())];
        assert_eq!(count(&texts("three"), 3).unwrap(), 3);
        let failure = count(&texts("three four five"), 4).unwrap_err().to_string();
        assert_eq!(failure, "the documents have 5 words, 1 too many; the longest are b.md (3), a.md (2)");
    }

    #[test]
    fn the_tree_is_within_the_bound() {
        check(&Workspace::find().unwrap()).unwrap();
    }
}
