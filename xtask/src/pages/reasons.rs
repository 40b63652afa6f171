//! `docs/reference/REASONS.md`: why a caller is not authenticated, and why a source could not be read.

use super::entries::{self, Entry};
use super::{Sources, all_said, begin, head, row};
use crate::error::Outcome;

const INTRODUCTION: &str = "\
The words behind an error. [REFERENCE.md](../REFERENCE.md#refusals) has the errors themselves, [API.md](../API.md#errors) what to do
about each kind.";
const AUTHENTICATION: &str = "
## Authentication

400 `INVALID_ARGS` has one of these in its `message`, as `Parameters error [reason=\"…\"]`, word for word and always in English. `…`
stands for what differs. Other words are those of an identity service, in its language: log in again.
";
const GATE: &str = "
## Identity services

500 `INTERNAL_SERVER_ERROR` says `Internal Server Error [reason=\"failed to request third-party api, bkauth, …\"]`, or `login`, or
`ticket`, if no service could say who calls. Without a reason the gate or Envoy failed; Envoy's log has the cause.
";
const TENANTS: &str = "
## Tenants

403 `CROSS_TENANT_FORBIDDEN` says which tenants do not fit, and ends in a mark.
";
const SOURCE: &str = "
## Sources

502 `SOURCE_UNREACHABLE` says `The package_url could not be read: …` (`无法读取源码包下载地址：…`), in the caller's language.
";
const REASONS: &str = "filter/core/src/reason.rs";
const REPLIES: &str = "store-service/src/http/reply/source.rs";
const CALLS: &str = "filter/core/src/services/question.rs";
const MARKS: &str = "filter/core/src/rules/tenants.rs";
const JWT: &str = "parameter jwt is invalid: ";

pub(super) fn page(sources: &Sources<'_>) -> Outcome<String> {
    let reasons = reasons(&sources.read_code(REASONS)?);
    let mut faults = Vec::new();
    for file in sources.list_code("filter/core/src/")? {
        faults.extend(find_unsaid(&file, &said_in(&sources.read_code(&file)?), &reasons));
    }
    let replies = sources.read_code(REPLIES)?;
    let of_sources = of_prefixless(&replies);
    faults.extend(find_unsaid(REPLIES, &words_of_sources(&replies), &of_sources));
    all_said(&faults)?;
    let mut text = begin("Reasons", INTRODUCTION);
    let calls = of_prefixless(&sources.read_code(CALLS)?);
    let marks = entries::of_code(&sources.read_code(MARKS)?).into_iter().filter(|entry| entry.is_of(&["["])).collect();
    for (about, entries) in [(AUTHENTICATION, reasons), (GATE, calls), (TENANTS, marks), (SOURCE, of_sources)] {
        text.push_str(about);
        text.push_str(&head(&["reason", "when, and what to do"]));
        text.extend(entries.iter().map(|entry| row(&[&entry.title(), &entry.text])));
    }
    Ok(text)
}

/// Words that are said in full sentences, told from names of code by their blanks.
fn of_prefixless(code: &str) -> Vec<Entry> {
    let is_words = |entry: &Entry| entry.names.iter().all(|name| name.contains(' '));
    entries::of_code(code).into_iter().filter(is_words).collect()
}

/// Entries of the table of constants, and those in its comments of words that are made elsewhere.
fn reasons(code: &str) -> Vec<Entry> {
    let mut reasons = of_prefixless(code);
    let (mut says, mut is_in_table) = (String::new(), false);
    for line in code.lines().map(str::trim) {
        is_in_table |= line == "reasons! {";
        if let (true, Some(comment)) = (is_in_table, line.strip_prefix("/// ")) {
            says.push_str(if says.is_empty() { "" } else { " " });
            says.push_str(comment);
        } else if let Some((_, literal)) = entries::literals(line).into_iter().next().filter(|_| is_in_table) {
            reasons.push(Entry { names: vec![literal], kind: String::new(), text: std::mem::take(&mut says) });
        } else if line.ends_with(';') {
            says.clear();
        }
    }
    reasons
}

/// Words that callers read, as far as code has them in literals.
fn said_in(code: &str) -> Vec<String> {
    let words = entries::literals(code).into_iter().filter_map(|(before, literal)| {
        let is = |end: &str| before.ends_with(end);
        match () {
            // What is put together with the words of `invalid`, below.
            () if literal.starts_with(JWT) => None,
            () if is("Reason(") || is("Reason(format!(") => Some(literal),
            () if is("invalid(") && code.contains("fn invalid(what") => Some(format!("{JWT}{literal}")),
            () => None,
        }
    });
    words.collect()
}

/// English literals of what is said of sources.
fn words_of_sources(code: &str) -> Vec<String> {
    let from = code.find("fn source_problem(").unwrap_or_default();
    let code = code[from..].split("\nfn unreadable(").next().unwrap_or_default();
    let words = entries::literals(code).into_iter().map(|(_, literal)| literal);
    let is_part = |words: &String| words.is_ascii() && words.contains(' ') && words.starts_with(char::is_lowercase);
    words.filter(is_part).filter(|words| *words != "package_url").collect()
}

fn find_unsaid(file: &str, words: &[String], entries: &[Entry]) -> Vec<String> {
    let names: Vec<&String> = entries.iter().flat_map(|entry| &entry.names).collect();
    let start =
        |words: &str| words.split(['{', '…']).next().unwrap_or_default().trim_end_matches([' ', '`']).to_owned();
    let is_said = |words: &str| names.iter().any(|name| start(name) == start(words));
    let unsaid = words.iter().filter(|words| !is_said(words));
    unsaid.map(|words| format!("{file}: say in a comment when `{words}` is said, and what to do")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "//! - `a word of …`: elsewhere.\nreasons! {\n    /// First.\n    /// Do this.\n    A = \"a b\";\n    /// Not here.\n    B = OTHER.0;\n    /// Long.\n    C =\n        \"c d\";\n}\n";

    #[test]
    fn reasons_are_those_of_the_table_and_of_its_comments() {
        let pairs: Vec<_> = reasons(CODE).into_iter().map(|entry| (entry.title(), entry.text)).collect();
        let want = [("`a word of …`", "elsewhere."), ("`a b`", "First. Do this."), ("`c d`", "Long.")];
        assert_eq!(pairs, want.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn words_without_a_sentence_are_named() {
        let code = "fn f() { Reason(format!(\"a word of {x}\")); Reason(\"new\".into()); }";
        let faults = find_unsaid("x.rs", &said_in(code), &reasons(CODE));
        assert_eq!(faults, ["x.rs: say in a comment when `new` is said, and what to do"]);
    }
}
