//! The query of a page, as its links lead on.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What need not be encoded in a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b',');

/// The parameters of a page, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query, without its `?`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The value of a parameter; empty if it is not there.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// A link to the same page with these in place of its own; one without a value goes.
    #[must_use]
    pub fn with(&self, changes: &[(&str, &str)]) -> String {
        let kept = self.0.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<_> = kept.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty()).collect();
        if pairs.is_empty() {
            return "./".to_owned();
        }
        let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        format!("?{}", pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_what_it_does_not_change() {
        let query = Query::parse("search_term=a%20b&order_by=-version&offset=20");
        assert_eq!((query.value("search_term"), query.value("limit")), ("a b", ""));
        assert_eq!(query.with(&[("order_by", "created"), ("offset", "")]), "?search_term=a%20b&order_by=created");
        assert_eq!(Query::parse("offset=20").with(&[("offset", "")]), "./");
    }

    #[test]
    fn nothing_of_a_value_is_a_separator() {
        let query = Query::parse("search_term=%26x%3D%22%3C%E5%8C%85+1");
        assert_eq!(query.value("search_term"), "&x=\"<包 1");
        assert_eq!(query.with(&[]), "?search_term=%26x%3D%22%3C%E5%8C%85%201");
        assert_eq!(Query::parse(&query.with(&[])[1..]), query);
    }
}
