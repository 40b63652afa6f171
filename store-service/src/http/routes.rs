//! Which request means what, in one dispatching filter: warp's own routing piles up rejections, and there the refusal of
//! one route can hide that of another.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use linkgate_console::Asset;
use linkgate_contract::{Endpoint, ErrorCode, NoEndpoint, Problem, Route, headers};
use linkgate_store_core::ingest::chain;
use linkgate_store_core::ingest::ports::Services;
use linkgate_store_core::metrics::MEDIA_TYPE;
use linkgate_store_core::trace;
use tracing::{Instrument as _, Span, debug, info, warn};
use warp::Filter;
use warp::filters::path::FullPath;
use warp::http::Method;
use warp::http::header::HeaderName;

use super::auth::AuthError;
use super::body::IncomingBody;
use super::reply::{self, Reply};
use super::request::{Request, RequestHead};
use super::strangers::Visitor;
use super::tls::Peer;
use super::traceparent::read_traceparent;
use super::{Api, console, endpoints, nonces};

/// The API as a document: the same for everybody, so it is written once.
static OPENAPI: LazyLock<String> = LazyLock::new(|| linkgate_openapi::document().to_string());

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Probe(Probe),
    Asset(&'static Asset),
    Endpoint(Route),
    WrongMethod { allowed: String },
    Unknown,
}

/// What is served without a token: to whoever watches the store, and what the API is to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Healthz,
    Readyz,
    Metrics,
    OpenApi,
}

impl Probe {
    fn from_path(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Healthz),
            "/readyz" => Some(Self::Readyz),
            "/metrics" => Some(Self::Metrics),
            "/openapi.json" => Some(Self::OpenApi),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::OpenApi => "openapi",
        }
    }
}

impl Asked {
    /// Reads method and path. The gate has stripped every prefix, so only the canonical form of a path is known.
    fn from_head(method: &Method, path: &str) -> Self {
        let open = Probe::from_path(path).map(Self::Probe).or_else(|| Asset::find(path).map(Self::Asset));
        if let Some(open) = open {
            return match *method {
                Method::GET | Method::HEAD => open,
                _ => Self::WrongMethod { allowed: "GET, HEAD".to_owned() },
            };
        }
        match Endpoint::find(method.as_str(), path) {
            Ok(route) => Self::Endpoint(route),
            Err(NoEndpoint::WrongMethod { allowed }) => Self::WrongMethod { allowed },
            Err(NoEndpoint::UnknownPath) => Self::Unknown,
        }
    }

    /// What it is called in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Probe(probe) => probe.name(),
            Self::Asset(_) => "console_asset",
            Self::Endpoint(route) => route.endpoint.operation.id(),
            Self::WrongMethod { .. } | Self::Unknown => "none",
        }
    }

    /// The span of a request for it. Probes have none: they would be most of all traces, and say nothing.
    fn span(&self, head: &RequestHead) -> Span {
        let route = match self {
            Self::Probe(_) | Self::Asset(_) => return Span::none(),
            Self::Endpoint(route) => Some(route.endpoint.route),
            Self::WrongMethod { .. } | Self::Unknown => None,
        };
        trace::request(head.method.as_str(), &head.path, route, read_traceparent(&head.headers))
    }
}

/// The whole API.
pub(super) fn filter<V: Services>(
    api: Arc<Api<V>>,
    visitor: Visitor,
    peer: Peer,
) -> impl Filter<Extract = (Reply,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || (Arc::clone(&api), visitor.clone(), peer))
        .and(warp::method())
        .and(warp::path::full().map(|path: FullPath| path.as_str().to_owned()))
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream().map(IncomingBody::new))
        .and_then(|(api, visitor, peer): (Arc<Api<V>>, Visitor, Peer), method, path, query, headers, body| async move {
            let head = RequestHead { method, path, query, headers };
            Ok::<_, warp::Rejection>(answer(&api, (&visitor, peer), &head, body).await)
        })
}

/// Answers and writes the closing line, which is for debugging where the caller is not known: anybody could fill the log.
async fn answer<V: Services>(api: &Api<V>, visitor: (&Visitor, Peer), head: &RequestHead, body: IncomingBody) -> Reply {
    let begun = Instant::now();
    let asked = Asked::from_head(&head.method, &head.path);
    let name = asked.name();
    let span = asked.span(head);
    let is_open_to_all = !matches!(asked, Asked::Endpoint(_));
    let mut reply = dispatch(api, visitor, head, asked, body).instrument(span.clone()).await;
    // Callers quote it. The gate says it on its own replies only: to touch this one would cost every request a call.
    reply.headers_mut().extend(head.given_id().map(|id| (HeaderName::from_static(headers::REQUEST_ID), id.clone())));
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (method, path, status) = (&head.method, head.path.as_str(), reply.status().as_u16());
    api.metrics.answered(name, status);
    trace::answered(&span, status);
    /// The line, at its level.
    macro_rules! line {
        ($level:ident) => {
            $level!(
                http.method = %method,
                http.path = path,
                http.status = status,
                http.duration_ms = ms,
                request.id = head.request_id(),
                trace_id = trace::id(&span),
                "Answered {method} {path} with {status}"
            )
        };
    }
    if is_open_to_all || status == ErrorCode::NotAuthenticated.status() {
        line!(debug)
    } else {
        line!(info)
    }
    reply
}

