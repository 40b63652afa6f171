//! Quotas: no module, application or package takes more than it may, whatever goes on at once.

use linkgate_store_core::settings::{Patterns, Quota, QuotaLimits, QuotaRule};
use linkgate_tests::{Behaviour, FakeSource, Reply, TestStore, package_of, trust, wait_until_holds};
use reqwest::Method;
use serde_json::{Value, json};

fn limits(max_packages: Option<u64>, max_bytes: Option<u64>) -> QuotaLimits {
    QuotaLimits { max_packages, max_bytes }
}

async fn store_with(source: &FakeSource, quota: Quota) -> TestStore {
    TestStore::with(|config| {
        trust(config, &[source]);
        config.quotas.general = quota;
    })
    .await
}

async fn upload(store: &TestStore, link: String, version: &str) -> Reply {
    store.send(store.request(link).version(version).in_english()).await
}

#[track_caller]
fn assert_exceeded(reply: &Reply, data: &Value) {
    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("PACKAGE_QUOTA_EXCEEDED")), "{reply:?}");
    assert_eq!(&reply.json()["data"], data);
}

#[tokio::test]
async fn a_module_and_an_application_have_so_many_packages() {
    let source = FakeSource::serving(package_of("x")).await;
    let quota = Quota { module: limits(Some(2), None), application: limits(Some(3), None), ..Quota::default() };
    let store = store_with(&source, quota).await;
    for version in ["1", "2"] {
        assert_eq!(upload(&store, source.url(), version).await.status, 200);
    }
    let usage = store.read("usage/").await.json();
    assert_eq!((&usage["module"]["packages"], &usage["module"]["max_packages"]), (&json!(2), &json!(2)), "{usage}");
    assert_eq!((&usage["module"]["max_bytes"], &usage["application"]["max_packages"]), (&json!(null), &json!(3)));
    let fetched = source.requests().len();
    let refused = upload(&store, source.url(), "3").await;
    assert_exceeded(&refused, &json!({"scope": "module.max_packages", "limit": 2, "used": 2, "requested": 1}));
    assert_eq!((source.requests().len(), store.rows().await.len()), (fetched, 2), "nothing is fetched for it");
    let event = store.directory().events().await.pop().unwrap();
    assert_eq!((event.action.as_str(), event.version.as_deref()), ("upload_refused", Some("3")));
    assert_eq!(
        (event.reason.as_str(), event.operator.as_str(), event.package_id),
        ("module.max_packages", "admin", None)
    );

    let other = store.request(source.url()).module("app_code", "other");
    assert_eq!(store.send(other.clone()).await.status, 200);
    let refused = store.send(other.version("7")).await;
    assert_exceeded(&refused, &json!({"scope": "application.max_packages", "limit": 3, "used": 3, "requested": 1}));
    let overwrite = store.request(source.url()).version("1").overwriting();
    assert_eq!(store.send(overwrite).await.status, 200, "it takes the place of another");
    assert_eq!(store.send(store.request(source.url()).module("else", "web")).await.status, 200, "another application");

    assert_eq!(store.send(store.below(Method::DELETE, "1/")).await.status, 200);
    assert_eq!(upload(&store, source.url(), "3").await.status, 200, "a deleted one makes space");
    let restored = store.send(store.below(Method::POST, "1/restore/")).await;
    assert_exceeded(&restored, &json!({"scope": "module.max_packages", "limit": 2, "used": 2, "requested": 1}));
    store.finish().await;
}

#[tokio::test]
async fn bytes_count_until_they_are_purged_and_an_overwrite_counts_the_difference() {
    let (small, large) = (package_of("x"), package_of(vec![7; 100_000]));
    let source = FakeSource::serving(small.clone()).await;
    source.on("/large", Behaviour::Bytes(large.clone()));
    let (small, large) = (small.len() as u64, large.len() as u64);
    assert!(large > small);
    let store = store_with(&source, Quota { module: limits(None, Some(large + small)), ..Quota::default() }).await;
    assert_eq!(upload(&store, source.url_of("/large"), "1").await.status, 200);
    assert_eq!(upload(&store, source.url(), "2").await.status, 200, "to the byte");
    let over = json!({"scope": "module.max_bytes", "limit": large + small, "used": large + small, "requested": small});
    assert_exceeded(&upload(&store, source.url(), "3").await, &over);
    assert_eq!(store.send(store.below(Method::DELETE, "1/")).await.status, 200);
    assert_exceeded(&upload(&store, source.url(), "3").await, &over);
    assert_eq!(store.send(store.below(Method::POST, "1/restore/")).await.status, 200, "they count already");

    let overwrite = |link: String, version: &str| store.request(link).version(version).overwriting();
    let grown = store.send(overwrite(source.url_of("/large"), "2")).await;
    let over =
        json!({"scope": "module.max_bytes", "limit": large + small, "used": large + small, "requested": large - small});
    assert_exceeded(&grown, &over);
    assert_eq!(store.send(overwrite(source.url(), "1")).await.status, 200);
    assert_eq!(store.send(overwrite(source.url_of("/large"), "2")).await.status, 200, "there is space now");
    assert_eq!(store.stored_files().len(), 2);
    store.finish().await;
}

