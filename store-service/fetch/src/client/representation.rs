//! One version of a file at one place, and the rest of it.
//!
//! Promises: bytes of two versions are never mixed. The rest is asked for only with a strong validator, by which the
//! source itself compares, and believed only if it begins where we stand, belongs to a file of the same length and shows
//! the same validator. A validator says nothing about another place, so the rest is asked for where the first part came
//! from. Refuses to guess: whatever is missing or given twice counts as different.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Version};
use linkgate_contract::PackageUrl;

use super::exchange::Response;
use super::validator::{Validator, single_value};
use crate::credentials::DownloadCredential;
use crate::source::Fetched;

/// Characters of a validator that are recorded.
const MAX_SHOWN: usize = 256;

/// What is known of the file whose bytes are being read.
#[derive(Debug)]
pub(super) struct Representation {
    /// Who has it.
    pub(super) url: PackageUrl,
    /// What goes along when more of it is asked for.
    pub(super) credential: Option<Arc<DownloadCredential>>,
    /// Its length, if the source said.
    pub(super) total_bytes: Option<u64>,
    /// What tells it from other versions. None where no rest can be asked for.
    validator: Option<Validator>,
    /// Whether the source says that it gives parts.
    accepts_ranges: bool,
    /// What is told of it.
    etag: Option<String>,
    last_modified: Option<String>,
    has_marked_end: bool,
}

impl Representation {
    /// Takes what a reply with the whole file says.
    pub(super) fn from_response(
        url: PackageUrl,
        credential: Option<Arc<DownloadCredential>>,
        response: &Response,
    ) -> Self {
        let validator = Validator::from_headers(response.headers());
        let units = response.headers().get(ACCEPT_RANGES);
        let accepts_ranges = units.is_some_and(|units| units.as_bytes().eq_ignore_ascii_case(b"bytes"));
        let total_bytes = response.content_length();
        let is_framed = response.version() >= Version::HTTP_2 || response.headers().contains_key(TRANSFER_ENCODING);
        let text = |name| response.headers().get(name).map(header_text);
        Self {
            url,
            credential,
            total_bytes,
            validator,
            accepts_ranges,
            etag: text(ETAG),
            last_modified: text(LAST_MODIFIED),
            has_marked_end: total_bytes.is_some() || is_framed,
        }
    }

    /// What is told of it to those who keep it.
    pub(super) fn fetched(&self) -> Fetched {
        Fetched {
            final_url: self.url.to_string(),
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
            has_marked_end: self.has_marked_end,
        }
    }

    /// Its length, if parts of it are sure to be had and to be told from another version's.
    pub(super) fn bytes_in_ranges(&self) -> Option<u64> {
        self.total_bytes.filter(|_| self.accepts_ranges && self.validator.is_some())
    }

    /// The headers that ask for the rest from a byte on; `None` if the rest cannot be told from another file's.
    pub(super) fn headers_for_rest(&self, at: u64) -> Option<HeaderMap> {
        self.total_bytes.filter(|total| (1..*total).contains(&at))?;
        self.range_headers(&format!("bytes={at}-"))
    }

    /// The headers that ask for these bytes.
    pub(super) fn headers_for_range(&self, bytes: &RangeInclusive<u64>) -> Option<HeaderMap> {
        self.range_headers(&format!("bytes={}-{}", bytes.start(), bytes.end()))
    }

    fn range_headers(&self, range: &str) -> Option<HeaderMap> {
        let validator = self.validator.as_ref()?;
        let range = HeaderValue::from_str(range).ok()?;
        let mut headers = self.credential.as_ref().map(|credential| credential.headers()).unwrap_or_default();
        headers.extend([(RANGE, range), (IF_RANGE, validator.value().clone())]);
        Some(headers)
    }

    /// Whether a reply with status 206 holds bytes of this very version from that byte on. It may hold fewer than asked.
    pub(super) fn is_continued_by(&self, response: &Response, at: u64) -> bool {
        let headers = response.headers();
        let Some((bytes, total)) = single_value(headers, &CONTENT_RANGE).and_then(parse_content_range) else {
            return false;
        };
        let same_version = self.validator.as_ref().is_some_and(|validator| validator.is_repeated_in(headers));
        // Without a length of its own it could hold more than it says.
        let as_long_as_it_says = response.content_length().and_then(|len| at.checked_add(len)?.checked_sub(1));
        same_version
            && self.total_bytes == Some(total)
            && *bytes.start() == at
            && as_long_as_it_says == Some(*bytes.end())
    }
}

/// `bytes 5-9/10`: which bytes of how many.
fn parse_content_range(value: &HeaderValue) -> Option<(RangeInclusive<u64>, u64)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
    let (unit, range) = value.to_str().ok()?.trim().split_once(' ')?;
    let (bytes, total) = range.trim().split_once('/')?;
    let (first, last) = bytes.split_once('-')?;
    let (first, last, total): (u64, u64, u64) = (number(first)?, number(last)?, number(total)?);
    (unit.eq_ignore_ascii_case("bytes") && first <= last && last < total).then_some((first..=last, total))
}

/// A validator for people: bounded, and nothing that could break a line.
fn header_text(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Representation {
        let url = PackageUrl::new("https://example.com/a.tgz").unwrap();
        let (etag, last_modified) = (None, None);
        Representation {
            url,
            credential: None,
            total_bytes: None,
            validator: None,
            accepts_ranges: true,
            etag,
            last_modified,
            has_marked_end: true,
        }
    }

    #[test]
    fn a_content_range_is_read_to_the_letter() {
        let read = |text: &str| parse_content_range(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read("bytes 5-9/10"), Some((5..=9, 10)));
        assert_eq!(read("Bytes 0-0/1"), Some((0..=0, 1)));
        for bad in [
            "",
            "bytes",
            "5-9/10",
            "bytes=5-9/10",
            "bytes 5-9",
            "bytes 5-9/*",
            "bytes */10",
            "bytes 5-10/10",
            "bytes 9-5/10",
            "bytes -9/10",
            "bytes 5-/10",
            "bytes +5-9/10",
            "lines 5-9/10",
            "bytes 5-9/18446744073709551616",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_rest_is_asked_for_only_where_it_can_be_told() {
        let tag = || Validator::from_headers(&HeaderMap::from_iter([(ETAG, HeaderValue::from_static("\"a\""))]));
        let representation = Representation { total_bytes: Some(10), validator: tag(), ..known() };
        let asked = representation.headers_for_rest(9).unwrap();
        assert_eq!((&asked[RANGE], &asked[IF_RANGE]), (&"bytes=9-".parse().unwrap(), &"\"a\"".parse().unwrap()));
        for at in [0, 10, 11] {
            assert!(representation.headers_for_rest(at).is_none(), "{at}");
        }
        assert!(Representation { total_bytes: None, validator: tag(), ..known() }.headers_for_rest(5).is_none());
        assert!(Representation { total_bytes: Some(10), validator: None, ..known() }.headers_for_rest(5).is_none());
    }
}
