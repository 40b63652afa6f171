//! Uploads that callers do not wait for: how they are asked for, watched and cancelled.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::tz::TimeZone;
use linkgate_contract::{ErrorCode, JobId, Language, ModuleRef, Problem};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;
use warp::Reply as _;
use warp::sse::Event;

use super::Api;
use super::reply::{self, Reply};
use crate::ingest::ports::{BlobStore, Catalog, JobEnd, JobView, Source};
use crate::ingest::{Ingest, IngestError, Known};

/// How often progress is told, unless something else happens.
const EVERY: Duration = Duration::from_secs(1);

/// The answer to a request that did not wait: 202 while the upload goes on.
pub(super) fn accepted(view: &JobView, zone: &TimeZone, language: Language) -> Reply {
    reply::accepted(document(view, zone, language).to_string(), &view.id)
}

/// What is known of an upload.
pub(super) fn show<S: Source, B: BlobStore, L: Catalog>(api: &Api<S, B, L>, known: Known, language: Language) -> Reply {
    let view = match known {
        Known::Live(live) => api.ingest.view(&live, None),
        Known::Booked(view) => *view,
    };
    reply::json(document(&view, &api.time_zone, language).to_string())
}

/// The same as it changes, until it has ended.
pub(super) fn watch<S: Source, B: BlobStore, L: Catalog>(
    api: &Api<S, B, L>,
    known: Known,
    language: Language,
) -> Reply {
    let (tell, mut told) = mpsc::channel(1);
    tokio::spawn(follow(Arc::clone(&api.ingest), known, tell));
    let zone = api.time_zone.clone();
    let events = stream::poll_fn(move |context| told.poll_recv(context)).map(move |view| {
        let data = document(&view, &zone, language).to_string();
        Ok::<_, Infallible>(Event::default().event(view.state.name()).data(data))
    });
    warp::sse::reply(warp::sse::keep_alive().stream(events)).into_response()
}

/// Tells what is known at once, at each step and each second, until the upload ends or nobody listens.
async fn follow<S: Source, B: BlobStore, L: Catalog>(
    ingest: Arc<Ingest<S, B, L>>,
    known: Known,
    tell: mpsc::Sender<JobView>,
) {
    let live = match known {
        Known::Live(live) => live,
        Known::Booked(view) => return drop(tell.send(*view).await),
    };
    loop {
        if tell.send(ingest.view(&live, None)).await.is_err() {
            return;
        }
        tokio::select! {
            outcome = live.outcome() => return drop(tell.send(ingest.view(&live, Some(&outcome))).await),
            () = live.job.changed() => {}
            () = sleep(EVERY) => {}
        }
    }
}

/// Ends an upload that is not wanted any more, and tells how it ended.
pub(super) async fn cancel<S: Source, B: BlobStore, L: Catalog>(
    api: &Api<S, B, L>,
    known: Known,
    language: Language,
) -> Reply {
    let view = match known {
        Known::Live(live) => {
            let outcome = api.ingest.cancel(&live).await;
            api.ingest.view(&live, Some(&outcome))
        }
        Known::Booked(view) => *view,
    };
    reply::json(document(&view, &api.time_zone, language).to_string())
}

/// An upload of another module is none of this caller's business.
pub(super) async fn find<S: Source, B: BlobStore, L: Catalog>(
    api: &Api<S, B, L>,
    target: &ModuleRef,
    id: JobId,
) -> Result<Known, Problem> {
    let known = api.ingest.job(id).await.map_err(|e| reply::ingest_problem(&IngestError::from(e)))?;
    known.filter(|known| known.target() == target).ok_or_else(|| Problem::new(ErrorCode::NotFound))
}

fn document(view: &JobView, zone: &TimeZone, language: Language) -> Value {
    let time = |ms: Option<i64>| ms.map(|ms| reply::show(ms, zone));
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("job_id", view.id.to_string().into());
    put("state", view.state.name().into());
    put("received_bytes", view.received_bytes.into());
    put("total_bytes", view.total_bytes.into());
    put("attempts", view.attempts.into());
    put("created", reply::show(view.created_ms, zone).into());
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
