//! Shows what the retention rules would delete of a module, or deletes exactly that.

use linkgate_contract::{CleanupPlan, Field, ModuleRef, Problem, Text};
use linkgate_store_core::ingest::ports::Services;

use crate::http::Api;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn explain<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    reply::to_json(&find(api, request.target()?).await?).map(reply::json)
}

/// Makes the plan.
pub(in crate::http) async fn find<V: Services>(api: &Api<V>, target: &ModuleRef) -> Result<CleanupPlan, Problem> {
    let plan = api.cleanup.plan(target).await;
    plan.map(|plan| reply::cleanup_plan(&plan, false)).map_err(|e| reply::change_problem(&e, &api.time_zone))
}

pub(super) async fn run<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let (target, actor) = (request.target()?.clone(), request.actor());
    let (body, _share) = request.read_small_body(api).await?;
    let fields = body.fields()?;
    let Some(Field::Text(id)) = fields.get("plan") else {
        let text = Text::fixed("请提供清理计划的 plan。", "Give the `plan` that a GET has shown.");
        return Err(Problem::field("plan", text));
    };
    let done = api.cleanup.run(&target, id, &actor).await;
    let done = done.map_err(|e| reply::change_problem(&e, &api.time_zone))?;
    reply::to_json(&reply::cleanup_plan(&done, true)).map(reply::json)
}
