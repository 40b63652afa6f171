//! How much of Envoy strangers can hold: bodies over many HTTP/2 streams, and connections that say nothing. Whoever is known is
//! served meanwhile, and so are probes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::{ResponseFuture, SendRequest};
use linkgate_tests::gateway::{Gateway, GatewayPlan};
use linkgate_tests::http1::Message;
use linkgate_tests::request::get;
use linkgate_tests::wait::{WITHIN, wait_until_holds};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::platform::UPLOAD;
use crate::recorder::Recorder;
use crate::replies::{authorized, stranger};

const LINK: &str = "https://example.com/a.tgz";
/// Below the policy's limit.
const BODY: usize = 60_000;
/// What the shipped container has.
const SHIPPED_KIB: u64 = 512 << 10;

/// A gateway before a recorder, where `/body` takes credentials from the body and only bkauth could know an app that signs.
async fn start(plan: GatewayPlan, recorder: &Recorder) -> Gateway {
    let mut policy = plan.credentials().policy(&["example.com".to_owned()]);
    policy["identity"] = json!({"bkauth": {"cluster": "bkauth"}});
    policy["routes"]["stages"] =
        json!([{"name": "body", "prefixes": ["/body"], "authentication": {"credentials_from": ["header", "body"]}}]);
    plan.deploy(&policy);
    plan.start(recorder.address()).await
}

