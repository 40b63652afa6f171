//! One caller at its bound, of each thing that a caller can make the store hold, and another who is served all the same.
//! docs/LIMITS.md lists them.

use std::time::Duration;

use futures_util::future::select_all;
use linkgate_store::config::Config;
use linkgate_tests::wait::wait_until;
use linkgate_tests::{
    Behaviour, Compression, FakeSource, LinkRequestBuilder, Reply, StoreProcess, TestStore, tar, trust,
};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::assert_problem;

/// The caller that takes all it can get, and the one that wants to be served.
const GREEDY: &str = "greedy";
const MODEST: &str = "modest";

/// A real one, as small as they come.
fn package() -> Vec<u8> {
    tar(&[("main.py", b"print()")], Compression::Gzip)
}

fn hurried(request: LinkRequestBuilder) -> LinkRequestBuilder {
    request.header("prefer", "respond-async").in_english()
}

fn assert_refused_for_now(reply: &Reply, code: &str, detail: &str) {
    assert_problem(reply, 429, None, &json!({"code": code, "detail": detail}));
    assert_eq!(reply.header("retry-after"), Some("5"));
}

fn assert_share_is_used_up(reply: &Reply, bound: usize) {
    let detail =
        format!("As many of your uploads wait as one caller may have ({bound}), try again when some have ended");
    assert_refused_for_now(reply, "TOO_MANY_UPLOADS", &detail);
}

#[tokio::test]
async fn accepted_uploads_fill_their_callers_share_of_the_queue_and_no_more() {
    let held = FakeSource::start(Behaviour::Held(package())).await;
    let store = TestStore::with(|config| {
        trust(config, &[&held]);
        (config.server.queue.per_app, config.server.queue.queued_per_app) = (2, 3);
    })
    .await;
    let by = |app: &str| store.mint().token_of(app);
    // For an application of its own each: it is the caller who counts.
    let ask = |app: &str, number: usize| {
        hurried(store.request(held.url())).module(&format!("target-{app}-{number}"), "m").token(Some(by(app)))
    };
    for number in 0..5 {
        assert_eq!(store.send(ask(GREEDY, number)).await.status, 202, "{number}");
    }
    assert_share_is_used_up(&store.send(ask(GREEDY, 5)).await, 3);
    // From the same host.
    let accepted = store.send(ask(MODEST, 0)).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    held.wait_for_requests(3).await;
    held.release();
    wait_until(async || match store.rows().await.len() {
        6 => Ok(()),
        rows => Err(format!("{rows} rows")),
    })
    .await;
    assert_eq!(store.send(ask(GREEDY, 5)).await.status, 202, "what has ended does not count");
    store.finish().await;
}

#[tokio::test]
async fn after_a_restart_accepted_uploads_still_count_for_their_caller() {
    let held = FakeSource::start(Behaviour::Held(package())).await;
    let data = tempfile::tempdir().unwrap();
    let share = [("LINKGATE_STORE_MAX_UPLOADS_PER_APP", "1"), ("LINKGATE_STORE_MAX_QUEUED_UPLOADS_PER_APP", "1")];
    let mut killed = StoreProcess::trusting(&held, data.path(), &share);
    let by = |app: &str| killed.mint().token_of(app);
    let ask = |app: &str, version: &str| hurried(killed.request(held.url())).version(version).token(Some(by(app)));
    let asked = ["1", "2", "3"].map(|version| ask(GREEDY, version));
    let other = ask(MODEST, "4");
    for request in &asked[..2] {
        assert_eq!(request.clone().send(killed.base()).await.status, 202);
    }
    assert_share_is_used_up(&asked[2].clone().send(killed.base()).await, 1);
    held.wait_for_requests(1).await;
    let keys = killed.mint().setting();
    killed.kill_9();
    let again =
        StoreProcess::trusting(&held, data.path(), &[&share[..], &[("LINKGATE_JWT_PUBLIC_KEYS", &keys)]].concat());
    held.wait_for_requests(2).await;
    assert_share_is_used_up(&asked[2].clone().send(again.base()).await, 1);
    assert_eq!(other.send(again.base()).await.status, 202);
    held.wait_for_requests(3).await;
    held.release();
    wait_until(async || match again.rows().await.len() {
        3 => Ok(()),
        rows => Err(format!("{rows} rows")),
    })
    .await;
}

