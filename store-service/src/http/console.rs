//! The API's replies as pages, for people whose browsers ask through the console.
//!
//! Promises: a page shows what the endpoint of its path replies with, found by the same code; what is refused is a page, too. What
//! browsers ask to change must show the token of a page of ours. Refuses nothing else: who may do what was judged before.

use linkgate_console::{Asset, CONTENT_SECURITY_POLICY, Frame, MEDIA_TYPE, PackagePage, PackageRow, Provenance, Query};
use linkgate_contract::{Action, ErrorCode, Language, ModuleRef, Operation, Page, Problem, SourcePackage, Text};
use linkgate_store_core::attest::Worth;
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{EventQuery, PackageDetail, PackageReader as _, Services};
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY as POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use super::auth::Caller;
use super::endpoints::{
    cleanup, get_job, get_package, get_usage, list_events, list_jobs, list_members, list_modules, list_packages,
};
use super::pages::Found;
use super::reply::{self, Reply};
use super::request::Request;
use super::{Api, jobs};

/// What a request shows that changes something.
const CSRF_TOKEN: &str = "x-csrf-token";
/// Events on the page of a package.
const EVENTS: u32 = 20;

/// Whoever reads a page.
pub(super) struct Reader {
    language: Language,
    user: String,
    path: String,
    query: Query,
    module: Option<ModuleRef>,
    may: Vec<Action>,
    contact: Option<String>,
    csrf_token: String,
    request_id: String,
}

impl Reader {
    /// Nobody, if the request does not want a page.
    pub(super) fn of<V: Services>(api: &Api<V>, request: &Request<'_>) -> Option<Self> {
        let console = request.caller.console.as_ref().filter(|_| request.wants_page())?;
        let user = request.caller.operator.to_string();
        Some(Self {
            language: request.head.language(),
            path: request.route.canonical_path(),
            query: Query::parse(&request.query()),
            module: request.route.target.clone(),
            may: console.actions.clone(),
            contact: console.contact.clone(),
            csrf_token: api.csrf_tokens.issue(&user, now_ms() / 1_000),
            request_id: request.head.request_id().to_owned(),
            user,
        })
    }

    fn frame(&self) -> Frame<'_> {
        Frame {
            language: self.language,
            user: &self.user,
            path: &self.path,
            module: self.module.as_ref(),
            may: &self.may,
            csrf_token: &self.csrf_token,
        }
    }

    /// The page of a refusal.
    pub(super) fn problem(&self, problem: &Problem) -> Reply {
        let mut reply = page(linkgate_console::problem(&self.frame(), problem, &self.request_id));
        *reply.status_mut() = StatusCode::from_u16(problem.code().status()).unwrap_or(StatusCode::BAD_REQUEST);
        reply
    }
}

/// Refuses what a page of another origin may have made a browser send.
pub(super) fn check_token<V: Services>(api: &Api<V>, caller: &Caller, headers: &HeaderMap) -> Result<(), Problem> {
    let token = headers.get(CSRF_TOKEN).and_then(|token| token.to_str().ok()).unwrap_or_default();
    if api.csrf_tokens.is_good(token, caller.operator.as_str(), now_ms() / 1_000) {
        return Ok(());
    }
    let text = Text::fixed(
        "请求未携带有效的 X-CSRF-Token：请刷新控制台页面后重试",
        "The request has no valid X-CSRF-Token: reload the page of the console and try again",
    );
    Err(Problem::with_detail(ErrorCode::PermissionDenied, text))
}

/// The page of the endpoint, if it has one.
pub(super) async fn answer<V: Services>(
    api: &Api<V>,
    request: &Request<'_>,
    reader: &Reader,
) -> Option<Result<Reply, Problem>> {
    let text = match request.route.endpoint.operation {
        Operation::ListModules => modules(api, request, reader).await,
        Operation::ListSourcePackages => packages(api, request, reader).await,
        Operation::GetSourcePackage => package(api, request, reader).await,
        Operation::ListSourcePackageMembers => members(api, request, reader).await,
        Operation::ListSourcePackageJobs => {
            list_jobs::find(api, request).await.map(|page| linkgate_console::jobs(&reader.frame(), &page))
        }
        Operation::GetSourcePackageJob => job(api, request, reader).await,
        Operation::ListSourcePackageEvents => {
            list_events::find(api, request).await.map(|found| linkgate_console::events(&reader.frame(), &found.page))
        }
        Operation::GetSourcePackageUsage => usage(api, request, reader).await,
        Operation::ExplainSourcePackageCleanup => plan(api, request, reader).await,
        _ => return None,
    };
    Some(text.map(page))
}

