//! Names by pattern: `*` stands for any run of characters, `?` for one; everything else for itself.

use wildmatch::WildMatch;

/// Patterns of which one must match.
#[derive(Debug, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

/// Nearly all are one of the first two, and those cost nothing to match.
#[derive(Debug)]
enum Pattern {
    Any,
    Name(String),
    Wild(WildMatch),
}

impl Pattern {
    fn new(text: &str) -> Self {
        match text {
            "*" => Self::Any,
            _ if is_name(text) => Self::Name(text.to_owned()),
            _ => Self::Wild(WildMatch::new(text)),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(text) => text == name,
            Self::Wild(pattern) => pattern.matches(name),
        }
    }
}

impl Patterns {
    pub(crate) fn new(texts: &[String]) -> Self {
        Self(texts.iter().map(|text| Pattern::new(text)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

/// Whether a pattern surely matches all that another one does: by its text, or because the other one is a plain name.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    wide == "*" || wide == narrow || (is_name(narrow) && WildMatch::new(wide).matches(narrow))
}

fn is_name(text: &str) -> bool {
    !text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_surely_matches() {
        assert!(covers("*", "a*") && covers("a*", "a*") && covers("a*", "ab") && covers("a", "a"));
        assert!(!covers("a*", "ab*") && !covers("a?", "a*") && !covers("a", "a?") && !covers("a", "b"));
    }

    #[test]
    fn a_star_is_any_run_and_a_question_mark_one_character() {
        let patterns = |list: &[&str]| Patterns::new(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(patterns(&["*"]).matches("") && patterns(&["*"]).matches("any-thing"));
        assert!(patterns(&["ci-*"]).matches("ci-") && !patterns(&["ci-*"]).matches("aci-x"));
        assert!(patterns(&["a?c", "x"]).matches("abc") && patterns(&["a?c", "x"]).matches("x"));
        assert!(!patterns(&["a?c"]).matches("ac") && !patterns(&["App"]).matches("app"));
        assert!(!patterns(&[]).matches("") && patterns(&[]).is_empty());
    }
}
