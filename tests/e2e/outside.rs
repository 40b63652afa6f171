//! What a filter that asks the identity services through Envoy gets to see, and what an ill service can do to it.

use std::time::Duration;

use linkgate_tests::gateway::{Gateway, GatewayPlan};
use linkgate_tests::identity::HUGE;
use linkgate_tests::request::get;
use linkgate_tests::{Identity, Question, Reply, Service, ServiceBehaviour};

use crate::probe::Probe;

/// How long the probe waits for a service.
const TIMEOUT_MS: u32 = 10_000;
/// What the probe answers in the place of a status: the call did not begin.
const NOT_BEGUN: u16 = 598;
/// What the probe answers in the place of a status: there is no answer, not even a head.
const NO_ANSWER: u16 = 599;

/// By this Envoy takes a reply for the gate's own, and leaves it as it is.
const OURS: [(&str, &str); 1] = [("bkapi-error-code", "probe")];

/// A header map as calls take it.
fn map(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut map = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
    for (name, value) in pairs {
        map.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
        map.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
    }
    for (name, value) in pairs {
        map.extend([name, "\0", value, "\0"].concat().bytes());
    }
    map
}

/// A filter that asks the cluster of `x-cluster` and answers with what it got.
fn asking_probe() -> Probe {
    let head = map(&[(":method", "GET"), (":path", "/login/api/v2/is_login/?bk_token=x"), (":authority", "identity")]);
    let mut probe = Probe::default()
        .import("http_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32")
        .import("get_header_map_value", "i32 i32 i32 i32 i32")
        .import("get_buffer_bytes", "i32 i32 i32 i32 i32")
        .import("set_effective_context", "i32")
        .import("send_local_response", "i32 i32 i32 i32 i32 i32 i32 i32");
    let (cluster, status) = (probe.bytes(b"x-cluster"), probe.bytes(b":status"));
    let (head, ours) = (probe.bytes(&head), probe.bytes(&map(&OURS)));
    // The host writes pointers and lengths to the first words of memory.
    let value = "(i32.load (i32.const 0)) (i32.load (i32.const 4))";
    let none = "(i32.const 0) (i32.const 0)";
    let answer = |status: &str, body: &str| {
        format!("(drop (call $send_local_response {status} {none} {body} {ours} (i32.const -1)))")
    };
    let digit = |at: u32, times: u32| {
        let read = format!("(i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.const {at})))");
        format!("(i32.mul (i32.sub {read} (i32.const 48)) (i32.const {times}))")
    };
    // The host answers to the filter as such, by the call's number: which request asked is kept in the second page.
    let slot =
        |token: &str| format!("(i32.add (i32.const 65536) (i32.shl (i32.and {token} (i32.const 1023)) (i32.const 2)))");
    let ask = format!(
        "(drop (call $get_header_map_value (i32.const 0) {cluster} (i32.const 0) (i32.const 4)))
         (if (call $http_call {value} {head} {none} {none} (i32.const {TIMEOUT_MS}) (i32.const 8))
           (then {})
           (else (i32.store {} (local.get 0))))
         (i32.const 1)",
        answer(&format!("(i32.const {NOT_BEGUN})"), none),
        slot("(i32.load (i32.const 8))")
    );
    let pass_on = format!(
        "(local $status i32)
         (drop (call $set_effective_context (i32.load {})))
         (if (i32.eqz (local.get 2)) (then {} return))
         (drop (call $get_header_map_value (i32.const 6) {status} (i32.const 0) (i32.const 4)))
         (local.set $status (i32.add (i32.add {} {}) {}))
         (i64.store (i32.const 0) (i64.const 0))
         (drop (call $get_buffer_bytes (i32.const 4) (i32.const 0) (local.get 3) (i32.const 0) (i32.const 4)))
         {}",
        slot("(local.get 1)"),
        answer(&format!("(i32.const {NO_ANSWER})"), none),
        digit(0, 100),
        digit(1, 10),
        digit(2, 1),
        answer("(local.get $status)", value)
    );
    probe
        .on("configure", "(param i32 i32) (result i32)", "(i32.const 1)")
        .on("request_headers", "(param i32 i32 i32) (result i32)", &ask)
        .on("http_call_response", "(param i32 i32 i32 i32 i32)", &pass_on)
}

async fn asking_gateway(plan: GatewayPlan, identity: &Identity) -> Gateway {
    let plan = plan.asking(identity);
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    let gateway = plan.start("127.0.0.1:9".parse().unwrap()).await;
    asking_probe().load(&gateway).await;
    gateway
}

/// What the filter sees when it asks this service.
async fn ask(gateway: &Gateway, service: Service) -> Reply {
    linkgate_tests::request::get_with(gateway.base(), "/", &[("x-cluster", service.cluster())]).await
}

#[tokio::test]
async fn the_answers_of_all_three_services_arrive() {
    let identity = Identity::start().await;
    let gateway = asking_gateway(GatewayPlan::new(), &identity).await;
    for (service, status) in [(Service::Bkauth, 404), (Service::Login, 200), (Service::Ticket, 200)] {
        let seen = ask(&gateway, service).await;
        assert_eq!(seen.status, status, "{seen:?}");
        let direct = get(&identity.base(service), "/login/api/v2/is_login/?bk_token=x").await;
        assert_eq!((direct.status, &direct.body), (seen.status, &seen.body));
    }
    assert_eq!(identity.count(Question::IsLogin), 2);
    assert_eq!(identity.asked()[0].header("host"), Some("identity"));
}

