//! Uploads that nobody waits for: asked for, watched, cancelled, and taken up again after whatever happened.

use std::path::Path;
use std::time::Duration;

use linkgate_tests::token::good_claims;
use linkgate_tests::wait::wait_until;
use linkgate_tests::{
    Behaviour, FakeSource, LinkRequestBuilder, Reply, StoreProcess, TestStore, TokenMint, package_of, package_of_size,
    redacted, sha256_hex, trust,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::assert_problem;

/// Asks not to be waited for.
fn hurried(request: LinkRequestBuilder) -> LinkRequestBuilder {
    request.header("prefer", "respond-async").in_english()
}

/// A request about the upload that a 202 named.
fn about(accepted: &Reply, mint: &TokenMint) -> LinkRequestBuilder {
    place(accepted, mint).in_english()
}

fn place(accepted: &Reply, mint: &TokenMint) -> LinkRequestBuilder {
    let place = accepted.header("location").expect("a 202 says where");
    let base = "/bkapps/applications/app_code/modules/default/source_package/link/";
    LinkRequestBuilder::new("", mint).method(Method::GET).path(format!("{base}{place}")).raw_body("").content_type(None)
}

async fn state(base: &str, accepted: &Reply, mint: &TokenMint) -> Value {
    let reply = about(accepted, mint).send(base).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// Asks until it has ended.
async fn ended(base: &str, accepted: &Reply, mint: &TokenMint) -> Value {
    wait_until(async || {
        let document = state(base, accepted, mint).await;
        if document["ended"] == Value::Null { Err(format!("it did not end: {document}")) } else { Ok(document) }
    })
    .await
}

#[tokio::test]
async fn an_upload_that_is_not_waited_for_is_told_of_until_it_is_done() {
    let package = package_of_size(300_000);
    let source = FakeSource::start(Behaviour::Held(package.clone())).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(hurried(store.request(source.url()))).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    assert_eq!(reply.header("preference-applied"), Some("respond-async"));
    let document = reply.json();
    let id = document["job_id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("{id}/").as_str()));
    source.wait_for_requests(1).await;
    let now = wait_until(async || {
        let now = state(store.base(), &reply, store.mint()).await;
        if now["received_bytes"] == json!(150_000) { Ok(now) } else { Err(format!("half has not come: {now}")) }
    })
    .await;
    insta::assert_json_snapshot!(redacted(now, &["/job_id", "/created", "/started"]), @r#"
    {
      "attempts": 1,
      "created": "…",
      "ended": null,
      "job_id": "…",
      "received_bytes": 150000,
      "started": "…",
      "state": "fetching",
      "total_bytes": 300000
    }
    "#);
    source.release();
    let done = ended(store.base(), &reply, store.mint()).await;
    assert_eq!(done["package"]["sha256_signature"], sha256_hex(&package));
    assert_eq!(done["package"]["id"], store.rows().await[0].id);
    let varies = ["/job_id", "/created", "/started", "/ended", "/package/created", "/package/updated"];
    insta::assert_json_snapshot!(redacted(done, &[&varies[..], &["/package/sha256_signature"]].concat()), @r#"
    {
      "attempts": 1,
      "created": "…",
      "ended": "…",
      "job_id": "…",
      "package": {
        "created": "…",
        "id": 1,
        "is_deleted": false,
        "operator": "admin",
        "package_name": "example:0.0.5",
        "package_size": "300000",
        "sha256_signature": "…",
        "updated": "…",
        "version": "0.0.5"
      },
      "received_bytes": 300000,
      "started": "…",
      "state": "done",
      "total_bytes": 300000
    }
    "#);
    store.finish().await;
}

#[tokio::test]
async fn what_can_be_refused_at_once_is() {
    let source = FakeSource::serving(package_of_size(200)).await;
    let store = TestStore::trusting(&source).await;
    assert_eq!(store.send(store.request(source.url())).await.status, 200);
    let reply = store.send(hurried(store.request(source.url()))).await;
    let body = json!({"code": "PACKAGE_ALREADY_EXISTS", "detail": "The source package already exists"});
    assert_problem(&reply, 400, Some("4312009"), &body);
    assert_eq!(reply.header("location"), None);
}

#[tokio::test]
async fn an_upload_that_fails_tells_why_in_the_callers_language() {
    let source = FakeSource::start(Behaviour::Status(404)).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(hurried(store.request(source.url()))).await;
    assert_eq!(reply.status, 202);
    let failed = ended(store.base(), &reply, store.mint()).await;
    let error =
        json!({"code": "SOURCE_UNREACHABLE", "detail": "The package_url could not be read: the source answered 404"});
    assert_eq!((&failed["state"], &failed["error"], &failed["package"]), (&json!("failed"), &error, &Value::Null));
    let chinese = place(&reply, store.mint()).send(store.base()).await;
    assert_eq!(chinese.json()["error"]["detail"], "无法读取源码包下载地址：源站返回 404");
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn an_upload_is_cancelled_and_nothing_is_left() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(300_000))).await;
    let store = TestStore::trusting(&source).await;
    let waiting = tokio::spawn(store.request(source.url()).in_english().try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    let reply = store.send(hurried(store.request(source.url()))).await;
    assert_eq!((reply.status, source.requests().len()), (202, 1), "it joined");
    let cancelled = about(&reply, store.mint()).method(Method::DELETE).send(store.base()).await;
    let error = json!({"code": "UPLOAD_CANCELLED", "detail": "The upload was cancelled"});
    assert_eq!((&cancelled.json()["state"], &cancelled.json()["error"]), (&json!("cancelled"), &error));
    assert_problem(&waiting.await.unwrap().unwrap(), 409, None, &error);
    assert_eq!(state(store.base(), &reply, store.mint()).await["state"], "cancelled");
    let again = about(&reply, store.mint()).method(Method::DELETE).send(store.base()).await;
    assert_eq!((again.status, &again.json()["state"]), (200, &json!("cancelled")));
    store.directory().assert_empty().await;
}

#[tokio::test]
async fn a_done_upload_cannot_be_cancelled_any_more() {
    let source = FakeSource::serving(package_of_size(200)).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(hurried(store.request(source.url()))).await;
    assert_eq!(ended(store.base(), &reply, store.mint()).await["state"], "done");
    let late = about(&reply, store.mint()).method(Method::DELETE).send(store.base()).await;
    assert_eq!((late.status, &late.json()["state"]), (200, &json!("done")));
    assert_eq!(store.rows().await.len(), 1);
}

#[tokio::test]
async fn progress_comes_as_events_until_the_end() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(300_000))).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(hurried(store.request(source.url()))).await;
    let events = about(&reply, store.mint()).header("accept", "text/event-stream");
    let mut events = events.open(store.base()).await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut heard = String::from_utf8(events.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(heard.contains("data:") && !heard.contains("event:done"), "{heard}");
    source.release();
    heard += &events.text().await.unwrap();
    let blocks: Vec<&str> = heard.split("\n\n").filter(|block| block.contains("data:")).collect();
    let last = blocks.last().unwrap();
    assert!(blocks.len() >= 2 && last.contains("event:done"), "{blocks:?}");
    let data = last.lines().find_map(|line| line.strip_prefix("data:")).unwrap();
    let document: Value = serde_json::from_str(data).unwrap();
    assert_eq!((&document["state"], &document["package"]["package_size"]), (&json!("done"), &json!("300000")));
    // Of one that has ended, only the end is told.
    let late = about(&reply, store.mint()).header("accept", "text/event-stream").send(store.base()).await;
    assert_eq!(late.body.matches("data:").count(), 1);
}

#[tokio::test]
async fn a_browser_that_comes_back_after_the_end_is_told_to_stay_away() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(hurried(store.request(source.url()))).await;
    assert_eq!(ended(store.base(), &reply, store.mint()).await["state"], "done");
    let events = || about(&reply, store.mint()).header("accept", "text/event-stream");
    let first = events().send(store.base()).await;
    assert!(first.body.contains("id:done") && first.body.contains("retry:5000"), "{}", first.body);
    let again = events().header("last-event-id", "done").send(store.base()).await;
    assert_eq!((again.status, again.body.as_str()), (204, ""));
    let missed = events().header("last-event-id", "fetching").send(store.base()).await;
    assert_eq!((missed.status, missed.body.matches("event:done").count()), (200, 1));
    let liked_less = about(&reply, store.mint()).header("accept", "text/event-stream;q=0.1, application/json");
    assert_eq!(liked_less.send(store.base()).await.json()["state"], "done");
}

#[tokio::test]
async fn nobody_is_told_of_uploads_to_another_module_or_of_none() {
    let source = FakeSource::serving(package_of_size(200)).await;
    let store = TestStore::trusting(&source).await;
    let reply = store.send(hurried(store.request(source.url()))).await;
    let place = reply.header("location").unwrap().to_owned();
    assert_eq!(ended(store.base(), &reply, store.mint()).await["state"], "done");
    let not_found = json!({"code": "ERROR", "detail": "Not found"});
    for (module, place) in [("other", place.as_str()), ("default", "01989d3e-5f00-7abc-8def-0123456789ab/")] {
        let path = format!("/bkapps/applications/app_code/modules/{module}/source_package/link/{place}");
        for method in [Method::GET, Method::DELETE] {
            let reply = about(&reply, store.mint()).method(method).path(path.clone()).send(store.base()).await;
            assert_problem(&reply, 404, None, &not_found);
        }
    }
    let stranger = about(&reply, store.mint()).token(None).send(store.base()).await;
    assert_eq!(stranger.status, 401);
    let wrong = about(&reply, store.mint()).method(Method::PUT).send(store.base()).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD, DELETE")));
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let source = FakeSource::serving(package_of_size(200)).await;
    let store = TestStore::trusting(&source).await;
    let accepted = store.send(hurried(store.request(source.url()))).await;
    assert_eq!(ended(store.base(), &accepted, store.mint()).await["state"], "done");
    let watching = about(&accepted, store.mint()).header("accept", "text/event-stream");
    for (request, media_type) in [(about(&accepted, store.mint()), "application/json"), (watching, "text/event-stream")]
    {
        let get = request.clone().send(store.base()).await;
        let head = request.method(Method::HEAD).send(store.base()).await;
        assert_eq!((get.status, head.status, head.body.as_str()), (200, 200, ""));
        assert!(!get.body.is_empty());
        for reply in [&get, &head] {
            assert_eq!(reply.header("content-type"), Some(media_type));
        }
        assert_eq!(head.header("content-length"), get.header("content-length"));
    }
    let stranger = about(&accepted, store.mint()).method(Method::HEAD).token(None).send(store.base()).await;
    assert_eq!((stranger.status, stranger.body.as_str()), (401, ""));
    store.finish().await;
}

#[tokio::test]
async fn a_key_makes_the_same_request_be_done_once() {
    let source = FakeSource::serving(package_of_size(200)).await;
    let store = TestStore::trusting(&source).await;
    let request = || store.request(source.url()).header("idempotency-key", "\"8e03978e-40d5\"").in_english();
    let first = store.send(request()).await;
    let again = store.send(request()).await;
    assert_eq!((first.status, again.status), (200, 200), "{}", again.body);
    assert_eq!(first.body, again.body);
    assert_eq!((source.requests().len(), store.rows().await.len()), (1, 1));

    let other = store.send(request().version("2")).await;
    let body = json!({"code": "IDEMPOTENCY_KEY_REUSED", "detail": "The Idempotency-Key was used for another request"});
    assert_problem(&other, 422, None, &body);
    // Another caller's key is another key, whatever it says.
    let mut claims = good_claims();
    claims["app"]["app_code"] = "other_app".into();
    let stranger = store.mint().sign(&claims);
    assert_eq!(store.send(request().version("3").token(Some(stranger))).await.status, 200);
    // After a day it stands for nothing.
    store.directory().execute("update job_key set created_ms = created_ms - 86400000").await;
    assert_eq!(store.send(request().version("2")).await.status, 200);
    assert_eq!(store.send(request()).await.status, 422, "now it stands for that one");
}

#[tokio::test]
async fn a_key_of_a_failed_upload_is_free_again() {
    let source =
        FakeSource::start(Behaviour::Turns(vec![Behaviour::Status(404), Behaviour::Bytes(package_of_size(200))])).await;
    let store = TestStore::trusting(&source).await;
    let request = || store.request(source.url()).header("idempotency-key", "k");
    assert_eq!(store.send(request()).await.status, 502);
    assert_eq!(store.send(request()).await.status, 200);
}

#[tokio::test]
async fn a_key_leads_to_the_upload_that_is_under_way() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(100_000))).await;
    let store = TestStore::trusting(&source).await;
    let request = || hurried(store.request(source.url())).header("idempotency-key", "k");
    let (first, again) = (store.send(request()).await, store.send(request()).await);
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(store.send(request().version("2")).await.status, 422);
    source.release();
    assert_eq!(ended(store.base(), &first, store.mint()).await["state"], "done");
    let late = store.send(request()).await;
    assert_eq!((late.status, &late.json()["package_size"]), (200, &json!("100000")), "{}", late.body);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let source = FakeSource::serving(package_of_size(200)).await;
    let store = TestStore::trusting(&source).await;
    let long = "k".repeat(256);
    for keys in [&[""][..], &[&long], &["a", "b"], &["é"]] {
        let request =
            keys.iter().fold(store.request(source.url()), |request, key| request.header("idempotency-key", key));
        crate::assert_field_refused(
            &store,
            request,
            "Idempotency-Key",
            "Give one key of 1 to 255 visible ASCII characters.",
        )
        .await;
    }
}

