//! Bytes that are no text, where HTTP or its parsers admit them: what the SDK of the filter could not read never reaches it,
//! and what reaches it is read as bytes. And what a host's breach of the ABI comes to under a real Envoy.

use std::time::Duration;

use linkgate_tests::Identity;
use linkgate_tests::gateway::{Gateway, GatewayPlan, path_from};
use linkgate_tests::wait::wait_until;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::platform::CI;
use crate::recorder::Recorder;
use crate::replies::{WholeStack, assert_envelope, authorized, stranger};
use crate::rewired::failing_to_drop;

const LINK: &str = "https://example.com/a.tgz";
const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
/// Names that are no UTF-8, that are but no name of HTTP, and such with what ends a text or a line.
const NAMES: [&[u8]; 9] =
    [b"x-\xff", b"x-\xc3\x28", b"x-\xc3\xa9", b"\x80", b"x\x00y", b"x-\x7f", b"x y", b"x-\"", b"x-bkapi-jwt\xff"];
/// Values that are no UTF-8, or are and no ASCII.
const VALUES: [&[u8]; 3] = [b"\xff\xfe", b"\xc3\x28", b"\xc3\xa9"];

/// The gate has not trapped, and serves.
async fn assert_well(stack: &WholeStack, version: usize) {
    let good = stack.request(stack.source().url()).version(&version.to_string());
    assert_eq!(stack.send(good).await.status, 200);
    let log = stack.gateway().log();
    assert!(!log.contains("trapped") && !log.contains("[critical]"), "{log}");
}

/// All that comes back until the other side is quiet, closes, or has said `enough`.
async fn answer_to(stack: &WholeStack, request: &[u8], enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(stack.gateway().address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !enough(&answer) {
        match tokio::time::timeout(Duration::from_secs(5), stream.read_buf(&mut answer)).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
    }
    answer
}

#[tokio::test]
async fn over_http_1_names_of_raw_bytes_are_malformed_and_values_are_read() {
    let stack = WholeStack::new().await;
    let send = async |name: &[u8], value: &[u8]| {
        let head = format!("POST {PATH} HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n");
        let request = [head.as_bytes(), name, b": ", value, b"\r\n\r\n"].concat();
        let answer = answer_to(&stack, &request, |answer| answer.ends_with(b"}")).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    for (n, name) in NAMES.into_iter().enumerate() {
        let reply = send(name, b"1").await;
        assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("malformed HTTP request"), "{name:?}: {reply}");
        assert_well(&stack, n).await;
    }
    for (n, value) in VALUES.into_iter().enumerate() {
        for name in [&b"x-any"[..], b"user-agent", b"cookie", b"x-request-id"] {
            let reply = send(name, value).await;
            assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("app code cannot be empty"), "{reply}");
        }
        assert_well(&stack, NAMES.len() + n).await;
    }
}

/// Kinds of HTTP/2 frames.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

/// One HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The kinds and contents of the frames of an answer, as far as they are whole.
fn frames(mut answer: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = answer {
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        let Some(payload) = rest.get(..length) else { break };
        frames.push((*kind, payload));
        answer = &rest[length..];
    }
    frames
}

/// A request over HTTP/2 of these headers, each written out. (A client of ours would not send them.)
fn http_2(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a length of one byte");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text);
        }
    }
    // The end of the headers, and of the request.
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[]), &frame(HEADERS, 0x5, 1, &block)].concat()
}

#[tokio::test]
async fn over_http_2_names_of_raw_bytes_end_the_stream_and_values_are_read() {
    /// How the status 400 stands in a block of headers: it has a number of its own.
    const STATUS_400: u8 = 0x80 | 12;
    let stack = WholeStack::new().await;
    let head: [(&[u8], &[u8]); 4] =
        [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"gateway"), (b":path", PATH.as_bytes())];
    let send = async |name: &[u8], value: &[u8]| {
        let request = http_2(&[&head[..], &[(name, value)]].concat());
        let is_answer = |kind: u8| [HEADERS, RST_STREAM, GOAWAY].contains(&kind);
        answer_to(&stack, &request, |answer| frames(answer).iter().any(|(kind, _)| is_answer(*kind))).await
    };
    let names = NAMES.into_iter().chain([&b"X-Upper"[..]]);
    for (n, name) in names.enumerate() {
        let answer = send(name, b"1").await;
        let kinds: Vec<_> = frames(&answer).iter().map(|(kind, _)| *kind).collect();
        assert!(!kinds.contains(&HEADERS), "{name:?} was answered: {kinds:?}");
        assert_well(&stack, n).await;
    }
    for (n, value) in VALUES.into_iter().enumerate() {
        for name in [&b"x-any"[..], b"user-agent", b"cookie", b"x-bkapi-authorization"] {
            let answer = send(name, value).await;
            let frames = frames(&answer);
            let (_, block) = frames.iter().find(|(kind, _)| *kind == HEADERS).expect("an answer");
            assert_eq!(block[0], STATUS_400, "{name:?}: {value:?}");
        }
        assert_well(&stack, NAMES.len() + 1 + n).await;
    }
}

