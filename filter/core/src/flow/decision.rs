//! How a request was decided, for the access log and the metrics.

use crate::metrics::{Metric, Metrics};
use crate::record::Record;

/// Records and counts how a request was decided.
pub(super) fn record_decision(metrics: &Metrics, code: &'static str, record: &mut Record) {
    record.decision = code;
    metrics.count(Metric::Decision { code, operation: record.operation, rule: record.rule.clone() });
    for rule in record.reported.split(',').filter(|rule| !rule.is_empty()) {
        metrics.count(Metric::Reported { rule: rule.to_owned() });
    }
}