#[tokio::test]
async fn a_package_that_is_too_large_for_its_quota_is_refused_by_what_is_announced() {
    let source = FakeSource::serving(package_of("x")).await;
    let size = package_of("x").len() as u64;
    let store = store_with(&source, Quota { max_package_bytes: Some(size - 1), ..Quota::default() }).await;
    let over = json!({"scope": "max_package_bytes", "limit": size - 1, "used": 0, "requested": size});
    let announced = store.send(store.request(source.url()).field("size", size)).await;
    assert_exceeded(&announced, &over);
    assert!(source.requests().is_empty(), "by the caller");
    assert_exceeded(&upload(&store, source.url(), "1").await, &over);
    assert_exceeded(&store.send(store.request(source.url()).without("version")).await, &over);
    assert!(store.stored_files().is_empty() && store.rows().await.is_empty());
    assert_eq!(store.directory().event_actions().await, ["upload_refused"; 3]);
    store.finish().await;
}

#[tokio::test]
async fn what_an_upload_in_progress_has_announced_counts_for_others() {
    let package = package_of("x");
    let size = package.len() as u64;
    let source = FakeSource::start(Behaviour::Held(package.clone())).await;
    source.on("/quick", Behaviour::Bytes(package));
    let store = store_with(&source, Quota { module: limits(None, Some(size)), ..Quota::default() }).await;
    let first = store.request(source.url()).version("1").field("size", size);
    let running = tokio::spawn(first.try_send_owned(store.base()));
    source.wait_for_requests(1).await;
    let over = json!({"scope": "module.max_bytes", "limit": size, "used": size, "requested": size});
    let second = store.request(source.url_of("/quick")).version("2").field("size", size);
    assert_exceeded(&store.send(second.clone()).await, &over);
    assert_eq!(source.requests().len(), 1);
    source.release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    assert_exceeded(&store.send(second).await, &over);
    store.finish().await;
}

#[tokio::test]
async fn what_an_upload_announced_is_free_again_when_it_fails() {
    let source = FakeSource::serving(package_of("x")).await;
    source.on("/broken", Behaviour::Status(404));
    let store = store_with(&source, Quota { module: limits(Some(1), None), ..Quota::default() }).await;
    assert_eq!(upload(&store, source.url_of("/broken"), "1").await.status, 502);
    assert_eq!(upload(&store, source.url(), "2").await.status, 200);
    store.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_uploads_at_once_no_more_are_stored_than_may() {
    let source = FakeSource::serving(package_of("unused")).await;
    let store = store_with(&source, Quota { module: limits(Some(3), None), ..Quota::default() }).await;
    let mut running = Vec::new();
    for number in 0..10 {
        source.on(&format!("/{number}"), Behaviour::Bytes(package_of(format!("{number}"))));
        let request = store.request(source.url_of(&format!("/{number}"))).version(&number.to_string());
        running.push(tokio::spawn(request.try_send_owned(store.base())));
    }
    let mut stored = 0;
    for upload in running {
        stored += u32::from(upload.await.unwrap().unwrap().status == 200);
    }
    assert_eq!((stored, store.rows().await.len(), store.stored_files().len()), (3, 3, 3));
    store.finish().await;
}

#[tokio::test]
async fn an_accepted_upload_tells_which_quota_refused_it() {
    let source = FakeSource::serving(package_of("x")).await;
    let size = package_of("x").len() as u64;
    let store = store_with(&source, Quota { max_package_bytes: Some(size - 1), ..Quota::default() }).await;
    let request = store.request(source.url()).without("version").header("prefer", "respond-async");
    let accepted = store.send(request).await;
    if accepted.status == 202 {
        let job = format!("link/{}/", accepted.json()["job_id"].as_str().unwrap());
        wait_until_holds("its end", async || {
            let shown = store.send(store.below(Method::GET, &job)).await.json();
            shown["error"]["data"]["scope"] == "max_package_bytes"
        })
        .await;
    } else {
        assert_eq!(accepted.json()["data"]["scope"], "max_package_bytes");
    }
    store.finish().await;
}

#[tokio::test]
async fn a_rule_for_a_target_counts_in_the_place_of_the_general_quota() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        config.quotas.general.module = limits(Some(1), None);
        let (targets, modules) = (Patterns::new(["big*"]), Patterns::any());
        config.quotas.rules = vec![QuotaRule { targets, modules, quota: Quota::default() }].into();
    })
    .await;
    for (app, version, status) in [("small", "1", 200), ("small", "2", 400), ("big-1", "1", 200), ("big-1", "2", 200)] {
        let reply = store.send(store.request(source.url()).module(app, "default").version(version)).await;
        assert_eq!(reply.status, status, "{app} {version}");
    }
    store.finish().await;
}
