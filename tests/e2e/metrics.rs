//! What a filter counts and notes comes out of Envoy as `docs/reference/METRICS.md` and `docs/reference/LOGS.md` say, and the dashboard
//! asks for nothing else.

use std::collections::{BTreeMap, BTreeSet};

use linkgate_gate::Record;
use linkgate_tests::gateway::{Gateway, GatewayPlan};
use linkgate_tests::request::get;
use linkgate_tests::wait::wait_until;
use serde_json::{Value, json};

use crate::probe::Probe;
use crate::proxy::raw;

/// Kinds of metrics, as the ABI numbers them.
const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const HISTOGRAM: u32 = 2;

/// One of each name that the gate uses, and a value whose rule is called like a label.
const METRICS: [(u32, &str); 10] = [
    (COUNTER, "linkgate.decisions.code.INVALID_ARGS.operation.upload.rule.signed-links"),
    (COUNTER, "linkgate.decisions.code.ok.operation.rule.rule.code"),
    (COUNTER, "linkgate.authentications.kind.bk_token.outcome.refused"),
    (COUNTER, "linkgate.cache.kind.app_secret.result.stale"),
    (COUNTER, "linkgate.calls.service.bkauth.outcome.failed"),
    (HISTOGRAM, "linkgate.call_duration_ms.service.login"),
    (COUNTER, "linkgate.tokens_signed"),
    (COUNTER, "linkgate.limited.rule.per-app"),
    (COUNTER, "linkgate.reported.rule.per-app"),
    (GAUGE, "linkgate.policy_workers.version.0123456789ab"),
];

/// A filter that counts one of everything at each request, and notes the application.
fn counting_probe() -> Probe {
    let mut probe = Probe::default()
        .import("define_metric", "i32 i32 i32 i32")
        .import("record_metric", "i32 i64")
        .import("set_property", "i32 i32 i32 i32");
    let (mut define, mut count) = (String::new(), String::new());
    for (n, (kind, name)) in METRICS.iter().enumerate() {
        let (name, id) = (probe.bytes(name.as_bytes()), 4 * n);
        define += &format!("(drop (call $define_metric (i32.const {kind}) {name} (i32.const {id})))\n");
        count += &format!("(drop (call $record_metric (i32.load (i32.const {id})) (i64.const 7)))\n");
    }
    let noted = Record { app: "my \"app\"".to_owned(), ..Record::default() };
    let (key, value) = (probe.bytes(b"linkgate"), probe.bytes(noted.to_json().as_bytes()));
    let note = format!("(drop (call $set_property {key} {value}))");
    probe.on("configure", "(param i32 i32) (result i32)", &format!("{define} (i32.const 1)")).on(
        "request_headers",
        "(param i32 i32 i32) (result i32)",
        &format!("{note} {count} (i32.const 0)"),
    )
}

async fn counting_gateway() -> Gateway {
    let plan = GatewayPlan::new();
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    let gateway = plan.start("127.0.0.1:9".parse().unwrap()).await;
    counting_probe().load(&gateway).await;
    gateway
}

/// Asks for a text until it is there: Envoy hands out histograms and log lines in batches.
async fn wait_for<F: Future<Output = String>>(wanted: &str, text: impl Fn() -> F) -> String {
    wait_until(async || {
        let text = text().await;
        if text.contains(wanted) { Ok(text) } else { Err(format!("{wanted} is not in:\n{text}")) }
    })
    .await
}

#[tokio::test]
async fn names_become_metrics_with_labels() {
    let gateway = counting_gateway().await;
    get(gateway.base(), "/").await;
    let page = wait_for("linkgate_call_duration_ms_count{service=\"login\"} 1", || {
        gateway.admin_page("/stats/prometheus?filter=wasmcustom")
    })
    .await;
    let ours: Vec<_> = page.lines().filter(|line| line.starts_with("linkgate_")).collect();
    for line in [
        r#"linkgate_decisions{code="INVALID_ARGS",operation="upload",rule="signed-links"} 7"#,
        r#"linkgate_decisions{code="ok",operation="rule",rule="code"} 7"#,
        r#"linkgate_authentications{kind="bk_token",outcome="refused"} 7"#,
        r#"linkgate_cache{kind="app_secret",result="stale"} 7"#,
        r#"linkgate_calls{outcome="failed",service="bkauth"} 7"#,
        r#"linkgate_call_duration_ms_bucket{service="login",le="10"} 1"#,
        r#"linkgate_call_duration_ms_count{service="login"} 1"#,
        "linkgate_tokens_signed{} 7",
        r#"linkgate_limited{rule="per-app"} 7"#,
        r#"linkgate_reported{rule="per-app"} 7"#,
        r#"linkgate_policy_workers{version="0123456789ab"} 7"#,
    ] {
        assert!(ours.contains(&line), "{line} is not in:\n{}", ours.join("\n"));
    }
}

