//! `linkgate policy limits`: the rates of a policy in the form of a service that counts new uploads for all Envoys.
//!
//! Promises: in the long run the service lets no more through than the policy says, for these services count in windows of time:
//! what does not fit a window is rounded down. Where a window lets more through at once than the policy says, or a rate has no
//! form there, that is said on standard error. The descriptors are those that `envoy.yaml` sends, in its order.

use std::fmt::Write as _;
use std::path::Path;

use linkgate_gate::policy::{Policy, RateScope, WholeRate};

use crate::Report;
use crate::args::LimitsFormat;
use crate::error::Error;
use crate::policy::{format_faults, read_document};

/// `domain` of the filter in `envoy.yaml`.
const DOMAIN: &str = "linkgate";
const HEADER: &str = "# Written by `linkgate policy limits`, from the rates of a policy.\n";
/// Units that envoyproxy/ratelimit knows, in seconds.
const UNITS: [(&str, u64); 4] = [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400)];

/// The file, and what is to be known about it.
pub fn write_limits(file: &Path, format: LimitsFormat) -> Result<Report, Error> {
    let (name, document) = read_document(file)?;
    let rates = Policy::whole_rates(&document.value);
    let (rates, by_service) = rates.map_err(|faults| Error::Faults(format_faults(&name, &document, &faults)))?;
    let mut warnings = String::new();
    if !by_service {
        warnings +=
            "warning: limits.upload_rates is not `service`: under this policy each Envoy counts uploads itself\n";
    }
    let output = match format {
        LimitsFormat::Limitador => limitador(&rates, &mut warnings),
        LimitsFormat::Envoyproxy => envoyproxy(&rates, &mut warnings),
    };
    Ok(Report { output, warnings, code: 0 })
}

/// So many in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    seconds: u64,
    most: u64,
}

impl Window {
    /// As many as a rate admits in so many seconds, rounded down.
    fn of(rate: &WholeRate, seconds: u64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "at most a million a second, of a day at most"
        )]
        let most = (rate.per_second * seconds as f64 + 1e-9) as u64;
        Self { seconds, most }
    }

    /// The longest window in which no more than the burst come, of any number of seconds.
    fn of_any_length(rate: &WholeRate) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "both are at most a million, and the rate is a thousandth at least"
        )]
        let [of_burst, of_one] =
            [(rate.burst as f64 / rate.per_second + 1e-9) as u64, (1.0 / rate.per_second - 1e-9).ceil() as u64];
        Self::of(rate, of_burst.max(of_one).max(1))
    }

    /// The longest unit in which no more than the burst come; else the shortest in which any do.
    fn of_a_unit(rate: &WholeRate) -> (&'static str, Self) {
        let all = UNITS.map(|(unit, seconds)| (unit, Self::of(rate, seconds)));
        let within = all.into_iter().rfind(|(_, window)| (1..=rate.burst).contains(&window.most));
        let any = || all.into_iter().find(|(_, window)| window.most > 0);
        // The slowest rate has 86 a day.
        within.or_else(any).unwrap_or(("day", Self::of(rate, 86_400)))
    }
}

/// What a rate says, and what became of it.
fn comment(rate: &WholeRate, window: Window, warnings: &mut String) -> String {
    let WholeRate { key, per_second, burst, .. } = rate;
    let Window { seconds, most } = window;
    if most > *burst {
        let _ = writeln!(warnings, "warning: limits.{key}: {most} may come at once there, not {burst}");
    }
    format!("# limits.{key}: {per_second} a second and {burst} at once; here {most} in {seconds} s\n")
}

