//! Lists what happened to the packages of a module, the latest first.

use linkgate_contract::{EventDocument, PackageId, Page, Problem};
use linkgate_store_core::ingest::ports::{EventPage, EventQuery, PackageReader as _, Services};

use crate::http::Api;
use crate::http::pages::{self, Found, Space, read_limit};
use crate::http::parameters::{Expected, Parameters};
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    pages::answer(find(api, &request).await?)
}

/// Finds the page that is asked for.
pub(in crate::http) async fn find<V: Services>(
    api: &Api<V>,
    request: &Request<'_>,
) -> Result<Found<EventDocument>, Problem> {
    let mut parameters = pages::read_parameters(api, request);
    let id = |text: &str| text.parse::<PackageId>().ok();
    let query = EventQuery {
        limit: read_limit(&mut parameters, request),
        before: parameters.read("before_id", Expected::Id, id).map(PackageId::row),
        action: parameters.read("action", Expected::Name, |text| Some(text.to_owned())),
        package: parameters.read("package_id", Expected::Id, id),
    };
    parameters.finish()?;
    let space = Space::take(&api.shares, request.caller.owner(), query.limit)?;
    let page = api.catalog.list_events(request.target()?, &query).await;
    let page = page.map_err(|error| reply::read_problem(&error))?;
    let (next, count) = (next(&query, &page, &parameters), page.count);
    let results = page.rows.into_iter().map(|row| reply::event(row, &api.time_zone)).collect();
    let page = Page { count: count.number(), next, previous: None, results };
    Ok(Found { page, count, space, parameters })
}

fn next(query: &EventQuery, page: &EventPage, parameters: &Parameters) -> Option<String> {
    let last = page.rows.last().filter(|_| page.has_more)?;
    Some(parameters.link(&[("before_id", Some(last.id.to_string())), ("limit", Some(query.limit.to_string()))]))
}
