//! Shows all that is known of a package, also of a deleted one; nothing if the caller has it already.

use linkgate_contract::{ErrorCode, Problem};
use linkgate_store_core::ingest::ports::{PackageDetail, PackageReader as _, Services};

use crate::http::Api;
use crate::http::conditions::read_conditions;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let detail = find(api, &request).await?;
    let (conditions, existing) = (read_conditions(&request.head.headers)?, detail.existing());
    if conditions.if_match.is_some_and(|tags| !tags.match_strongly(Some(&existing))) {
        return Err(Problem::new(ErrorCode::PreconditionFailed));
    }
    if conditions.if_none_match.is_some_and(|tags| tags.match_weakly(Some(&existing))) {
        return Ok(reply::with_state_tag(&detail, reply::not_modified()));
    }
    reply::package_detail(&detail, &api.time_zone)
}

/// A package of another module is none of this caller's business.
pub(in crate::http) async fn find<V: Services>(api: &Api<V>, request: &Request<'_>) -> Result<PackageDetail, Problem> {
    let found = api.catalog.find_package(request.target()?, request.package_id()?).await;
    found.map_err(|error| reply::read_problem(&error))?.ok_or_else(|| Problem::new(ErrorCode::NotFound))
}
