//! Traces from Envoy to the store's stages, with the configuration that the document shows.

use linkgate_tests::collector::{Collector, Span};
use linkgate_tests::gateway::{GatewayPlan, envoy_release};
use linkgate_tests::random;
use linkgate_tests::wait::{wait_until, wait_until_holds};

use crate::platform::{Platform, Proof, UPLOAD};
use crate::replies::WholeStack;

const DOCUMENT: &str = include_str!("../../docs/TRACING.md");
const MANAGER: &str = "                stat_prefix: gateway\n";
const CLUSTERS: &str = "\n  clusters:\n";
/// Stands in the document before what is for newer ones, at its end.
const NEWER: &str = "  # Envoy 1.36 does not know these.\n";

fn has_newer() -> bool {
    envoy_release() >= (1, 37)
}

/// A gateway that exports to this collector, as the document says.
pub fn plan(collector: &Collector) -> GatewayPlan {
    let blocks: Vec<_> = DOCUMENT.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [tracing, cluster] = blocks[..] else { panic!("the document has two parts of YAML") };
    let (for_all, _) = tracing.split_once(NEWER).unwrap();
    let tracing = if has_newer() { tracing } else { for_all };
    let endpoint = collector.endpoint();
    let (address, port) = endpoint.trim_start_matches("http://").split_once(':').unwrap();
    let indented = |text: &str, by: usize| {
        let text = text.replace("collector.example", address).replace("4318", port);
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect::<String>()
    };
    GatewayPlan::new()
        .editing(MANAGER, &format!("{MANAGER}{}", indented(tracing, 16)))
        .editing(CLUSTERS, &format!("{CLUSTERS}{}", indented(cluster, 4)))
}

/// The spans of a trace from the first to the one of this name, once all have come.
async fn way_to(collector: &Collector, name: &str) -> Vec<Span> {
    wait_until(async || {
        let spans = collector.spans();
        let by_id = |id: &str| spans.iter().find(|span| span.id == id).cloned();
        let last = spans.iter().find(|span| span.name == name).cloned();
        let mut way: Vec<_> = std::iter::successors(last, |span| by_id(&span.parent)).collect();
        way.reverse();
        if way.first().is_some_and(|first| first.parent.is_empty()) {
            return Ok(way);
        }
        Err(format!("no way to `{name}` among {spans:#?}"))
    })
    .await
}

#[tokio::test]
async fn one_trace_leads_from_envoy_to_the_stages_of_the_store() {
    let collector = Collector::start().await;
    let stack =
        WholeStack::planned(plan(&collector), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())], &[]).await;
    let reply = stack.send(stack.request(stack.source().url())).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let way = way_to(&collector, "copy").await;
    let services: Vec<_> = way.iter().map(|span| span.resource["service.name"].as_str()).collect();
    let [gateway, store] = ["linkgate-gateway", "linkgate-store"];
    assert_eq!(services, [gateway, gateway, store, store, store], "{way:#?}");
    assert!(way.iter().all(|span| span.trace == way[0].trace));
    assert_eq!(way[3].attributes["request.id"], reply.header("x-request-id").unwrap());
    if has_newer() {
        assert!(way[0].attributes["url.path"].ends_with(UPLOAD), "{:?}", way[0]);
    }
}

#[tokio::test]
async fn without_a_tracer_envoy_and_the_gate_pass_the_callers_trace_on() {
    let collector = Collector::start().await;
    let stack = WholeStack::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]).await;
    let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let request = stack.request(stack.source().url()).header("traceparent", &format!("00-{trace}-{caller}-01"));
    assert_eq!(stack.send(request).await.status, 200);
    let route = UPLOAD.replace("app_code", "{app_code}").replace("default", "{module}");
    let spans = collector.wait_for(&format!("POST {route}"), 1).await;
    assert_eq!((spans[0].trace.as_str(), spans[0].parent.as_str()), (trace, caller));
}

#[tokio::test]
async fn no_credential_is_in_what_envoy_exports() {
    let collector = Collector::start().await;
    let platform = Platform::planned(plan(&collector).workers(1), |_| ()).await;
    let mut secrets = Vec::new();
    // The gate asks services with these, some in the query.
    for proof in Proof::ALL {
        let caller = platform.caller(proof);
        platform.serve(&caller).await;
        secrets.extend(caller.secrets.clone());
    }
    let mut last = String::new();
    for path in [UPLOAD, "/nowhere/"] {
        secrets.push(random());
        let query = format!("{path}?bk_token={}", secrets.last().unwrap());
        let request = platform.stack.request(platform.stack.source().url()).path(query);
        last = platform.stack.send(request).await.header("x-request-id").unwrap().to_owned();
    }
    let bytes = || collector.exports().into_iter().flat_map(|export| export.body).collect::<Vec<u8>>();
    let has = |text: &str| bytes().windows(text.len()).any(|part| part == text.as_bytes());
    wait_until_holds("the last request", async || has(&last)).await;
    for secret in secrets {
        assert!(!has(&secret), "{secret} in {:#?}", collector.spans());
    }
}
