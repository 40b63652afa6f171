//! Data directories of earlier stores: they are upgraded with rows of every state, and the store before packages could be read,
//! deleted and pinned goes on working on its own.

use linkgate_contract::SignedNonce;
use linkgate_tests::process::{Finished, command};
use linkgate_tests::token::{good_claims, now_s};
use linkgate_tests::{FakeSource, StoreProcess, package_of, wait_until_holds};
use serde_json::{Value, json};

use crate::lifecycle::{fixture_of_today, unpacked_fixture};

const ONE: &str = "f954ed96f02a7e6a22390a185c6cb0ba0223b20d4aeec5fd6aa7d34ea4e4ff0d";
const TWO: &str = "0393f4cd20fd4139689f1a528aa62b4a5818aead9251cdca0e40d44f916b2ffd";

async fn versions(store: &StoreProcess, query: &str) -> Vec<String> {
    let reply = store.read(query).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let page = reply.json();
    page["results"].as_array().unwrap().iter().map(|row| row["version"].as_str().unwrap().to_owned()).collect()
}

fn assert_sound(verified: &Finished) {
    assert_eq!(verified.code(), 0, "{}", verified.out);
}

/// Rows that were deleted have given their bytes up.
fn usage() -> Value {
    json!({
        "module": {
            "packages": 7, "bytes": 4 * 107 + 2 * 106 + 178, "deleted_packages": 0, "deleted_bytes": 0,
            "max_packages": null, "max_bytes": null,
        },
        "application": {
            "packages": 8, "bytes": 5 * 107 + 2 * 106 + 178, "deleted_packages": 0, "deleted_bytes": 0,
            "max_packages": null, "max_bytes": null,
        },
        "max_package_bytes": null,
    })
}

#[tokio::test]
async fn rows_of_every_state_are_upgraded_and_every_endpoint_knows_them() {
    let (dir, source) = (fixture_of_today("0010").await, FakeSource::serving(package_of("x")).await);
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    assert_eq!(
        versions(&store, "?order_by=version_natural").await,
        ["keyed", "0.0.5", "0.0.6", "0.0.7", "v1.9", "1.10-rc1", "1.10"]
    );
    assert_eq!(versions(&store, "").await[0], "keyed", "the newest first");
    assert_eq!(versions(&store, "?search_term=two&order_by=id").await, ["0.0.6", "v1.9"]);
    assert_eq!(versions(&store, "?is_deleted=true&order_by=id").await, ["to-delete", "again"]);
    assert_eq!(versions(&store, "?is_deleted=all&search_term=delete").await, ["to-delete"]);
    assert_eq!(store.read("?limit=1").await.json()["count"], 7);

    let overwritten = store.read("2/").await;
    assert_eq!((overwritten.status, overwritten.header("etag")), (200, Some("\"2.1\"")));
    let overwritten = overwritten.json();
    for (field, value) in [
        ("package_name", json!("two:0.0.6")),
        ("sha256_signature", json!(TWO)),
        ("operator", json!("bob")),
        ("format", json!("tar.gz")),
        ("pins", json!([])),
        ("deleted", json!(null)),
        ("source", json!("http://127.0.0.1:18099/generic/two.tar.gz")),
    ] {
        assert_eq!(overwritten[field], value, "{field}");
    }
    let deleted = store.read("6/").await.json();
    assert_eq!((&deleted["is_deleted"], &deleted["deleted"]), (&json!(true), &deleted["updated"]));
    assert_eq!(
        (&deleted["purge_after"], &deleted["purged"]),
        (&deleted["updated"], &deleted["updated"]),
        "its bytes are gone"
    );
    assert_eq!((store.read("8/").await.status, store.read("9/").await.status), (404, 404), "of other modules");
    assert_eq!(store.read("usage/").await.json(), usage());
    assert_eq!(store.read("events/").await.json()["count"], 0);
    for (job, state) in [
        ("01a2258d-0059-77d0-80f8-d295a25042b3", "done"),
        ("01a2258d-00e0-71dc-a814-bf6a63b9e9ba", "failed"),
        ("01a2258d-00e6-77ab-9756-9b893e788b89", "cancelled"),
    ] {
        assert_eq!(store.read(&format!("link/{job}/")).await.json()["state"], state);
    }
    // Its host is not allowed here.
    wait_until_holds("the end of what was accepted", async || {
        store.read("link/01a2258d-04d7-7088-82ee-d45acdc50103/").await.json()["state"] == "failed"
    })
    .await;
    assert_eq!(store.directory().tenants().await.1.iter().flatten().collect::<Vec<_>>(), ["system"]);
    assert_eq!(store.request(source.url()).version("v1.9").send(store.base()).await.status, 400, "it is there");
    assert_eq!(store.request(source.url()).version("again").send(store.base()).await.status, 200, "it was deleted");
    store.stop();
    assert_sound(&command(dir.path(), &["verify"]));
}

/// What the release before did to packages, in its own words.
const INSERT: &str = "insert into source_package
        (package_name, size_bytes, sha256, operator, created_ms, updated_ms, format, relative_path, meta_info,
         declared_version, entries, unpacked_bytes, app_code, module, version)
    values ('one:1.9.9', 107, 'f954ed96f02a7e6a22390a185c6cb0ba0223b20d4aeec5fd6aa7d34ea4e4ff0d', 'carol', 1, 1, 'tar.gz', './', null,
        null, 1, 3, 'app_code', 'default', '1.9.9')";
