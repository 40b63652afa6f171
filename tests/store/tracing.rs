//! What a collector of traces is told, and what it is not. The tests have threads to spare, for collectors must answer while a
//! test waits for the end of a store.

use std::path::Path;
use std::time::{Duration, Instant};

use linkgate_tests::collector::{Collector, Span};
use linkgate_tests::wait::WITHIN;
use linkgate_tests::{Behaviour, FakeSource, StoreProcess, TokenMint, package_of_size, random};
use serde_json::Value;
use tokio::net::TcpListener;
use warp::http::StatusCode;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UPLOAD: &str = "POST /bkapps/applications/{app_code}/modules/{module}/source_package/link/";
const STAGES: [&str; 8] = ["queue", "open", "copy", "finish", "inspect", "lock", "commit", "record"];

/// A store that may read this source and exports to this endpoint, with its log for machines.
fn store(source: &FakeSource, dir: &Path, endpoint: &str, more: &[(&str, &str)]) -> StoreProcess {
    let ours = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("LINKGATE_LOG_FORMAT", "json")];
    StoreProcess::trusting(source, dir, &[&ours, more].concat())
}

fn one(collector: &Collector, name: &str) -> Span {
    let mut spans = collector.named(name);
    assert_eq!(spans.len(), 1, "`{name}` among {:#?}", collector.spans());
    spans.remove(0)
}

