//! What the endpoints of jobs have in common: how a job is found, and how callers read it.

use jiff::tz::TimeZone;
use linkgate_contract::{ErrorCode, JobId, Language, ModuleRef, Problem};
use linkgate_store_core::ingest::ports::{JobEnd, JobView, Services};
use linkgate_store_core::ingest::{IngestError, Known};
use serde_json::{Map, Value, json};

use super::Api;
use super::reply::{self, Reply};

/// The answer to a request that did not wait: 202 while the upload goes on.
pub(super) fn accepted(view: &JobView, zone: &TimeZone, language: Language) -> Reply {
    reply::accepted(describe(view, zone, language).to_string(), &view.id)
}

/// An upload of another module is none of this caller's business.
pub(super) async fn find<V: Services>(api: &Api<V>, target: &ModuleRef, id: JobId) -> Result<Known, Problem> {
    let known = api.ingest.job(id).await.map_err(|e| reply::ingest_problem(&IngestError::from(e)))?;
    known.filter(|known| known.target() == target).ok_or_else(|| Problem::new(ErrorCode::NotFound))
}

/// An upload, as callers read it.
pub(super) fn describe(view: &JobView, zone: &TimeZone, language: Language) -> Value {
    let time = |ms: Option<i64>| ms.map(|ms| reply::format_time(ms, zone));
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("job_id", view.id.to_string().into());
    put("state", view.state.name().into());
    put("received_bytes", view.received_bytes.into());
    put("total_bytes", view.total_bytes.into());
    put("attempts", view.attempts.into());
    put("created", reply::format_time(view.created_ms, zone).into());
    put("started", time(view.started_ms).into());
    put("ended", time(view.ended_ms).into());
    match &view.end {
        Some(JobEnd::Done(entry)) => {
            put("package", json!(reply::package(entry, zone)));
        }
        Some(JobEnd::Failed(failure) | JobEnd::Cancelled(failure)) => {
            put("error", json!({"code": failure.code, "detail": failure.detail(language)}));
        }
        None => {}
    }
    Value::Object(document)
}
