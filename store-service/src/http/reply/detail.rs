//! All that is known of a package, as callers read it.

use jiff::tz::TimeZone;
use linkgate_contract::{EventDocument, PackageDocument, PinDocument, Problem, SumsDocument, UsageDocument};
use linkgate_store_core::ingest::ports::{EventRow, PackageDetail, PackageSums, Pin, Sums};

use linkgate_store_core::settings::{Quota, QuotaLimits};

use super::{Reply, format_time, json, package, tagged, to_json};

/// The detail, with the tag of its state.
pub(in crate::http) fn package_detail(detail: &PackageDetail, zone: &TimeZone) -> Result<Reply, Problem> {
    let body = to_json(&package_document(detail, zone))?;
    Ok(with_state_tag(detail, json(body)))
}

/// The detail.
pub(in crate::http) fn package_document(detail: &PackageDetail, zone: &TimeZone) -> PackageDocument {
    let time = |ms: Option<i64>| ms.map(|ms| format_time(ms, zone));
    PackageDocument {
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
    }
}

/// A pin, with the tag of the state of its package.
pub(in crate::http) fn pin(detail: &PackageDetail, pin: &Pin, zone: &TimeZone) -> Result<Reply, Problem> {
    let body = to_json(&pin_entry(pin, zone))?;
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
pub(in crate::http) fn with_state_tag(detail: &PackageDetail, reply: Reply) -> Reply {
    tagged(reply, &state_tag(detail))
}

/// The tag of the state of a package.
pub(in crate::http) fn state_tag(detail: &PackageDetail) -> String {
    format!("\"{}\"", detail.existing().tag())
}

/// What a module and its application take.
pub(in crate::http) fn sums(sums: &PackageSums, quota: Quota) -> UsageDocument {
    UsageDocument {
        module: sums_document(&sums.module, quota.module),
        application: sums_document(&sums.application, quota.application),
        max_package_bytes: quota.max_package_bytes,
    }
}

fn sums_document(sums: &Sums, limits: QuotaLimits) -> SumsDocument {
    SumsDocument {
        packages: sums.packages,
        bytes: sums.bytes,
        deleted_packages: sums.deleted_packages,
        deleted_bytes: sums.deleted_bytes,
        max_packages: limits.max_packages,
        max_bytes: limits.max_bytes,
    }
}

/// An event. What the store did by itself has no caller.
pub(in crate::http) fn event(row: EventRow, zone: &TimeZone) -> EventDocument {
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    EventDocument {
        id: row.id,
        time: format_time(row.at_ms, zone),
        action: row.action,
        package_id: row.package,
        version: row.version,
        sha256_before: row.sha256_before,
        sha256_after: row.sha256_after,
        app: known(row.caller_app),
        user: known(row.operator),
        request_id: known(row.request_id),
        client_ip: known(row.client_address),
        reason: row.reason,
    }
}
