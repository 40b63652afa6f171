//! The words that are gone: each concept has one word, that of docs/GLOSSARY.md, and the old one must not come back.
//!
//! Promises: looks at every file of the repository that holds code, docs or configuration, and at its path; an old word is
//! found as a whole word and as a part of an identifier (`kept_ledger`, `LedgerRow`), with the line and the new word.
//! Refuses an exception that nothing needs any more.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;

/// A word that is gone.
struct GoneWord {
    /// Its forms. One with a capital letter is a whole identifier; one with a space, words in a row.
    forms: &'static [&'static str],
    /// What to write.
    new: &'static str,
    /// Why.
    reason: &'static str,
}

/// An old word that may stay somewhere.
struct Exception {
    form: &'static str,
    scope: Scope,
    /// Read by whoever wonders why it is here.
    _reason: &'static str,
}

/// Where an old word may stay.
enum Scope {
    /// In files whose path begins like this.
    Path(&'static str),
    /// Within these words in a row.
    Phrase(&'static str),
}

const GONE: &[GoneWord] = &[
    GoneWord { forms: &["ledger", "ledgers"], new: "catalog", reason: "the database of packages and modules" },
    GoneWord { forms: &["unbooked"], new: "orphaned", reason: "of a blob that no row points at" },
    GoneWord {
        forms: &["books", "booked", "booking", "bookings"],
        new: "catalog, record",
        reason: "what is done to a package once it is stored",
    },
    GoneWord { forms: &["linker", "linking"], new: "ingest", reason: "a link is also what ld does" },
    GoneWord { forms: &["draft", "drafts"], new: "blob writer", reason: "a blob that is being written" },
    GoneWord { forms: &["upkeep"], new: "maintenance", reason: "as everybody calls gc, scrub, verify and backup" },
    GoneWord { forms: &["errand", "errands"], new: "call", reason: "what is asked of an identity service" },
    GoneWord {
        forms: &["flight", "flights"],
        new: "in-flight call",
        reason: "one answer for many who wait: singleflight",
    },
    GoneWord { forms: &["land", "landed", "landing"], new: "complete", reason: "a call that got its answer" },
    GoneWord { forms: &["halt", "halts", "halted"], new: "denial, interrupt", reason: "the outcome of a check" },
    GoneWord { forms: &["resting", "ageing"], new: "circuit breaker, stale", reason: "states of a cached answer" },
    GoneWord { forms: &["probation", "on trial"], new: "report-only", reason: "as in Content-Security-Policy" },
    GoneWord { forms: &["Sha256Hex"], new: "Sha256", reason: "one type for every digest" },
    GoneWord { forms: &["bed", "beds"], new: "test stack", reason: "all that one upload through the gateway needs" },
    GoneWord { forms: &["shelf", "shelves"], new: "data directory", reason: "what a store holds on disk" },
    GoneWord { forms: &["mood", "moods"], new: "behaviour", reason: "how a stand-in answers" },
    GoneWord { forms: &["weather"], new: "fault schedule", reason: "when a service is down" },
    GoneWord { forms: &["dice"], new: "Rng", reason: "a generator of random numbers" },
    GoneWord { forms: &["door", "doors"], new: "port, gateway", reason: "where requests come in" },
    GoneWord { forms: &["room", "rooms"], new: "space, module", reason: "of a disk or a list; a part of the code" },
    GoneWord { forms: &["aside"], new: "temporary file, quarantine", reason: "where a file is before it has its name" },
    GoneWord { forms: &["hop", "hops"], new: "redirect, request", reason: "the parts of a download" },
    GoneWord { forms: &["patience"], new: "queue timeout, limit", reason: "how long something may wait" },
    GoneWord { forms: &["pace"], new: "rate, speed", reason: "bytes for each second" },
    GoneWord { forms: &["wish", "wishes"], new: "upload key, request", reason: "what a caller wants" },
    GoneWord { forms: &["complaint", "complaints"], new: "finding, message", reason: "what verify reports" },
    GoneWord { forms: &["workshop"], new: "development tasks", reason: "what xtask is" },
];

const EXCEPTIONS: &[Exception] = &[
    Exception {
        form: "draft",
        scope: Scope::Path("deploy/policy.schema.json"),
        _reason: "the address of the version of JSON Schema",
    },
    Exception {
        form: "ledger",
        scope: Scope::Path("store-service/core/src/data_dir.rs"),
        _reason: "the file's old name, which is refused with the new one",
    },
    Exception {
        form: "ledger",
        scope: Scope::Path("xtask/src/compose/durable.rs"),
        _reason: "a data directory with that file gets the new name, as its operator gives it",
    },
    Exception {
        form: "ledger",
        scope: Scope::Path("tests/store/lifecycle.rs"),
        _reason: "a data directory with that file is refused, and opened once it has the new name",
    },
    Exception {
        form: "ledger",
        scope: Scope::Path("tests/chaos/src/rollback.rs"),
        _reason: "a data directory of 0.1 gets the new name, and the old one back, as the list of changes says",
    },
    Exception {
        form: "linker",
        scope: Scope::Path("tests/wasm/"),
        _reason: "a type of the interpreter that runs the filter",
    },
    Exception { form: "hops", scope: Scope::Phrase("xff num trusted hops"), _reason: "a setting of Envoy" },
    Exception { form: "flight", scope: Scope::Phrase("in flight"), _reason: "what everybody calls it" },
];

/// Files that are not looked at: what was written once and is not rewritten, and this list.
const LEFT_OUT: [&str; 3] = ["CHANGELOG.md", "fuzz/corpus/", "xtask/src/words.rs"];
/// How a decision begins that another one took the place of.
const SUPERSEDED: &str = "*Superseded by";
/// Files whose names say nothing.
const OTHERS: [&str; 2] = [".ci/run", "Dockerfile"];
const EXTENSIONS: [&str; 5] = ["md", "rs", "toml", "yaml", "yml"];

/// Looks for old words in the whole repository.
pub fn check(workspace: &Workspace) -> Outcome<()> {
    let mut used = BTreeSet::new();
    let mut found = Vec::new();
    for path in workspace.list_files()?.into_iter().filter(|path| is_looked_at(path)) {
        let file = workspace.path(&path);
        let text = fs::read_to_string(&file).trying(|| format!("read {}", file.display()))?;
        if !path.starts_with("docs/adr/") || !text.contains(SUPERSEDED) {
            found.extend(find_old_words(GONE, EXCEPTIONS, &path, &text, &mut used));
        }
    }
    let unused = EXCEPTIONS.iter().enumerate().filter(|(index, _)| !used.contains(index));
    found.extend(unused.map(|(_, exception)| {
        format!("xtask/src/words.rs: the exception for `{}` is needed by nothing, remove it", exception.form)
    }));
    if found.is_empty() { Ok(()) } else { Err(Failure::new(found.join("\n"))) }
}

fn is_looked_at(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let known =
        EXTENSIONS.contains(&extension) || extension == "json" && path.starts_with("deploy/") || OTHERS.contains(&path);
    known && !LEFT_OUT.iter().any(|left_out| path.starts_with(left_out))
}

/// One line for each old word; `used` takes the index of every exception that was needed.
fn find_old_words(
    gone: &[GoneWord],
    exceptions: &[Exception],
    path: &str,
    text: &str,
    used: &mut BTreeSet<usize>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in std::iter::once(path).chain(text.lines()).enumerate() {
        let words = split_words(line);
        for word in gone {
            for form in word.forms.iter().filter(|form| stands_in(form, line, &words)) {
                match exceptions.iter().position(|exception| exception.covers(form, path, line, &words)) {
                    Some(index) => drop(used.insert(index)),
                    None => found.push(format!("{path}:{number}: {}", word.explain(form))),
                }
            }
        }
    }
    found
}

impl GoneWord {
    fn explain(&self, form: &str) -> String {
        format!("`{form}` is gone, write {}: {}", self.new, self.reason)
    }
}

impl Exception {
    fn covers(&self, form: &str, path: &str, line: &str, words: &[String]) -> bool {
        self.form == form
            && match self.scope {
                Scope::Path(prefix) => path.starts_with(prefix),
                Scope::Phrase(phrase) => count(phrase, line, words) >= count(form, line, words),
            }
    }
}

fn stands_in(form: &str, line: &str, words: &[String]) -> bool {
    count(form, line, words) > 0
}

/// How often a form stands in a line.
fn count(form: &str, line: &str, words: &[String]) -> usize {
    if form.contains(|c: char| c.is_uppercase()) {
        return identifiers(line).filter(|identifier| *identifier == form).count();
    }
    let wanted: Vec<_> = form.split(' ').collect();
    words.windows(wanted.len()).filter(|window| *window == wanted).count()
}

fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|identifier| !identifier.is_empty())
}