async fn dispatch<V: Services>(
    api: &Api<V>,
    visitor: (&Visitor, Peer),
    head: &RequestHead,
    asked: Asked,
    body: IncomingBody,
) -> Reply {
    let outcome = match asked {
        Asked::Probe(Probe::Healthz) => Ok(reply::json(r#"{"status":"ok"}"#.into())),
        Asked::Probe(Probe::Readyz) => ready(api).await,
        Asked::Probe(Probe::Metrics) => show_metrics(api).await,
        Asked::Probe(Probe::OpenApi) => Ok(reply::json(OPENAPI.clone())),
        Asked::Asset(asset) => Ok(console::asset(asset, &head.query)),
        Asked::Endpoint(route) => serve_endpoint(api, visitor, head, &route, body).await,
        Asked::WrongMethod { allowed } => Ok(reply::method_refusal(&allowed, head.language())),
        Asked::Unknown => Err(Problem::new(ErrorCode::NotFound)),
    };
    outcome.unwrap_or_else(|problem| reply::refusal(&problem, head.language()))
}

/// Who calls is settled before anything else of the request is looked at.
async fn serve_endpoint<V: Services>(
    api: &Api<V>,
    (visitor, peer): (&Visitor, Peer),
    head: &RequestHead,
    route: &Route,
    body: IncomingBody,
) -> Result<Reply, Problem> {
    let believed = match peer {
        Peer::Admitted => api.verifier.caller(&head.headers, route, &head.query),
        Peer::Nameless => Err(AuthError::NoCertificate),
    };
    let caller = believed.map_err(|e| {
        if let Some(left_out) = api.probes.refusals.admit() {
            warn!(request.id = head.request_id(), log.left_out = left_out, "Refused a token: {e}");
        }
        Problem::from(&e)
    })?;
    visitor.is_known();
    if let Some(nonce) = caller.nonce
        && let Some(refusal) = nonces::use_nonce(&api.catalog, &caller.owner(), nonce).await?
    {
        info!(request.id = head.request_id(), "Refused a signed request whose nonce does not serve any more");
        return Ok(refusal);
    }
    if caller.console.is_some() && !route.method.is_safe() {
        console::check_token(api, &caller, &head.headers)?;
    }
    let request = Request { head, route, caller, body };
    match console::Reader::of(api, &request) {
        None => endpoints::answer(api, request).await,
        Some(reader) => Ok(show_page(api, request, &reader).await),
    }
}

/// What has no page of its own, a download for one, is answered as ever, but for what is wrong with it.
async fn show_page<V: Services>(api: &Api<V>, request: Request<'_>, reader: &console::Reader) -> Reply {
    let answer = match console::answer(api, &request, reader).await {
        Some(page) => page,
        None => endpoints::answer(api, request).await,
    };
    answer.unwrap_or_else(|problem| reader.problem(&problem))
}

async fn show_metrics<V: Services>(api: &Api<V>) -> Result<Reply, Problem> {
    let metrics = api.metrics.clone();
    // The file system is asked for its free space, which may take long where it is mounted over a network.
    let render = async { tokio::task::spawn_blocking(move || metrics.render()).await.ok().flatten() };
    let text = api.probes.metrics.get(render).await;
    let text = text.as_ref().clone();
    text.map(|text| reply::success(text, MEDIA_TYPE)).ok_or_else(|| Problem::new(ErrorCode::Internal))
}

async fn ready<V: Services>(api: &Api<V>) -> Result<Reply, Problem> {
    let check = async {
        // Said once for all who ask.
        api.ingest.ready().await.inspect_err(|failed| failed.iter().for_each(|f| warn!("Not ready: {}", chain(f))))
    };
    match api.probes.readiness.get(check).await.as_ref() {
        Ok(()) => Ok(reply::json(r#"{"status":"ready"}"#.into())),
        Err(failed) => Err(reply::not_ready(failed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/bkapps/applications/app/modules/default/source_package/link/";

    fn wrong_method(allowed: &str) -> Asked {
        Asked::WrongMethod { allowed: allowed.to_owned() }
    }

    #[test]
    fn endpoints_and_probes_are_known_by_name() {
        let job = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/");
        for (method, path, name) in [
            (Method::POST, PATH, "upload_source_package_via_link"),
            (Method::GET, &job, "get_source_package_job"),
            (Method::HEAD, &job, "get_source_package_job"),
            (Method::DELETE, &job, "cancel_source_package_job"),
            (Method::GET, "/healthz", "healthz"),
            (Method::HEAD, "/readyz", "readyz"),
            (Method::GET, "/metrics", "metrics"),
            (Method::GET, "/openapi.json", "openapi"),
        ] {
            assert_eq!(Asked::from_head(&method, path).name(), name, "{method} {path}");
        }
    }

    #[test]
    fn another_method_is_told_which_is_allowed() {
        assert_eq!(Asked::from_head(&Method::PUT, PATH), wrong_method("POST, GET, HEAD"));
        assert_eq!(Asked::from_head(&Method::POST, "/readyz"), wrong_method("GET, HEAD"));
        assert_eq!(wrong_method("POST").name(), "none");
    }

    #[test]
    fn only_the_canonical_path_is_known() {
        for unknown in ["/", "/stag", &format!("/stag{PATH}"), &PATH.replace("app/", "a%2Fb/"), &PATH[..PATH.len() - 1]]
        {
            assert_eq!(Asked::from_head(&Method::POST, unknown), Asked::Unknown, "{unknown}");
        }
    }
}
