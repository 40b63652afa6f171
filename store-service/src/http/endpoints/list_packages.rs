//! Lists the packages of a module, with the parameters and defaults of the reference and some more.

use jiff::tz::TimeZone;
use linkgate_contract::{Operator, PackageId, PackageVersion, Page, Problem, Sha256, SourcePackage};
use linkgate_store_core::ingest::ports::{
    Liveness, PackageFilter, PackageKey, PackageOrder, PackagePage, PackageQuery, PackageReader as _, Services,
    TimeSpan,
};

use crate::http::pages::{self, Found, Space, read_limit};
use crate::http::parameters::{Expected, Parameters, flag, number, time};
use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::{Api, search_terms};

/// The orders by their names.
const ORDERS: [(&str, PackageKey); 7] = [
    ("id", PackageKey::Id),
    ("version", PackageKey::Version),
    ("version_natural", PackageKey::NaturalVersion),
    ("package_name", PackageKey::PackageName),
    ("package_size", PackageKey::PackageSize),
    ("created", PackageKey::Created),
    ("updated", PackageKey::Updated),
];
/// Of a walk by `before_id`, unless the caller asks for another one.
const BY_ID: PackageOrder = PackageOrder { key: PackageKey::Id, is_descending: true };

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    pages::answer(find(api, &request).await?)
}

/// Finds the page that is asked for.
pub(in crate::http) async fn find<V: Services>(
    api: &Api<V>,
    request: &Request<'_>,
) -> Result<Found<SourcePackage>, Problem> {
    let mut parameters = pages::read_parameters(api, request);
    let limit = read_limit(&mut parameters, request);
    let query = read_query(&mut parameters, limit, &api.time_zone);
    parameters.finish()?;
    let space = Space::take(&api.shares, request.caller.owner(), query.limit)?;
    let page = api.catalog.list_packages(request.target()?, &query).await;
    let page = page.map_err(|error| reply::read_problem(&error))?;
    let (next, previous) = (next(&query, &page, &parameters), previous(&query, &parameters));
    let results = page.rows.iter().map(|row| reply::package(row, &api.time_zone)).collect();
    let shown = Page { count: page.count.number(), next, previous, results };
    Ok(Found { page: shown, count: page.count, space, parameters })
}

fn read_query(parameters: &mut Parameters, limit: u32, zone: &TimeZone) -> PackageQuery {
    let offset = parameters.read("offset", Expected::Number, number).unwrap_or_default();
    let before = parameters.read("before_id", Expected::Id, |text| text.parse::<PackageId>().ok());
    let mut order = read_order(parameters);
    if before.is_some() && order.is_empty() {
        order.push(BY_ID);
    }
    PackageQuery { filter: read_filter(parameters, zone), order, before, limit, offset }
}

/// Of one that is named twice the first counts; unknown ones are left out.
fn read_order(parameters: &mut Parameters) -> Vec<PackageOrder> {
    let text = parameters.text("order_by").unwrap_or_default().to_owned();
    let mut order: Vec<PackageOrder> = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let (name, is_descending) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
        let key = ORDERS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key);
        match key {
            Some(key) if order.iter().all(|other| other.key != key) => order.push(PackageOrder { key, is_descending }),
            Some(_) => {}
            None => {
                parameters.read::<()>("order_by", Expected::Order, |_| None);
            }
        }
    }
    // No two packages have the same one.
    let end = order.iter().position(|by| by.key == PackageKey::Id).map_or(order.len(), |at| at + 1);
    order.truncate(end);
    order
}

fn read_filter(parameters: &mut Parameters, zone: &TimeZone) -> PackageFilter {
    let terms = search_terms::split(parameters.text("search_term").unwrap_or_default());
    let terms = terms.unwrap_or_else(|bad| {
        parameters.refuse("search_term", bad.message());
        Vec::new()
    });
    let deletion = parameters.read("is_deleted", Expected::Deletion, |text| match flag(text) {
        Some(true) => Some(Liveness::Deleted),
        Some(false) => Some(Liveness::Live),
        None => text.eq_ignore_ascii_case("all").then_some(Liveness::All),
    });
    PackageFilter {
        terms,
        version: parameters.read("version", Expected::Version, |text| PackageVersion::new(text).ok()),
        package_name: parameters.read("package_name", Expected::Name, |text| Some(text.to_owned())),
        sha256: parameters.read("sha256_signature", Expected::Digest, |text| Sha256::parse_any_case(text).ok()),
        operator: parameters.read("operator", Expected::Name, |text| Operator::new(text).ok()),
        deletion: deletion.unwrap_or_default(),
        is_pinned: parameters.read("pinned", Expected::Bool, flag),
        created: TimeSpan {
            from_ms: parameters.read("created_after", Expected::Time, |text| time(text, zone)),
            until_ms: parameters.read("created_before", Expected::Time, |text| time(text, zone)),
        },
        updated: TimeSpan {
            from_ms: parameters.read("updated_after", Expected::Time, |text| time(text, zone)),
            until_ms: parameters.read("updated_before", Expected::Time, |text| time(text, zone)),
        },
    }
}

/// A walk by `before_id` goes on below the last row, so that it shows each package once while others come in.
fn next(query: &PackageQuery, page: &PackagePage, parameters: &Parameters) -> Option<String> {
    let last = page.rows.last().filter(|_| page.has_more)?;
    let limit = Some(query.limit.to_string());
    if query.before.is_some() && query.order == [BY_ID] && query.offset == 0 {
        return Some(parameters.link(&[("before_id", Some(last.id.to_string())), ("limit", limit), ("offset", None)]));
    }
    let offset = query.offset.saturating_add(page.rows.len() as u64);
    Some(parameters.link(&[("limit", limit), ("offset", Some(offset.to_string()))]))
}

fn previous(query: &PackageQuery, parameters: &Parameters) -> Option<String> {
    if query.offset == 0 {
        return None;
    }
    let offset = Some(query.offset.saturating_sub(query.limit.into())).filter(|offset| *offset > 0);
    let offset = offset.map(|offset| offset.to_string());
    Some(parameters.link(&[("limit", Some(query.limit.to_string())), ("offset", offset)]))
}
