//! Shows what a module and its application take, and may.

use linkgate_contract::{ModuleRef, Problem, UsageDocument};
use linkgate_store_core::ingest::ports::{PackageReader as _, Services};

use crate::http::Api;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    reply::to_json(&find(api, request.target()?).await?).map(reply::json)
}

/// Finds it.
pub(in crate::http) async fn find<V: Services>(api: &Api<V>, target: &ModuleRef) -> Result<UsageDocument, Problem> {
    let sums = api.catalog.package_sums(target).await.map_err(|error| reply::read_problem(&error))?;
    Ok(reply::sums(&sums, api.lifecycle.quota(target)))
}