/// A store and a source that sends half and then waits, with some bounds.
async fn holding(change: impl FnOnce(&mut Config)) -> (TestStore, FakeSource) {
    let held = FakeSource::start(Behaviour::Held(package())).await;
    let store = TestStore::with(|config| {
        trust(config, &[&held]);
        change(config);
    })
    .await;
    (store, held)
}

/// A request of this caller for an upload of this version, which waits for its end.
fn wait_for_version(store: &TestStore, source: &FakeSource, app: &str, version: &str) -> LinkRequestBuilder {
    store.request(source.url()).version(version).token(Some(store.mint().token_of(app))).in_english()
}

fn begin(store: &TestStore, request: &LinkRequestBuilder) -> JoinHandle<reqwest::Result<Reply>> {
    tokio::spawn(request.clone().try_send_owned(store.base()))
}

/// A request about the job that a 202 named.
fn about(store: &TestStore, accepted: &Reply, app: &str) -> LinkRequestBuilder {
    let place = accepted.header("location").expect("a 202 says where");
    let base = "/bkapps/applications/app_code/modules/default/source_package/link/";
    let request = LinkRequestBuilder::new("", store.mint()).method(Method::GET).path(format!("{base}{place}"));
    request.raw_body("").content_type(None).token(Some(store.mint().token_of(app))).in_english()
}

/// Opens an event stream and reads its first event; it stays open as long as the reply is held.
async fn watch(store: &TestStore, request: &LinkRequestBuilder) -> reqwest::Response {
    let mut reply = request.clone().header("accept", "text/event-stream").open(store.base()).await;
    if reply.status() == 200 {
        assert!(reply.chunk().await.unwrap().is_some());
    }
    reply
}

#[tokio::test]
async fn whoever_waits_for_one_upload_is_counted_and_nobody_else_is_held_up() {
    let (store, held) = holding(|config| config.server.waiters.per_upload = 2).await;
    let ask = |app: &str| wait_for_version(&store, &held, app, "1");
    // Whichever comes last is the only one that is answered now.
    let (over, _, waiting) = select_all([(); 3].map(|()| begin(&store, &ask(GREEDY)))).await;
    let over = over.unwrap().unwrap();
    let hurried_one = store.send(hurried(ask(GREEDY))).await;
    assert_eq!(hurried_one.status, 202, "who does not wait needs no seat: {}", hurried_one.body);
    let detail = "As many requests wait for this upload as may (2), try again in a moment";
    assert_refused_for_now(&over, "TOO_MANY_REQUESTS", detail);
    let own = begin(&store, &wait_for_version(&store, &held, MODEST, "2"));
    held.wait_for_requests(2).await;
    held.release();
    for waiting in waiting.into_iter().chain([own]) {
        assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    }
    store.finish().await;
}

