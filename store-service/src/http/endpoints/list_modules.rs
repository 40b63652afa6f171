//! Lists the modules whose packages the caller may read, by application and name.

use linkgate_contract::{Action, GrantClaim, GrantsClaim, ModuleRef, ModuleSummary, Page, Patterns, Problem};
use linkgate_store_core::ingest::ports::{CatalogError, Count, ModuleSums, PackageReader, Services};

use crate::http::pages::{self, Found, Space, read_limit};
use crate::http::parameters::{Expected, number};
use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::{Api, search_terms};

/// Modules that are read at a time.
const BATCH: u32 = 500;
/// Modules that are looked at for a page. Those behind them are found by a search that names them.
const LOOKED_AT: usize = 50_000;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    pages::answer(find(api, &request).await?)
}

/// Finds the page that is asked for.
pub(in crate::http) async fn find<V: Services>(
    api: &Api<V>,
    request: &Request<'_>,
) -> Result<Found<ModuleSummary>, Problem> {
    let mut parameters = pages::read_parameters(api, request);
    let limit = read_limit(&mut parameters, request);
    let offset = parameters.read("offset", Expected::Number, number).unwrap_or_default();
    let terms = search_terms::split(parameters.text("search_term").unwrap_or_default());
    let terms = terms.unwrap_or_else(|bad| {
        parameters.refuse("search_term", bad.message());
        Vec::new()
    });
    parameters.finish()?;
    let space = Space::take(&api.shares, request.caller.owner(), limit)?;
    let visible = Visible::new(request.caller.grants.as_ref(), terms);
    let seen = visible.look(&api.catalog, offset, limit).await.map_err(|error| reply::read_problem(&error))?;
    let count = if seen.is_whole { Count::Exactly(seen.count) } else { Count::AtLeast(seen.count) };
    let (limit_text, end) = (Some(limit.to_string()), offset.saturating_add(seen.rows.len() as u64));
    let link = |at: u64| {
        parameters.link(&[("limit", limit_text.clone()), ("offset", Some(at.to_string()).filter(|_| at > 0))])
    };
    let next = (end < seen.count).then(|| link(end));
    let previous = (offset > 0).then(|| link(offset.saturating_sub(limit.into())));
    let results = seen.rows.into_iter().map(summary).collect();
    Ok(Found { page: Page { count: count.number(), next, previous, results }, count, space, parameters })
}

fn summary(row: ModuleSums) -> ModuleSummary {
    let ModuleRef { app, module } = row.target;
    ModuleSummary { app_code: app, module, packages: row.sums.packages, bytes: row.sums.bytes }
}

/// Which modules the caller sees.
struct Visible {
    /// Patterns of applications and of modules, a pair for each grant.
    grants: Vec<(Patterns, Patterns)>,
    /// Each must occur in the name.
    terms: Vec<String>,
}

/// What was seen of them.
#[derive(Default)]
struct Seen {
    rows: Vec<ModuleSums>,
    /// How many there are, of those that were looked at.
    count: u64,
    is_whole: bool,
}

impl Visible {
    fn new(grants: Option<&GrantsClaim>, terms: Vec<String>) -> Self {
        let readable = |grant: &&GrantClaim| grant.actions.contains(&Action::Read);
        let grants = grants.into_iter().flat_map(|grants| &grants.list).filter(readable);
        let patterns = |grant: &GrantClaim| (Patterns::new(&grant.targets), Patterns::new(&grant.modules));
        let terms = terms.into_iter().map(|term| term.to_lowercase()).collect();
        Self { grants: grants.map(patterns).collect(), terms }
    }

    fn shows(&self, row: &ModuleSums) -> bool {
        let (app, module) = (row.target.app.as_str(), row.target.module.as_str());
        let is_granted = self.grants.iter().any(|(apps, modules)| apps.matches(app) && modules.matches(module));
        let name = || format!("{app}/{module}").to_lowercase();
        is_granted && (self.terms.is_empty() || self.terms.iter().all(|term| name().contains(term.as_str())))
    }

    async fn look(&self, catalog: &impl PackageReader, offset: u64, limit: u32) -> Result<Seen, CatalogError> {
        let (mut seen, mut looked_at, mut after) = (Seen::default(), 0, None);
        let page = offset..offset.saturating_add(limit.into());
        while looked_at < LOOKED_AT {
            let batch = catalog.list_modules(after.as_ref(), BATCH).await?;
            looked_at += batch.len();
            after = batch.last().map(|row| row.target.clone());
            seen.is_whole = batch.len() < BATCH as usize;
            for row in batch.into_iter().filter(|row| self.shows(row)) {
                if page.contains(&seen.count) {
                    seen.rows.push(row);
                }
                seen.count += 1;
            }
            if seen.is_whole {
                break;
            }
        }
        Ok(seen)
    }
}
