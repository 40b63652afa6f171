//! Packages that are deleted and restored, and what becomes of their bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::lifecycle::unpacked_fixture;
use linkgate_tests::process::command;
use linkgate_tests::{
    Behaviour, DataDirectory, EventRow, FakeSource, Reply, StoreProcess, TestStore, package_of, sha256_hex, trust,
    wait_until_holds,
};
use reqwest::Method;
use serde_json::{Value, json};

/// A store with these versions of what the source serves, and what it said of each.
async fn store_with(source: &FakeSource, versions: &[&str]) -> (TestStore, Vec<Value>) {
    let store = TestStore::trusting(source).await;
    let mut uploaded = Vec::new();
    for version in versions {
        let reply = store.send(store.request(source.url()).version(version)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        uploaded.push(reply.json());
    }
    (store, uploaded)
}

async fn delete(store: &TestStore, id: i64) -> Reply {
    store.send(store.below(Method::DELETE, &format!("{id}/")).in_english()).await
}

async fn restore(store: &TestStore, id: i64) -> Reply {
    store.send(store.below(Method::POST, &format!("{id}/restore/")).in_english()).await
}

/// A refusal, after which rows, events and files are as before.
async fn assert_unchanged(store: &TestStore, request: linkgate_tests::LinkRequestBuilder, status: u16, code: &str) {
    let before = (store.rows().await, store.directory().event_actions().await, store.stored_files());
    let reply = store.send(request.in_english()).await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{reply:?}");
    assert_eq!((store.rows().await, store.directory().event_actions().await, store.stored_files()), before);
}

#[tokio::test]
async fn a_deleted_package_is_shown_as_such_and_its_bytes_stay() {
    let source = FakeSource::serving(package_of("x")).await;
    let (store, uploaded) = store_with(&source, &["1"]).await;
    let reply = delete(&store, 1).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("etag"), Some("\"1.2\""));
    let shown = reply.json();
    assert!(reply.body.starts_with("{\"id\":1,\"version\":\"1\",\"package_name\""), "{}", reply.body);
    assert_eq!(shown.as_object().unwrap().len(), 19, "{shown}");
    for (name, value) in uploaded[0].as_object().unwrap() {
        let expected = if name == "is_deleted" { &json!(true) } else { value };
        assert_eq!(&shown[name], expected, "{name}");
    }
    assert_eq!(
        (&shown["format"], &shown["relative_path"], &shown["pins"]),
        (&json!("tar.gz"), &json!("./"), &json!([]))
    );
    assert_eq!(
        (&shown["revision"], &shown["purged"], &shown["source"]),
        (&json!(2), &Value::Null, &json!(source.url()))
    );
    assert!(shown["deleted"].is_string() && shown["purge_after"].as_str() > shown["deleted"].as_str(), "{shown}");
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("x"))]);
    store.finish().await;
}

#[tokio::test]
async fn what_is_done_twice_is_done_once() {
    let source = FakeSource::serving(package_of("x")).await;
    let (store, _) = store_with(&source, &["1"]).await;
    let first = delete(&store, 1).await;
    let again = delete(&store, 1).await;
    assert_eq!((again.status, again.json(), again.header("etag")), (200, first.json(), first.header("etag")));
    let first = restore(&store, 1).await;
    assert_eq!(
        (first.status, &first.json()["is_deleted"], &first.json()["purge_after"]),
        (200, &json!(false), &Value::Null)
    );
    let again = restore(&store, 1).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    assert_eq!(store.directory().event_actions().await, ["upload", "delete", "restore"]);
    store.finish().await;
}

#[tokio::test]
async fn a_restored_package_is_the_one_that_it_was() {
    let source = FakeSource::serving(package_of("x")).await;
    let (store, uploaded) = store_with(&source, &["1"]).await;
    delete(&store, 1).await;
    let shown = restore(&store, 1).await.json();
    for name in ["id", "created", "version", "sha256_signature", "operator"] {
        assert_eq!(shown[name], uploaded[0][name], "{name}");
    }
    let reply = store.send(store.request(source.url()).version("1")).await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("PACKAGE_ALREADY_EXISTS")));
    store.finish().await;
}

#[tokio::test]
async fn a_version_is_free_at_once_and_a_restored_package_may_get_another() {
    let source = FakeSource::serving(package_of("x")).await;
    let (store, _) = store_with(&source, &["1"]).await;
    delete(&store, 1).await;
    let again = store.send(store.request(source.url()).version("1")).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(2)));
    let about = |body: &Value| store.below(Method::POST, "1/restore/").json(body);
    for taken in [json!({}), json!({"version": "1"}), json!({"version": null})] {
        assert_unchanged(&store, about(&taken), 400, "PACKAGE_ALREADY_EXISTS").await;
    }
    assert_unchanged(&store, about(&json!({"version": "1".repeat(129)})), 400, "VALIDATION_ERROR").await;
    let restored = store.send(about(&json!({"version": "1-old", "other": 1}))).await;
    assert_eq!(
        (restored.status, &restored.json()["version"], &restored.json()["id"]),
        (200, &json!("1-old"), &json!(1))
    );
    store.finish().await;
}