const REPLACE: &str = "update source_package
    set package_name = 'renamed:0.0.5', size_bytes = 106, sha256 = '0393f4cd20fd4139689f1a528aa62b4a5818aead9251cdca0e40d44f916b2ffd',
        operator = 'carol', updated_ms = 1795926400000, format = 'tar.gz', relative_path = './', meta_info = null,
        declared_version = null, entries = 1, unpacked_bytes = 3
    where id = 1";
const NEW_MODULE: &str = "insert into source_package
        (package_name, size_bytes, sha256, operator, created_ms, updated_ms, app_code, module, version)
    values ('one:1', 107, 'f954ed96f02a7e6a22390a185c6cb0ba0223b20d4aeec5fd6aa7d34ea4e4ff0d', 'carol', 1, 1, 'app_code', 'new', '1')";

#[tokio::test]
async fn what_the_release_before_does_to_an_upgraded_catalog_is_found_right() {
    let (dir, source) = (unpacked_fixture("0010"), FakeSource::serving(package_of("x")).await);
    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    let before: Value = store.read("1/").await.json();
    assert_eq!(before["sha256_signature"], ONE);
    let directory = store.directory().clone();
    store.stop();
    for statement in [INSERT, REPLACE, NEW_MODULE] {
        directory.execute(statement).await;
    }
    assert_eq!(directory.delete("app_code", "default", "1.10").await.unwrap(), 1);

    let store = StoreProcess::trusting(&source, dir.path(), &[]);
    assert_eq!(
        versions(&store, "?order_by=-version_natural").await,
        ["1.10-rc1", "1.9.9", "v1.9", "0.0.7", "0.0.6", "0.0.5", "keyed"]
    );
    assert_eq!(versions(&store, "?search_term=RENAMED").await, ["0.0.5"]);
    assert_eq!(versions(&store, "?search_term=%22one:0.0%22").await, Vec::<String>::new(), "its old name is forgotten");
    assert_eq!(versions(&store, "?search_term=1.9&order_by=version_natural").await, ["v1.9", "1.9.9"]);
    assert_eq!(versions(&store, "?search_term=three&is_deleted=true").await, ["1.10"]);
    assert_eq!(versions(&store, "?search_term=three").await, Vec::<String>::new());
    let replaced = store.read("1/").await;
    assert_eq!((replaced.header("etag"), &replaced.json()["operator"]), (Some("\"1.2\""), &json!("carol")));
    let usage = store.read("usage/").await.json();
    assert_eq!((&usage["module"]["packages"], &usage["application"]["packages"]), (&json!(7), &json!(9)));
    assert_eq!(store.read("?limit=1").await.json()["count"], 7);
    let new = store.reading("").path("/bkapps/applications/app_code/modules/new/source_package/?search_term=one");
    assert_eq!(store.send(new).await.json()["count"], 1);
    store.stop();
    assert_sound(&command(dir.path(), &["verify"]));
}

/// What a store left in which packages had been sent, overwritten, deleted, restored and pinned.
async fn assert_later_schema_is_upgraded(migration: &str, signed: &[&str]) {
    let (dir, source) = (fixture_of_today(migration).await, FakeSource::serving(package_of("x")).await);
    // What was deleted then stays as long as the test needs it.
    let store = StoreProcess::trusting(&source, dir.path(), &[("LINKGATE_STORE_PURGE_INTERVAL_S", "0")]);
    let live = ["0.0.5", "0.0.6", "1.1", "2.0", "keyed"];
    assert_eq!(versions(&store, "?order_by=id").await, [&live[..], signed].concat());
    assert_eq!(versions(&store, "?is_deleted=true").await, ["1.0"]);
    assert_eq!(versions(&store, "?search_term=sent").await, ["2.0"]);
    let pinned = store.read("1/").await.json();
    assert_eq!((&pinned["pins"][0]["name"], &pinned["pins"][0]["by"]), (&json!("prod"), &json!("admin")));
    let overwritten = store.read("2/").await.json();
    assert_eq!((&overwritten["operator"], &overwritten["package_name"]), (&json!("bob"), &json!("two:0.0.6")));
    let events = store.read("events/?limit=100").await.json();
    let mut actions: Vec<_> = events["results"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
    actions.reverse();
    let mut happened =
        ["upload", "upload", "overwrite", "upload", "upload", "upload", "pin", "delete", "delete", "restore"].to_vec();
    happened.extend(std::iter::repeat_n("upload", 1 + signed.len()));
    assert_eq!(actions, happened);
    // The latest first. That of what was accepted is not allowed here.
    let mut ended = vec!["failed"];
    ended.extend(signed.iter().map(|_| "done"));
    ended.extend(["failed", "done", "done", "done", "done", "done", "done", "done"]);
    wait_until_holds("the end of what was accepted", async || {
        let jobs = store.read("link/").await.json();
        jobs["results"].as_array().unwrap().iter().map(|job| &job["state"]).eq(&ended)
    })
    .await;
    let nonce = SignedNonce::new("app_code", "n", 1, now_s() + 300);
    let mut claims = good_claims();
    claims["linkgate"]["nonce"] = serde_json::to_value(nonce).unwrap();
    for (version, status) in [("new", 200), ("newer", 400)] {
        let request = store.request(source.url()).version(version).token(Some(store.mint().sign(&claims)));
        assert_eq!(request.send(store.base()).await.status, status, "{version}: the nonce serves once");
    }
    store.stop();
    assert_sound(&command(dir.path(), &["verify"]));
}

#[tokio::test]
async fn a_catalog_that_knew_no_nonces_is_upgraded() {
    assert_later_schema_is_upgraded("0013", &[]).await;
}

#[tokio::test]
async fn a_catalog_that_listed_no_uploads_is_upgraded() {
    assert_later_schema_is_upgraded("0014", &["signed"]).await;
}
