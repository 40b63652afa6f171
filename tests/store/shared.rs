//! Stores that share a database and a bucket.

use std::path::Path;

use linkgate_catalog::testing::PostgresServer;
use linkgate_tests::weed::{BUCKET, KEY_ID, SECRET, Weed};
use linkgate_tests::{FakeSource, StoreProcess, another_package_of_size, wait_until};
use reqwest::Method;
use serde_json::json;

/// In parts, and then some.
const BYTES: usize = 9 << 20;

/// Servers of their own, and the settings of stores on them; none where one of them is not to be had.
pub(super) async fn servers() -> Option<(PostgresServer, Weed, Vec<(&'static str, String)>)> {
    if let Some(missing) = PostgresServer::missing() {
        println!("not tried: {missing}");
        return None;
    }
    let weed = Weed::start().await?;
    let postgres = PostgresServer::start();
    let settings = vec![
        ("LINKGATE_DATABASE_URL", postgres.address()),
        ("LINKGATE_S3_BUCKET", BUCKET.to_owned()),
        ("LINKGATE_S3_PREFIX", "packages/".to_owned()),
        ("LINKGATE_S3_ENDPOINT", weed.endpoint()),
        ("LINKGATE_S3_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("LINKGATE_S3_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ];
    Some((postgres, weed, settings))
}

pub(super) fn start(source: &FakeSource, data_dir: &Path, settings: &[(&'static str, String)]) -> StoreProcess {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    StoreProcess::trusting(source, data_dir, &settings)
}

pub(super) fn nothing_is_secret_in(log: &[String]) {
    assert!(!log.iter().any(|line| line.contains(SECRET) || line.contains("postgres://")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_store_has_stored_another_one_lists_sends_and_deletes() {
    let Some((_postgres, weed, settings)) = servers().await else { return };
    let (dir, bytes) = (tempfile::tempdir().unwrap(), another_package_of_size(BYTES));
    let source = FakeSource::serving(bytes.clone()).await;
    let one = start(&source, &dir.path().join("one"), &settings);
    let other = start(&source, &dir.path().join("other"), &settings);
    for store in [&one, &other] {
        assert_eq!(store.get("/readyz").await.status, 200);
    }

    let uploaded = one.send(one.request(source.url()).version("1").in_english()).await;
    assert_eq!(uploaded.status, 200, "{}", uploaded.body);
    let id = uploaded.json()["id"].as_i64().unwrap();
    let again = other.send(other.request(source.url()).version("1").in_english()).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (400, Some("PACKAGE_ALREADY_EXISTS")), "{}", again.body);

    let listed = other.send(other.below(Method::GET, "")).await.json();
    assert_eq!((&listed["count"], &listed["results"][0]["id"]), (&json!(1), &json!(id)), "{listed}");
    for store in [&one, &other] {
        let downloaded = store.download(id, &[]).await;
        assert_eq!((downloaded.status, downloaded.bytes == bytes), (200, true));
    }
    let part = other.download(id, &[("range", "bytes=8388600-8388620")]).await;
    assert_eq!((part.status, part.bytes.as_slice()), (206, &bytes[8_388_600..=8_388_620]));

    let deleted = other.send(other.below(Method::DELETE, &format!("{id}/"))).await;
    assert_eq!((deleted.status, &deleted.json()["is_deleted"]), (200, &json!(true)), "{}", deleted.body);
    for store in [&one, &other] {
        let gone = store.download(id, &[]).await;
        assert_eq!((gone.status, gone.code().as_str()), (410, "PACKAGE_DELETED"));
    }
    let listed = one.send(one.below(Method::GET, "")).await.json();
    assert_eq!(listed["count"], json!(0), "{listed}");

    // It may be restored, so its bytes are there: its object, and the statement beside it.
    wait_until(async || {
        let objects = weed.objects().await;
        let has_statement = objects.len() == 2 && objects[1] == format!("{}.intoto.jsonl", objects[0]);
        if has_statement && weed.open_uploads().await.is_empty() { Ok(()) } else { Err(format!("{objects:?}")) }
    })
    .await;
    for (store, name) in [(one, "one"), (other, "other")] {
        nothing_is_secret_in(&store.stop_and_read());
        assert!(!dir.path().join(name).join("catalog.sqlite3").exists(), "it is not in the data directory");
    }
}
