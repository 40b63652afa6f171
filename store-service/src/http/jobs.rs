//! What the endpoints of jobs have in common: how a job is found, and how callers read it.

use jiff::tz::TimeZone;
use linkgate_contract::{ErrorCode, JobDocument, JobError, JobId, Language, ModuleRef, Problem};
use linkgate_store_core::ingest::ports::{Failure, JobEnd, JobView, Services};
use linkgate_store_core::ingest::{IngestError, Known};
use serde_json::json;

use super::Api;
use super::reply::{self, Reply};

/// The answer to a request that did not wait: 202 while the upload goes on.
pub(super) fn accepted(view: &JobView, zone: &TimeZone, language: Language) -> Reply {
    reply::accepted(describe(view, zone, language), &view.id)
}

/// An upload of another module is none of this caller's business.
pub(super) async fn find<V: Services>(api: &Api<V>, target: &ModuleRef, id: JobId) -> Result<Known, Problem> {
    let known = api.ingest.job(id).await.map_err(|e| reply::ingest_problem(&IngestError::from(e)))?;
    known.filter(|known| known.target() == target).ok_or_else(|| Problem::new(ErrorCode::NotFound))
}

/// An upload, as callers read it.
pub(super) fn describe(view: &JobView, zone: &TimeZone, language: Language) -> String {
    json!(document(view, zone, language)).to_string()
}

/// The same before it is written.
pub(super) fn document(view: &JobView, zone: &TimeZone, language: Language) -> JobDocument {
    let time = |ms: Option<i64>| ms.map(|ms| reply::format_time(ms, zone));
    let (package, error) = match &view.end {
        Some(JobEnd::Done(entry)) => (Some(reply::package(entry, zone)), None),
        Some(JobEnd::Failed(failure) | JobEnd::Cancelled(failure)) => (None, Some(describe_failure(failure, language))),
        None => (None, None),
    };
    JobDocument {
        job_id: view.id,
        state: view.state,
        received_bytes: view.received_bytes,
        total_bytes: view.total_bytes,
        attempts: view.attempts,
        created: reply::format_time(view.created_ms, zone),
        started: time(view.started_ms),
        ended: time(view.ended_ms),
        package,
        error,
    }
}

fn describe_failure(failure: &Failure, language: Language) -> JobError {
    JobError { code: failure.code.clone(), detail: failure.detail(language).to_owned(), data: failure.data.clone() }
}