fn lines(log: Vec<String>) -> Vec<Value> {
    log.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one line that begins so.
fn line<'a>(log: &'a [Value], beginning: &str) -> &'a Value {
    let says = |line: &&Value| line["fields"]["message"].as_str().is_some_and(|text| text.starts_with(beginning));
    let mut found = log.iter().filter(says);
    let first = found.next().unwrap_or_else(|| panic!("`{beginning}` in {log:#?}"));
    assert_eq!(found.next(), None, "only one `{beginning}`");
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_from_the_caller_through_the_request_and_the_upload_to_its_stages() {
    let (source, collector) = (FakeSource::serving(package_of_size(100_000)).await, Collector::start().await);
    let dir = tempfile::tempdir().unwrap();
    let store = store(
        &source,
        dir.path(),
        &collector.endpoint(),
        &[
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc"),
        ],
    );
    let request = store.request(source.url()).header("traceparent", TRACEPARENT).header("x-request-id", "r-1");
    assert_eq!(request.send(store.base()).await.status, 200);
    assert_eq!(linkgate_tests::request::get(store.base(), "/healthz").await.status, 200);
    let log = lines(store.stop_and_read());

    let (request, upload) = (one(&collector, UPLOAD), one(&collector, "upload"));
    assert_eq!((request.trace.as_str(), request.parent.as_str(), request.kind), (TRACE, CALLER, 2));
    assert_eq!((upload.trace.as_str(), &upload.parent, upload.kind), (TRACE, &request.id, 1));
    for stage in STAGES {
        let span = one(&collector, stage);
        assert_eq!((span.trace.as_str(), &span.parent), (TRACE, &upload.id), "{stage}");
        assert!(upload.times.0 <= span.times.0 && span.times.0 <= span.times.1 && span.times.1 <= upload.times.1);
    }
    assert_eq!(collector.spans().len(), 2 + STAGES.len(), "probes are not traced");
    let path = "/bkapps/applications/app_code/modules/default/source_package/link/";
    for (name, want) in [
        ("http.request.method", "POST"),
        ("http.route", UPLOAD.trim_start_matches("POST ")),
        ("url.path", path),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(request.attributes.get(name).map(String::as_str), Some(want), "{name}");
    }
    for (name, want) in [
        ("request.id", "r-1"),
        ("app.code", "app_code"),
        ("module.name", "default"),
        ("package.url", &source.url()),
        ("package.size_bytes", "100000"),
        ("upload.result", "stored"),
    ] {
        assert_eq!(upload.attributes.get(name).map(String::as_str), Some(want), "{name}");
    }
    for (name, want) in [("service.name", "linkgate-store"), ("deployment.environment.name", "test")] {
        assert_eq!(upload.resource.get(name).map(String::as_str), Some(want), "{name}");
    }
    let headers = &collector.exports()[0].headers;
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["authorization"], "Basic abc");

    for beginning in ["Stored ", "Answered POST "] {
        let line = line(&log, beginning);
        assert_eq!((&line["fields"]["trace_id"], line.get("span"), line.get("spans")), (&TRACE.into(), None, None));
    }
    assert_eq!(line(&log, "Stored ")["fields"]["job.id"], upload.attributes["job.id"]);
    // What goes to strangers says nothing of us.
    for head in source.requests() {
        assert!(!head.to_lowercase().contains("traceparent") && !head.contains(TRACE), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_error_of_the_upload_and_not_of_the_server() {
    let (source, collector) = (FakeSource::start(Behaviour::Status(404)).await, Collector::start().await);
    let dir = tempfile::tempdir().unwrap();
    let store = store(&source, dir.path(), &collector.endpoint(), &[]);
    assert_eq!(store.request(source.url()).send(store.base()).await.status, 502);
    assert_eq!(store.request(source.url()).token(None).send(store.base()).await.status, 401);
    store.directory().assert_empty().await;
    store.stop();
    let upload = one(&collector, "upload");
    let attribute = |name: &str| upload.attributes.get(name).map(String::as_str);
    assert_eq!((upload.is_error, attribute("upload.result")), (true, attribute("error.type")));
    assert!(attribute("error.type").is_some() && attribute("package.size_bytes").is_none());
    let of_status = |status: &str| {
        let is = |span: &Span| span.attributes.get("http.response.status_code").is_some_and(|have| have == status);
        collector.named(UPLOAD).into_iter().find(is).unwrap()
    };
    let (bad_gateway, refused) = (of_status("502"), of_status("401"));
    assert_eq!((bad_gateway.is_error, bad_gateway.attributes["error.type"].as_str()), (true, "502"));
    assert_eq!((refused.is_error, refused.attributes.get("error.type")), (false, None));
    assert_ne!(bad_gateway.trace, refused.trace, "without a traceparent each request begins a trace");
    assert_eq!((bad_gateway.parent.as_str(), refused.parent.as_str()), ("", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_byte_that_is_exported() {
    let (source, collector) = (FakeSource::serving(package_of_size(1_000)).await, Collector::start().await);
    let dir = tempfile::tempdir().unwrap();
    let (password, mint) = (random(), TokenMint::new());
    let header = format!("authorization={password}");
    let keys = mint.setting();
    let store = store(
        &source,
        dir.path(),
        &collector.endpoint(),
        &[("OTEL_EXPORTER_OTLP_HEADERS", &header), ("LINKGATE_LOG", "trace"), ("LINKGATE_JWT_PUBLIC_KEYS", &keys)],
    );
    let (query, own_query, state, cookie, key) = (random(), random(), random(), random(), random());
    source.on(&format!("/gone?sign={query}"), Behaviour::Status(403));
    let token = mint.token();
    for (path, version, status) in [("/generic/a.tar", "1", 200), ("/gone", "2", 502)] {
        let link = format!("{}?sign={query}", source.url_of(path));
        let request =
            store.request(link).version(version).token(Some(token.clone())).header("traceparent", TRACEPARENT);
        let request = request.header("tracestate", &format!("vendor={state}")).header("cookie", &cookie);
        let request = request
            .header("idempotency-key", &format!("\"{key}{version}\""))
            .header("baggage", &format!("user={state}"));
        let path = "/bkapps/applications/app_code/modules/default/source_package/link/";
        let reply = request.path(format!("{path}?token={own_query}")).send(store.base()).await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    let strange = format!("/bkapps/?token={own_query}");
    assert_eq!(linkgate_tests::request::get(store.base(), &strange).await.status, 404);
    store.stop();
    assert_eq!(collector.named("upload").len(), 2);
    assert!(collector.spans().iter().all(|span| span.events == 0));
    let mut secrets = vec![query, own_query, state, cookie, key, password];
    secrets.extend(token.split('.').map(str::to_owned));
    let bytes: Vec<u8> = collector.exports().into_iter().flat_map(|export| export.body).collect();
    let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has(&source.url_of("/generic/a.tar")) && has(&source.url_of("/gone")), "the links without their queries");
    for secret in &secrets {
        assert!(!has(secret), "{secret} in {}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_joins_an_upload_points_at_it() {
    let (source, collector) =
        (FakeSource::start(Behaviour::Held(package_of_size(100_000))).await, Collector::start().await);
    let dir = tempfile::tempdir().unwrap();
    let store = store(&source, dir.path(), &collector.endpoint(), &[]);
    let request = || store.request(source.url()).header("idempotency-key", "\"k\"");
    let first = tokio::spawn(request().header("traceparent", TRACEPARENT).try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    // One by its key, one by what it asks for.
    for joining in [request(), store.request(source.url())] {
        assert_eq!(joining.header("prefer", "respond-async").send(store.base()).await.status, 202);
    }
    // What began it has not ended yet, and is no child of what is waited for.
    assert_eq!(collector.wait_for(UPLOAD, 2).await.len(), 2);
    assert!(collector.named("upload").is_empty());
    source.release();
    assert_eq!(first.await.unwrap().unwrap().status, 200);
    store.stop();
    let upload = one(&collector, "upload");
    assert_eq!(upload.trace, TRACE);
    let links = |is_first: bool| {
        let spans = collector.named(UPLOAD).into_iter().filter(move |span| (span.trace == TRACE) == is_first);
        spans.map(|span| span.links).collect::<Vec<_>>()
    };
    let to_it = vec![(upload.trace.clone(), upload.id.clone())];
    assert_eq!((links(true), links(false)), (vec![vec![]], vec![to_it.clone(), to_it]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_taken_up_again_begins_a_trace_of_its_own() {
    let (source, collector) =
        (FakeSource::start(Behaviour::Held(package_of_size(100_000))).await, Collector::start().await);
    let (dir, mint) = (tempfile::tempdir().unwrap(), TokenMint::new());
    let keys = mint.setting();
    let own_keys = [("LINKGATE_JWT_PUBLIC_KEYS", keys.as_str())];
    let mut before = StoreProcess::trusting(&source, dir.path(), &own_keys);
    let request = before.request(source.url()).token(Some(mint.token())).header("traceparent", TRACEPARENT);
    assert_eq!(request.header("prefer", "respond-async").send(before.base()).await.status, 202);
    source.wait_for_requests(1).await;
    before.kill_9();
    source.release();
    let after = store(&source, dir.path(), &collector.endpoint(), &own_keys);
    source.wait_for_requests(2).await;
    // Uploads that run may end before the store does.
    after.stop();
    let upload = one(&collector, "upload");
    assert_eq!((upload.parent.as_str(), upload.attributes["upload.result"].as_str()), ("", "stored"));
    assert_ne!(upload.trace, TRACE);
    assert_eq!(one(&collector, "copy").parent, upload.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_exported_unless_it_is_asked_for() {
    let (source, collector) = (FakeSource::serving(package_of_size(1_000)).await, Collector::start().await);
    let endpoint = collector.endpoint();
    let off: [&[(&str, &str)]; 3] = [
        &[("OTEL_SERVICE_NAME", "store"), ("OTEL_TRACES_SAMPLER", "always_on")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_SDK_DISABLED", "true")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_TRACES_EXPORTER", "none")],
    ];
    for settings in off {
        let dir = tempfile::tempdir().unwrap();
        let json = [("LINKGATE_LOG_FORMAT", "json")];
        let store = StoreProcess::trusting(&source, dir.path(), &[settings, &json].concat());
        let request = store.request(source.url()).header("traceparent", TRACEPARENT);
        assert_eq!(request.send(store.base()).await.status, 200);
        let log = lines(store.stop_and_read());
        assert_eq!(line(&log, "Answered POST ")["fields"].get("trace_id"), None, "{settings:?}");
    }
    assert!(collector.exports().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_ask_not_to_be_traced() {
    let (source, collector) = (FakeSource::serving(package_of_size(1_000)).await, Collector::start().await);
    let dir = tempfile::tempdir().unwrap();
    let store = store(&source, dir.path(), &collector.endpoint(), &[]);
    let request = store.request(source.url()).header("traceparent", TRACEPARENT.replace("-01", "-00").as_str());
    assert_eq!(request.send(store.base()).await.status, 200);
    let log = lines(store.stop_and_read());
    assert!(collector.exports().is_empty());
    // Others may have traced it.
    assert_eq!(line(&log, "Stored ")["fields"]["trace_id"], TRACE);
}

/// Who waited for an export would take a minute.
const NOT_WAITED_FOR: Duration = Duration::from_secs(50);

/// Links some packages, asks for as many strange paths, and ends the store; gives its log, and how long both took.
async fn while_lost(endpoint: &str, strange: usize) -> (Vec<Value>, Duration, Duration) {
    let source = FakeSource::serving(package_of_size(1_000)).await;
    let dir = tempfile::tempdir().unwrap();
    // Longer than any of this takes.
    let store = store(&source, dir.path(), endpoint, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")]);
    let begun = Instant::now();
    for version in 0..20 {
        let request = store.request(source.url()).version(&format!("0.0.{version}"));
        assert_eq!(request.send(store.base()).await.status, 200);
    }
    for _ in 0..strange {
        assert_eq!(linkgate_tests::request::get(store.base(), "/bkapps/").await.status, 404);
    }
    let (uploads, begun) = (begun.elapsed(), Instant::now());
    let log = lines(store.stop_and_read());
    (log, uploads, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_do_not_suffer_from_a_collector_that_is_not_there() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (log, _, ending) = while_lost(&endpoint, 0).await;
    let warning = line(&log, "Spans were not exported");
    let lost = warning["fields"]["traces.lost_spans"].as_u64().unwrap();
    // Of one export at least: where uploads take longer than that, the rest is lost later and told with the next warning.
    assert!(warning["level"] == "WARN" && (1..=200).contains(&lost), "{warning}");
    assert!(ending < NOT_WAITED_FOR, "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_up_neither_uploads_nor_the_end() {
    // Connections wait in the kernel's queue for somebody who never takes them.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    // More spans than the queue holds, beside the batch that is on its way.
    let (log, uploads, ending) = while_lost(&endpoint, 4_000).await;
    assert!(uploads < WITHIN && ending < NOT_WAITED_FOR, "{uploads:?}, {ending:?}");
    assert_eq!(line(&log, "The last spans were not exported")["level"], "WARN");
    assert_eq!(line(&log, "BatchSpanProcessor dropped a Span due to queue full")["level"], "WARN");
    let dropped = &line(&log, "Spans were dropped due to a queue being full")["fields"]["dropped_span_count"];
    assert!(dropped.as_u64().is_some_and(|count| count >= 4_200 - 2_048 - 2 * 512), "{dropped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_is_warned_of_once() {
    let collector = Collector::answering(StatusCode::UNAUTHORIZED).await;
    let (log, ..) = while_lost(&collector.endpoint(), 0).await;
    assert!(line(&log, "Spans were not exported")["fields"]["error"].as_str().unwrap().contains("401"));
    assert!(!collector.exports().is_empty());
}
