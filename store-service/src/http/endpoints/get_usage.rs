//! Shows what a module and its application take, and may.

use linkgate_contract::Problem;
use linkgate_store_core::ingest::ports::{PackageReader as _, Services};

use crate::http::Api;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let target = request.target()?;
    let sums = api.catalog.package_sums(target).await.map_err(|error| reply::read_problem(&error))?;
    let quota = api.lifecycle.quota(target);
    reply::to_json(&reply::sums(&sums, quota)).map(reply::json)
}