async fn assert_known_caller_is_served(gateway: &Gateway) {
    let reply = authorized(stranger(LINK), gateway.credentials()).send(gateway.base()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A stream whose body has begun and does not end, and how it is answered; and what has to live as long.
struct OpenStream {
    answer: ResponseFuture,
    _body: h2::SendStream<Bytes>,
}

/// Opens as many streams on a connection as Envoy admits, each with a body that does not end.
async fn open_streams(gateway: &Gateway, path: &str) -> (SendRequest<Bytes>, Vec<OpenStream>) {
    let presented = |n: usize| json!({"bk_app_code": format!("a{n}")}).to_string();
    let header = |n: usize| (!path.starts_with("/body")).then(|| presented(n));
    open_streams_of(gateway, path, header, BODY).await
}

/// The same of callers with these headers, who send so many bytes.
async fn open_streams_of(
    gateway: &Gateway,
    path: &str,
    header: impl Fn(usize) -> Option<String>,
    bytes: usize,
) -> (SendRequest<Bytes>, Vec<OpenStream>) {
    let socket = TcpStream::connect(gateway.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut streams = Vec::new();
    for n in 0..32 {
        let mut builder =
            http::Request::post(format!("{}{path}", gateway.base())).header("content-type", "application/json");
        if let Some(presented) = header(n) {
            builder = builder.header("x-bkapi-authorization", presented);
        }
        let (answer, mut body) = client.send_request(builder.body(()).unwrap(), false).unwrap();
        if bytes > 0 {
            body.reserve_capacity(bytes);
            // A stream that is refused already takes no more.
            let _refused = body.send_data(Bytes::from(vec![b' '; bytes]), false);
        }
        streams.push(OpenStream { answer, _body: body });
        client = client.ready().await.unwrap();
    }
    (client, streams)
}

/// The streams that Envoy holds without an answer, and the statuses and `retry-after` of the others; waits until no more are held
/// than that, or for as long as tests wait.
async fn sort(mut held: Vec<OpenStream>, at_most: usize) -> (Vec<OpenStream>, Vec<(u16, String)>) {
    let (mut refused, begun) = (Vec::new(), Instant::now());
    loop {
        let (silent, answered) = look_once(held).await;
        refused.extend(answered);
        if silent.len() <= at_most || begun.elapsed() > WITHIN {
            return (silent, refused);
        }
        held = silent;
    }
}

async fn look_once(streams: Vec<OpenStream>) -> (Vec<OpenStream>, Vec<(u16, String)>) {
    let (mut held, mut refused) = (Vec::new(), Vec::new());
    let look = |mut stream: OpenStream| async {
        match tokio::time::timeout(Duration::from_secs(3), &mut stream.answer).await {
            Ok(answer) => Err(answer.unwrap()),
            Err(_) => Ok(stream),
        }
    };
    for stream in join_all(streams.into_iter().map(look)).await {
        match stream {
            Ok(stream) => held.push(stream),
            Err(answer) => {
                let retry = answer.headers().get("retry-after").map(|text| text.to_str().unwrap().to_owned());
                refused.push((answer.status().as_u16(), retry.unwrap_or_default()));
            }
        }
    }
    (held, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_strangers_are_held_up_to_a_bound() {
    let recorder = Recorder::start().await;
    let gateway = start(GatewayPlan::new(), &recorder).await;
    assert_known_caller_is_served(&gateway).await;
    let before = gateway.resident_kib();
    let connections =
        join_all((0..40).map(|_| open_streams(&gateway, "/body/bkapps/applications/a/modules/b/source_package/link/")))
            .await;
    let (clients, streams): (Vec<_>, Vec<_>) = connections.into_iter().unzip();
    // 8 MiB of each worker.
    let most = 2 * (8 << 20) / BODY + 2;
    let (held, refused) = sort(streams.into_iter().flatten().collect(), most).await;
    let grown = gateway.resident_kib().saturating_sub(before);
    println!("{} held, {} refused, Envoy grew by {grown} KiB to {} KiB", held.len(), refused.len(), before + grown);
    assert!(held.len() <= most && !held.is_empty(), "{} are held", held.len());
    assert!(refused.iter().all(|answer| *answer == (429, "1".to_owned())), "{refused:?}");
    assert!(gateway.resident_kib() < SHIPPED_KIB, "Envoy has {} KiB", gateway.resident_kib());
    assert!(grown < 96 << 10, "Envoy grew by {grown} KiB");
    assert_known_caller_is_served(&gateway).await;
    assert_eq!(get(gateway.status(), "/readyz").await.status, 200);

    // Whoever goes away gives back what was held.
    drop((clients, held));
    wait_until_holds("the bodies that nobody sends any more are dropped", async || {
        let one = stranger(LINK).path(format!("/body{UPLOAD}")).send(gateway.base()).await;
        one.status == 400
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_caller_who_sends_nothing_of_its_bodies_is_held_up_to_a_bound() {
    /// Of one caller in a worker.
    const MOST: usize = 512;
    let recorder = Recorder::start().await;
    let gateway = start(GatewayPlan::new().workers(1), &recorder).await;
    let header = |_| Some(gateway.credentials().header());
    let path = format!("/stag{UPLOAD}");
    let connections = join_all((0..MOST / 32 + 2).map(|_| open_streams_of(&gateway, &path, header, 0))).await;
    let (_clients, streams): (Vec<_>, Vec<_>) = connections.into_iter().unzip();
    let (held, refused) = sort(streams.into_iter().flatten().collect(), MOST).await;
    assert!(held.len() <= MOST, "{} are held", held.len());
    assert!(refused.contains(&(429, "1".to_owned())), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_the_head_refuses_leaves_no_body_behind() {
    let recorder = Recorder::start().await;
    let plan = GatewayPlan::new();
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    let gateway = plan.start(recorder.address()).await;
    // Nobody could know the app's secrets.
    let path = format!("/stag{UPLOAD}?bk_signature=c2ln&bk_nonce=1&bk_timestamp=1");
    let (_client, streams) = open_streams(&gateway, &path).await;
    let (held, refused) = sort(streams, 0).await;
    assert!(held.is_empty() && refused.len() == 32, "{} are held", held.len());
    assert!(refused.iter().all(|(status, _)| *status == 400), "{refused:?}");
}

/// Whether Envoy has closed a connection on which nothing was sent.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut [0; 1])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

/// Asks over a connection for what is not there; `None` if it was closed.
async fn ask_over(stream: &mut BufReader<TcpStream>) -> Option<u16> {
    stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: gateway\r\n\r\n").await.ok()?;
    let message = tokio::time::timeout(WITHIN, Message::read(stream)).await.unwrap();
    message.ok().flatten().map(|reply| reply.status())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_at_the_bound_shut_nobody_out_for_long() {
    const MOST: usize = 200;
    let recorder = Recorder::start().await;
    let plan = GatewayPlan::new().wire("LINKGATE_GATEWAY_MAX_CONNECTIONS", &MOST.to_string());
    let gateway = start(plan, &recorder).await;
    let connect = async || TcpStream::connect(gateway.address()).await.unwrap();
    let mut kept = BufReader::new(connect().await);
    assert_eq!(ask_over(&mut kept).await, Some(404));

    let mut silent = Vec::new();
    for _ in 0..MOST + 50 {
        silent.push(connect().await);
    }
    gateway
        .wait_for_page("/stats?filter=downstream_global_cx_overflow", "the bound is met", |page| {
            page.lines().any(|line| !line.ends_with(": 0"))
        })
        .await;
    assert_eq!(ask_over(&mut kept).await, Some(404), "a connection that is there goes on");
    for _ in 0..5 {
        assert_eq!(get(gateway.status(), "/readyz").await.status, 200, "probes have a listener of their own");
    }
    wait_until_holds("a new caller is served", async || {
        ask_over(&mut BufReader::new(connect().await)).await == Some(404)
    })
    .await;
    wait_until_holds("the silent connections are closed", async || {
        for stream in &mut silent {
            if !is_closed(stream).await {
                return false;
            }
        }
        true
    })
    .await;
    assert_known_caller_is_served(&gateway).await;
}

#[tokio::test]
async fn the_listener_for_status_serves_metrics_and_readiness_alone() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let recorder = Recorder::start().await;
    let gateway = start(GatewayPlan::new().wire("LINKGATE_ADMIN_PORT", &free.to_string()), &recorder).await;
    assert_known_caller_is_served(&gateway).await;
    let page = get(gateway.status(), "/stats/prometheus").await;
    assert!(page.status == 200 && page.body.contains("envoy_server_live"), "{page:?}");
    assert_eq!(get(gateway.status(), "/readyz").await.status, 200);
    for other in [
        "/",
        "/stats",
        "/config_dump",
        "/stats/prometheus/",
        "/quitquitquit",
        "/certs",
        "/stats/prometheus/../../config_dump",
    ] {
        assert_eq!(get(gateway.status(), other).await.status, 404, "{other}");
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = client.post(format!("{}/stats/prometheus", gateway.status())).send().await.unwrap();
    assert_eq!(post.status(), 404);
}
