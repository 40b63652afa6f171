//! Deletes a package, and shows what it is then. One that is deleted stays as it is, and so does one that is pinned unless
//! `force` is asked for, which the gate has judged.

use linkgate_contract::Problem;
use linkgate_store_core::ingest::ports::Services;

use crate::http::Api;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let deleted = api.lifecycle.delete(&request.change()?, request.asks_for("force")).await;
    let deleted = deleted.map_err(|e| reply::change_problem(&e, &api.time_zone))?;
    reply::package_detail(&deleted, &api.time_zone)
}
