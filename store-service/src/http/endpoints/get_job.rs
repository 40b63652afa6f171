//! Shows an upload that has begun, once or as it changes until it has ended.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use linkgate_contract::{Language, Problem};
use linkgate_store_core::ingest::ports::{JobView, Services};
use linkgate_store_core::ingest::{Ingest, Known};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use warp::Reply as _;
use warp::sse::Event;

use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::{Api, jobs, preferences};

/// How often progress is sent, unless something else happens.
const EVERY: Duration = Duration::from_secs(1);
/// How long a client waits before it comes back, should the stream end before the upload.
const RETRY: Duration = Duration::from_secs(5);

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let id = request.job_id()?;
    let known = jobs::find(api, request.target()?, id).await?;
    let language = request.head.language();
    if preferences::wants_events(&request.head.headers) {
        if matches!(&known, Known::Recorded(view) if has_seen(&request, view)) {
            return Ok(reply::no_content());
        }
        let watches = (api.shares.watchers.of_caller(request.caller.owner())?, api.shares.watchers.at_upload(id)?);
        return Ok(watch(api, known, language, watches));
    }
    Ok(reply::json(jobs::describe(&view(api, known), &api.time_zone, language)))
}

/// What is known of it now.
pub(in crate::http) fn view<V: Services>(api: &Api<V>, known: Known) -> JobView {
    match known {
        Known::Live(live) => api.ingest.view(&live, None),
        Known::Recorded(view) => *view,
    }
}

/// Whether a client comes back that has had this very event. A browser does so after the last one, too, for ever, unless it
/// is told that there is nothing more.
fn has_seen(request: &Request<'_>, view: &JobView) -> bool {
    request.head.headers.get("last-event-id").is_some_and(|id| id.as_bytes() == view.state.name().as_bytes())
}

/// The same as it changes, until it has ended. The stream holds its seat as long as somebody reads it.
fn watch<V: Services>(api: &Api<V>, known: Known, language: Language, seat: impl Send + Sync + 'static) -> Reply {
    let (tell, mut told) = mpsc::channel(1);
    tokio::spawn(follow(Arc::clone(&api.ingest), known, tell));
    let zone = api.time_zone.clone();
    let events = stream::poll_fn(move |context| told.poll_recv(context)).map(move |view| {
        let _held = &seat;
        let data = jobs::describe(&view, &zone, language);
        let state = view.state.name();
        Ok::<_, Infallible>(Event::default().event(state).id(state).retry(RETRY).data(data))
    });
    warp::sse::reply(warp::sse::keep_alive().stream(events)).into_response()
}

/// Tells what is known at once, at each step and each second, until the upload ends or nobody listens.
async fn follow<V: Services>(ingest: Arc<Ingest<V>>, known: Known, tell: mpsc::Sender<JobView>) {
    let live = match known {
        Known::Live(live) => live,
        Known::Recorded(view) => return follow_elsewhere(&ingest, *view, tell).await,
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

/// The same of an upload that another process works on. What has ended, or is gone, has nothing more to tell.
async fn follow_elsewhere<V: Services>(ingest: &Ingest<V>, view: JobView, tell: mpsc::Sender<JobView>) {
    let (id, has_ended) = (view.id, view.end.is_some());
    if tell.send(view).await.is_err() || has_ended {
        return;
    }
    // The client comes back and asks anew.
    let Ok(Some(mut views)) = ingest.watch(id).await else { return };
    loop {
        if let Ok(Err(_closed)) = timeout(EVERY, views.changed()).await {
            return;
        }
        let view = views.borrow_and_update().clone();
        let has_ended = view.end.is_some();
        if tell.send(view).await.is_err() || has_ended {
            return;
        }
    }
}
