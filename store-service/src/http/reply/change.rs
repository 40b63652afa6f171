//! What callers read of a change that was not made.

use jiff::tz::TimeZone;
use linkgate_contract::{ErrorCode, Problem, Text};
use linkgate_store_core::ingest::ports::{ChangeError, MAX_PINS, Pin};
use linkgate_store_core::settings::QuotaExceeded;
use serde_json::json;

use super::detail::pin_entry;
use super::storage::{blob_problem, catalog_problem, queue_problem};

/// The problem to answer with.
pub(in crate::http) fn change_problem(error: &ChangeError, zone: &TimeZone) -> Problem {
    match error {
        ChangeError::NotFound => Problem::new(ErrorCode::NotFound),
        ChangeError::PreconditionFailed => Problem::new(ErrorCode::PreconditionFailed),
        ChangeError::InUse(pins) => in_use(pins, zone),
        ChangeError::VersionTaken => Problem::with_detail(
            ErrorCode::PackageAlreadyExists,
            Text::fixed(
                "该版本已属于另一个源码包，请在请求体中指定其他 version",
                "The version belongs to another package now, name another `version` in the body",
            ),
        ),
        ChangeError::NoPin => {
            Problem::with_detail(ErrorCode::NotFound, Text::fixed("源码包没有该固定", "The package has no such pin"))
        }
        ChangeError::PlanChanged => Problem::new(ErrorCode::PlanChanged),
        ChangeError::QuotaExceeded(exceeded) => quota_exceeded(exceeded),
        ChangeError::TooManyPins => {
            let limit = MAX_PINS as u64;
            quota_exceeded(&QuotaExceeded { scope: "package.pins", limit, used: limit, requested: 1 })
        }
        ChangeError::Deleted => Problem::new(ErrorCode::PackageDeleted),
        ChangeError::Purged => Problem::new(ErrorCode::PackagePurged),
        ChangeError::Blob(error) => blob_problem(error),
        ChangeError::Catalog(error) => catalog_problem(error),
        ChangeError::Queue(error) => queue_problem(error),
    }
}

/// Names the limit and how much of it is used, for the sentence and for programs.
pub(in crate::http) fn quota_exceeded(exceeded: &QuotaExceeded) -> Problem {
    let QuotaExceeded { scope, limit, used, requested } = *exceeded;
    let text = Text::made(
        format!("超出配额 {scope}：上限为 {limit}，已使用 {used}，本次需要 {requested}"),
        format!("The quota {scope} is used up: the limit is {limit}, {used} are used, and this needs {requested}"),
    );
    let data = json!({"scope": scope, "limit": limit, "used": used, "requested": requested});
    Problem::with_detail(ErrorCode::PackageQuotaExceeded, text).with_data(data)
}

/// What protects a version from being overwritten.
pub(in crate::http) fn protected(pins: &[Pin]) -> Problem {
    let names = pins.iter().map(|pin| pin.name.as_str()).collect::<Vec<_>>().join(", ");
    let text = Text::made(
        format!("该版本正在被使用，不能覆盖：{names}；请使用其他版本号"),
        format!("The version is in use by {names} and may not be overwritten, use another version"),
    );
    let pins: Vec<_> = pins.iter().map(|pin| json!({"name": pin.name, "by": pin.by})).collect();
    Problem::with_detail(ErrorCode::PackageInUse, text).with_data(json!({ "pins": pins }))
}

/// Names what uses the package, for the sentence and for programs.
fn in_use(pins: &[Pin], zone: &TimeZone) -> Problem {
    let names = pins.iter().map(|pin| pin.name.as_str()).collect::<Vec<_>>().join(", ");
    let text = Text::made(
        format!("源码包正在被使用：{names}；请先取消固定"),
        format!("The package is in use by {names}; take the pins away first"),
    );
    let pins: Vec<_> = pins.iter().map(|pin| pin_entry(pin, zone)).collect();
    Problem::with_detail(ErrorCode::PackageInUse, text).with_data(json!({ "pins": pins }))
}
