//! Lists the uploads by link of a module, under way or ended, the latest first.

use linkgate_contract::{JobPage, Problem};
use linkgate_store_core::ingest::IngestError;
use linkgate_store_core::ingest::ports::Services;

use crate::http::pages::{self, Space, read_limit};
use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::{Api, jobs};

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    reply::to_json(&find(api, &request).await?).map(reply::json)
}

/// Finds them.
pub(in crate::http) async fn find<V: Services>(api: &Api<V>, request: &Request<'_>) -> Result<JobPage, Problem> {
    let mut parameters = pages::read_parameters(api, request);
    let limit = read_limit(&mut parameters, request);
    parameters.finish()?;
    let _space = Space::take(&api.shares, request.caller.owner(), limit)?;
    let views = api.ingest.list_jobs(request.target()?, limit).await;
    let views = views.map_err(|error| reply::ingest_problem(&IngestError::from(error)))?;
    let language = request.head.language();
    Ok(JobPage { results: views.iter().map(|view| jobs::document(view, &api.time_zone, language)).collect() })
}
