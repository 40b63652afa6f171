//! Which part of a representation a request asks for, if any: the conditions and ranges of RFC 9110.
//!
//! Promises: conditions are judged in the standard's order (section 13.2.2), before any range; a range that cannot be read is
//! passed over, and so is one whose `If-Range` does not hold, so that nobody puts two versions together. Refuses to take a
//! date for an exact validator where two versions could have the same one.

use std::ops::Range;
use std::time::SystemTime;

use linkgate_contract::Method;
use warp::http::HeaderMap;
use warp::http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// What a request's conditions are held against.
#[derive(Clone, Debug)]
pub(super) struct Representation {
    /// Without quotes; a strong one.
    pub(super) tag: String,
    /// In whole seconds.
    pub(super) modified: Option<SystemTime>,
    /// Whether no other version can have the same date.
    pub(super) is_date_exact: bool,
    /// Its bytes.
    pub(super) size: u64,
}

/// What to answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// All of it.
    Whole,
    /// These bytes of it.
    Part(Range<u64>),
    /// The caller has it already.
    NotModified,
    /// It is not what the caller requires.
    PreconditionFailed,
    /// It has none of the bytes.
    NotSatisfiable,
}

impl Representation {
    /// Judges a request to read it.
    pub(super) fn judge(&self, method: Method, headers: &HeaderMap) -> Judgement {
        if !self.is_required(headers) {
            return Judgement::PreconditionFailed;
        }
        if self.is_known(headers) {
            return Judgement::NotModified;
        }
        // The standard knows ranges of GET alone.
        let range = single(headers, &RANGE).filter(|_| method == Method::Get && self.is_range_wanted(headers));
        range.map_or(Judgement::Whole, |range| self.judge_range(range))
    }

    /// `If-Match`, or without one `If-Unmodified-Since`.
    fn is_required(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(IF_MATCH) {
            return lists(headers, &IF_MATCH, |tag, is_weak| tag == self.tag && !is_weak);
        }
        match (self.modified, date(headers, &IF_UNMODIFIED_SINCE)) {
            (Some(modified), Some(since)) => modified <= since,
            _ => true,
        }
    }

    /// `If-None-Match`, or without one `If-Modified-Since`.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(IF_NONE_MATCH) {
            return lists(headers, &IF_NONE_MATCH, |tag, _| tag == self.tag);
        }
        match (self.modified, date(headers, &IF_MODIFIED_SINCE)) {
            (Some(modified), Some(since)) => modified <= since,
            _ => false,
        }
    }

    fn is_range_wanted(&self, headers: &HeaderMap) -> bool {
        if !headers.contains_key(IF_RANGE) {
            return true;
        }
        let Some(validator) = single(headers, &IF_RANGE) else { return false };
        match validator.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"') == Some(&self.tag),
            None => self.is_date_exact && self.modified.is_some() && date(headers, &IF_RANGE) == self.modified,
        }
    }

    fn judge_range(&self, range: &str) -> Judgement {
        let Some((unit, set)) = range.split_once('=') else { return Judgement::Whole };
        let mut specs = set.split(',').map(str::trim_ascii).filter(|spec| !spec.is_empty());
        let (Some(spec), None) = (specs.next(), specs.next()) else { return Judgement::Whole };
        match Spec::parse(spec).filter(|_| unit.trim_ascii().eq_ignore_ascii_case("bytes")) {
            None => Judgement::Whole,
            Some(spec) => spec.within(self.size).map_or(Judgement::NotSatisfiable, Judgement::Part),
        }
    }
}

/// One range as it is written.
#[derive(Clone, Copy)]
enum Spec {
    /// The last one counts.
    FirstToLast(u64, u64),
    /// So many at the end.
    Suffix(u64),
}

impl Spec {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('-')? {
            ("", count) => number(count).map(Self::Suffix),
            (first, "") => number(first).map(|first| Self::FirstToLast(first, u64::MAX)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FirstToLast(first, last))
            }
        }
    }

    fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::FirstToLast(first, last) => first..last.saturating_add(1).min(size),
            Self::Suffix(count) => size.saturating_sub(count)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// Digits and nothing else. One that no number can hold is beyond every end.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The value of a field that may be there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value.trim_ascii())
}

/// A date; what is none says nothing.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    single(headers, name).and_then(|text| httpdate::parse_http_date(text).ok())
}

/// Whether a field lists a tag that is meant, or `*` for any. What follows something that is no tag is not read.
fn lists(headers: &HeaderMap, name: &HeaderName, is_meant: impl Fn(&str, bool) -> bool) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.into_iter().any(|line| line.trim_ascii() == "*" || tags(line).any(|(tag, is_weak)| is_meant(tag, is_weak)))
}

