//! What callers read. The only place that turns failures into codes, one table per kind of failure.
//!
//! Refuses to pass on what a caller must not learn: addresses that our resolver saw, paths, database messages. Those are for
//! the log.

mod change;
mod detail;
mod package;
mod plan;
mod request;
mod source;
mod storage;
mod upload;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use linkgate_contract::{ErrorCode, JobId, Language, Problem, SourcePackage};
use linkgate_store_core::ingest::ports::PackageRow;
use serde::Serialize;
use warp::http::header::{ALLOW, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderValue, Response, StatusCode};

pub(super) use change::change_problem;
pub(super) use detail::{event, package_detail, package_document, pin, state_tag, sums, with_state_tag};
pub(super) use plan::cleanup_plan;
pub(super) use request::too_many_pages;
pub(super) use storage::{download_problem, not_ready, read_problem};
pub(super) use upload::ingest_problem;

/// A reply, mostly with its whole body.
pub(super) type Reply = warp::reply::Response;

/// A refusal, in the caller's language.
pub(super) fn refusal(problem: &Problem, language: Language) -> Reply {
    let mut reply = with_status(problem.code().status(), problem.body(language));
    for (name, value) in problem.headers() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            reply.headers_mut().insert(name, value);
        }
    }
    let more = match problem.code() {
        ErrorCode::NotAuthenticated => Some((WWW_AUTHENTICATE, HeaderValue::from_static("X-Bkapi-JWT"))),
        ErrorCode::TooManyUploads | ErrorCode::TooManyRequests => Some((RETRY_AFTER, HeaderValue::from_static("5"))),
        _ => None,
    };
    reply.headers_mut().extend(more);
    reply
}

/// A refusal of the method.
pub(super) fn method_refusal(allowed: &str, language: Language) -> Reply {
    let mut reply = refusal(&Problem::new(ErrorCode::MethodNotAllowed), language);
    reply.headers_mut().extend(HeaderValue::from_str(allowed).ok().map(|allowed| (ALLOW, allowed)));
    reply
}

/// A success with a JSON body.
pub(super) fn json(body: String) -> Reply {
    success(body, "application/json")
}

/// A success that says nothing.
pub(super) fn no_content() -> Reply {
    with_status(204, String::new())
}

/// A success whose head is all there is to say.
pub(super) fn no_body() -> Reply {
    with_status(200, String::new())
}

/// The caller has it already.
pub(super) fn not_modified() -> Reply {
    with_status(304, String::new())
}

/// A reply with the tag of what it shows.
pub(super) fn tagged(mut reply: Reply, etag: &str) -> Reply {
    reply.headers_mut().extend(HeaderValue::from_str(etag).ok().map(|etag| (ETAG, etag)));
    reply
}

/// A body. No type of a reply fails to be written.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|_| Problem::new(ErrorCode::Internal))
}

/// A success with a body of this media type.
pub(super) fn success(body: String, media_type: &'static str) -> Reply {
    let mut reply = with_status(200, body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// An upload goes on; where it can be asked for is relative to where it was asked for, whatever prefix the gateway knows.
pub(super) fn accepted(body: String, id: &JobId) -> Reply {
    let mut reply = with_status(202, body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
    if let Ok(place) = HeaderValue::from_str(&format!("{id}/")) {
        headers.insert(LOCATION, place);
    }
    reply
}

/// A reply of this status that says nothing but its body.
pub(super) fn with_status(status: u16, body: String) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
}

/// A recorded package, as the caller reads it.
pub(super) fn package(entry: &PackageRow, zone: &TimeZone) -> SourcePackage {
    SourcePackage {
        id: entry.id,
        version: entry.version.clone(),
        package_name: entry.package_name.clone(),
        package_size: entry.size_bytes.to_string(),
        sha256_signature: entry.sha256,
        is_deleted: entry.is_deleted,
        updated: format_time(entry.updated_ms, zone),
        created: format_time(entry.created_ms, zone),
        operator: entry.operator.clone(),
    }
}

pub(super) fn format_time(ms: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_zone_of_the_operator() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        assert_eq!(format_time(1_724_153_820_999, &shanghai), "2024-08-20 19:37:00");
        assert_eq!(format_time(1_724_153_820_000, &TimeZone::UTC), "2024-08-20 11:37:00");
    }
}
