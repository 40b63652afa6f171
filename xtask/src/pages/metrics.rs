//! `docs/reference/METRICS.md`: what gate and store count, and the alerts.

use super::entries;
use super::{Sources, begin, head, row};
use crate::error::Outcome;

const INTRODUCTION: &str = "\
What is counted, as the code says it, and the alert rules. [METRICS.md](../METRICS.md) says where to read it, and which of Envoy's own
metrics matter. Labels are words of the code or of the policy, never of a caller.";
const GATE: [&str; 2] = ["filter/core/src/metrics.rs", "filter/src/root.rs"];
const STORE: [&str; 2] = ["store-service/core/src/metrics.rs", "store-service/core/src/metrics/process.rs"];

pub(super) fn page(sources: &Sources<'_>) -> Outcome<String> {
    let mut text = begin("Metrics", INTRODUCTION);
    for (title, files) in [("The gate", GATE), ("The store", STORE)] {
        text.push_str(&format!("\n## {title}\n{}", head(&["name", "type", "labels", "meaning"])));
        for file in files {
            let entries = entries::of_code(&sources.read_code(file)?);
            for entry in entries.iter().filter(|entry| entry.is_of(&["linkgate_", "process_"])) {
                let (kind, labels) = entry.kind.split_once("; ").unwrap_or((&entry.kind, ""));
                text.push_str(&row(&[&entry.title(), kind, labels, &entry.text]));
            }
        }
    }
    text.push_str("\n## Alerts\n\n`deploy/prometheus/alerts.yml` has them, with a threshold that you may change.\n");
    text.push_str(&head(&["alert", "fires when", "what to do"]));
    for (name, summary) in alerts(&sources.read("deploy/prometheus/alerts.yml")?) {
        let link = format!("[runbook](../RUNBOOK.md#{})", name.to_lowercase());
        text.push_str(&row(&[&format!("`{name}`"), &summary, &link]));
    }
    Ok(text)
}

/// Names of alerts, and their summaries without what is filled in for each instance.
fn alerts(rules: &str) -> Vec<(String, String)> {
    let mut alerts: Vec<(String, String)> = Vec::new();
    for line in rules.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push((name.to_owned(), String::new()));
        } else if let (Some(summary), Some(last)) = (line.strip_prefix("summary: "), alerts.last_mut()) {
            last.1 = without_templates(summary.trim_matches('"'));
        }
    }
    alerts
}

fn without_templates(text: &str) -> String {
    let mut parts = text.split("{{");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once("}}").map_or("", |(_, behind)| behind));
    let text = rest.fold(first, |text, part| format!("{text}…{part}"));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_read_with_their_summaries() {
        let rules = "      - alert: A\n        annotations:\n          summary: \"Gateway {{ $labels.instance }} is gone\"\n      - alert: B\n";
        let want = [("A".to_owned(), "Gateway … is gone".to_owned()), ("B".to_owned(), String::new())];
        assert_eq!(alerts(rules), want);
    }
}
