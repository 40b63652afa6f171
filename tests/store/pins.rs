//! Pins: what is in use is neither deleted nor, if it says so, overwritten.

use linkgate_tests::process::command;
use linkgate_tests::{Behaviour, FakeSource, Reply, StoreProcess, TestStore, package_of, sha256_hex};
use reqwest::Method;
use serde_json::{Value, json};

async fn stored(source: &FakeSource) -> TestStore {
    let store = TestStore::trusting(source).await;
    assert_eq!(store.send(store.request(source.url()).version("1")).await.status, 200);
    store
}

async fn pin(store: &TestStore, name: &str, body: &Value) -> Reply {
    let request = store.below(Method::PUT, &format!("1/pins/{name}/")).json(body);
    store.send(request.in_english()).await
}

async fn unpin(store: &TestStore, name: &str) -> Reply {
    store.send(store.below(Method::DELETE, &format!("1/pins/{name}/")).in_english()).await
}

async fn delete(store: &TestStore, query: &str) -> Reply {
    store.send(store.below(Method::DELETE, &format!("1/{query}")).in_english()).await
}

fn assert_code(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{reply:?}");
}

#[tokio::test]
async fn a_pinned_package_is_not_deleted_until_its_last_pin_is_gone() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = stored(&source).await;
    let pinned = pin(&store, "release-1", &json!({"until": "2099-12-31 00:00:00"})).await;
    assert_eq!((pinned.status, pinned.header("etag")), (200, Some("\"1.2\"")), "{pinned:?}");
    let shown = pinned.json();
    assert_eq!(
        (&shown["name"], &shown["by"], &shown["protect_bytes"]),
        (&json!("release-1"), &json!("admin"), &json!(false))
    );
    assert_eq!(shown["until"], "2099-12-31 00:00:00");
    assert_eq!(pin(&store, "canary", &json!({})).await.json()["until"], Value::Null);

    let refused = delete(&store, "").await;
    assert_code(&refused, 409, "PACKAGE_IN_USE");
    let pins = refused.json()["data"]["pins"].clone();
    assert_eq!(
        (&pins[0]["name"], &pins[1]["name"], pins.as_array().unwrap().len()),
        (&json!("canary"), &json!("release-1"), 2)
    );
    assert_eq!(pins[1], shown);
    assert!(!store.rows().await[0].is_deleted);

    assert_eq!(unpin(&store, "canary").await.json()["name"], "canary");
    assert_code(&delete(&store, "").await, 409, "PACKAGE_IN_USE");
    assert_eq!(unpin(&store, "release-1").await.status, 200);
    assert_eq!(delete(&store, "").await.status, 200);
    let events = store.directory().event_actions().await;
    assert_eq!(events, ["upload", "pin", "pin", "delete_refused", "unpin", "delete_refused", "unpin", "delete"]);
    store.finish().await;
}

#[tokio::test]
async fn a_pin_that_says_the_same_again_changes_nothing() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = stored(&source).await;
    let first = pin(&store, "a", &json!({"protect_bytes": true})).await;
    let again = pin(&store, "a", &json!({"protect_bytes": "true", "until": null})).await;
    assert_eq!((again.status, again.json(), again.header("etag")), (200, first.json(), first.header("etag")));
    let other = pin(&store, "a", &json!({})).await;
    assert_eq!((other.json()["protect_bytes"].clone(), other.header("etag")), (json!(false), Some("\"1.3\"")));
    assert_eq!(store.directory().event_actions().await, ["upload", "pin", "pin"]);
    assert_code(&unpin(&store, "b").await, 404, "ERROR");
    store.finish().await;
}

#[tokio::test]
async fn what_makes_no_pin_is_named() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = stored(&source).await;
    for until in [json!("2001-01-01 00:00:00"), json!("soon"), json!(7)] {
        let refused = pin(&store, "a", &json!({"until": until})).await;
        assert_code(&refused, 400, "VALIDATION_ERROR");
        assert!(refused.json()["fields_detail"]["until"].is_array(), "{refused:?}");
    }
    assert_code(&pin(&store, "a", &json!({"protect_bytes": "maybe"})).await, 400, "VALIDATION_ERROR");
    for (path, module) in [("7/pins/a/", "default"), ("1/pins/a/", "other"), ("1/pins/a%20b/", "default")] {
        let about = store.below_module("app_code", module, Method::PUT, path).json(&json!({}));
        assert_eq!(store.send(about).await.status, 404, "{path}");
    }
    let about = store.below(Method::PUT, "1/pins/a/").json(&json!({})).header("if-match", "\"1.7\"");
    assert_code(&store.send(about).await, 412, "PRECONDITION_FAILED");
    assert_eq!(store.directory().event_actions().await, ["upload"]);
    store.finish().await;
}