/// The words of a line in lower case; identifiers are taken apart at `_` and where a capital letter begins a word.
fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        let bytes = part.as_bytes();
        let mut start = 0;
        for at in 1..bytes.len() {
            let follows_small = bytes[at].is_ascii_uppercase() && !bytes[at - 1].is_ascii_uppercase();
            let ends_capitals = bytes[at].is_ascii_uppercase()
                && bytes[at - 1].is_ascii_uppercase()
                && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            if follows_small || ends_capitals {
                words.push(part[start..at].to_ascii_lowercase());
                start = at;
            }
        }
        words.push(part[start..].to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[GoneWord] = &[
        GoneWord { forms: &["flight", "flights"], new: "call", reason: "a test" },
        GoneWord { forms: &["Sha1Hex"], new: "Sha1", reason: "a test" },
        GoneWord { forms: &["on trial"], new: "report-only", reason: "a test" },
    ];
    const MAY_STAY: &[Exception] = &[
        Exception { form: "flight", scope: Scope::Phrase("in flight"), _reason: "a test" },
        Exception { form: "flights", scope: Scope::Path("docs/"), _reason: "a test" },
    ];

    fn find(path: &str, text: &str) -> Vec<String> {
        find_old_words(OLD, MAY_STAY, path, text, &mut BTreeSet::new())
    }

    #[test]
    fn an_old_word_is_found_in_whatever_it_is_a_part_of() {
        for planted in [
            "// A flight lands.",
            "let flight_number = 1;",
            "struct LastFlight;",
            "fn HTTPFlight()",
            "\"many flights\"",
            "let x: Sha1Hex = 1;",
            "rules on trial",
            "fn is_on_trial() {}",
        ] {
            let found = find("src/a.rs", &format!("fine\n{planted}\n"));
            assert_eq!(found.len(), 1, "{planted}");
            assert!(found[0].starts_with("src/a.rs:2: `"), "{}", found[0]);
        }
        assert_eq!(find("src/flights.rs", ""), ["src/flights.rs:0: `flights` is gone, write call: a test"]);
    }

    #[test]
    fn other_words_and_exceptions_pass() {
        for allowed in ["a flightless bird", "in flight", "InFlightCall", "sha1_hex", "a trial", "Sha1Hexes"] {
            assert_eq!(find("src/a.rs", allowed), Vec::<String>::new(), "{allowed}");
        }
        assert_eq!(find("docs/a.md", "all flights"), Vec::<String>::new());
        assert_eq!(find("src/a.rs", "a flight in flight").len(), 1, "one of two is covered");
    }

    #[test]
    fn files_of_every_kind_are_looked_at() {
        for path in
            ["README.md", "cli/src/main.rs", "deploy/grafana/linkgate.json", "envoy.yaml", "Cargo.toml", "Dockerfile"]
        {
            assert!(is_looked_at(path), "{path}");
        }
        for path in ["CHANGELOG.md", "fuzz/corpus/a/b.toml", "tests/a.json", "xtask/src/words.rs", "Cargo.lock"] {
            assert!(!is_looked_at(path), "{path}");
        }
    }

    #[test]
    fn the_tree_has_no_old_word() {
        check(&Workspace::find().unwrap()).unwrap();
    }
}