#[tokio::test]
async fn every_behaviour_of_a_service_looks_like_this_to_a_filter() {
    let identity = Identity::start().await;
    let gateway = asking_gateway(GatewayPlan::new(), &identity).await;
    let cases = [
        (ServiceBehaviour::Well, 200, "{\"bk_error_msg\""),
        (ServiceBehaviour::Slow(Duration::from_millis(100)), 200, "{\"bk_error_msg\""),
        (ServiceBehaviour::Html, 200, "<!DOCTYPE html>"),
        (ServiceBehaviour::Truncated, 200, "{\"bk_error_msg\""),
        (ServiceBehaviour::Status(500), 500, "{\"code\":500"),
        // What follows are Envoy's own answers in the place of the service's.
        (ServiceBehaviour::Down, 503, "upstream connect error or disconnect/reset before headers."),
        (ServiceBehaviour::Hangup, 503, "upstream connect error or disconnect/reset before headers."),
        (ServiceBehaviour::Slow(Duration::from_secs(60)), 504, "upstream request timeout"),
        // The head came, and then not all of the body: there is no answer at all.
        (ServiceBehaviour::CutShort, NO_ANSWER, ""),
        (ServiceBehaviour::Huge, NO_ANSWER, ""),
        (ServiceBehaviour::Well, 200, "{\"bk_error_msg\""),
    ];
    for (behaviour, status, body) in cases {
        identity.set(Service::Login, behaviour).await;
        let seen = ask(&gateway, Service::Login).await;
        assert!(seen.status == status && seen.body.starts_with(body), "{behaviour:?}: {seen:?}");
    }
    assert!(!gateway.log().contains("critical"), "{}", gateway.log());
}

#[tokio::test]
async fn without_the_limit_of_envoy_yaml_a_huge_answer_would_arrive_whole() {
    let identity = Identity::start().await;
    let plan = GatewayPlan::new().editing("http.async_response_buffer_limit: 65536", "linkgate.unused: 1");
    let gateway = asking_gateway(plan, &identity).await;
    identity.set(Service::Login, ServiceBehaviour::Huge).await;
    let seen = ask(&gateway, Service::Login).await;
    assert!(seen.status == 200 && seen.body.len() > HUGE, "{} {}", seen.status, seen.body.len());
}

#[tokio::test]
async fn questions_over_the_limit_of_a_cluster_do_not_begin() {
    let identity = Identity::start().await;
    let plan = GatewayPlan::new()
        .editing("max_connections: 64", "max_connections: 1")
        .editing("max_pending_requests: 256", "max_pending_requests: 1");
    let gateway = asking_gateway(plan, &identity).await;
    identity.set(Service::Login, ServiceBehaviour::Slow(Duration::from_millis(700))).await;
    let asked: Vec<_> = futures_util::future::join_all((0..12).map(|_| ask(&gateway, Service::Login))).await;
    let count = |status: u16| asked.iter().filter(|seen| seen.status == status).count();
    assert!(count(200) >= 1 && count(NOT_BEGUN) >= 1 && count(200) + count(NOT_BEGUN) == 12);
}

#[tokio::test]
async fn a_filter_reads_the_variables_that_are_listed_and_set() {
    let mut probe = Probe::default()
        .import_wasi("environ_sizes_get", "i32 i32")
        .import_wasi("environ_get", "i32 i32")
        .import("send_local_response", "i32 i32 i32 i32 i32 i32 i32 i32");
    let ours = probe.bytes(&map(&OURS));
    let tell = format!(
        "(drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
         (drop (call $environ_get (i32.const 8192) (i32.const 65536)))
         (drop (call $send_local_response (i32.const 200) (i32.const 0) (i32.const 0)
           (i32.const 65536) (i32.load (i32.const 4)) {ours} (i32.const -1)))
         (i32.const 1)"
    );
    let probe = probe.on("configure", "(param i32 i32) (result i32)", "(i32.const 1)").on(
        "request_headers",
        "(param i32 i32 i32) (result i32)",
        &tell,
    );
    // Not set: LINKGATE_BKAUTH_APP_SECRET. Not listed: LINKGATE_OTHER.
    let set =
        [("LINKGATE_BKAUTH_APP_CODE", "code"), ("LINKGATE_LOGIN_BEARER_TOKEN", "bearer"), ("LINKGATE_OTHER", "x")];
    let plan = set.iter().fold(GatewayPlan::new(), |plan, (name, value)| plan.env(name, value));
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    let gateway = plan.start("127.0.0.1:9".parse().unwrap()).await;
    probe.load(&gateway).await;
    let environment = get(gateway.base(), "/").await.body;
    let mut pairs: Vec<_> = environment.split_terminator('\0').filter(|pair| !pair.contains("PRIVATE_KEY")).collect();
    pairs.sort_unstable();
    assert_eq!(pairs, ["LINKGATE_BKAUTH_APP_CODE=code", "LINKGATE_LOGIN_BEARER_TOKEN=bearer"]);
}
