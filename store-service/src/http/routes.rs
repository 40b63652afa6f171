//! Which request means what, in one dispatching filter: warp's own routing piles up rejections, and there the refusal of
//! one route can hide that of another.

use std::sync::Arc;
use std::time::Instant;

use bytes::Buf;
use futures_util::Stream;
use jiff::tz::TimeZone;
use linkgate_contract::{
    ErrorCode, JobId, Language, LinkPath, LinkRequest, MediaType, ModuleRef, PathPrefix, Problem, headers,
};
use tracing::{Instrument as _, Span, info, warn};
use warp::Filter;
use warp::filters::path::FullPath;
use warp::http::header::HeaderName;
use warp::http::{HeaderMap, HeaderValue, Method};

use super::auth::Caller;
use super::reply::{self, Reply};
use super::{Api, body, jobs, wishes};
use crate::ingest::ports::{BlobStore, Catalog, Entry, JobEnd, JobView, Source};
use crate::ingest::{Known, Upload, chain};
use crate::metrics::{MEDIA_TYPE, Metrics};
use crate::trace;

/// The paths, as they are named in traces.
const LINK_PATTERN: &str = "/bkapps/applications/{app_code}/modules/{module}/source_package/link/";
const JOB_PATTERN: &str = "/bkapps/applications/{app_code}/modules/{module}/source_package/link/{job_id}/";

/// What is to be done with an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Show,
    Cancel,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    Healthz,
    Readyz,
    Metrics,
    Link(ModuleRef),
    Job(ModuleRef, JobId, Action),
    WrongMethod { allowed: &'static str },
    Unknown,
}

impl Route {
    /// Reads method and path, the latter as it stands: what would need decoding is not ours.
    fn of(method: &Method, path: &str) -> Self {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match path {
            "/healthz" if reads => Self::Healthz,
            "/readyz" if reads => Self::Readyz,
            "/metrics" if reads => Self::Metrics,
            "/healthz" | "/readyz" | "/metrics" => Self::WrongMethod { allowed: "GET, HEAD" },
            _ => match read_path(path) {
                Some(LinkPath { upload, job: None }) if *method == Method::POST => Self::Link(upload.into()),
                Some(LinkPath { job: None, .. }) => Self::WrongMethod { allowed: "POST" },
                Some(LinkPath { upload, job: Some(job) }) => match *method {
                    Method::GET => Self::Job(upload.into(), job, Action::Show),
                    Method::DELETE => Self::Job(upload.into(), job, Action::Cancel),
                    _ => Self::WrongMethod { allowed: "GET, DELETE" },
                },
                None => Self::Unknown,
            },
        }
    }
}

impl Route {
    /// What it is called in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::Link(_) => "upload",
            Self::Job(..) => "job",
            Self::WrongMethod { .. } | Self::Unknown => "none",
        }
    }
}

impl Route {
    /// The span of a request for it. Probes have none: they would be most of all traces, and say nothing.
    fn span(&self, head: &Head) -> Span {
        let pattern = match self {
            Self::Healthz | Self::Readyz | Self::Metrics => return Span::none(),
            Self::Link(_) => Some(LINK_PATTERN),
            Self::Job(..) => Some(JOB_PATTERN),
            Self::WrongMethod { .. } | Self::Unknown => None,
        };
        trace::request(&head.method, head.path.as_str(), pattern, &head.headers)
    }
}

/// Only the canonical form: the gate has stripped every prefix.
fn read_path(path: &str) -> Option<LinkPath> {
    LinkPath::read(path, &[PathPrefix::new("").ok()?])
}

/// What of a request is read besides its body.
struct Head {
    method: Method,
    path: FullPath,
    headers: HeaderMap,
}

impl Head {
    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn language(&self) -> Language {
        Language::choose(self.text(headers::LANGUAGE), self.text(headers::ACCEPT_LANGUAGE))
    }