/// A service that answers every question with these bytes, before what its answer says.
async fn service_saying(line: &'static [u8]) -> std::net::SocketAddr {
    const YES: &str = r#"{"code":0,"message":"OK","data":{"is_match":true}}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _len = stream.read(&mut [0; 4096]).await.unwrap();
            let head = format!("\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{YES}", YES.len());
            let _gone = stream.write_all(&[b"HTTP/1.1 200 OK\r\n", line, head.as_bytes()].concat()).await;
        }
    });
    address
}

/// Status of a request whose app the service is asked about, and what the gate noted of it.
async fn ask_about_app(line: &'static [u8], recorder: &Recorder) -> (u16, Value, String) {
    let (identity, service) = (Identity::start().await, service_saying(line).await);
    let mut plan = GatewayPlan::new().asking(&identity).wire("LINKGATE_BKAUTH_PORT", &service.port().to_string());
    plan = plan.workers(1);
    let mut policy = plan.credentials().policy(&["example.com".to_owned()]);
    policy["identity"] = json!({"bkauth": {"cluster": "bkauth"}, "timeout_ms": 2_000});
    plan.deploy(&policy);
    let gateway = plan.start(recorder.address()).await;
    let presented = json!({"bk_app_code": CI, "bk_app_secret": "any", "bk_ticket": gateway.credentials().ticket});
    let reply = stranger(LINK).header("x-bkapi-authorization", &presented.to_string()).send(gateway.base()).await;
    let noted = gateway.access_line(&reply).await["gate"].take();
    // Whatever that was, the next one is served.
    assert_eq!(authorized(stranger(LINK), gateway.credentials()).send(gateway.base()).await.status, 200);
    (reply.status, noted, gateway.log())
}

#[tokio::test]
async fn an_answer_of_a_service_with_raw_bytes_in_a_name_is_none_and_in_a_value_is_one() {
    let recorder = Recorder::start().await;
    for line in [&b"x-\xff: 1"[..], b"x-\xc3\x28: 1", b"\x80: 1", b"x-\0: 1"] {
        let (status, noted, log) = ask_about_app(line, &recorder).await;
        assert_eq!((status, noted["rule"].as_str()), (500, Some("identity")), "{line:?}: {noted}");
        assert!(!log.contains("trapped"), "{log}");
    }
    for line in [&b"x-any: \xff\xfe"[..], b"set-cookie: \xc3\x28", b"server: \xc3\xa9"] {
        let (status, noted, log) = ask_about_app(line, &recorder).await;
        assert_eq!((status, noted["identity"].as_str()), (200, Some("fresh")), "{line:?}: {noted}");
        assert!(!log.contains("trapped"), "{log}");
    }
}

/// Sends a good request until it is served: after a trap, Envoy waits a moment before it makes a new VM.
async fn serve_again(gateway: &Gateway) {
    wait_until(async || {
        let reply = authorized(stranger(LINK), gateway.credentials()).send(gateway.base()).await;
        if reply.status == 200 { Ok(()) } else { Err(format!("no request is served again:\n{}", gateway.log())) }
    })
    .await;
}

#[tokio::test]
async fn a_host_that_breaks_the_abi_ends_the_vm_and_the_next_request_is_served_by_a_new_one() {
    let recorder = Recorder::start().await;
    let dir = tempfile::tempdir().unwrap();
    let filter = dir.path().join("failing.wasm");
    let built = std::fs::read(path_from("LINKGATE_WASM")).unwrap();
    std::fs::write(&filter, failing_to_drop(&built, "proxy-authorization")).unwrap();
    let plan = GatewayPlan::new().workers(1).wasm(filter);
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    let gateway = plan.start(recorder.address()).await;
    serve_again(&gateway).await;
    for _ in 0..2 {
        recorder.take();
        let breach = authorized(stranger(LINK), gateway.credentials()).header("proxy-authorization", "Basic czNjcmV0");
        let reply = breach.send(gateway.base()).await;
        assert_envelope(&reply, 503, 1_650_300, "SERVICE_UNAVAILABLE", "Service Unavailable");
        assert!(recorder.take().is_empty(), "it went on");
        serve_again(&gateway).await;
    }
    let log = gateway.log();
    assert!(log.contains("the gate trapped at ") && !log.contains("czNjcmV0"), "{log}");
}