#[tokio::test]
async fn an_accepted_upload_survives_kill_9_and_is_done_after_the_restart() {
    // Only the gate's token allows what it is.
    let source = FakeSource::start(Behaviour::Held(package_of_size(300_000))).await;
    let data = tempfile::tempdir().unwrap();
    let mut killed = StoreProcess::trusting(&source, data.path(), &[]);
    let mut claims = good_claims();
    claims["linkgate"] = json!({"opaque": true});
    let secret = format!("{}?sign=s3cret", source.url());
    let request = hurried(killed.request(secret.as_str())).header("idempotency-key", "k");
    let request = request.token(Some(killed.mint().sign(&claims)));
    let accepted = request.clone().send(killed.base()).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    source.wait_for_requests(1).await;
    // Nobody was told that this one goes on.
    let waiting = tokio::spawn(killed.request(source.url()).version("2").try_send_owned(killed.base()));
    source.wait_for_requests(2).await;
    killed.kill_9();
    assert!(waiting.await.unwrap().is_err());
    source.release();
    let keys = killed.mint().setting();
    let store = StoreProcess::trusting(&source, data.path(), &[("LINKGATE_JWT_PUBLIC_KEYS", &keys)]);
    let done = ended(store.base(), &accepted, killed.mint()).await;
    assert_eq!((&done["state"], &done["package"]["version"]), (&json!("done"), &json!("0.0.5")), "{done}");
    assert_eq!(store.rows().await.len(), 1);
    let again = request.send(store.base()).await;
    assert_eq!((again.status, again.json()["id"].clone()), (200, done["package"]["id"].clone()), "{}", again.body);
    store.stop();
    assert!(!holds(data.path(), b"s3cret"), "the link's signature is gone with its use");
}

