//! What is tried at start, so that a bucket which cannot do what blobs need is known before the first of them.
//!
//! Promises: nothing is left in the bucket, whatever comes of it. Asks for all that the store will ever ask for: objects
//! written in one request and in parts, read in ranges, looked for, deleted; uploads listed and aborted.

use bytes::Bytes;
use linkgate_store_core::ingest::ports::{BlobError, BlobKeys, ObjectKey};
use object_store::PutPayload;

use super::client::Bucket;
use super::erase::{Traces, erase};
use super::error::{S3StartError, chain, start_error};
use super::keeper::{Cleaner, Keeper, Leftover};

const PROBE: &[u8] = b"Linkgate tries whether this bucket can hold its packages.";

/// Tries everything once.
pub(crate) async fn probe<K: BlobKeys>(
    cleaner: &Cleaner<K>,
    keeper: &Keeper,
    prefix: &str,
    bucket_name: &str,
) -> Result<(), S3StartError> {
    let key = ObjectKey::unused(prefix);
    cleaner.keys.begin(cleaner.holder, &key).await?;
    let tried = try_all(&cleaner.bucket, &key, bucket_name).await;
    if tried.is_err() {
        // It is tried once more beside the failure, which may be that nothing can be deleted.
        keeper.leave(Leftover { key, traces: Traces::Uploads { known: None }, may_be_published: false });
        return tried;
    }
    Ok(cleaner.keys.forget(&key).await?)
}

async fn try_all(bucket: &Bucket, key: &ObjectKey, bucket_name: &str) -> Result<(), S3StartError> {
    let put = bucket.try_put(key, Bytes::from_static(PROBE).into()).await;
    put.map_err(|e| start_error("write an object", bucket_name, &e))?;
    try_reading(bucket, key).await?;
    bucket.delete(key).await.map_err(unusable("delete an object"))?;
    expect(bucket.size(key).await, None, "delete an object so that it is gone")?;
    try_parts(bucket, key).await?;
    erase(bucket, key, &Traces::Uploads { known: None }).await.map_err(unusable("delete an object made of parts"))
}

async fn try_reading(bucket: &Bucket, key: &ObjectKey) -> Result<(), S3StartError> {
    expect(bucket.size(key).await, Some(PROBE.len() as u64), "tell the size of an object")?;
    let read = bucket.read(key, 9..14).await;
    expect(read, Bytes::from_static(PROBE).slice(9..14), "read a range of an object")
}

async fn try_parts(bucket: &Bucket, key: &ObjectKey) -> Result<(), S3StartError> {
    const BEGIN: &str = "begin an upload in parts";
    let aborted = bucket.begin_upload(key).await.map_err(unusable(BEGIN))?;
    let open = bucket.open_uploads(key).await.map(|open| open.contains(&aborted));
    expect(open, true, "list open uploads")?;
    bucket.abort(&aborted).await.map_err(unusable("abort an upload"))?;
    expect(bucket.open_uploads(key).await, Vec::new(), "abort an upload so that it is gone")?;
    let upload = bucket.begin_upload(key).await.map_err(unusable(BEGIN))?;
    let part = bucket.put_part(&upload, 0, PutPayload::from_static(PROBE)).await.map_err(unusable("write a part"))?;
    let completed = bucket.complete(&upload, vec![part], PROBE.len() as u64).await;
    completed.map_err(unusable("make an object of parts"))
}

pub(crate) fn unusable(what: &'static str) -> impl FnOnce(BlobError) -> S3StartError {
    move |error| S3StartError::Unusable { what, said: chain(&error) }
}

fn expect<T: PartialEq>(found: Result<T, BlobError>, expected: T, what: &'static str) -> Result<(), S3StartError> {
    if found.map_err(unusable(what))? == expected {
        return Ok(());
    }
    Err(S3StartError::Unusable { what, said: "it did, but the outcome is another one".to_owned() })
}
