//! Lists blobs, as the database knows them.
//!
//! Promises: never more than [`AHEAD`] of them and one page in memory, however many there are. Whether the objects are there
//! is not looked at.

use linkgate_store_core::ingest::ports::{BlobError, BlobKeys, BlobStat, Listed, PublishedObject};
use tokio::sync::mpsc;

use super::error::key_error;

/// Blobs that are read ahead of whoever looks at them.
const AHEAD: usize = 256;

type Sender = mpsc::Sender<Result<Listed, BlobError>>;

/// Lists all blobs, beginning with this part. Ends early when the receiver is dropped.
pub(crate) fn list_blobs<K: BlobKeys>(keys: K, first_part: u8) -> mpsc::Receiver<Result<Listed, BlobError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        for part in (0..=u8::MAX).map(|n| n.wrapping_add(first_part)) {
            match list_part(&keys, part, &sender).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => {
                    // Nobody listens any more: then nobody needs to know.
                    let _unheard = sender.send(Err(e)).await;
                    return;
                }
            }
        }
    });
    receiver
}

/// `false` if nobody listens any more.
async fn list_part<K: BlobKeys>(keys: &K, part: u8, sender: &Sender) -> Result<bool, BlobError> {
    let mut after = None;
    loop {
        let page = keys.list(part, after).await.map_err(key_error)?;
        let Some(last) = page.last() else { return Ok(true) };
        after = Some(last.object.sha256);
        for found in page {
            if sender.send(Ok(Listed::Blob(stat(&found)))).await.is_err() {
                return Ok(false);
            }
        }
    }
}

/// What the database knows of a blob.
pub(crate) fn stat(found: &PublishedObject) -> BlobStat {
    let PublishedObject { object, published } = found;
    BlobStat { sha256: object.sha256, size_bytes: object.size_bytes, modified: *published }
}
