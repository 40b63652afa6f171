//! What Envoy answers by itself wears the gateway's envelope, and bytes that are no text harm nobody.

use std::net::SocketAddr;
use std::time::Duration;

use linkgate_tests::gateway::{Gateway, GatewayPlan};
use linkgate_tests::wait::WITHIN;
use linkgate_tests::{Behaviour, Reply, package_of_size, wait_until_holds};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::probe::Probe;
use crate::replies::{WholeStack, assert_envelope, authorized, stranger};

const LINK: &str = "https://example.com/a.tgz";

/// A gateway that admits the good caller, before an upstream.
async fn gateway_before(plan: GatewayPlan, upstream: SocketAddr) -> Gateway {
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    plan.start(upstream).await
}

async fn ask(gateway: &Gateway) -> Reply {
    authorized(stranger(LINK), gateway.credentials()).send(gateway.base()).await
}

/// Sends bytes as they are and gives the reply's status line and body.
pub async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"}") {
        let read = tokio::time::timeout(WITHIN, stream.read_buf(&mut reply)).await;
        if !matches!(read.expect("it answers or closes"), Ok(1..)) {
            break;
        }
    }
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test]
async fn bytes_that_are_no_text_get_a_refusal_and_the_next_request_is_served() {
    let stack = WholeStack::new().await;
    let path = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
    let head = format!("POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n");
    let with = |line: &[u8]| [head.as_bytes(), line, b"\r\n\r\n"].concat();
    let not_json = "request header X-Bkapi-Authorization is not a valid JSON";
    let cases = [
        (with(b"x-bkapi-authorization: \xff\xfe{\"a\":1}"), not_json),
        (with(b"x-bkapi-authorization: {\"bk_app_code\":\"\xc3\x28\"}"), not_json),
        (with(b"x-request-id: \xff\xff\r\naccept-language: \xff\r\ncontent-type: \xff"), "app code cannot be empty"),
        (with(b"x-\xff: 1"), "malformed HTTP request"),
        (with(b"x-nul: a\0b"), "malformed HTTP request"),
        (b"POST /stag/\xff\xfe HTTP/1.1\r\nhost: gateway\r\n\r\n".to_vec(), "malformed HTTP request"),
        (b"nonsense\r\n\r\n".to_vec(), "malformed HTTP request"),
        (with(b"content-length: 7"), "malformed HTTP request"),
        (format!("POST {path} HTTP/1.1\r\n\r\n").into_bytes(), "malformed HTTP request"),
    ];
    for (n, (request, reason)) in cases.into_iter().enumerate() {
        let reply = raw(stack.gateway().address(), &request).await;
        assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
        let message = json!(format!("Parameters error [reason=\"{reason}\"]"));
        let body = format!(
            r#"{{"code":1640001,"code_name":"INVALID_ARGS","message":{message},"result":false,"data":null,"detail":{message}}}"#
        );
        assert!(reply.ends_with(&body), "{reply}");
        for header in ["x-bkapi-error-code: 1640001", "x-bkapi-request-id: ", "x-request-id: "] {
            assert_eq!(reply.matches(&format!("\r\n{header}")).count(), 1, "{header} in {reply}");
        }
        let good = stack.request(stack.source().url()).version(&n.to_string());
        assert_eq!(stack.send(good).await.status, 200);
    }
    assert!(!stack.gateway().log().contains("trapped"), "{}", stack.gateway().log());
}

