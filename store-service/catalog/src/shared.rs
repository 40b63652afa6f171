//! What the adapters of all databases write and read in the same words.

use std::sync::atomic::{AtomicUsize, Ordering};

use linkgate_contract::{
    CallerApp, Fields, JobState, ModuleRef, PackageId, PackageUrl, PackageVersion, Sha256, TenantId, read_version_field,
};
use linkgate_store_core::budget::{Exhausted, Owner};
use linkgate_store_core::ingest::ports::{
    Actor, CandidateCursor, CandidatePlace, CatalogError, EventAction, JobEnd, JobRecord, JobRequest, NewPin,
    PackageDetail, PackageRow, Pin, Sums,
};
use linkgate_store_core::settings::RetentionOrder;
use serde::Serialize;

/// An event that is to be written.
pub(crate) struct NewEvent<'a> {
    pub(crate) action: EventAction,
    pub(crate) app_code: &'a str,
    pub(crate) module: &'a str,
    pub(crate) package_id: Option<PackageId>,
    pub(crate) version: Option<&'a str>,
    pub(crate) before: Option<Sha256>,
    pub(crate) after: Option<Sha256>,
    pub(crate) actor: &'a Actor,
    pub(crate) reason: &'a str,
}

/// The reason of what somebody asked for.
pub(crate) const BY_USER: &str = "user";

impl<'a> NewEvent<'a> {
    /// Something about this package, by a user, that leaves its bytes as they are.
    pub(crate) fn about(action: EventAction, target: &'a ModuleRef, row: &'a PackageRow, actor: &'a Actor) -> Self {
        let (app_code, module) = (target.app.as_str(), target.module.as_str());
        let (package_id, version, bytes) = (Some(row.id), Some(row.version.as_str()), Some(row.sha256));
        Self { action, app_code, module, package_id, version, before: bytes, after: bytes, actor, reason: BY_USER }
    }
}

/// Who asked for an upload.
pub(crate) fn uploader(job: &JobRecord) -> Actor {
    let request = &job.request;
    Actor {
        app: request.caller_app.clone(),
        operator: Some(request.operator.clone()),
        request_id: request.request_id.clone(),
        client_address: request.client_address.clone(),
    }
}

/// Which events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this application.
    pub app_code: Option<String>,
    /// Of modules of this name.
    pub module: Option<String>,
}

/// What happened to packages, for those who look after them all.
pub trait EventLog: Send + Sync {
    /// What happened, the oldest first, behind the event of this number; empty after the last.
    fn events_after(
        &self,
        filter: &EventFilter,
        after: i64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<EventRecord>, CatalogError>> + Send;
}

/// An event, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventRecord {
    /// Its number.
    pub id: i64,
    /// When, in UTC, as RFC 3339 has it.
    pub at: String,
    /// What was done or refused.
    pub action: String,
    /// Whose package it is about.
    pub app_code: String,
    /// And of which module.
    pub module: String,
    /// Which, if there is one.
    pub package_id: Option<i64>,
    /// Its version, if it is known.
    pub version: Option<String>,
    /// The bytes that it had.
    pub sha256_before: Option<String>,
    /// The bytes that it has since.
    pub sha256_after: Option<String>,
    /// Which application asked.
    pub caller_app: String,
    /// On whose behalf; empty where the store did it by itself.
    pub operator: String,
    /// The gateway's id of the request.
    pub request_id: String,
    /// Where that came from.
    pub client_address: String,
    /// `user`, or what else decided.
    pub reason: String,
}

/// Whether a pin would be as it is.
pub(crate) fn says_the_same(pin: &Pin, wanted: &NewPin) -> bool {
    (pin.until_ms, pin.protect_bytes, &pin.by) == (wanted.until_ms, wanted.protect_bytes, &wanted.by)
}

/// A place before the newest package, so that one statement, with its index, is for every page.
pub(crate) fn before_all(order: RetentionOrder) -> CandidateCursor {
    let place = match order {
        RetentionOrder::Updated | RetentionOrder::Created => CandidatePlace::Time(i64::MAX),
        // No key begins like that.
        RetentionOrder::Version => CandidatePlace::Version(vec![u8::MAX; 8]),
    };
    CandidateCursor { place, id: PackageId::from_row(i64::MAX) }
}

