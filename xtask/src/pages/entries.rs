//! What comments say of a name: ``/// `NAME`: sentence``, in a line or an item of a list, over as many lines as it takes.
//!
//! Promises: an entry ends with its block of comments, with a blank line or with the next entry. Several names may share a
//! sentence, and brackets behind the name hold what else a table shows.

/// What is said of one or several names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// In the order of the comment.
    pub(super) names: Vec<String>,
    /// What stands in brackets behind them.
    pub(super) kind: String,
    /// The sentence.
    pub(super) text: String,
}

impl Entry {
    /// The names as they are shown.
    pub(super) fn title(&self) -> String {
        self.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    /// Whether every name begins with one of these.
    pub(super) fn is_of(&self, prefixes: &[&str]) -> bool {
        self.names.iter().all(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    }
}

/// Entries of a file of Rust.
pub(super) fn of_code(text: &str) -> Vec<Entry> {
    entries(text, &["///", "//!"])
}

/// Entries of a file of YAML.
pub(super) fn of_yaml(text: &str) -> Vec<Entry> {
    entries(text, &["#"])
}

fn entries(text: &str, markers: &[&str]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        let line = line.trim();
        let comment = markers.iter().find_map(|marker| line.strip_prefix(marker)).map_or("", str::trim);
        if let Some(entry) = begin(comment) {
            entries.push(entry);
            is_open = true;
        } else if let (false, true, Some(last)) = (comment.is_empty(), is_open, entries.last_mut()) {
            last.text.push(' ');
            last.text.push_str(comment);
        } else {
            is_open = false;
        }
    }
    entries
}

fn begin(line: &str) -> Option<Entry> {
    let line = line.strip_prefix("- ").unwrap_or(line);
    let (names, rest) = names(line)?;
    let bracketed = rest.strip_prefix(" (").and_then(|rest| rest.split_once("): "));
    let (kind, text) = bracketed.or_else(|| Some(("", rest.strip_prefix(": ")?)))?;
    Some(Entry { names, kind: kind.to_owned(), text: text.to_owned() })
}

fn names(line: &str) -> Option<(Vec<String>, &str)> {
    let (mut names, mut rest) = (Vec::new(), line);
    loop {
        let (name, behind) = rest.strip_prefix('`')?.split_once('`')?;
        names.push(name.to_owned());
        match behind.strip_prefix(", ").filter(|next| next.starts_with('`')) {
            Some(next) => rest = next,
            None => return Some((names, behind)),
        }
    }
}

/// Literals of text in code, each with what stands before it on its line.
pub(super) fn literals(code: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut rest = line;
        while let Some(at) = rest.find('"') {
            let before = &rest[..at];
            let (literal, behind) = end_of_literal(&rest[at + 1..]);
            if !before.ends_with('\'') {
                found.push((before, literal));
            }
            rest = behind;
        }
    }
    found
}

/// The literal that begins here, with its escapes undone, and what is behind it.
fn end_of_literal(text: &str) -> (String, &str) {
    let mut literal = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (literal, &text[at + 1..]),
            '\\' => literal.extend(chars.next().map(|(_, c)| c)),
            c => literal.push(c),
        }
    }
    (literal, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(names: &[&str], kind: &str, text: &str) -> Entry {
        Entry { names: names.iter().map(|n| (*n).to_owned()).collect(), kind: kind.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn an_entry_goes_on_until_a_blank_line_code_or_the_next() {
        let code = "/// Text.\n///\n/// - `A`: one\n///   and more.\n/// - `B`, `C` (counter; `x`): two.\n///\n/// No more.\nfn f() {}\n/// `D`: three.\n";
        let want = [
            entry(&["A"], "", "one and more."),
            entry(&["B", "C"], "counter; `x`", "two."),
            entry(&["D"], "", "three."),
        ];
        assert_eq!(of_code(code), want);
        assert_eq!(of_yaml("# - `A`: one\n#   and more.\na: b # `B`: no\n"), [entry(&["A"], "", "one and more.")]);
    }

    #[test]
    fn a_name_without_a_sentence_is_no_entry() {
        assert_eq!(of_code("/// `A` is a name.\n/// `B`\n/// `C`, and `D`: no\n"), []);
    }

    #[test]
    fn literals_are_read_with_what_is_before_them() {
        let code = "// \"no\"\nf(\"a \\\"b\\\"\", \"c\"); '\"'\n";
        assert_eq!(literals(code), [("f(", "a \"b\"".to_owned()), (", ", "c".to_owned())]);
    }
}