fn holds(data: &Path, needle: &[u8]) -> bool {
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.into_iter().any(|path| std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle))
}

#[tokio::test]
async fn an_accepted_upload_waits_for_the_next_start_when_the_store_stops() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(300_000))).await;
    let data = tempfile::tempdir().unwrap();
    let mut store = StoreProcess::trusting(&source, data.path(), &[("LINKGATE_STORE_SHUTDOWN_GRACE_S", "0")]);
    let accepted = hurried(store.request(source.url())).send(store.base()).await;
    assert_eq!(accepted.status, 202);
    source.wait_for_requests(1).await;
    store.shut_down();
    // Meanwhile the operator has taken the host off the list.
    let keys = store.mint().setting();
    let narrowed = [("LINKGATE_JWT_PUBLIC_KEYS", keys.as_str()), ("LINKGATE_FETCH_ALLOWED_HOSTS", "other.example")];
    let other = StoreProcess::start(data.path(), &narrowed);
    let failed = ended(other.base(), &accepted, store.mint()).await;
    assert_eq!(
        (&failed["state"], &failed["error"]["code"]),
        (&json!("failed"), &json!("VALIDATION_ERROR")),
        "{failed}"
    );
    other.directory().assert_empty().await;
}

#[tokio::test]
async fn who_was_promised_waits_as_long_as_it_takes_and_a_full_queue_promises_nothing() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(1_000))).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        (config.server.queue.running, config.server.queue.queued) = (1, 1);
        config.server.queue.queue_timeout = Duration::from_millis(200);
    })
    .await;
    let ask = |version: &str| store.send(hurried(store.request(source.url()).version(version)));
    let (first, second) = (ask("1").await, ask("2").await);
    assert_eq!((first.status, second.status), (202, 202));
    let third = ask("3").await;
    assert_eq!((third.status, third.header("retry-after")), (429, Some("5")));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(state(store.base(), &second, store.mint()).await["state"], "queued");
    source.release();
    assert_eq!(ended(store.base(), &second, store.mint()).await["state"], "done");
    store.finish().await;
}

#[tokio::test]
async fn every_upload_that_was_begun_is_in_the_catalog() {
    let source =
        FakeSource::start(Behaviour::Turns(vec![Behaviour::Status(404), Behaviour::Bytes(package_of_size(200))])).await;
    let store = TestStore::trusting(&source).await;
    let link = || store.send(store.request(format!("{}?sign=s3cret", source.url())));
    assert_eq!((link().await.status, link().await.status), (502, 200));
    assert_eq!(link().await.status, 400, "it is there");
    let jobs = store.directory().jobs().await;
    assert_eq!(jobs, [("failed".to_owned(), source.url()), ("done".to_owned(), source.url())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_requests_at_once_under_one_key_only_one_is_done() {
    let source = FakeSource::start(Behaviour::Held(package_of_size(1_000))).await;
    let store = TestStore::trusting(&source).await;
    let ask = |version: &str| {
        let request = hurried(store.request(source.url()).version(version)).header("idempotency-key", "k");
        tokio::spawn(request.try_send_owned(store.base()))
    };
    let (one, other) = (ask("1"), ask("2"));
    let mut statuses = [one.await.unwrap().unwrap().status, other.await.unwrap().unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 422]);
    source.release();
    store.finish().await;
}
