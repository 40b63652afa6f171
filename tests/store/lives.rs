//! Accepted uploads whose store ends while it works on them: each of those is a life of the upload, and it has only so many.

use std::path::Path;
use std::time::Duration;

use linkgate_tests::wait::{wait_until, wait_until_holds};
use linkgate_tests::{Behaviour, Compression, FakeSource, LinkRequestBuilder, Reply, StoreProcess, tar};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

/// A real one, as small as they come.
fn package() -> Vec<u8> {
    tar(&[("main.py", b"print()")], Compression::Gzip)
}

fn hurried(request: LinkRequestBuilder) -> LinkRequestBuilder {
    request.header("prefer", "respond-async")
}

/// The next store on the same data, which believes the tokens of the first.
fn next_store(first: &StoreProcess, source: &FakeSource, data: &Path, settings: &[(&str, &str)]) -> StoreProcess {
    let keys = first.mint().setting();
    StoreProcess::trusting(source, data, &[settings, &[("LINKGATE_JWT_PUBLIC_KEYS", &keys)]].concat())
}

/// What the store says of the job that a 202 named.
async fn state(first: &StoreProcess, store: &StoreProcess, accepted: &Reply) -> Value {
    let place = accepted.header("location").expect("a 202 says where");
    let base = "/bkapps/applications/app_code/modules/default/source_package/link/";
    let request = LinkRequestBuilder::new("", first.mint()).method(Method::GET).path(format!("{base}{place}"));
    request.raw_body("").content_type(None).in_english().send(store.base()).await.json()
}

async fn ended(first: &StoreProcess, store: &StoreProcess, accepted: &Reply) -> Value {
    wait_until(async || match state(first, store, accepted).await {
        document if document["ended"] == Value::Null => Err(format!("it did not end: {document}")),
        document => Ok(document),
    })
    .await
}

#[tokio::test]
async fn an_upload_during_which_the_store_dies_three_times_is_given_up_with_the_reason() {
    let held = FakeSource::start(Behaviour::Held(package())).await;
    let data = tempfile::tempdir().unwrap();
    let mut first = StoreProcess::trusting(&held, data.path(), &[]);
    let accepted = hurried(first.request(held.url())).send(first.base()).await;
    assert_eq!(accepted.status, 202);
    held.wait_for_requests(1).await;
    first.kill_9();
    for requests in [2, 3] {
        let mut next = next_store(&first, &held, data.path(), &[]);
        held.wait_for_requests(requests).await;
        next.kill_9();
    }
    let last = next_store(&first, &held, data.path(), &[]);
    let failed = ended(&first, &last, &accepted).await;
    let detail = "The service ended or failed 3 times while it worked on the upload, and gave it up";
    assert_eq!(
        (&failed["state"], &failed["error"]),
        (&json!("failed"), &json!({"code": "UPLOAD_ABANDONED", "detail": detail})),
        "{failed}"
    );
    assert_eq!(held.requests().len(), 3, "nothing was begun any more");
    last.directory().assert_empty().await;
    // Who asks for it again means to.
    held.release();
    assert_eq!(first.request(held.url()).send(last.base()).await.status, 200);
    let log = last.stop_and_read();
    assert!(log.iter().any(|line| line.contains("ended or failed 3 times while it worked on it")), "{log:#?}");
}

