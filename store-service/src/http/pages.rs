//! What the pages of a list have in common: how large they are, what leads to the next one, how they are written.
//!
//! Promises: what leads on is relative to what was asked for, so it is right behind every prefix, unless the operator says where
//! callers reach the gateway. A page is held by its caller until its last byte is written.

use std::fmt::Write as _;

use bytes::Bytes;
use linkgate_contract::{Page, Problem};
use linkgate_store_core::budget::{Owner, Permit};
use linkgate_store_core::ingest::ports::{Count, Services};
use serde::Serialize;
use warp::http::HeaderValue;
use warp::http::header::{CONTENT_TYPE, HeaderName, LINK};

use super::Api;
use super::parameters::{Expected, Parameters, number};
use super::preferences;
use super::reply::{self, Reply};
use super::request::Request;
use super::shares::Shares;

/// Rows of a page where the caller says nothing: a program, or somebody who reads; and at most.
const DEFAULT_LIMIT: u32 = 100;
const DEFAULT_LIMIT_OF_READERS: u32 = 25;
const MAX_LIMIT: u32 = 1_000;
/// What a row takes in a reply, and more.
const ROW_BYTES: usize = 1_024;
/// A short page may take as long to be found as any other, so nobody asks for more of them at a time.
const LEAST_BYTES: usize = 256 << 10;
/// Says that there are more rows than `count` says.
const COUNT: HeaderName = HeaderName::from_static("x-linkgate-count");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a page takes in memory, on its caller's account.
pub(super) struct Space {
    _permit: Permit,
}

/// The parameters of a list.
pub(super) fn read_parameters<V: Services>(api: &Api<V>, request: &Request<'_>) -> Parameters {
    let place = api.public_url.as_ref().filter(|_| !request.wants_page());
    let place = place.map(|gateway| format!("{gateway}{}", request.route.canonical_path()));
    Parameters::new(&request.query(), preferences::is_strict(&request.head.headers)).at(place.unwrap_or_default())
}

/// How many rows; zero and what is no number mean the default, as with the reference.
pub(super) fn read_limit(parameters: &mut Parameters, request: &Request<'_>) -> u32 {
    let positive = |text: &str| number(text).filter(|limit| *limit > 0);
    let default = if request.wants_page() { DEFAULT_LIMIT_OF_READERS } else { DEFAULT_LIMIT };
    let limit = parameters.read("limit", Expected::Number, positive).unwrap_or(default.into());
    u32::try_from(limit).unwrap_or(MAX_LIMIT).min(MAX_LIMIT)
}

impl Space {
    /// Takes it before anything is asked.
    pub(super) fn take(shares: &Shares, owner: Owner, limit: u32) -> Result<Self, Problem> {
        let bytes = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(ROW_BYTES).max(LEAST_BYTES);
        let permit = shares.page(owner, bytes).map_err(reply::too_many_pages)?;
        Ok(Self { _permit: permit })
    }
}

/// A page that was found.
pub(super) struct Found<T> {
    pub(super) page: Page<T>,
    pub(super) count: Count,
    pub(super) space: Space,
    pub(super) parameters: Parameters,
}

/// The reply with a page.
pub(super) fn answer<T: Serialize>(found: Found<T>) -> Result<Reply, Problem> {
    let Found { page, count, space, parameters } = found;
    let text = reply::to_json(&page)?;
    let mut reply = Reply::new(held(text, space).into());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(links(&page).map(|links| (LINK, links)));
    if matches!(count, Count::AtLeast(_)) {
        headers.insert(COUNT, HeaderValue::from_static("at-least"));
    }
    if parameters.is_strict() {
        headers.insert(APPLIED, HeaderValue::from_static("handling=strict"));
    }
    Ok(reply)
}

/// The header `Link` (RFC 8288).
fn links<T>(page: &Page<T>) -> Option<HeaderValue> {
    let mut links = String::new();
    for (target, relation) in [(&page.next, "next"), (&page.previous, "prev")] {
        if let Some(target) = target {
            let separator = if links.is_empty() { "" } else { ", " };
            // A text takes all that is written.
            let _written = write!(links, "{separator}<{target}>; rel=\"{relation}\"");
        }
    }
    HeaderValue::from_str(&links).ok().filter(|links| !links.is_empty())
}

/// The text, and what it takes on its caller's account.
struct Held {
    text: String,
    _space: Space,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn held(text: String, space: Space) -> Bytes {
    Bytes::from_owner(Held { text, _space: space })
}
