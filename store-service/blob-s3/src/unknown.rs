//! Objects that the database does not know.
//!
//! Promises: what is being written, holds a blob, or waits to be deleted is never among them, whatever happens meanwhile: a key is
//! noted before its object is written, and forgotten after it was deleted. So an object that is still there once the database was
//! asked is nobody's. There are such if the database was taken back to an earlier moment, or if a request came so late that its
//! object had been given up. Deletes no name that this store does not give.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt as _;
use linkgate_store_core::ingest::ports::{BlobError, BlobKeys, ObjectKey, UnknownObject};
use object_store::ObjectMeta;
use tokio::sync::mpsc;

use super::client::{Bucket, STATEMENTS};
use super::error::{blob_error, key_error};

/// Objects that the database is asked for at once.
const AT_ONCE: usize = 1_000;
/// Those that are read ahead of whoever looks at them.
const AHEAD: usize = 256;
/// As a uuid is written.
const NAME_LENGTH: usize = 36;

type Sender = mpsc::Sender<Result<UnknownObject, BlobError>>;

/// Lists them all. Ends early when the receiver is dropped.
pub(crate) fn list<K: BlobKeys>(
    bucket: Bucket,
    keys: K,
    folder: ObjectKey,
) -> mpsc::Receiver<Result<UnknownObject, BlobError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(e) = send_all(&bucket, &keys, &folder, &sender).await {
            // Nobody listens any more: then nobody needs to know.
            let _unheard = sender.send(Err(e)).await;
        }
    });
    receiver
}

async fn send_all<K: BlobKeys>(
    bucket: &Bucket,
    keys: &K,
    folder: &ObjectKey,
    sender: &Sender,
) -> Result<(), BlobError> {
    let mut pages = bucket.list(folder).try_chunks(AT_ONCE);
    while let Some(page) = pages.try_next().await.map_err(|e| blob_error("listing objects", e.1))? {
        for object in find_unknown(bucket, keys, page).await? {
            if sender.send(Ok(object)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn find_unknown<K: BlobKeys>(
    bucket: &Bucket,
    keys: &K,
    page: Vec<ObjectMeta>,
) -> Result<Vec<UnknownObject>, BlobError> {
    let asked: HashSet<_> = page.iter().map(|object| noted(object.location.as_ref()).to_owned()).collect();
    let unknown = keys.unknown(asked.into_iter().map(ObjectKey::from_text).collect()).await.map_err(key_error)?;
    let unknown: HashSet<_> = unknown.iter().map(ObjectKey::as_str).collect();
    let mut found = Vec::new();
    for object in page.into_iter().filter(|object| unknown.contains(noted(object.location.as_ref()))) {
        let key = ObjectKey::from_text(object.location.as_ref().to_owned());
        // It may have been deleted before its key was forgotten.
        if bucket.size(&key).await?.is_some() {
            found.push(describe(bucket, &key, &object));
        }
    }
    Ok(found)
}

fn describe(bucket: &Bucket, key: &ObjectKey, object: &ObjectMeta) -> UnknownObject {
    UnknownObject {
        name: key.as_str().to_owned(),
        address: bucket.address(key).into(),
        size_bytes: object.size,
        modified: object.last_modified.into(),
    }
}

/// Deletes one if it is old enough, and one of ours by its name.
pub(crate) async fn delete<K: BlobKeys>(
    bucket: &Bucket,
    keys: &K,
    folder: &ObjectKey,
    untouched_for: Duration,
    object: &UnknownObject,
) -> Result<bool, BlobError> {
    let is_old = SystemTime::now().checked_sub(untouched_for).is_some_and(|before| object.modified <= before);
    if !is_old || !is_given(folder, &object.name) {
        return Ok(false);
    }
    let asked = vec![ObjectKey::from_text(noted(&object.name).to_owned())];
    if keys.unknown(asked).await.map_err(key_error)?.is_empty() {
        return Ok(false);
    }
    bucket.delete(&ObjectKey::from_text(object.name.clone())).await?;
    Ok(true)
}

/// The key by which the database would know an object: statements lie beside the object of their blob.
fn noted(name: &str) -> &str {
    name.strip_suffix(STATEMENTS).unwrap_or(name)
}

/// Whether this store gives such names.
fn is_given(folder: &ObjectKey, name: &str) -> bool {
    let below = noted(name).strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/'));
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    below.is_some_and(|below| below.len() == NAME_LENGTH && below.chars().all(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_store_gives_are_its_own() {
        let folder = ObjectKey::folder("store/");
        let key = ObjectKey::unused("store/");
        assert!(is_given(&folder, key.as_str()) && is_given(&folder, &format!("{key}.intoto.jsonl")));
        let uuid = key.as_str().strip_prefix("store/p/").unwrap();
        for other in [
            format!("store/{uuid}"),
            format!("store/pp/{uuid}"),
            format!("store/p/x/{uuid}"),
            format!("{key}.txt"),
            "store/p/notes".to_owned(),
        ] {
            assert!(!is_given(&folder, &other), "{other}");
        }
    }
}