#[tokio::test]
async fn one_callers_waiting_requests_leave_seats_to_others_and_jobs_are_told_of_all_the_same() {
    let (store, held) = holding(|config| {
        config.server.waiters.by_caller.per_owner = 2;
        config.server.waiters.by_caller.in_sum = 3;
    })
    .await;
    let accepted = store.send(hurried(wait_for_version(&store, &held, MODEST, "0"))).await;
    assert_eq!(accepted.status, 202);
    let ask = |app: &str, version: &str| wait_for_version(&store, &held, app, version);
    let mut waiting = vec![begin(&store, &ask(GREEDY, "1")), begin(&store, &ask(GREEDY, "2"))];
    held.wait_for_requests(3).await;
    let detail = "As many of your requests wait for uploads as one caller may have (2), try again when some have ended";
    assert_refused_for_now(&store.send(ask(GREEDY, "3")).await, "TOO_MANY_REQUESTS", detail);
    waiting.push(begin(&store, &ask(MODEST, "4")));
    held.wait_for_requests(4).await;
    let everybody = "Too many requests are waiting, try again in a moment";
    assert_refused_for_now(&store.send(ask("another", "5")).await, "TOO_MANY_REQUESTS", everybody);
    assert_eq!(store.send(about(&store, &accepted, MODEST)).await.json()["state"], "fetching");
    assert_eq!(store.get("/readyz").await.status, 200);
    // Whoever hangs up gives the seat back, though the upload goes on.
    waiting.remove(0).abort();
    wait_until(async || {
        let reply = store.send(hurried(ask(GREEDY, "6"))).await;
        if reply.status == 202 { Ok(()) } else { Err(reply.body) }
    })
    .await;
    held.release();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    }
    store.finish().await;
}

#[tokio::test]
async fn event_streams_are_bounded_and_whoever_asks_without_them_is_answered() {
    let (store, held) = holding(|config| {
        let watchers = &mut config.server.watchers;
        (watchers.by_caller.per_owner, watchers.by_caller.in_sum, watchers.per_upload) = (3, 4, 2);
    })
    .await;
    let begun = async |app: &str, version: &str| {
        let reply = store.send(hurried(wait_for_version(&store, &held, app, version))).await;
        assert_eq!(reply.status, 202);
        reply
    };
    let jobs = [begun(GREEDY, "1").await, begun(GREEDY, "2").await, begun(MODEST, "3").await];
    held.wait_for_requests(3).await;
    let of_greedy = |job: &Reply| about(&store, job, GREEDY);
    let mut open = vec![watch(&store, &of_greedy(&jobs[0])).await, watch(&store, &of_greedy(&jobs[0])).await];
    let third = store.send(of_greedy(&jobs[0]).header("accept", "text/event-stream")).await;
    let detail = "As many event streams of this upload are open as may be (2), ask for it without events";
    assert_refused_for_now(&third, "TOO_MANY_REQUESTS", detail);
    open.push(watch(&store, &of_greedy(&jobs[1])).await);
    let fourth = store.send(of_greedy(&jobs[1]).header("accept", "text/event-stream")).await;
    let detail = "As many of your event streams are open as one caller may have (3), close some first";
    assert_refused_for_now(&fourth, "TOO_MANY_REQUESTS", detail);
    assert_eq!(store.send(of_greedy(&jobs[1])).await.json()["state"], "fetching", "asked for without events");
    let own = about(&store, &jobs[2], MODEST);
    open.push(watch(&store, &own).await);
    assert!(open.iter().all(|stream| stream.status() == 200));
    let fifth = store.send(about(&store, &jobs[2], "another").header("accept", "text/event-stream")).await;
    assert_refused_for_now(&fifth, "TOO_MANY_REQUESTS", "Too many requests are waiting, try again in a moment");
    assert_eq!(store.send(own.clone()).await.json()["state"], "fetching");
    // A stream that is closed gives its seat back.
    open.clear();
    wait_until(async || {
        let stream = watch(&store, &of_greedy(&jobs[1])).await;
        if stream.status() == 200 { Ok(()) } else { Err(stream.status().to_string()) }
    })
    .await;
    held.release();
    store.finish().await;
}