pub(crate) fn is_as_planned(seen: &PackageDetail, revision: i64) -> bool {
    seen.revision == revision && !seen.row.is_deleted && seen.pins.is_empty()
}

pub(crate) fn add(one: Sums, other: Sums) -> Sums {
    Sums {
        packages: one.packages.saturating_add(other.packages),
        bytes: one.bytes.saturating_add(other.bytes),
        deleted_packages: one.deleted_packages.saturating_add(other.deleted_packages),
        deleted_bytes: one.deleted_bytes.saturating_add(other.deleted_bytes),
    }
}

pub(crate) fn json_text(list: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(list).map_err(|e| sqlx::Error::Encode(e.into()))
}

/// As the column of the table is made.
pub(crate) fn owner_text(request: &JobRequest) -> String {
    account(&request.owner())
}

/// On whose account something is, as tables have it.
pub(crate) fn account(owner: &Owner) -> String {
    match owner {
        Owner::App(app) => format!("app:{app}"),
        Owner::User(user) => format!("user:{user}"),
        Owner::Address(address) => format!("address:{address}"),
    }
}

/// How many more rows a table may have, as far as this process knows. Its rows are counted when that is used up, so a row costs
/// the same however many there are, but for those next to the bound.
pub(crate) struct RowBudget {
    bound: usize,
    /// Processes that share it.
    processes: usize,
    left: AtomicUsize,
}

impl RowBudget {
    /// The first row has all of them counted.
    pub(crate) fn new(bound: usize, processes: usize) -> Self {
        Self { bound, processes, left: AtomicUsize::new(0) }
    }

    /// Takes the place of one row, if one is known to be free.
    pub(crate) fn take(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// So many rows are there; of the rest this process has its part.
    pub(crate) fn has_counted(&self, rows: u64) {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        self.left.store(self.bound.saturating_sub(rows) / self.processes, Ordering::Relaxed);
    }

    /// Why no more may be there.
    pub(crate) fn exhausted(&self) -> Exhausted {
        Exhausted::Sum { bound: self.bound }
    }
}

/// Where it downloads from. What follows another upload is bound by that, too, once its process is gone and it waits for its own turn.
pub(crate) fn source_host(request: &JobRequest) -> Option<String> {
    PackageUrl::new(&request.source_url).ok().map(|url| url.host().to_string())
}

pub(crate) fn read_end(state: JobState, outcome: Option<&str>) -> Result<Option<JobEnd>, sqlx::Error> {
    let Some(outcome) = outcome else { return Ok(None) };
    let failure = || serde_json::from_str(outcome);
    let end = match state {
        JobState::Done => serde_json::from_str::<PackageRow>(outcome).map(JobEnd::Done),
        JobState::Cancelled => failure().map(JobEnd::Cancelled),
        _ => failure().map(JobEnd::Failed),
    };
    end.map(Some).map_err(|e| sqlx::Error::Decode(e.into()))
}

/// No name stands for no application.
pub(crate) fn caller_text(request: &JobRequest) -> &str {
    request.caller_app.as_ref().map_or("", CallerApp::as_str)
}

pub(crate) fn tenant_text(request: &JobRequest) -> Option<&str> {
    request.tenant.as_ref().map(TenantId::as_str)
}

/// The version that the body of a request names, in the API's form.
pub(crate) fn named_version(body: &str) -> Option<PackageVersion> {
    let fields = Fields::from_json(body.as_bytes()).ok()?;
    read_version_field(&fields).ok()?
}

pub(crate) fn undecodable(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} cannot be read").into())
}

pub(crate) fn signed(number: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(number).map_err(|e| sqlx::Error::Encode(e.into()))
}

pub(crate) fn unsigned(number: i64) -> Result<u64, sqlx::Error> {
    u64::try_from(number).map_err(|e| sqlx::Error::Decode(e.into()))
}

pub(crate) fn direction(is_descending: bool) -> &'static str {
    if is_descending { " desc" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_when_what_is_known_to_be_free_is_used_up() {
        let budget = RowBudget::new(10, 2);
        assert!(!budget.take(), "nothing is known yet");
        budget.has_counted(5);
        assert!(budget.take() && budget.take() && !budget.take(), "half of what is free");
        for rows in [9, 10, 11, u64::MAX] {
            budget.has_counted(rows);
            assert!(!budget.take(), "{rows}");
        }
        assert_eq!(budget.exhausted(), Exhausted::Sum { bound: 10 });
    }
}
