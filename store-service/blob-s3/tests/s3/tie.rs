//! A bucket is of one database, and a database has one bucket.

use linkgate_blob_s3::{NotTied, S3BlobStore, S3Settings, S3StartError};

use crate::support::keys::MemoryKeys;
use crate::support::{Stage, Store, bytes, put};

const OURS: &str = "0198c3a4-5f00-4abc-8def-000000000001";
const ANOTHERS: &str = "0198c3a4-5f00-4abc-8def-000000000002";

async fn below(stage: &Stage, prefix: &str, keys: MemoryKeys) -> Store {
    let settings = S3Settings { prefix: prefix.to_owned(), ..stage.settings() };
    S3BlobStore::open(&settings, keys).await.unwrap()
}

async fn refusal(store: &Store, id: &str, is_marked: bool) -> NotTied {
    match store.tie(id, is_marked).await {
        Err(S3StartError::NotTied(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_anothers_or_another_one_is_refused() {
    let Some(stage) = Stage::set().await else { return };
    assert!(matches!(refusal(&stage.store, OURS, true).await, NotTied::OtherBucket { .. }));
    stage.store.tie(OURS, false).await.unwrap();
    for is_marked in [true, false] {
        stage.store.tie(OURS, is_marked).await.unwrap();
        let refused = refusal(&stage.store, ANOTHERS, is_marked).await;
        assert!(matches!(&refused, NotTied::OtherDatabase { key, .. } if key.as_str() == "stores/one/database"));
    }
    let elsewhere = below(&stage, "stores/two/", stage.keys.clone()).await;
    let refused = refusal(&elsewhere, OURS, true).await.to_string();
    assert!(refused.contains("stores/two/database") && refused.contains(OURS), "{refused}");
    elsewhere.tie(ANOTHERS, false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_mark_is_written_only_where_the_packages_are() {
    let Some(stage) = Stage::set().await else { return };
    let sha256 = put(&stage.store, &bytes(9)).await;
    let key = stage.key(sha256);
    stage.weed.damage(&key, None).await;
    assert!(matches!(refusal(&stage.store, OURS, false).await, NotTied::OtherBucket { .. }));
    stage.weed.damage(&key, Some("9 bytes..")).await;
    stage.store.tie(OURS, false).await.unwrap();
    stage.store.tie(OURS, true).await.unwrap();
}
