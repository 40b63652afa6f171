//! All that is known of a package, as callers read it.

use jiff::tz::TimeZone;
use linkgate_contract::{ErrorCode, PackageDocument, PinDocument, Problem};
use linkgate_store_core::ingest::ports::{PackageDetail, Pin};
use warp::http::HeaderValue;
use warp::http::header::ETAG;

use super::{Reply, format_time, json, package};

/// The detail, with the tag of its state.
pub(in crate::http) fn package_detail(detail: &PackageDetail, zone: &TimeZone) -> Result<Reply, Problem> {
    let time = |ms: Option<i64>| ms.map(|ms| format_time(ms, zone));
    let document = PackageDocument {
        package: package(&detail.row, zone),
        format: detail.format.clone(),
        relative_path: detail.relative_path.clone(),
        entries: detail.entries,
        unpacked_bytes: detail.unpacked_bytes,
        revision: detail.revision,
        pins: detail.pins.iter().map(|pin| pin_entry(pin, zone)).collect(),
        deleted: time(detail.deleted_ms),
        purge_after: time(detail.purge_after_ms),
        purged: time(detail.purged_ms),
        source: detail.source.clone(),
    };
    let body = serde_json::to_string(&document).map_err(|_| Problem::new(ErrorCode::Internal))?;
    Ok(with_state_tag(detail, json(body)))
}

/// A pin, with the tag of the state of its package.
pub(in crate::http) fn pin(detail: &PackageDetail, pin: &Pin, zone: &TimeZone) -> Result<Reply, Problem> {
    let body = serde_json::to_string(&pin_entry(pin, zone)).map_err(|_| Problem::new(ErrorCode::Internal))?;
    Ok(with_state_tag(detail, json(body)))
}

/// A pin, as callers read it.
pub(in crate::http) fn pin_entry(pin: &Pin, zone: &TimeZone) -> PinDocument {
    PinDocument {
        name: pin.name.clone(),
        until: pin.until_ms.map(|ms| format_time(ms, zone)),
        protect_bytes: pin.protect_bytes,
        by: pin.by.clone(),
        created: format_time(pin.created_ms, zone),
        updated: format_time(pin.updated_ms, zone),
    }
}

/// Names the state that a reply shows.
fn with_state_tag(detail: &PackageDetail, mut reply: Reply) -> Reply {
    let tag = HeaderValue::from_str(&format!("\"{}\"", detail.existing().tag()));
    reply.headers_mut().extend(tag.ok().map(|tag| (ETAG, tag)));
    reply
}
