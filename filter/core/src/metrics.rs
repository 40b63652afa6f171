//! What a worker counts, gathered here and handed to the host once a second: a host call for each count would cost more
//! than most decisions.
//!
//! Names end in `.label.value` pairs, which `envoy.yaml` turns into labels; docs/METRICS.md lists them. Promises: labels
//! are words of ours or of the policy, never of a caller.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::services::ServiceKind;

/// Durations gathered until they are handed over; more are not measured.
const MAX_TIMES: usize = 1024;

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// A request that was decided.
    Decision { code: &'static str, operation: &'static str, rule: String },
    /// A credential that was judged.
    Authentication { kind: &'static str, outcome: &'static str },
    /// A look into the identity cache.
    Cache { kind: &'static str, result: &'static str },
    /// A call to a service.
    Call { service: ServiceKind, answered: bool },
    /// A token for the store.
    TokenSigned,
    /// A request over a limit.
    Limited { rule: String },
    /// A request that a report-only rule would have denied.
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