#[tokio::test]
async fn what_another_module_has_is_as_good_as_nothing() {
    let source = FakeSource::serving(package_of("x")).await;
    let (store, _) = store_with(&source, &["1"]).await;
    for (method, path) in [(Method::DELETE, "1/"), (Method::POST, "1/restore/")] {
        let other = || store.below_module("app_code", "other", method.clone(), path);
        assert_unchanged(&store, other(), 404, "ERROR").await;
        let never = store.below(method.clone(), &path.replace('1', "7"));
        let (other, never) = (store.send(other()).await, store.send(never).await);
        assert_eq!((other.status, &other.body), (never.status, &never.body), "the same to the byte");
    }
    store.finish().await;
}

#[tokio::test]
async fn a_change_is_made_to_what_its_caller_saw_or_not_at_all() {
    let source = FakeSource::serving(package_of("x")).await;
    let (store, uploaded) = store_with(&source, &["1"]).await;
    let bytes = format!("\"{}\"", uploaded[0]["sha256_signature"].as_str().unwrap());
    let about = |name: &str, tag: &str| store.below(Method::DELETE, "1/").header(name, tag);
    for (name, tag) in [
        ("if-match", "\"1.2\""),
        ("if-match", "W/\"1.1\""),
        ("if-none-match", "*"),
        ("if-none-match", "\"1.1\""),
        ("if-none-match", &bytes),
    ] {
        assert_unchanged(&store, about(name, tag), 412, "PRECONDITION_FAILED").await;
    }
    assert_unchanged(&store, about("if-match", "1.1"), 400, "VALIDATION_ERROR").await;
    assert_eq!(store.send(about("if-match", "\"7.7\", \"1.1\"")).await.status, 200);
    let restoring = store.below(Method::POST, "1/restore/");
    assert_unchanged(&store, restoring.clone().header("if-match", "\"1.1\""), 412, "PRECONDITION_FAILED").await;
    assert_eq!(store.send(restoring.header("if-match", &bytes)).await.status, 200);
    store.finish().await;
}

#[tokio::test]
async fn events_say_who_did_what_to_which_bytes() {
    let source = FakeSource::serving(package_of("old")).await;
    source.on("/new", Behaviour::Bytes(package_of("new")));
    let (store, _) = store_with(&source, &["1"]).await;
    let named = |request: linkgate_tests::LinkRequestBuilder, id: &str| {
        request.header("x-bkapi-request-id", id).header("x-bkapi-client-address", "192.0.2.7")
    };
    let (old, new) = (sha256_hex(&package_of("old")), sha256_hex(&package_of("new")));
    let overwriting = store.request(source.url_of("/new")).version("1").overwriting();
    assert_eq!(store.send(named(overwriting, "r-1")).await.status, 200);
    for (method, path) in [(Method::DELETE, "1/"), (Method::POST, "1/restore/")] {
        assert_eq!(store.send(named(store.below(method, path), "r-2")).await.status, 200);
    }
    let event = |action: &str, before: Option<&str>, after: Option<&str>, request_id: &str| EventRow {
        action: action.to_owned(),
        module: "default".to_owned(),
        package_id: Some(1),
        version: Some("1".to_owned()),
        sha256_before: before.map(str::to_owned),
        sha256_after: after.map(str::to_owned),
        caller_app: "app_code".to_owned(),
        operator: "admin".to_owned(),
        request_id: request_id.to_owned(),
        client_address: if request_id.is_empty() { "" } else { "192.0.2.7" }.to_owned(),
        reason: "user".to_owned(),
    };
    assert_eq!(
        store.directory().events().await,
        [
            event("upload", None, Some(&old), ""),
            event("overwrite", Some(&old), Some(&new), "r-1"),
            event("delete", Some(&new), None, "r-2"),
            event("restore", None, Some(&new), "r-2"),
        ]
    );
    store.finish().await;
}

#[tokio::test]
async fn without_days_to_restore_in_the_bytes_go_at_once_unless_others_need_them() {
    let source = FakeSource::serving(package_of("x")).await;
    let store = TestStore::with(|config| {
        trust(config, &[&source]);
        config.maintenance.restore = Duration::ZERO;
    })
    .await;
    for version in ["1", "2"] {
        assert_eq!(store.send(store.request(source.url()).version(version)).await.status, 200);
    }
    assert!(delete(&store, 1).await.json()["purged"].is_string());
    assert_eq!(store.stored_files().len(), 1, "the other version needs it");
    assert_eq!(delete(&store, 2).await.status, 200);
    assert!(store.stored_files().is_empty());
    let about = store.below(Method::POST, "2/restore/");
    assert_unchanged(&store, about, 410, "PACKAGE_PURGED").await;
    assert_eq!(delete(&store, 2).await.status, 200, "it is deleted");
    assert_eq!(store.directory().event_actions().await, ["upload", "upload", "delete", "purge", "delete", "purge"]);
    store.finish().await;
}

