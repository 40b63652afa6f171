//! Speaks HTTP to callers: routes, tokens, bodies, replies.
//!
//! Promises: every reply has the form that the contract gives it; who calls is settled before anything else of an upload
//! is looked at. Refuses whatever takes too long or is too large to read. What an upload means is ingest's affair.

mod auth;
mod body;
mod conditions;
mod console;
mod digests;
mod endpoints;
mod file_name;
mod form;
mod jobs;
mod nonces;
mod outgoing;
mod pages;
mod parameters;
mod preferences;
mod recent;
mod reply;
mod representation;
mod request;
mod routes;
mod search_terms;
mod sent_file;
mod server;
mod shares;
mod stalled;
mod strangers;
mod throttle;
mod tls;
mod traceparent;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use linkgate_contract::{AllowList, Problem};
use linkgate_store_core::csrf::CsrfTokens;
use linkgate_store_core::download::Downloads;
use linkgate_store_core::ingest::ports::Services;
use linkgate_store_core::ingest::{Ingest, IngestError, NotReady};
use linkgate_store_core::lifecycle::Lifecycle;
use linkgate_store_core::metrics::Metrics;
use linkgate_store_core::retention::Cleanup;
use linkgate_store_core::sealing::Sealer;
use linkgate_store_core::signed_url::UrlSigner;

use recent::Recent;
use throttle::Throttle;

pub use auth::Verifier;
pub use outgoing::MinRate;
pub use server::serve;
pub use shares::Shares;

/// Probes come every few seconds; what changed a moment ago is told at the next.
const READINESS_COUNTS_FOR: Duration = Duration::from_secs(1);
/// Whoever has no token must not be able to fill the log.
const REFUSALS_ARE_LOGGED_EVERY: Duration = Duration::from_secs(1);

/// How a failure is told to callers.
#[must_use]
pub fn explain(error: &IngestError) -> Problem {
    reply::ingest_problem(error)
}

/// What answering a request needs.
pub struct Api<V: Services> {
    /// The use case.
    pub ingest: Arc<Ingest<V>>,
    /// The other one.
    pub downloads: Downloads<V>,
    /// How fast downloads must be read.
    pub min_rate: MinRate,
    /// What signs URLs.
    pub url_signer: UrlSigner,
    /// What tells requests of our pages from those that pages of others make.
    pub csrf_tokens: CsrfTokens,
    /// Where callers reach the gateway, if that is known.
    pub public_url: Option<String>,
    /// What becomes of stored packages.
    pub lifecycle: Lifecycle<V>,
    /// What the operator's rules delete of them.
    pub cleanup: Cleanup<V::Catalog>,
    /// Where packages are looked up.
    pub catalog: V::Catalog,
    /// Who is believed.
    pub verifier: Verifier,
    /// Where links may point to.
    pub allowed_hosts: AllowList,
    /// What takes callers' own credentials.
    pub sealer: Sealer,
    /// In which zone times are shown.
    pub time_zone: TimeZone,
    /// Largest body.
    pub max_body_bytes: usize,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// What requests may hold.
    pub shares: Shares,
    /// What is counted.
    pub metrics: Metrics,
    /// What those are told who are not known.
    pub probes: Probes,
}

/// Answers that cost the same however many ask, and lines of the log likewise.
pub struct Probes {
    readiness: Recent<Result<(), Vec<NotReady>>>,
    metrics: Recent<Option<String>>,
    refusals: Throttle,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            readiness: Recent::new(READINESS_COUNTS_FOR),
            // One at a time: whoever reads metrics wants those of now.
            metrics: Recent::new(Duration::ZERO),
            refusals: Throttle::new(REFUSALS_ARE_LOGGED_EVERY),
        }
    }
}