fn limitador(rates: &[WholeRate], warnings: &mut String) -> String {
    let mut text = HEADER.to_owned();
    let mut is_empty = true;
    for rate in rates {
        if rate.report_only {
            let _ = writeln!(warnings, "warning: limits.{}: is left out, for Limitador cannot only report", rate.key);
            continue;
        }
        is_empty = false;
        let window = Window::of_any_length(rate);
        let (conditions, variables) = match rate.scope {
            RateScope::App => ("[]", r#"["descriptors[0]['app']"]"#),
            RateScope::Stage => ("[]", r#"["descriptors[1]['stage']"]"#),
            RateScope::Total => (r#"["descriptors[2]['uploads'] == 'all'"]"#, "[]"),
        };
        text += &comment(rate, window, warnings);
        let Window { seconds, most } = window;
        let _ = write!(
            text,
            "- namespace: {DOMAIN}\n  name: {}\n  max_value: {most}\n  seconds: {seconds}\n  conditions: {conditions}\n  \
             variables: {variables}\n",
            rate.key
        );
    }
    if is_empty {
        text += "[]\n";
    }
    text
}

fn envoyproxy(rates: &[WholeRate], warnings: &mut String) -> String {
    let mut text = format!("{HEADER}domain: {DOMAIN}\n");
    text += if rates.is_empty() { "descriptors: []\n" } else { "descriptors:\n" };
    for rate in rates {
        let (unit, window) = Window::of_a_unit(rate);
        let entry = match rate.scope {
            RateScope::App => "key: app",
            RateScope::Stage => "key: stage",
            RateScope::Total => "key: uploads\n    value: all",
        };
        let _ = write!(
            text,
            "  {}  - {entry}\n    rate_limit:\n      unit: {unit}\n      requests_per_unit: {}\n",
            comment(rate, window, warnings),
            window.most
        );
        if rate.report_only {
            text += "    shadow_mode: true\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::yaml;

    fn rate(scope: RateScope, per_second: f64, burst: u64) -> WholeRate {
        let key = match scope {
            RateScope::App => "requests_per_app",
            RateScope::Stage => "requests_per_stage",
            RateScope::Total => "requests",
        };
        WholeRate { key, scope, per_second, burst, report_only: false }
    }

    fn all() -> [WholeRate; 3] {
        [rate(RateScope::Total, 100.0, 200), rate(RateScope::Stage, 1.5, 3), rate(RateScope::App, 0.5, 10)]
    }

    fn read(text: &str) -> Value {
        yaml::parse_document(text).unwrap_or_else(|error| panic!("{}: {text}", error.message)).value
    }

    /// What its documentation has: a list of limits, each with a namespace, how many, in how many seconds, conditions on
    /// descriptors, and variables by which it counts apart.
    #[test]
    fn limitador_reads_a_list_of_limits() {
        let mut warnings = String::new();
        let written = read(&limitador(&all(), &mut warnings));
        assert_eq!(
            written,
            json!([
                {
                    "namespace": "linkgate", "name": "requests", "max_value": 200, "seconds": 2,
                    "conditions": ["descriptors[2]['uploads'] == 'all'"], "variables": [],
                },
                {
                    "namespace": "linkgate", "name": "requests_per_stage", "max_value": 3, "seconds": 2,
                    "conditions": [], "variables": ["descriptors[1]['stage']"],
                },
                {
                    "namespace": "linkgate", "name": "requests_per_app", "max_value": 10, "seconds": 20,
                    "conditions": [], "variables": ["descriptors[0]['app']"],
                },
            ])
        );
        assert_eq!(warnings, "");
        let reported = WholeRate { report_only: true, ..rate(RateScope::App, 1.0, 1) };
        assert_eq!(read(&limitador(&[reported], &mut warnings)), json!([]));
        assert_eq!(warnings, "warning: limits.requests_per_app: is left out, for Limitador cannot only report\n");
    }

    /// What its documentation has: a domain, and descriptors by key and value, each with a unit and how many in it.
    #[test]
    fn envoyproxy_reads_descriptors_with_units() {
        let mut warnings = String::new();
        let reported = WholeRate { report_only: true, ..rate(RateScope::App, 0.5, 40) };
        let [total, stage, _] = all();
        let written = read(&envoyproxy(&[total, stage, reported], &mut warnings));
        assert_eq!(
            written,
            json!({
                "domain": "linkgate",
                "descriptors": [
                    {"key": "uploads", "value": "all", "rate_limit": {"unit": "second", "requests_per_unit": 100}},
                    {"key": "stage", "rate_limit": {"unit": "second", "requests_per_unit": 1}},
                    {"key": "app", "rate_limit": {"unit": "minute", "requests_per_unit": 30}, "shadow_mode": true},
                ],
            })
        );
        assert_eq!(warnings, "");
        assert_eq!(read(&envoyproxy(&[], &mut warnings)), json!({"domain": "linkgate", "descriptors": []}));
        envoyproxy(&[rate(RateScope::App, 0.5, 10)], &mut warnings);
        assert_eq!(warnings, "warning: limits.requests_per_app: 30 may come at once there, not 10\n");
    }

    #[test]
    fn no_window_lets_more_through_in_the_long_run() {
        for (per_second, burst) in [
            (0.001, 1),
            (0.001, 1_000_000),
            (0.3, 1),
            (0.7, 5),
            (1.0, 1),
            (3.0, 10),
            (99.9, 7),
            (1e6, 1),
            (1e6, 1_000_000),
        ] {
            let rate = rate(RateScope::App, per_second, burst);
            let [any, unit] = [Window::of_any_length(&rate), Window::of_a_unit(&rate).1];
            for window in [any, unit] {
                assert!(window.most > 0 && window.seconds > 0, "{rate:?}: {window:?}");
                #[allow(clippy::cast_precision_loss, reason = "small numbers")]
                let long_run = window.most as f64 / window.seconds as f64;
                assert!(long_run <= per_second * (1.0 + 1e-6), "{rate:?}: {window:?}");
            }
        }
        assert_eq!(Window::of_any_length(&rate(RateScope::App, 3.0, 10)), Window { seconds: 3, most: 9 });
        assert_eq!(Window::of_any_length(&rate(RateScope::App, 0.3, 1)), Window { seconds: 4, most: 1 });
        assert_eq!(Window::of_any_length(&rate(RateScope::App, 100.0, 10)), Window { seconds: 1, most: 100 });
    }
}