/// The tags of a list, without quotes, and whether each is a weak one.
fn tags(line: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let begin = rest.trim_start_matches([' ', '\t', ',']);
        let (begin, is_weak) = begin.strip_prefix("W/").map_or((begin, false), |strong| (strong, true));
        let (tag, after) = begin.strip_prefix('"')?.split_once('"')?;
        rest = after;
        Some((tag, is_weak))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use warp::http::HeaderValue;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const MODIFIED_S: u64 = 784_111_777;
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn representation() -> Representation {
        let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED_S));
        Representation { tag: "abc".into(), modified, is_date_exact: true, size: 10 }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn get(pairs: &[(&'static str, &str)]) -> Judgement {
        representation().judge(Method::Get, &headers(pairs))
    }

    use Judgement::{NotModified, NotSatisfiable, Part, PreconditionFailed, Whole};

    #[test]
    fn one_range_is_a_part() {
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("bytes=0-9", 0..10),
            ("bytes=9-", 9..10),
            ("bytes=0-", 0..10),
            ("bytes=-3", 7..10),
            ("bytes=-10", 0..10),
            ("bytes=-11", 0..10),
            ("bytes=5-99", 5..10),
            ("bytes=5-99999999999999999999999999", 5..10),
            ("bytes=-99999999999999999999999999", 0..10),
            ("BYTES = 2-4 ", 2..5),
            ("bytes=, 2-4,", 2..5),
            ("bytes=0002-04", 2..5),
        ] {
            assert_eq!(get(&[("range", range)]), Part(expected), "{range}");
        }
    }

    #[test]
    fn a_range_beyond_the_end_is_not_satisfiable() {
        for range in ["bytes=10-", "bytes=10-10", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(get(&[("range", range)]), NotSatisfiable, "{range}");
        }
        let empty = Representation { size: 0, ..representation() };
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(empty.judge(Method::Get, &headers(&[("range", range)])), NotSatisfiable, "{range}");
        }
    }

    #[test]
    fn what_is_no_range_or_more_than_one_is_passed_over() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=4-2",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=1-2-3",
            "bytes=0-1,3-4",
            "bytes=0-1,x",
            "items=0-1",
            "bytes 0-1",
            "=0-1",
            "bytes=--1",
        ] {
            assert_eq!(get(&[("range", range)]), Whole, "{range}");
        }
        assert_eq!(get(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]), Whole);
        assert_eq!(representation().judge(Method::Head, &headers(&[("range", "bytes=0-1")])), Whole);
    }

    #[test]
    fn a_range_counts_only_for_the_version_that_its_if_range_names() {
        let with = |validator: &str| get(&[("range", "bytes=2-4"), ("if-range", validator)]);
        for good in ["\"abc\"", " \"abc\"", AT, "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(with(good), Part(2..5), "{good}");
        }
        for stale in ["\"abd\"", "W/\"abc\"", "\"abc", "abc", "", "*", "\"abc\", \"abd\"", BEFORE, AFTER, "yesterday"] {
            assert_eq!(with(stale), Whole, "{stale}");
        }
        assert_eq!(get(&[("range", "bytes=2-4"), ("if-range", "\"abc\""), ("if-range", "\"abc\"")]), Whole);
        assert_eq!(get(&[("range", "bytes=99-"), ("if-range", "\"abd\"")]), Whole, "and not 416");
        let inexact = Representation { is_date_exact: false, ..representation() };
        assert_eq!(inexact.judge(Method::Get, &headers(&[("range", "bytes=2-4"), ("if-range", AT)])), Whole);
    }

    #[test]
    fn who_has_it_is_told_so() {
        for (name, value) in [
            ("if-none-match", "\"abc\""),
            ("if-none-match", "W/\"abc\""),
            ("if-none-match", "\"x\" , W/\"y\",,\"abc\""),
            ("if-none-match", "\"a,b\", \"abc\""),
            ("if-none-match", "*"),
            ("if-modified-since", AT),
            ("if-modified-since", AFTER),
        ] {
            for method in [Method::Get, Method::Head] {
                assert_eq!(representation().judge(method, &headers(&[(name, value)])), NotModified, "{value}");
            }
        }
        for (name, value) in [
            ("if-none-match", "\"abd\""),
            ("if-none-match", "abc"),
            ("if-none-match", "w/\"abc\""),
            ("if-modified-since", BEFORE),
            ("if-modified-since", "yesterday"),
        ] {
            assert_eq!(get(&[(name, value)]), Whole, "{value}");
        }
        assert_eq!(
            get(&[("if-none-match", "\"abd\""), ("if-modified-since", AFTER)]),
            Whole,
            "the date does not count"
        );
        assert_eq!(get(&[("if-none-match", "\"x\""), ("if-none-match", "\"abc\"")]), NotModified);
        assert_eq!(get(&[("if-none-match", "\"abc\""), ("range", "bytes=99-")]), NotModified, "before any range");
    }

    #[test]
    fn what_is_required_must_be_so() {
        for (name, value) in [
            ("if-match", "\"abd\""),
            ("if-match", "W/\"abc\""),
            ("if-match", "abc"),
            ("if-match", ""),
            ("if-unmodified-since", BEFORE),
        ] {
            assert_eq!(get(&[(name, value)]), PreconditionFailed, "{value}");
        }
        for (name, value) in [
            ("if-match", "\"x\", \"abc\""),
            ("if-match", "*"),
            ("if-unmodified-since", AT),
            ("if-unmodified-since", AFTER),
            ("if-unmodified-since", "yesterday"),
        ] {
            assert_eq!(get(&[(name, value)]), Whole, "{value}");
        }
        assert_eq!(get(&[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)]), Whole, "the date does not count");
        let both = [("if-match", "\"abd\""), ("if-none-match", "\"abc\""), ("range", "bytes=99-")];
        assert_eq!(get(&both), PreconditionFailed, "first of all");
    }

    proptest! {
        #[test]
        fn a_part_lies_within_and_nothing_panics(range in "(bytes=)?[0-9, -]{0,24}", size in 0..100u64) {
            let representation = Representation { size, ..representation() };
            if let Part(part) = representation.judge(Method::Get, &headers(&[("range", &range)])) {
                prop_assert!(!part.is_empty() && part.end <= size);
            }
        }
    }
}