#[tokio::test]
async fn what_has_lost_its_bytes_is_not_restored() {
    if linkgate_tests::engine::is_about_directories("it deletes a file") {
        return;
    }
    let source = FakeSource::serving(package_of("x")).await;
    let (store, _) = store_with(&source, &["1"]).await;
    delete(&store, 1).await;
    std::fs::remove_file(store.directory().blob(&sha256_hex(&package_of("x")))).unwrap();
    let about = store.below(Method::POST, "1/restore/");
    assert_unchanged(&store, about, 410, "PACKAGE_PURGED").await;
    store.finish().await;
}

#[tokio::test]
async fn a_running_store_purges_by_the_clock_and_collects_nothing_that_may_be_restored() {
    if linkgate_tests::engine::is_about_directories("it looks for files, and those of a bucket stay for days") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = FakeSource::serving(package_of("x")).await;
    source.on("/other", Behaviour::Bytes(package_of("other")));
    let settings = [
        ("LINKGATE_STORE_GC_INTERVAL_S", "1"),
        ("LINKGATE_STORE_GC_GRACE_S", "1"),
        ("LINKGATE_STORE_PURGE_INTERVAL_S", "1"),
    ];
    let store = StoreProcess::trusting(&source, dir.path(), &settings);
    for (version, link) in [("1", source.url()), ("2", source.url_of("/other"))] {
        assert_eq!(store.request(link).version(version).send(store.base()).await.status, 200);
        let path = format!("{version}/");
        assert_eq!(store.below(Method::DELETE, &path).send(store.base()).await.status, 200);
    }
    store.directory().execute("update source_package set purge_after_ms = 1 where id = 1").await;
    let is_purged = async || !store.directory().blob(&sha256_hex(&package_of("x"))).exists();
    wait_until_holds("the purge", is_purged).await;
    // Older than the grace by then.
    let orphan = store.directory().plant(b"never recorded");
    wait_until_holds("a collection", async || !store.directory().blob(&orphan).exists()).await;
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("other"))], "its time is not over");
    let purged = "linkgate_store_purged_packages_total 1\n";
    wait_until_holds(purged, async || store.get("/metrics").await.body.contains(purged)).await;
    let metrics = store.get("/metrics").await.body;
    assert!(metrics.contains("linkgate_store_changes_total{action=\"delete\",result=\"done\"} 2\n"), "{metrics}");
    assert_eq!(store.below(Method::POST, "1/restore/").send(store.base()).await.status, 410);
    assert_eq!(store.below(Method::POST, "2/restore/").send(store.base()).await.status, 200);
    store.stop();
    assert_eq!(command(dir.path(), &["verify"]).code(), 0);
}

#[tokio::test]
async fn a_backup_has_what_may_be_restored() {
    let (dir, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = FakeSource::serving(package_of("x")).await;
    let store = StoreProcess::trusting(&source, &dir.path().join("data"), &[]);
    assert_eq!(store.request(source.url()).send(store.base()).await.status, 200);
    assert_eq!(store.below(Method::DELETE, "1/").send(store.base()).await.status, 200);
    let into = backup.path().join("saved");
    let saved = command(&dir.path().join("data"), &["backup", into.to_str().unwrap()]);
    assert_eq!((saved.code(), saved.out.contains("1 packages")), (0, true), "{}", saved.out);
    store.stop();
    let restored = dir.path().join("restored");
    assert_eq!(command(&restored, &["restore", into.to_str().unwrap()]).code(), 0);
    let store = StoreProcess::trusting(&source, &restored, &[]);
    assert_eq!(store.below(Method::POST, "1/restore/").send(store.base()).await.status, 200);
    assert_eq!(store.stored_files(), [sha256_hex(&package_of("x"))]);
    store.stop();
}

#[tokio::test]
async fn what_an_earlier_release_deleted_has_given_up_its_bytes() {
    if linkgate_tests::engine::is_about_directories("it opens the directory of an earlier release") {
        return;
    }
    let dir = unpacked_fixture("0005");
    let directory = DataDirectory::new(dir.path());
    directory.execute("update source_package set is_deleted = true").await;
    let sha256s: BTreeSet<String> = directory.rows().await.into_iter().map(|row| row.sha256).collect();
    // As its garbage collection does.
    sha256s.iter().for_each(|sha256| std::fs::remove_file(directory.blob(sha256)).unwrap());
    let verified = command(dir.path(), &["verify"]);
    assert_eq!(verified.code(), 0, "a catalog of that release is read by its own rule");
    let source = FakeSource::serving(package_of("x")).await;
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    let rows = store.rows().await;
    assert!(rows.iter().all(|row| row.is_deleted && row.is_purged), "{rows:?}");
    let restored = store.below_module(&rows[0].app_code, &rows[0].module, Method::POST, "1/restore/");
    assert_eq!(restored.send(store.base()).await.json()["code"], "PACKAGE_PURGED");
    store.stop();
    assert_eq!(command(dir.path(), &["verify"]).code(), 0);
}