#[tokio::test]
async fn a_package_has_so_many_pins_and_those_that_ran_out_do_not_count() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = stored(&source).await;
    for number in 0..64 {
        assert_eq!(pin(&store, &format!("p{number}"), &json!({})).await.status, 200);
    }
    let refused = pin(&store, "one-more", &json!({})).await;
    assert_code(&refused, 400, "PACKAGE_QUOTA_EXCEEDED");
    let data = json!({"scope": "package.pins", "limit": 64, "used": 64, "requested": 1});
    assert_eq!(refused.json()["data"], data);
    assert_eq!(pin(&store, "p7", &json!({"protect_bytes": true})).await.status, 200, "it is one of them");
    store.directory().execute("update pin set until_ms = 1 where name <> 'p7'").await;
    assert_eq!(pin(&store, "one-more", &json!({})).await.status, 200);
    store.directory().execute("update pin set until_ms = 1").await;
    assert_eq!(delete(&store, "").await.status, 200);
    store.finish().await;
}

#[tokio::test]
async fn protected_bytes_are_not_overwritten_and_nothing_is_fetched_for_it() {
    let source = FakeSource::serving(package_of("old")).await;
    source.on("/new", Behaviour::Bytes(package_of("new")));
    let store = stored(&source).await;
    pin(&store, "a", &json!({})).await;
    let overwrite = || store.request(source.url_of("/new")).version("1").overwriting().in_english();
    assert_eq!(store.send(overwrite()).await.status, 200, "a pin alone does not forbid it");
    pin(&store, "a", &json!({"protect_bytes": true})).await;
    let fetched = source.requests().len();
    let refused = store.send(store.request(source.url()).version("1").overwriting().in_english()).await;
    assert_code(&refused, 409, "PACKAGE_IN_USE");
    assert_eq!(refused.json()["data"], json!({"pins": [{"name": "a", "by": "admin"}]}));
    assert_eq!((source.requests().len(), store.stored_files()), (fetched, vec![sha256_hex(&package_of("new"))]));
    assert_eq!(store.directory().event_actions().await, ["upload", "pin", "overwrite", "pin"]);
    store.finish().await;
}

#[tokio::test]
async fn a_pin_that_comes_while_a_version_is_fetched_protects_it() {
    let source = FakeSource::serving(package_of("old")).await;
    source.on("/new", Behaviour::Held(package_of("new")));
    let store = stored(&source).await;
    let overwrite = store.request(source.url_of("/new")).version("1").overwriting();
    let running = tokio::spawn(overwrite.try_send_owned(store.base()));
    source.wait_for_requests(2).await;
    assert_eq!(pin(&store, "a", &json!({"protect_bytes": true})).await.status, 200);
    source.release();
    assert_code(&running.await.unwrap().unwrap(), 409, "PACKAGE_IN_USE");
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("old"))], "what was fetched is gone");
    store.finish().await;
}

#[tokio::test]
async fn who_may_force_it_deletes_a_pinned_package_whose_bytes_stay_until_it_is_unpinned() {
    let dir = tempfile::tempdir().unwrap();
    let source = FakeSource::serving(package_of("x")).await;
    let settings = [("LINKGATE_STORE_RESTORE_DAYS", "0"), ("LINKGATE_STORE_PURGE_INTERVAL_S", "0")];
    let store = StoreProcess::trusting(&source, dir.path(), &settings);
    let send = async |method: Method, path: &str| store.below(method, path).send(store.base()).await;
    assert_eq!(store.request(source.url()).send(store.base()).await.status, 200);
    assert_eq!(send(Method::PUT, "1/pins/a/").await.status, 200);
    for other in ["1/", "1/?force=1", "1/?force=false", "1/?other=true"] {
        assert_code(&send(Method::DELETE, other).await, 409, "PACKAGE_IN_USE");
    }
    let deleted = send(Method::DELETE, "1/?force=true").await;
    assert_eq!((deleted.status, deleted.json()["pins"].as_array().unwrap().len()), (200, 1), "{deleted:?}");
    assert_code(&send(Method::PUT, "1/pins/b/").await, 410, "PACKAGE_DELETED");
    let data = store.directory().clone();
    assert_eq!(data.stored_files().len(), 1, "the pin needs them");
    assert_eq!(send(Method::POST, "1/restore/").await.json()["pins"][0]["name"], "a", "and is there again");
    assert_eq!(send(Method::DELETE, "1/?force=true").await.status, 200);
    store.stop();
    assert!(command(dir.path(), &["purge"]).out.starts_with("Purged 0 "));
    let store = StoreProcess::trusting(&source, dir.path(), &settings);
    assert_eq!(store.below(Method::DELETE, "1/pins/a/").send(store.base()).await.status, 200);
    store.stop();
    assert!(command(dir.path(), &["purge"]).out.starts_with("Purged 1 "));
    assert!(data.stored_files().is_empty());
    let store = StoreProcess::trusting(&source, dir.path(), &settings);
    assert_code(&store.below(Method::PUT, "1/pins/b/").send(store.base()).await, 410, "PACKAGE_PURGED");
    store.stop();
}
