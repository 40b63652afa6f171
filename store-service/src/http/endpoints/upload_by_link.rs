//! Uploads a package from a link: 200 with the package, or 202 with the job if the caller does not wait.

use jiff::tz::TimeZone;
use linkgate_contract::{CallerApp, ErrorCode, MediaType, Problem, TenantId, UploadByLinkRequest, headers};
use linkgate_store_core::ingest::ports::{PackageRow, Services};
use linkgate_store_core::ingest::{Known, Upload};
use tracing::info;

use crate::http::auth::Caller;
use crate::http::body::BodyError;
use crate::http::reply::{self, Reply};
use crate::http::request::{Request, module_of};
use crate::http::{Api, jobs, preferences};

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let Request { head, route, caller, body } = request;
    let Caller { app, operator, tenant, allowance, .. } = &caller;
    let request_id = head.request_id();
    let app_code = app.as_ref().map_or("", CallerApp::as_str);
    let tenant_id = tenant.as_ref().map(TenantId::as_str);
    info!(
        request.id = request_id,
        caller.app = app_code,
        caller.user = %operator,
        caller.tenant = tenant_id,
        "Uploading for `{operator}`"
    );
    let mut share = api.shares.body(caller.owner()).map_err(BodyError::from)?;
    let body = body.read_whole(api.max_body_bytes, api.body_timeout, &mut share).await?;
    // Once its body is read: a refusal before that may break the connection, and then nobody reads it.
    let _waits = api.shares.waiters.of_caller(caller.owner())?;
    let media_type = MediaType::from_header(head.headers.get(headers::CONTENT_TYPE).map(|v| v.as_bytes()));
    let request = UploadByLinkRequest::parse_body(&media_type, &body, &api.allowed_hosts)?;
    let callers_own = preferences::read_callers_own(&head.headers, &caller, &request.package_url.origin())?;
    let upload = Upload {
        target: module_of(route)?.clone(),
        request,
        caller_app: app.clone(),
        operator: operator.clone(),
        tenant: tenant.clone(),
        allowance: allowance.clone(),
        callers_own: callers_own.map(|value| api.sealer.take(value)),
        request_id: request_id.to_owned(),
        client_address: head.client_address().to_owned(),
    };
    drop((body, share));
    let key = preferences::read_idempotency_key(&head.headers, &caller, &upload)?;
    let responds_async = preferences::responds_async(&head.headers);
    if key.is_some() || responds_async {
        api.ingest.may_outlive(&upload).map_err(|e| reply::ingest_problem(&e))?;
    }
    let live = match api.ingest.begin(upload, key).await.map_err(|e| reply::ingest_problem(&e))? {
        Known::Live(live) => live,
        // Only a key leads there.
        Known::Recorded(view) if responds_async && view.end.is_none() => {
            return Ok(jobs::accepted(&view, &api.time_zone, head.language()));
        }
        Known::Recorded(view) => {
            let _waits_for_this_one = api.shares.waiters.at_upload(view.id)?;
            let outcome = api.ingest.outcome_elsewhere(&view).await;
            return show_package(&outcome.map_err(|e| reply::ingest_problem(&e))?, &api.time_zone);
        }
    };
    if responds_async && api.ingest.accept(&live).await.map_err(|e| reply::ingest_problem(&e))? {
        return Ok(jobs::accepted(&api.ingest.view(&live, None), &api.time_zone, head.language()));
    }
    let _waits_for_this_one = api.shares.waiters.at_upload(live.job.id())?;
    let outcome = live.outcome().await;
    show_package(outcome.as_ref().as_ref().map_err(reply::ingest_problem)?, &api.time_zone)
}

pub(super) fn show_package(entry: &PackageRow, zone: &TimeZone) -> Result<Reply, Problem> {
    serde_json::to_string(&reply::package(entry, zone)).map(reply::json).map_err(|_| Problem::new(ErrorCode::Internal))
}
