//! A bucket that cannot be used is known at start.

use std::time::Duration;

use linkgate_blob_s3::{Encryption, InvalidS3Settings, S3BlobStore, S3Credentials, S3Settings, S3StartError};
use linkgate_store_core::ingest::ports::{BlobError, BlobStore as _};
use secrecy::SecretString;
use url::Url;

use crate::support::proxy::{Cut, Proxy};
use crate::support::weed::{KEY_ID, SECRET};
use crate::support::{PART, Stage, bytes, put, read, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_encrypted_by_the_storage_if_the_operator_wants_that() {
    let Some(stage) = Stage::set().await else { return };
    let sent = [bytes(9), bytes(PART + 9)];
    for (encryption, is_plain) in [(None, true), (Some(Encryption::Aes256), false)] {
        let settings = S3Settings { encryption, ..stage.settings() };
        let store = S3BlobStore::open(&settings, stage.keys.clone()).await.unwrap();
        for sent in &sent {
            let sha256 = put(&store, sent).await;
            assert!(read(&store, sha256, None).await == *sent && read(&store, sha256, Some(2..7)).await == sent[2..7]);
            let stored = stage.weed.stored(&stage.key(sha256)).await;
            assert_eq!(&stored == sent, is_plain, "{} bytes", sent.len());
            assert!(store.delete(sha256).await.unwrap());
        }
    }
}

async fn refusal(stage: &Stage, settings: S3Settings) -> S3StartError {
    let settings = S3Settings { retry_timeout: Duration::from_millis(300), ..settings };
    S3BlobStore::open(&settings, stage.keys.clone()).await.map(drop).unwrap_err()
}

fn texts(error: &S3StartError) -> String {
    format!("{error} {error:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_can_be_used_is_left_as_it_was() {
    let Some(stage) = Stage::set().await else { return };
    stage.wait_until_left(&[]).await;
    let variables =
        [("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_ENDPOINT", "http://nowhere")];
    let variables = variables.map(|(name, value)| (name.to_owned(), SecretString::from(value)));
    let platform = S3Settings { credentials: S3Credentials::Platform(variables.to_vec()), ..stage.settings() };
    S3BlobStore::open(&platform, stage.keys.clone()).await.map(drop).unwrap();
    stage.wait_until_left(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_bucket_is_told_at_start_and_no_secret_with_it() {
    let Some(stage) = Stage::set().await else { return };
    let bad_bucket = S3Settings { bucket: "no-such-bucket".to_owned(), ..stage.settings() };
    let error = refusal(&stage, bad_bucket).await;
    assert!(matches!(&error, S3StartError::NoBucket { bucket, .. } if bucket == "no-such-bucket"), "{error:?}");
    for (id, secret) in [(KEY_ID, "another-secret"), ("another-id", SECRET)] {
        let credentials = S3Credentials::Key { id: id.to_owned(), secret: secret.into(), session_token: None };
        let error = refusal(&stage, S3Settings { credentials, ..stage.settings() }).await;
        assert!(matches!(&error, S3StartError::Refused { .. }), "{error:?}");
        assert!(!texts(&error).contains(secret) && !texts(&error).contains("StringToSign"), "{error:?}");
    }
    let endpoint = Url::parse("http://127.0.0.1:9").ok();
    let error = refusal(&stage, S3Settings { endpoint, ..stage.settings() }).await;
    assert!(matches!(&error, S3StartError::Unusable { what: "write an object", .. }), "{error:?}");
    let mut no_temp = stage.settings();
    no_temp.memory.temp_dir = "/nowhere".into();
    assert!(matches!(refusal(&stage, no_temp).await, S3StartError::TempDir(_)));
    let bad = S3Settings { prefix: "no-slash".to_owned(), ..stage.settings() };
    assert!(matches!(refusal(&stage, bad).await, S3StartError::Settings(InvalidS3Settings::Prefix)));
    assert_eq!(stage.weed.objects().await, [""; 0]);
    let longest = stage.store.check_space(1 << 34).await;
    longest.unwrap();
    for refused in [stage.store.check_space(1 << 50).await, stage.store.open_writer(Some(1 << 50)).await.map(drop)] {
        assert!(matches!(refused, Err(BlobError::NoSpace(_))), "{refused:?}");
    }
}

/// Every request that the store will ever need is tried: if one is cut, the start fails by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_thing_that_a_storage_cannot_do_is_named_at_start() {
    let Some(stage) = Stage::set().await else { return };
    let proxy = Proxy::before(stage.weed.port()).await;
    let lacks: [(&[&str], &str); 8] = [
        (&["PUT", "/p/"], "write an object"),
        (&["HEAD", "/p/"], "tell the size of an object"),
        (&["GET", "/p/"], "read a range of an object"),
        (&["DELETE", "/p/"], "delete an object"),
        (&["POST", "?uploads"], "begin an upload in parts"),
        (&["GET", "uploads"], "list open uploads"),
        (&["DELETE", "uploadId"], "abort an upload"),
        (&["POST", "uploadId"], "make an object of parts"),
    ];
    for (matching, expected) in lacks {
        proxy.cut(Cut { matching: matching.to_vec(), passes_on: false, times: None });
        let error = refusal(&stage, settings(&proxy.endpoint(), &stage.temp)).await;
        assert!(matches!(&error, S3StartError::Unusable { what, .. } if *what == expected), "{expected}: {error:?}");
        assert!(!texts(&error).contains("Signature") && !texts(&error).contains(SECRET), "{error:?}");
        proxy.cut(Cut::default());
    }
}