async fn modules<V: Services>(api: &Api<V>, request: &Request<'_>, reader: &Reader) -> Result<String, Problem> {
    let found = list_modules::find(api, request).await?;
    Ok(linkgate_console::modules(&reader.frame(), &found.page, &reader.query, reader.contact.as_deref()))
}

async fn packages<V: Services>(api: &Api<V>, request: &Request<'_>, reader: &Reader) -> Result<String, Problem> {
    let Found { page, space: _space, .. } = list_packages::find(api, request).await?;
    let Page { count, next, previous, results } = page;
    let ids: Vec<_> = results.iter().map(|package| package.id).collect();
    let pinned = api.catalog.pinned_among(request.target()?, &ids).await.map_err(|e| reply::read_problem(&e))?;
    let row = |package: SourcePackage| PackageRow { is_pinned: pinned.contains(&package.id), package };
    let page = Page { count, next, previous, results: results.into_iter().map(row).collect() };
    Ok(linkgate_console::packages(&reader.frame(), &page, &reader.query))
}

async fn package<V: Services>(api: &Api<V>, request: &Request<'_>, reader: &Reader) -> Result<String, Problem> {
    let (target, detail) = (request.target()?, get_package::find(api, request).await?);
    let query = EventQuery { package: Some(detail.row.id), limit: EVENTS, ..EventQuery::default() };
    let events = api.catalog.list_events(target, &query).await.map_err(|e| reply::read_problem(&e))?;
    let events: Vec<_> = events.rows.into_iter().map(|row| reply::event(row, &api.time_zone)).collect();
    let page = PackagePage {
        package: &reply::package_document(&detail, &api.time_zone),
        tag: &reply::state_tag(&detail),
        events: &events,
        provenance: provenance(api, target, &detail).await?,
    };
    Ok(linkgate_console::package(&reader.frame(), &page))
}

async fn provenance<V: Services>(
    api: &Api<V>,
    target: &ModuleRef,
    detail: &PackageDetail,
) -> Result<Provenance, Problem> {
    let statement = api.downloads.find_statement(target, detail.row.id).await;
    Ok(match statement.map_err(|e| reply::read_problem(&e))? {
        None => Provenance::Absent,
        Some(statement) => match api.ingest.judge_statement(&statement) {
            Worth::Vouched(digest) if digest == detail.row.sha256 => Provenance::Verified,
            Worth::Vouched(_) | Worth::Nothing => Provenance::Invalid,
            Worth::OtherKey => Provenance::OtherKey,
        },
    })
}

async fn members<V: Services>(api: &Api<V>, request: &Request<'_>, reader: &Reader) -> Result<String, Problem> {
    let (file, members) = list_members::find(api, request).await?;
    Ok(linkgate_console::members(&reader.frame(), file.version.as_str(), &members))
}

async fn job<V: Services>(api: &Api<V>, request: &Request<'_>, reader: &Reader) -> Result<String, Problem> {
    let known = jobs::find(api, request.target()?, request.job_id()?).await?;
    let document = jobs::document(&get_job::view(api, known), &api.time_zone, reader.language);
    Ok(linkgate_console::job(&reader.frame(), &document))
}

async fn usage<V: Services>(api: &Api<V>, request: &Request<'_>, reader: &Reader) -> Result<String, Problem> {
    Ok(linkgate_console::usage(&reader.frame(), &get_usage::find(api, request.target()?).await?))
}

async fn plan<V: Services>(api: &Api<V>, request: &Request<'_>, reader: &Reader) -> Result<String, Problem> {
    Ok(linkgate_console::cleanup(&reader.frame(), &cleanup::find(api, request.target()?).await?))
}

/// A page is its reader's alone, and true for a moment.
fn page(text: String) -> Reply {
    let mut reply = reply::success(text, MEDIA_TYPE);
    let headers = reply.headers_mut();
    headers.insert(POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Language, Cookie"));
    reply
}

/// An asset, good for ever under the name of its release.
pub(super) fn asset(asset: &'static Asset, query: &str) -> Reply {
    let mut reply = reply::success(asset.body.to_owned(), asset.media_type);
    let lasting = if Asset::is_pinned(query) { "public, max-age=31536000, immutable" } else { "public, max-age=300" };
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(lasting));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}
