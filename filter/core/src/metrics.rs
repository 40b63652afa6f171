//! What a worker counts, gathered here and handed to the host once a second: a host call for each count would cost more
//! than most decisions.
//!
//! Names end in `.label.value` pairs, which `envoy.yaml` turns into labels; docs/reference/METRICS.md lists them. Promises: labels
//! are words of ours or of the policy, never of a caller.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::services::ServiceKind;

/// Durations gathered until they are handed over; more are not measured.
const MAX_TIMES: usize = 1024;

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// `linkgate_decisions` (counter; `code`, `operation`, `rule`): decided requests. `operation` is the operation id
    /// of the endpoint, `none` if there is none. `code` is `OK` for requests that were sent to the store, whatever
    /// the store answers; `PREFLIGHT` for preflights that the gate answered, `REDIRECT` for what it sent on to the
    /// first page of the console; otherwise the name of the error that the caller got. `rule` is the rule that
    /// decided, as in the access log: the grant that allowed the request, or what denied it; `none` if only
    /// report-only grants allowed it.
    Decision { code: &'static str, operation: &'static str, rule: String },
    /// `linkgate_authentications` (counter; `kind`, `outcome`): judged credentials: one count for the application,
    /// one for the user. `kind` is `app_secret`, `signature`, `access_token`, `jwt`, `inner_jwt`, `bk_token`,
    /// `bk_ticket`, `username` (a name only, or nothing) or `signed_url` (one count); `outcome` is `ok`, `refused`
    /// (missing or wrong) or `failed` (no service could say). Users of exempted applications count too, though no
    /// request is refused for them.
    Authentication { kind: &'static str, outcome: &'static str },
    /// `linkgate_cache` (counter; `kind`, `result`): look-ups in the identity cache. `kind` is `app_secret`,
    /// `signature`, `app_tenant`, `access_token`, `bk_token` or `bk_ticket`. `result` is `hit`, `miss` (a call
    /// starts, or the request waits for one in flight) or `stale` (a stale answer was used because the service does
    /// not answer). A request whose call fails and that then takes a stale answer counts as `miss` and as `stale`.
    /// What the policy lists is not looked up.
    Cache { kind: &'static str, result: &'static str },
    /// `linkgate_calls` (counter; `outcome`, `service`): identity calls. `service` is `bkauth`, `login` or `ticket`;
    /// `outcome` is `ok` (a readable answer, whatever it says) or `failed`, also if the call could not be sent.
    /// Refreshes are among them.
    Call { service: ServiceKind, answered: bool },
    /// `linkgate_tokens_signed` (counter): signed tokens, for a request or between requests; requests that took one
    /// from the cache are not counted.
    TokenSigned,
    /// `linkgate_limited` (counter; `rule`): requests that a rate, `limits.uploads_per_app`, `held_requests.…`,
    /// `identity.unseen_tokens` or `signed_urls.unverified` refused; sizes are not among them.
    Limited { rule: String },
    /// `linkgate_reported` (counter; `rule`): requests that a report-only rule (`mode: report`) would have refused; a
    /// request counts once for each such rule.
    Reported { rule: String },
}

impl Metric {
    fn name(&self) -> String {
        match self {
            Self::Decision { code, operation, rule } => {
                format!("linkgate.decisions.code.{code}.operation.{}.rule.{}", label(operation), label(rule))
            }
            Self::Authentication { kind, outcome } => format!("linkgate.authentications.kind.{kind}.outcome.{outcome}"),
            Self::Cache { kind, result } => format!("linkgate.cache.kind.{kind}.result.{result}"),
            Self::Call { service, answered } => {
                let outcome = if *answered { "ok" } else { "failed" };
                format!("linkgate.calls.service.{}.outcome.{outcome}", service.name())
            }
            Self::TokenSigned => "linkgate.tokens_signed".to_owned(),
            Self::Limited { rule } => format!("linkgate.limited.rule.{}", label(rule)),
            Self::Reported { rule } => format!("linkgate.reported.rule.{}", label(rule)),
        }
    }
}

/// A name as one part of a metric's: dots part the others.
fn label(name: &str) -> String {
    if name.is_empty() {
        return "none".to_owned();
    }
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' }).collect()
}

/// The counts of one worker since they were last handed over.
#[derive(Default)]
pub(crate) struct Metrics {
    counts: RefCell<BTreeMap<Metric, u64>>,
    /// `linkgate_call_duration_ms` (histogram; `service`): milliseconds until the answer or the failure; at most 1024
    /// are measured in a second and worker.
    times: RefCell<Vec<(ServiceKind, u64)>>,
}

/// What is handed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Counters, and by how much each grew.
    pub counters: Vec<(String, u64)>,
    /// Histograms, and one value each, in milliseconds.
    pub durations_ms: Vec<(String, u64)>,
}

impl Metrics {
    pub(crate) fn count(&self, metric: Metric) {
        if let Ok(mut counts) = self.counts.try_borrow_mut() {
            *counts.entry(metric).or_default() += 1;
        }
    }

    pub(crate) fn record_duration(&self, service: ServiceKind, milliseconds: u64) {
        if let Ok(mut times) = self.times.try_borrow_mut()
            && times.len() < MAX_TIMES
        {
            times.push((service, milliseconds));
        }
    }

    /// Everything since the last time.
    pub(crate) fn take(&self) -> Counts {
        let counts = self.counts.try_borrow_mut().map(|mut counts| std::mem::take(&mut *counts)).unwrap_or_default();
        let times = self.times.try_borrow_mut().map(|mut times| std::mem::take(&mut *times)).unwrap_or_default();
        let duration = |service: ServiceKind| format!("linkgate.call_duration_ms.service.{}", service.name());
        Counts {
            counters: counts.into_iter().map(|(metric, count)| (metric.name(), count)).collect(),
            durations_ms: times.into_iter().map(|(service, ms)| (duration(service), ms)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_handed_over_once_under_the_names_of_the_docs() {
        let metrics = Metrics::default();
        let decision = |rule: &str| Metric::Decision { code: "OK", operation: "upload", rule: rule.to_owned() };
        for metric in [decision("ci.web"), decision("ci.web"), decision(""), Metric::TokenSigned] {
            metrics.count(metric);
        }
        metrics.count(Metric::Call { service: ServiceKind::Login, answered: false });
        metrics.record_duration(ServiceKind::Login, 12);
        let counts = metrics.take();
        let named = |name: &str, count| (name.to_owned(), count);
        assert_eq!(
            counts.counters,
            [
                named("linkgate.decisions.code.OK.operation.upload.rule.none", 1),
                named("linkgate.decisions.code.OK.operation.upload.rule.ci-web", 2),
                named("linkgate.calls.service.login.outcome.failed", 1),
                named("linkgate.tokens_signed", 1),
            ]
        );
        assert_eq!(counts.durations_ms, [named("linkgate.call_duration_ms.service.login", 12)]);
        assert_eq!(metrics.take(), Counts::default());
    }
}
