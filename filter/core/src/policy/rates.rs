//! What a service that counts for all gates has to know of the policy: its rates as they are written.

use super::document::{Limits, Mode};

/// Whom a rate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateScope {
    /// Each calling application.
    App,
    /// Each stage.
    Stage,
    /// All callers together.
    Total,
}

/// A rate of the policy, for all gates together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WholeRate {
    /// Its key in the policy.
    pub key: &'static str,
    /// Whom it is for.
    pub scope: RateScope,
    /// Requests in the long run.
    pub per_second: f64,
    /// How many may come at once.
    pub burst: u64,
    /// Whether it only reports.
    pub report_only: bool,
}

/// All rates that there are.
pub(super) fn whole_rates(limits: &Limits) -> Vec<WholeRate> {
    let scope = |key: &str| match key {
        "requests_per_app" => RateScope::App,
        "requests_per_stage" => RateScope::Stage,
        _ => RateScope::Total,
    };
    let written = limits.rates().into_iter().filter_map(|(key, rate)| Some((key, rate?)));
    written
        .map(|(key, rate)| WholeRate {
            key,
            scope: scope(key),
            per_second: rate.per_second,
            burst: rate.burst(),
            report_only: rate.mode == Mode::Report,
        })
        .collect()
}