#[tokio::test]
async fn headers_of_a_megabyte_are_refused_by_envoy() {
    let stack = WholeStack::new().await;
    let huge = stranger(stack.source().url()).header("x-bkapi-authorization", &"a".repeat(1 << 20));
    // Envoy closes while the client still sends: the reply may be lost, but never the next request.
    if let Ok(reply) = huge.try_send(stack.gateway().base()).await {
        let message = "Parameters error [reason=\"request headers are too large\"]";
        assert_envelope(&reply, 431, 1_640_001, "INVALID_ARGS", message);
    }
    let head = format!("POST / HTTP/1.1\r\nhost: gateway\r\nx-a: {}\r\n\r\n", "a".repeat(70 << 10));
    let reply = raw(stack.gateway().address(), head.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 431 ") && reply.contains("request headers are too large"), "{reply}");
    stack.directory().assert_empty().await;
    assert_eq!(stack.send(stack.request(stack.source().url())).await.status, 200);
}

#[tokio::test]
async fn a_store_that_is_down_resets_or_talks_nonsense_is_a_bad_gateway() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let gateway = gateway_before(GatewayPlan::new(), address).await;
    assert_envelope(&ask(&gateway).await, 502, 1_650_200, "BAD_GATEWAY", "Bad Gateway");

    for answer in [&b""[..], b"nonsense\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = gateway_before(GatewayPlan::new(), listener.local_addr().unwrap()).await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Reads the request first, so that what follows is its answer.
                let _len = stream.read(&mut [0; 4096]).await.unwrap();
                stream.write_all(answer).await.unwrap();
            }
        });
        assert_envelope(&ask(&gateway).await, 502, 1_650_200, "BAD_GATEWAY", "Bad Gateway");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_in_time_is_a_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plan = GatewayPlan::new().editing("timeout: 630s", "timeout: 1s");
    let gateway = gateway_before(plan, silent.local_addr().unwrap()).await;
    let message = "Request backend service timeout";
    assert_envelope(&ask(&gateway).await, 504, 1_650_401, "REQUEST_BACKEND_TIMEOUT", message);
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let plan = GatewayPlan::new().editing("request_timeout: 640s", "request_timeout: 1s");
    let stack = WholeStack::planned(plan, &[], &[]).await;
    let head = format!(
        "POST /stag/bkapps/applications/app_code/modules/default/source_package/link/ HTTP/1.1\r\nhost: gateway\r\n\
         content-type: application/json\r\ncontent-length: 100\r\nx-bkapi-authorization: {}\r\n\r\n{{",
        stack.gateway().credentials().header()
    );
    let reply = raw(stack.gateway().address(), head.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
    assert!(reply.contains("the request was not received in time"), "{reply}");
    stack.directory().assert_empty().await;
}

#[tokio::test]
async fn an_upgrade_is_refused_in_the_envelope() {
    let stack = WholeStack::new().await;
    let head = "GET / HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let reply = raw(stack.gateway().address(), head.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 403 ") && reply.contains("unsupported HTTP request"), "{reply}");
}

#[tokio::test]
async fn a_filter_that_traps_lets_nothing_through() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway_before(GatewayPlan::new(), upstream.local_addr().unwrap()).await;
    let trapping = Probe::default().on("request_headers", "(param i32 i32 i32) (result i32)", "unreachable");
    trapping.load(&gateway).await;
    for _ in 0..3 {
        assert_envelope(&ask(&gateway).await, 503, 1_650_300, "SERVICE_UNAVAILABLE", "Service Unavailable");
    }
    let reached = tokio::time::timeout(Duration::from_millis(300), upstream.accept()).await;
    assert!(reached.is_err(), "the request reached the store");
}

#[tokio::test]
async fn without_a_configuration_nothing_passes() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plan = GatewayPlan::new().editing("initial_fetch_timeout: 15s", "initial_fetch_timeout: 1s");
    let mut broken = json!({"version_info": "1", "resources": []});
    plan.place(&broken);
    broken["version_info"] = "2".into();
    let gateway = plan.start(upstream.local_addr().unwrap()).await;
    assert_envelope(&ask(&gateway).await, 500, 1_650_001, "INTERNAL_SERVER_ERROR", "Internal Server Error");
    let reached = tokio::time::timeout(Duration::from_millis(300), upstream.accept()).await;
    assert!(reached.is_err(), "the request reached the store");
}

#[tokio::test]
async fn a_client_that_hangs_up_loses_nothing() {
    let stack = WholeStack::new().await;
    let url = stack.link_to("/held.tgz", Behaviour::Held(package_of_size(100_000)));
    let request = tokio::spawn(stack.request(url).try_send_owned(stack.gateway().base()));
    stack.source().wait_for_requests(1).await;
    request.abort();
    stack.source().release();
    wait_until_holds("recording the package", async || !stack.rows().await.is_empty()).await;
    assert_eq!(stack.stored_files().len(), 1);
}
