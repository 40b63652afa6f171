//! How the text of a search is split into terms, as the reference splits it.
//!
//! Promises: blanks and commas separate terms, and quotes, single or double, keep a phrase with what is in it. A quote that
//! is never closed is a letter like others. Refuses more text than any package could be searched for.

use linkgate_contract::Text;

/// The most terms, and bytes of all.
const MAX_TERMS: usize = 16;
const MAX_BYTES: usize = 1_024;

/// Why a text cannot be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadSearch {
    Null,
    TooLong,
}

impl BadSearch {
    pub(super) fn message(self) -> Text {
        match self {
            Self::Null => Text::fixed("不允许使用空字符。", "Null characters are not allowed."),
            Self::TooLong => Text::fixed(
                "搜索内容过长：最多 16 个词、1024 字节。",
                "There is too much to search for: at most 16 terms, 1024 bytes in all.",
            ),
        }
    }
}

/// The terms of a text.
pub(super) fn split(text: &str) -> Result<Vec<String>, BadSearch> {
    if text.contains('\0') {
        return Err(BadSearch::Null);
    }
    if text.len() > MAX_BYTES {
        return Err(BadSearch::TooLong);
    }
    let mut terms = Vec::new();
    for piece in pieces(text) {
        let piece = piece.trim_matches(',');
        match quoted(piece) {
            Some(phrase) => terms.push(unescaped(phrase)),
            None => terms.extend(piece.split(',').map(|term| term.trim().to_owned())),
        }
    }
    terms.retain(|term| !term.is_empty());
    if terms.len() > MAX_TERMS { Err(BadSearch::TooLong) } else { Ok(terms) }
}

/// What stands between the quotes, if it is one phrase.
fn quoted(piece: &str) -> Option<&str> {
    let quote = piece.chars().next().filter(|c| is_quote(*c))?;
    piece.get(1..)?.strip_suffix(quote)
}

fn unescaped(phrase: &str) -> String {
    let mut text = String::with_capacity(phrase.len());
    let mut rest = phrase.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.extend(rest.next()),
            other => text.push(other),
        }
    }
    text
}

/// Pieces between blanks, where blanks in quotes do not count.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let end = piece_end(rest);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (end > 0).then_some(piece)
    })
}

fn piece_end(text: &str) -> usize {
    let (mut end, mut has_quotes) = (0, false);
    while let Some(rest) = text.get(end..) {
        let plain = rest.find(|c: char| c.is_whitespace() || is_quote(c)).unwrap_or(rest.len());
        let Some(length) = rest.get(plain..).and_then(quoted_length) else {
            // A quote that is never closed begins a piece of its own after one that was, and is a letter otherwise.
            let to_blank = rest.find(char::is_whitespace).unwrap_or(rest.len());
            return end + if has_quotes { plain.min(to_blank) } else { to_blank };
        };
        has_quotes = true;
        end += plain + length;
    }
    end
}

/// The length of the quotes and what is in them, if the text begins with such.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| is_quote(*c))?;
    let mut is_escaped = false;
    let closes = |(_, c): &(usize, char)| {
        let is_end = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_end
    };
    text.char_indices().skip(1).find(closes).map(|(at, _)| at + 1)
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_and_commas_separate_and_quotes_keep_a_phrase() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" , ,, ", &[]),
            ("one two", &["one", "two"]),
            ("one,two ,three,", &["one", "two", "three"]),
            ("\"one two\" three", &["one two", "three"]),
            ("'one, two'", &["one, two"]),
            ("\"a \\\"b\\\" c\"", &["a \"b\" c"]),
            ("\"never closed", &["\"never", "closed"]),
            ("it's", &["it's"]),
            ("a\"b c\"d", &["a\"b c\"d"]),
            ("100%_\\", &["100%_\\"]),
            ("\"\"", &[]),
            ("版本 1.0", &["版本", "1.0"]),
        ];
        for (text, terms) in cases {
            assert_eq!(split(text).unwrap(), *terms, "{text}");
        }
    }

    #[test]
    fn what_no_text_holds_and_too_much_is_refused() {
        assert_eq!(split("a\0b"), Err(BadSearch::Null));
        assert_eq!(split(&"a ".repeat(16)).map(|terms| terms.len()), Ok(16));
        assert_eq!(split(&"a ".repeat(17)), Err(BadSearch::TooLong));
        assert_eq!(split(&"a".repeat(1_025)), Err(BadSearch::TooLong));
    }

    proptest! {
        #[test]
        fn every_text_has_an_end_and_terms_of_its_own_letters(text in "[ab ,'\"\\\\é\t]{0,40}") {
            for term in split(&text).unwrap_or_default() {
                prop_assert!(!term.is_empty());
                prop_assert!(term.chars().all(|c| text.contains(c)), "{:?} of {:?}", term, text);
            }
        }
    }
}