/// All leases of its own have run out then, and it is about to claim again what it works on.
#[tokio::test]
async fn uploads_of_a_store_that_stood_still_go_on_when_it_does() {
    const LEASE: Duration = Duration::from_secs(3);
    let held = FakeSource::start(Behaviour::Held(package())).await;
    let data = tempfile::tempdir().unwrap();
    let lease = LEASE.as_secs().to_string();
    let settings = [("LINKGATE_STORE_JOB_LEASE_S", lease.as_str()), ("LINKGATE_STORE_MAX_UPLOADS_PER_HOST", "8")];
    let store = StoreProcess::trusting(&held, data.path(), &settings);
    let mut uploads = Vec::new();
    for number in 0..8 {
        let accepted = hurried(store.request(held.url()).version(&number.to_string())).send(store.base()).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        uploads.push(accepted);
    }
    held.wait_for_requests(uploads.len()).await;
    store.pause();
    sleep(LEASE + Duration::from_secs(1)).await;
    store.go_on();
    // Until it has shown two signs of life.
    sleep(LEASE / 2).await;
    held.release();
    for upload in &uploads {
        let document = ended(&store, &store, upload).await;
        assert_eq!(document["state"], "done", "{document}");
    }
    assert_eq!(held.requests().len(), uploads.len(), "none was begun again");
    store.stop();
}

#[tokio::test]
async fn a_store_that_is_stopped_in_good_order_costs_no_life() {
    let held = FakeSource::start(Behaviour::Held(package())).await;
    let data = tempfile::tempdir().unwrap();
    let hasty = [("LINKGATE_STORE_SHUTDOWN_GRACE_S", "0"), ("LINKGATE_STORE_MAX_UPLOAD_LIVES", "1")];
    let mut first = StoreProcess::trusting(&held, data.path(), &hasty);
    let accepted = hurried(first.request(held.url())).send(first.base()).await;
    assert_eq!(accepted.status, 202);
    held.wait_for_requests(1).await;
    first.shut_down();
    for requests in [2, 3] {
        let next = next_store(&first, &held, data.path(), &hasty);
        held.wait_for_requests(requests).await;
        next.stop();
    }
    held.release();
    let last = next_store(&first, &held, data.path(), &hasty);
    assert_eq!(ended(&first, &last, &accepted).await["state"], "done");
}

#[tokio::test]
async fn uploads_that_only_waited_when_the_store_died_lost_no_life() {
    let held = FakeSource::start(Behaviour::Held(package())).await;
    let data = tempfile::tempdir().unwrap();
    let one = [("LINKGATE_STORE_MAX_UPLOADS", "1"), ("LINKGATE_STORE_MAX_UPLOAD_LIVES", "1")];
    let mut first = StoreProcess::trusting(&held, data.path(), &one);
    let runs = hurried(first.request(held.url())).send(first.base()).await;
    held.wait_for_requests(1).await;
    let waits = hurried(first.request(held.url()).version("2")).send(first.base()).await;
    assert_eq!((runs.status, waits.status), (202, 202));
    first.kill_9();
    held.release();
    let last = next_store(&first, &held, data.path(), &one);
    assert_eq!(ended(&first, &last, &runs).await["error"]["code"], "UPLOAD_ABANDONED");
    assert_eq!(ended(&first, &last, &waits).await["state"], "done");
}

#[tokio::test]
async fn uploads_that_are_taken_up_again_begin_a_few_at_a_time() {
    let held = FakeSource::start(Behaviour::Held(package())).await;
    let data = tempfile::tempdir().unwrap();
    let mut first = StoreProcess::trusting(&held, data.path(), &[]);
    for number in 0..12 {
        let request = hurried(first.request(held.url()).version(&number.to_string()));
        assert_eq!(request.send(first.base()).await.status, 202);
    }
    held.wait_for_requests(12).await;
    first.kill_9();
    let next = next_store(&first, &held, data.path(), &[]);
    wait_until_holds("eight that wait", async || {
        next.get("/metrics").await.body.contains("linkgate_store_uploads_waiting 8\n")
    })
    .await;
    held.wait_for_requests(16).await;
    assert_eq!(held.requests().len(), 16);
    // Whoever comes now is not held up by them.
    let new = hurried(first.request(held.url()).version("new")).send(next.base()).await;
    assert_eq!(new.status, 202);
    held.wait_for_requests(17).await;
    held.release();
    wait_until_holds("thirteen packages", async || next.rows().await.len() == 13).await;
}
