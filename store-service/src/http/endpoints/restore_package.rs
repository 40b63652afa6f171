//! Restores a deleted package, under another version if the body names one. One that is live stays as it is.

use linkgate_contract::{Problem, read_version_field};
use linkgate_store_core::ingest::ports::Services;

use crate::http::Api;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let change = request.change()?;
    let (body, _share) = request.read_small_body(api).await?;
    let version = read_version_field(&body.fields()?)?;
    let restored = api.lifecycle.restore(&change, version.as_ref()).await;
    let restored = restored.map_err(|e| reply::change_problem(&e, &api.time_zone))?;
    reply::package_detail(&restored, &api.time_zone)
}
