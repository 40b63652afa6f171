//! Sends the bytes of a package, all of them or a range.

use std::time::{Duration, SystemTime};

use linkgate_contract::{ErrorCode, Method, Problem};
use linkgate_store_core::download::{Opened, Wanted};
use linkgate_store_core::ingest::ports::{Services, ShownAs, StoredFile};
use warp::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use crate::http::Api;
use crate::http::file_name::{content_disposition, media_type};
use crate::http::outgoing::{self, Held};
use crate::http::reply::{self, Reply};
use crate::http::representation::{Judgement, Representation};
use crate::http::request::Request;

/// How often bytes may be freed between the reading of their row and their opening, before somebody else tries.
const OVERWRITES: usize = 8;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let wanted =
        Wanted { target: request.target()?, id: request.package_id()?, expected: request.caller.expected_sha256 };
    let permit = api.shares.download(request.caller.owner())?;
    let method = request.route.method;
    let mut file = api.downloads.find(wanted).await.map_err(|e| reply::download_problem(&e))?;
    for _ in 0..OVERWRITES {
        let range = match representation(&file).judge(method, &request.head.headers) {
            Judgement::Whole => 0..file.size_bytes,
            Judgement::Part(range) => range,
            Judgement::NotModified => return Ok(not_modified(&file)),
            Judgement::PreconditionFailed => return Err(Problem::new(ErrorCode::PreconditionFailed)),
            Judgement::NotSatisfiable => return Ok(not_satisfiable(&file, &request)),
        };
        if let Some(link) = find_link(api, &request, &file).await? {
            return Ok(redirect(&file, &link));
        }
        let opened = api.downloads.open(wanted, &file, range.clone()).await;
        let reader = match opened.map_err(|e| reply::download_problem(&e))? {
            Opened::Bytes(reader) => reader,
            Opened::Overwritten(now) => {
                file = now;
                continue;
            }
        };
        let length = range.end - range.start;
        let is_part = length < file.size_bytes;
        let mut reply = if method == Method::Head {
            reply::no_body()
        } else {
            let held =
                Held { permit, sending: api.metrics.download(), request_id: request.head.request_id().to_owned() };
            outgoing::stream(reader, length, api.min_rate, held)
        };
        let headers = reply.headers_mut();
        describe(&file, headers);
        headers.insert(CONTENT_LENGTH, length.into());
        if is_part {
            let (first, last) = (range.start, range.end - 1);
            set(headers, CONTENT_RANGE, &format!("bytes {first}-{last}/{}", file.size_bytes));
            *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        return Ok(reply);
    }
    Err(Problem::new(ErrorCode::Unavailable))
}

/// Where the storage has the bytes for whoever asks by a signed URL. Everybody else has a header that says who calls, and most
/// clients would send it there, too.
async fn find_link<V: Services>(
    api: &Api<V>,
    request: &Request<'_>,
    file: &StoredFile,
) -> Result<Option<String>, Problem> {
    if request.route.method != Method::Get || request.caller.expected_sha256.is_none() {
        return Ok(None);
    }
    let disposition = content_disposition(&file.package_name, file.format);
    let shown = ShownAs {
        media_type: media_type(file.format).to_owned(),
        disposition: disposition.to_str().unwrap_or("attachment").to_owned(),
    };
    api.downloads.link(file, &shown).await.map_err(|e| reply::download_problem(&e))
}

/// Sends the caller there. The address is as good as the bytes, so nothing on the way may keep it.
fn redirect(file: &StoredFile, link: &str) -> Reply {
    let mut reply = reply::no_body();
    *reply.status_mut() = StatusCode::FOUND;
    let headers = reply.headers_mut();
    set(headers, LOCATION, link);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(headers, "x-checksum-sha256", &file.sha256.to_string());
    reply
}

/// Only a package that was never overwritten surely had no other version in the second of its date.
fn representation(file: &StoredFile) -> Representation {
    Representation {
        tag: file.sha256.to_string(),
        modified: last_modified(file),
        is_date_exact: file.updated_ms == file.created_ms,
        size: file.size_bytes,
    }
}

/// In whole seconds, as HTTP has them.
fn last_modified(file: &StoredFile) -> Option<SystemTime> {
    let seconds = u64::try_from(file.updated_ms).ok()? / 1_000;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// What every reply says of the bytes, also one that has none of them.
fn validators(file: &StoredFile, headers: &mut HeaderMap) {
    set(headers, ETAG, &format!("\"{}\"", file.sha256));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-transform"));
    // A year beyond 9999 has no form.
    if let Some(modified) = last_modified(file).filter(|_| file.updated_ms < 253_402_300_800_000) {
        set(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

fn describe(file: &StoredFile, headers: &mut HeaderMap) {
    validators(file, headers);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(file.format)));
    headers.insert(CONTENT_DISPOSITION, content_disposition(&file.package_name, file.format));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    set(headers, "repr-digest", &format!("sha-256=:{}:", base64(file.sha256.as_bytes())));
    set(headers, "x-checksum-sha256", &file.sha256.to_string());
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn set(headers: &mut HeaderMap, name: impl warp::http::header::IntoHeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn not_modified(file: &StoredFile) -> Reply {
    let mut reply = reply::no_body();
    *reply.status_mut() = StatusCode::NOT_MODIFIED;
    validators(file, reply.headers_mut());
    reply
}

fn not_satisfiable(file: &StoredFile, request: &Request<'_>) -> Reply {
    let mut reply = reply::refusal(&Problem::new(ErrorCode::RangeNotSatisfiable), request.head.language());
    set(reply.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", file.size_bytes));
    validators(file, reply.headers_mut());
    reply
}