#[tokio::test]
async fn bodies_in_memory_are_bounded_for_each_caller() {
    // Sixteen of the largest size for one caller.
    let store = TestStore::with(|config| {
        config.server.max_body_bytes = 1_000;
        config.server.header_timeout = Duration::from_secs(3_600);
    })
    .await;
    let by = |app: &str| store.mint().token_of(app);
    let head = |app: &str| {
        format!(
            "POST /bkapps/applications/a/modules/m/source_package/link/ HTTP/1.1\r\nhost: x\r\nblueking-language: en\r\n\
             x-bkapi-jwt: {}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{}",
            by(app),
            " ".repeat(999)
        )
    };
    let address = store.base().trim_start_matches("http://").to_owned();
    let send = async |app: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(head(app).as_bytes()).await.unwrap();
        stream
    };
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(send(GREEDY).await);
    }
    let over = wait_until(async || {
        let reply = store.send(store.request("").raw_body(" ".repeat(999)).token(Some(by(GREEDY))).in_english()).await;
        if reply.status == 429 { Ok(reply) } else { Err(format!("{}: {}", reply.status, reply.body)) }
    })
    .await;
    assert_refused_for_now(&over, "TOO_MANY_REQUESTS", "Too many requests are waiting, try again in a moment");
    let other = store.send(store.request("").raw_body(" ".repeat(999)).token(Some(by(MODEST)))).await;
    assert_eq!(other.status, 400, "it was read: {}", other.body);
    drop(held);
    store.finish().await;
}

#[tokio::test]
async fn failed_uploads_are_remembered_up_to_a_number_for_each_caller() {
    let source = FakeSource::start(Behaviour::Status(404)).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        (config.server.queue.ended.per_owner, config.server.queue.ended.in_sum) = (2, 3);
    })
    .await;
    let fail = async |app: &str, version: &str| {
        let accepted = store.send(hurried(wait_for_version(&store, &source, app, version))).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        let job = about(&store, &accepted, app);
        wait_until(async || {
            let document = store.send(job.clone()).await.json();
            if document["state"] == "failed" { Ok(()) } else { Err(document.to_string()) }
        })
        .await;
        job
    };
    let own = fail(MODEST, "1").await;
    let of_greedy = [fail(GREEDY, "1").await, fail(GREEDY, "2").await, fail(GREEDY, "3").await];
    assert_eq!(store.directory().jobs().await.len(), 3);
    assert_eq!(store.send(of_greedy[0].clone()).await.status, 404, "the oldest of those who have too many");
    for job in [&of_greedy[1], &of_greedy[2], &own] {
        assert_eq!(store.send(job.clone()).await.json()["state"], "failed");
    }
    store.finish().await;
}

fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[tokio::test]
async fn whoever_opens_connections_and_says_nothing_shuts_nobody_out() {
    let source = FakeSource::serving(package()).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        // So that none is closed for its silence.
        config.server.header_timeout = Duration::from_secs(3_600);
    })
    .await;
    let address = store.base().trim_start_matches("http://").to_owned();
    let mut silent = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(b"G").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(store.get("/readyz").await.status, 200);
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    // Once they are older than a moment, and somebody comes, no more than 64 of one address stay.
    wait_until(async || {
        assert_eq!(store.get("/readyz").await.status, 200);
        match silent[..200].iter().filter(|stream| !is_closed(stream)).count() {
            0 => Ok(()),
            open => Err(format!("{open} of the first are open")),
        }
    })
    .await;
    drop(silent);
    store.finish().await;
}

#[tokio::test]
async fn probes_and_strangers_leave_no_lines_in_the_log() {
    let data = tempfile::tempdir().unwrap();
    let store = StoreProcess::start(data.path(), &[]);
    for path in ["/healthz", "/readyz", "/metrics", "/nowhere"] {
        store.get(path).await;
    }
    assert_eq!(store.request("").token(None).send(store.base()).await.status, 401);
    assert_eq!(store.request("").send(store.base()).await.status, 400);
    let lines = store.stop_and_read();
    let answered: Vec<_> = lines.iter().filter(|line| line.contains("Answered ")).collect();
    assert!(answered.len() == 1 && answered[0].contains("with 400"), "{answered:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains("Refused a token")).count(), 1);
}