    /// The proxy's; behind a gateway that has one of its own, that.
    fn given_id(&self) -> Option<&HeaderValue> {
        self.headers.get(headers::REQUEST_ID).or_else(|| self.headers.get(headers::X_REQUEST_ID))
    }

    fn request_id(&self) -> &str {
        self.given_id().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }
}

/// The whole API.
pub(super) fn filter<S: Source, B: BlobStore, L: Catalog>(
    api: Arc<Api<S, B, L>>,
) -> impl Filter<Extract = (Reply,), Error = warp::Rejection> + Clone {
    warp::any()
        .map(move || Arc::clone(&api))
        .and(warp::method())
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .and_then(|api: Arc<Api<S, B, L>>, method, path, headers, body| async move {
            Ok::<_, warp::Rejection>(answer(&api, &Head { method, path, headers }, body).await)
        })
}

/// Answers and writes the closing line. The query is not logged: callers put secrets there.
async fn answer<S: Source, B: BlobStore, L: Catalog, D: Buf>(
    api: &Api<S, B, L>,
    head: &Head,
    body: impl Stream<Item = Result<D, warp::Error>>,
) -> Reply {
    let begun = Instant::now();
    let route = Route::of(&head.method, head.path.as_str());
    let name = route.name();
    let span = route.span(head);
    let mut reply = dispatch(api, head, route, body).instrument(span.clone()).await;
    // Callers quote it. The gate says it on its own replies only: to touch this one would cost every request a call.
    reply.headers_mut().extend(head.given_id().map(|id| (HeaderName::from_static(headers::REQUEST_ID), id.clone())));
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (method, path, status) = (&head.method, head.path.as_str(), reply.status().as_u16());
    api.metrics.answered(name, status);
    trace::answered(&span, status);
    info!(
        http.method = %method,
        http.path = path,
        http.status = status,
        http.duration_ms = ms,
        request.id = head.request_id(),
        trace_id = trace::id(&span),
        "Answered {method} {path} with {status}"
    );
    reply
}

