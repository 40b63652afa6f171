//! Which database the packages of a bucket are of.
//!
//! Promises: a bucket that is another one's, or another one than before, is refused before anything in it is read or deleted:
//! what is not found there would be taken for lost, and what is found there for nobody's.

use bytes::Bytes;
use linkgate_store_core::ingest::ports::{BlobKeys, BlobObject, ObjectKey};

use super::error::S3StartError;
use super::probe::unusable;
use super::store::S3BlobStore;

/// What a storage is asked here.
const ASKED: &str = "say whose its packages are";
/// Objects that are looked for before a bucket is marked.
const LOOKED_FOR: usize = 16;

/// What there is to say of a bucket that is not the one of this database.
#[derive(Debug, thiserror::Error)]
pub enum NotTied {
    /// It is another one's.
    #[error(
        "the packages there are of another database, by the object `{key}`: give each database a bucket or a prefix of its own. If \
         this is that database, taken back to a time before the object was written, write `{id}` into it; if that one is gone and \
         nothing there is needed, delete it"
    )]
    OtherDatabase {
        /// What says so.
        key: ObjectKey,
        /// What it is to say.
        id: String,
    },
    /// It is not the one that this database had.
    #[error(
        "the packages of this database are not there, for it has no object `{key}`: correct LINKGATE_S3_BUCKET, LINKGATE_S3_PREFIX \
         or LINKGATE_S3_ENDPOINT. If all of its objects were moved there, write `{id}` into that object"
    )]
    OtherBucket {
        /// What is missing.
        key: ObjectKey,
        /// What it is to say.
        id: String,
    },
}

impl<K: BlobKeys> S3BlobStore<K> {
    /// Holds the bucket against its database, which is known by this id. One that no bucket `is_marked` for yet takes this one,
    /// unless its packages are not in there.
    ///
    /// # Errors
    /// [`S3StartError::NotTied`], or why it cannot be found out.
    pub async fn tie(&self, id: &str, is_marked: bool) -> Result<(), S3StartError> {
        let (bucket, key) = (&self.shared.cleaner.bucket, self.shared.named("database"));
        match bucket.read_all(&key).await.map_err(unusable(ASKED))? {
            Some(said) if said.trim_ascii() == id.as_bytes() => return Ok(()),
            Some(_) => return Err(NotTied::OtherDatabase { key, id: id.to_owned() }.into()),
            None if is_marked => return Err(NotTied::OtherBucket { key, id: id.to_owned() }.into()),
            None => {}
        }
        if self.lacks_known_objects().await? {
            return Err(NotTied::OtherBucket { key, id: id.to_owned() }.into());
        }
        bucket.put_unseen(&key, Bytes::copy_from_slice(id.as_bytes())).await.map_err(unusable(ASKED))
    }

    /// Whether there is none of some objects that the database knows: one alone may be what was lost.
    async fn lacks_known_objects(&self) -> Result<bool, S3StartError> {
        let known = self.some_objects().await?;
        for object in &known {
            if self.shared.cleaner.bucket.size(&object.key).await.map_err(unusable(ASKED))?.is_some() {
                return Ok(false);
            }
        }
        Ok(!known.is_empty())
    }

    /// Some of the objects that the database knows.
    async fn some_objects(&self) -> Result<Vec<BlobObject>, S3StartError> {
        let mut some = Vec::new();
        for part in 0..=u8::MAX {
            some.extend(self.shared.cleaner.keys.list(part, None).await?.into_iter().map(|found| found.object));
            if some.len() >= LOOKED_FOR {
                break;
            }
        }
        some.truncate(LOOKED_FOR);
        Ok(some)
    }
}
