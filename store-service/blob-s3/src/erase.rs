//! Deletes all that may be in the bucket under a key.
//!
//! Promises: once it returns, neither an object nor an open upload is there, whatever was begun. What is not there needs no
//! deleting.

use linkgate_store_core::ingest::ports::{BlobError, ObjectKey};

use super::client::{Bucket, Upload};

/// What may be in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Traces {
    /// Nothing was sent.
    Nothing,
    /// An object, written in one request.
    Object,
    /// Uploads, of which this one is known, or the object that was made of one.
    Uploads {
        /// By which name the storage knows it.
        known: Option<String>,
    },
}

pub(crate) async fn erase(bucket: &Bucket, key: &ObjectKey, traces: &Traces) -> Result<(), BlobError> {
    match traces {
        Traces::Nothing => Ok(()),
        Traces::Object => bucket.delete(key).await,
        Traces::Uploads { known } => {
            if let Some(id) = known {
                bucket.abort(&Upload { key: key.clone(), id: id.clone() }).await?;
            }
            // One whose reply was lost, and one to which a part came while it was aborted.
            abort_uploads(bucket, key).await?;
            // Last: what completes an upload cannot come after its end.
            bucket.delete(key).await
        }
    }
}

/// Aborts all open uploads to a key.
pub(crate) async fn abort_uploads(bucket: &Bucket, key: &ObjectKey) -> Result<(), BlobError> {
    for upload in bucket.open_uploads(key).await? {
        bucket.abort(&upload).await?;
    }
    Ok(())
}
