//! Ends an upload that is not wanted any more, and tells how it ended.

use linkgate_contract::Problem;
use linkgate_store_core::ingest::ports::Services;
use linkgate_store_core::ingest::{IngestError, Known};
use tracing::info;

use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::{Api, jobs};

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let id = request.job_id()?;
    let known = jobs::find(api, request.target()?, id).await?;
    let operator = &request.caller.operator;
    info!(request.id = request.head.request_id(), job.id = %id, "Cancelling for `{operator}`");
    let _waits = (api.shares.watchers.of_caller(request.caller.owner())?, api.shares.watchers.at_upload(id)?);
    let view = match known {
        Known::Live(live) => {
            let outcome = api.ingest.cancel(&live).await;
            api.ingest.view(&live, Some(&outcome))
        }
        Known::Recorded(view) => {
            let ended = api.ingest.cancel_elsewhere(*view).await;
            ended.map_err(|e| reply::ingest_problem(&IngestError::from(e)))?
        }
    };
    Ok(reply::json(jobs::describe(&view, &api.time_zone, request.head.language())))
}