async fn dispatch<S: Source, B: BlobStore, L: Catalog, D: Buf>(
    api: &Api<S, B, L>,
    head: &Head,
    route: Route,
    body: impl Stream<Item = Result<D, warp::Error>>,
) -> Reply {
    let language = head.language();
    let outcome = match route {
        Route::Healthz => Ok(reply::json(r#"{"status":"ok"}"#.into())),
        Route::Readyz => ready(api).await,
        Route::Metrics => show_metrics(&api.metrics).await,
        Route::Link(target) => link(api, head, target, body).await,
        Route::Job(target, id, action) => job(api, head, &target, id, action).await,
        Route::WrongMethod { allowed } => Ok(reply::method_refusal(allowed, language)),
        Route::Unknown => Err(Problem::new(ErrorCode::NotFound)),
    };
    outcome.unwrap_or_else(|problem| reply::refusal(&problem, language))
}

async fn show_metrics(metrics: &Metrics) -> Result<Reply, Problem> {
    let metrics = metrics.clone();
    // The file system is asked for its free room, which may take long where it is mounted over a network.
    let text = tokio::task::spawn_blocking(move || metrics.render()).await.ok().flatten();
    text.map(|text| reply::text(text, MEDIA_TYPE)).ok_or_else(|| Problem::new(ErrorCode::Internal))
}

async fn ready<S: Source, B: BlobStore, L: Catalog>(api: &Api<S, B, L>) -> Result<Reply, Problem> {
    match api.ingest.ready().await {
        Ok(()) => Ok(reply::json(r#"{"status":"ready"}"#.into())),
        Err(failed) => {
            failed.iter().for_each(|f| warn!("Not ready: {}", chain(f)));
            Err(reply::not_ready(&failed))
        }
    }
}

async fn link<S: Source, B: BlobStore, L: Catalog, D: Buf>(
    api: &Api<S, B, L>,
    head: &Head,
    target: ModuleRef,
    body: impl Stream<Item = Result<D, warp::Error>>,
) -> Result<Reply, Problem> {
    let caller = caller(api, head)?;
    let Caller { app_code, operator, allowance } = &caller;
    info!(request.id = head.request_id(), caller.app = app_code, caller.user = operator, "Linking for `{operator}`");
    let body = body::read(body, api.max_body_bytes, api.body_timeout).await?;
    let media_type = MediaType::from_header(head.headers.get(headers::CONTENT_TYPE).map(|v| v.as_bytes()));
    let request = LinkRequest::read(media_type, &body, &api.allowed_hosts)?;
    let upload = Upload {
        target,
        request,
        caller_app: app_code.clone(),
        operator: operator.clone(),
        allowance: allowance.clone(),
        request_id: head.request_id().to_owned(),
    };
    let key = wishes::key(&head.headers, &caller, &upload)?;
    let live = match api.ingest.begin(upload, key).await.map_err(|e| reply::ingest_problem(&e))? {
        Known::Live(live) => live,
        // Only a key leads there, and only to what was stored.
        Known::Booked(view) => return again(api, &view),
    };
    if wishes::responds_async(&head.headers) && api.ingest.accept(&live).await.map_err(|e| reply::ingest_problem(&e))? {
        return Ok(jobs::accepted(&api.ingest.view(&live, None), &api.time_zone, head.language()));
    }
    let outcome = live.outcome().await;
    let entry = outcome.as_ref().as_ref().map_err(reply::ingest_problem)?;
    stored(entry, &api.time_zone)
}

/// The reply that the request under this key had.
fn again<S, B, L>(api: &Api<S, B, L>, view: &JobView) -> Result<Reply, Problem> {
    match &view.end {
        Some(JobEnd::Done(entry)) => stored(entry, &api.time_zone),
        _ => Err(Problem::new(ErrorCode::Internal)),
    }
}

fn stored(entry: &Entry, zone: &TimeZone) -> Result<Reply, Problem> {
    serde_json::to_string(&reply::package(entry, zone)).map(reply::json).map_err(|_| Problem::new(ErrorCode::Internal))
}

async fn job<S: Source, B: BlobStore, L: Catalog>(
    api: &Api<S, B, L>,
    head: &Head,
    target: &ModuleRef,
    id: JobId,
    action: Action,
) -> Result<Reply, Problem> {
    let Caller { operator, .. } = caller(api, head)?;
    let language = head.language();
    let known = jobs::find(api, target, id).await?;
    Ok(match action {
        Action::Show if wishes::wants_events(&head.headers) => jobs::watch(api, known, language),
        Action::Show => jobs::show(api, known, language),
        Action::Cancel => {
            info!(request.id = head.request_id(), job.id = %id, "Cancelling for `{operator}`");
            jobs::cancel(api, known, language).await
        }
    })
}

fn caller<S, B, L>(api: &Api<S, B, L>, head: &Head) -> Result<Caller, Problem> {
    api.verifier.caller(&head.headers).map_err(|e| {
        warn!(request.id = head.request_id(), "Refused a token: {e}");
        Problem::from(&e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/bkapps/applications/app/modules/default/source_package/link/";

    #[test]
    fn only_the_canonical_path_and_the_two_probes_are_known() {
        assert!(matches!(Route::of(&Method::POST, PATH), Route::Link(_)));
        assert_eq!(Route::of(&Method::GET, PATH), Route::WrongMethod { allowed: "POST" });
        assert_eq!(Route::of(&Method::GET, "/healthz"), Route::Healthz);
        assert_eq!(Route::of(&Method::HEAD, "/readyz"), Route::Readyz);
        assert_eq!(Route::of(&Method::POST, "/readyz"), Route::WrongMethod { allowed: "GET, HEAD" });
        for unknown in ["/", "/stag", &format!("/stag{PATH}"), &PATH.replace("app/", "a%2Fb/"), &PATH[..PATH.len() - 1]]
        {
            assert_eq!(Route::of(&Method::POST, unknown), Route::Unknown, "{unknown}");
        }
    }
}
