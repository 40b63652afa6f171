//! Names by pattern: `*` stands for any run of characters, `?` for one; everything else for itself.

use std::borrow::Cow;

use wildmatch::WildMatch;

/// Patterns of which one must match. Gate and store match names here, so neither takes a pattern for wider than the other.
#[derive(Debug, Default)]
pub struct Patterns(Vec<Pattern>);

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

    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Any => Cow::Borrowed("*"),
            Self::Name(text) => Cow::Borrowed(text),
            Self::Wild(pattern) => Cow::Owned(pattern.pattern()),
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
    /// Takes the texts of patterns.
    #[must_use]
    pub fn new(texts: &[String]) -> Self {
        Self(texts.iter().map(|text| Pattern::new(text)).collect())
    }

    /// Whether nothing can match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their texts, in order.
    pub fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.iter().map(Pattern::text)
    }

    /// Whether one of them matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

/// Whether a pattern surely matches all that another one does: by its text, or because the other one is a plain name.
#[must_use]
pub fn pattern_covers(wide: &str, narrow: &str) -> bool {
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
        for (wide, narrow) in [("*", "a*"), ("a*", "a*"), ("a*", "ab"), ("a", "a")] {
            assert!(pattern_covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [("a*", "ab*"), ("a?", "a*"), ("a", "a?"), ("a", "b")] {
            assert!(!pattern_covers(wide, narrow), "{wide} {narrow}");
        }
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

    #[test]
    fn patterns_read_as_they_were_written() {
        let texts = ["*", "ci-*", "a?c", "shop", ""].map(str::to_owned);
        assert_eq!(Patterns::new(&texts).texts().collect::<Vec<_>>(), texts);
    }
}