#[tokio::test]
async fn the_access_log_tells_what_the_filter_noted_and_null_where_it_was_not_asked() {
    let gateway = counting_gateway().await;
    let reply = get(gateway.base(), "/noted").await;
    let line = gateway.access_line(&reply).await;
    assert_eq!(line["request_id"].as_str(), reply.header("x-request-id"));
    assert_eq!(line["gate"], json!({"app": "my \"app\""}));
    // What never came to the filter is not noted.
    raw(gateway.address(), b"nonsense\r\n\r\n").await;
    let log = wait_for("\"status\":400", async || gateway.log()).await;
    let line = log.lines().find(|line| line.starts_with('{') && line.contains("\"status\":400")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line.get("gate"), Some(&Value::Null), "{line}");
}

const DOCUMENT: &str = include_str!("../../docs/reference/METRICS.md");
const DASHBOARD: &str = include_str!("../../deploy/grafana/linkgate.json");

/// The store serves its own; its tests hold them against the document.
const STORES: &str = "linkgate_store_";

/// What the document lists of our own: names and types, with their labels.
fn documented() -> BTreeMap<&'static str, (&'static str, Vec<&'static str>)> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `linkgate_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`')).filter(|label| !label.is_empty());
        (cells[1].trim_matches('`'), (cells[2], labels.collect()))
    })
    .collect()
}

#[test]
fn the_document_lists_what_the_gate_counts() {
    let mut counted = BTreeMap::new();
    for (kind, name) in METRICS {
        let kind = ["counter", "gauge", "histogram"][kind as usize];
        let mut parts = name.strip_prefix("linkgate.").unwrap().split('.');
        let name = parts.next().unwrap();
        let mut labels: Vec<_> = parts.step_by(2).collect();
        labels.sort_unstable();
        counted.insert(format!("linkgate_{name}"), (kind, labels));
    }
    let counted: BTreeMap<_, _> = counted.iter().map(|(name, rest)| (name.as_str(), rest.clone())).collect();
    let mut documented = documented();
    documented.retain(|name, _| !name.starts_with(STORES));
    assert_eq!(documented, counted);
}

/// Every string under this key, however deep.
fn strings_of<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| strings_of(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| strings_of(value, key, found)),
        _ => {}
    }
}

/// The selectors of a query, `name{…}`: the names, and the labels that each asks for.
fn selectors(query: &str) -> Vec<(&str, Vec<&str>)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let opened = query.match_indices('{').map(|(at, _)| {
        let (before, after) = (&query[..at], &query[at + 1..]);
        let name = &before[before.rfind(|c| !word(c)).map_or(0, |start| start + 1)..];
        let inside = after.split_once('}').unwrap().0;
        let labels = inside.split(',').map(|pair| pair.split(['=', '!']).next().unwrap_or_default());
        (name, labels.filter(|label| !label.is_empty()).collect())
    });
    opened.collect()
}

#[test]
fn the_dashboard_asks_for_documented_metrics_and_labels_only() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let documented = documented();
    let mut queries = Vec::new();
    strings_of(&dashboard, "expr", &mut queries);
    strings_of(&dashboard["templating"], "query", &mut queries);
    let mut seen = BTreeSet::new();
    for query in queries {
        for (name, asked) in selectors(query) {
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let (_, labels) = documented.get(name).unwrap_or_else(|| panic!("{name} is not documented: {query}"));
            let unknown = asked.iter().find(|label| **label != "instance" && !labels.contains(label));
            assert_eq!(unknown, None, "not a label of {name}: {query}");
            let grouped = query.split("by (").skip(1).flat_map(|rest| rest.split_once(')').unwrap().0.split(", "));
            let unknown = grouped.filter(|label| *label != "le").find(|label| !labels.contains(label));
            assert_eq!(unknown, None, "not a label of {name}: {query}");
            seen.insert(name);
        }
    }
    assert_eq!(seen, documented.keys().copied().collect(), "every metric has its place on the dashboard");
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(41));
    let variables: Vec<_> = dashboard["templating"]["list"].as_array().unwrap().iter().collect();
    let sources: Vec<_> = variables.iter().filter(|variable| variable["type"] == "datasource").collect();
    assert_eq!((sources.len(), &sources[0]["query"]), (1, &json!("prometheus")));
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && targets.iter().all(|target| target["datasource"]["uid"] == "${datasource}"));
    }
}
