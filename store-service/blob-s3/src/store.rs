//! The blob store on a bucket.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use linkgate_contract::Sha256;
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::ports::{
    BlobError, BlobKeys, BlobObject, BlobStat, BlobStore, KeyHolder, Listed, ObjectKey, Published, PublishedObject,
    Retirement, ShownAs, Swept, UnknownObject,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::budget::Budget;
use super::client::{Bucket, statements_of};
use super::error::{S3StartError, key_error, no_reply, no_space};
use super::export::S3Export;
use super::finished::S3FinishedBlob;
use super::hold::{Holds, S3Hold};
use super::keeper::{Cleaner, Keeper};
use super::list::{list_blobs, stat};
use super::part::try_file;
use super::probe::probe;
use super::reader::S3BlobReader;
use super::settings::S3Settings;
use super::unknown;
use super::unpublished::Unpublished;
use super::writer::S3BlobWriter;

/// As long as whoever asks for readiness waits.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Packages in a bucket. A copy is another handle on the same packages.
pub struct S3BlobStore<K> {
    pub(crate) shared: Arc<Shared<K>>,
}

/// What all handles and writers share.
pub(crate) struct Shared<K> {
    pub(crate) cleaner: Cleaner<K>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) temp_dir: PathBuf,
    prefix: String,
    publish_grace: Duration,
    retired_grace: Duration,
    holds: Arc<Holds<K>>,
    keeper: Keeper,
}

impl<K> Clone for S3BlobStore<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: BlobKeys> Shared<K> {
    /// An object with a key that nobody had before.
    pub(crate) async fn begin_object(&self) -> Result<Unpublished<K>, BlobError> {
        Unpublished::begin(&self.cleaner, &self.keeper, &self.prefix).await
    }

    async fn find(&self, sha256: Sha256) -> Result<Option<PublishedObject>, BlobError> {
        self.cleaner.keys.find(sha256).await.map_err(key_error)
    }

    /// Whether a blob's object is there with all its bytes.
    async fn has(&self, object: &BlobObject) -> Result<bool, BlobError> {
        Ok(self.cleaner.bucket.size(&object.key).await? == Some(object.size_bytes))
    }

    /// An object of this name, which is no blob's.
    pub(crate) fn named(&self, name: &str) -> ObjectKey {
        ObjectKey::from_text(format!("{}{name}", self.prefix))
    }

    async fn check(&self) -> Result<(), BlobError> {
        try_file(&self.temp_dir).await?;
        self.cleaner.keys.beat(self.cleaner.holder).await.map_err(key_error)?;
        // Always the same one, so that nothing is left which somebody would have to look for.
        let (key, bytes) = (self.named("ready"), Bytes::from_static(b"ready?"));
        self.cleaner.bucket.put_unseen(&key, bytes).await?;
        self.cleaner.bucket.size(&key).await.map(drop)
    }
}

impl<K: BlobKeys> S3BlobStore<K> {
    /// Opens a bucket, after trying that it can do everything that blobs need. These keys say which object holds which blob.
    ///
    /// # Errors
    /// [`S3StartError`] says what is wrong, or what the storage cannot do.
    pub async fn open(settings: &S3Settings, keys: K) -> Result<Self, S3StartError> {
        settings.check()?;
        tempfile::tempfile_in(&settings.memory.temp_dir).map_err(S3StartError::TempDir)?;
        let cleaner = Cleaner { bucket: Bucket::new(settings)?, keys, holder: KeyHolder::random() };
        cleaner.keys.beat(cleaner.holder).await?;
        let holds = Arc::new(Holds::new(cleaner.keys.clone(), cleaner.holder));
        let keeper = Keeper::start(cleaner.clone(), Arc::clone(&holds));
        probe(&cleaner, &keeper, &settings.prefix, &settings.bucket).await?;
        let shared = Shared {
            cleaner,
            budget: Arc::new(Budget::new(&settings.memory)),
            temp_dir: settings.memory.temp_dir.clone(),
            prefix: settings.prefix.clone(),
            publish_grace: settings.publish_grace,
            retired_grace: settings.retired_grace,
            holds,
            keeper,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether there are no objects of blobs in this part of the bucket, whoever wrote them.
    ///
    /// # Errors
    /// [`BlobError`] if the storage cannot say.
    pub async fn is_unused(&self) -> Result<bool, BlobError> {
        self.shared.cleaner.bucket.is_empty(&ObjectKey::folder(&self.shared.prefix)).await
    }

    /// Releases what was held, for a process that ends: it would count until its signs of life have run out otherwise.
    pub async fn close(&self) {
        self.shared.holds.release_dropped().await;
    }
}

impl<K: BlobKeys> BlobStore for S3BlobStore<K> {
    type Writer = S3BlobWriter<K>;
    type Finished = S3FinishedBlob<K>;
    type Reader = S3BlobReader;
    type Hold = S3Hold;
    type Export = S3Export<K>;

    /// A bucket has no end, but an object has.
    async fn check_space(&self, bytes: u64) -> Result<(), BlobError> {
        let longest = self.shared.budget.longest_blob();
        if bytes > longest { Err(no_space(bytes, longest)) } else { Ok(()) }
    }

    async fn open_writer(&self, size: Option<u64>) -> Result<S3BlobWriter<K>, BlobError> {
        self.check_space(size.unwrap_or(0)).await?;
        Ok(S3BlobWriter::new(Arc::clone(&self.shared), size))
    }

    async fn commit(&self, mut finished: S3FinishedBlob<K>) -> Result<bool, BlobError> {
        let mut lost = None;
        reached(Step::RenameDue);
        loop {
            match finished.object.publish(&finished.blob, lost.as_ref()).await? {
                Published::New | Published::Replaced => {
                    reached(Step::BlobCommitted);
                    return Ok(true);
                }
                Published::Existing(other) if self.shared.has(&other).await? => return Ok(false),
                // These bytes take the place of those that the bucket has lost.
                Published::Existing(other) => lost = Some(other.key),
            }
        }
    }

    async fn open(&self, sha256: Sha256, range: Option<Range<u64>>) -> Result<S3BlobReader, BlobError> {
        let object = self.shared.find(sha256).await?.ok_or(BlobError::NotFound)?.object;
        let range = range.unwrap_or(0..object.size_bytes);
        let range = range.start.min(object.size_bytes)..range.end.min(object.size_bytes);
        S3BlobReader::open(self.shared.cleaner.bucket.clone(), &object, range).await
    }

    async fn link(&self, sha256: Sha256, shown: &ShownAs) -> Result<Option<String>, BlobError> {
        // Asked first: elsewhere no download is to cost a query more.
        let Some(presigner) = self.shared.cleaner.bucket.presigner() else { return Ok(None) };
        let object = self.shared.find(sha256).await?.ok_or(BlobError::NotFound)?.object;
        presigner.link(&object.key, shown).await.map(Some)
    }

    async fn stat(&self, sha256: Sha256) -> Result<Option<BlobStat>, BlobError> {
        let Some(found) = self.shared.find(sha256).await? else { return Ok(None) };
        Ok(self.shared.has(&found.object).await?.then(|| stat(&found)))
    }

    fn list(&self, first_part: u8) -> mpsc::Receiver<Result<Listed, BlobError>> {
        list_blobs(self.shared.cleaner.keys.clone(), first_part)
    }

    /// Takes its object from the blob; the object itself is deleted once the grace is over. A blob that was published a
    /// moment ago stays, too: another store may be about to record its row.
    async fn delete(&self, sha256: Sha256) -> Result<bool, BlobError> {
        self.shared.holds.release_dropped().await;
        let retired = self.shared.cleaner.keys.retire(sha256, self.shared.publish_grace).await.map_err(key_error)?;
        reached(Step::Unlinked);
        Ok(matches!(retired, Retirement::Retired | Retirement::NotThere))
    }

    async fn quarantine(&self, sha256: Sha256) -> Result<PathBuf, BlobError> {
        let key = self.shared.cleaner.keys.quarantine(sha256).await.map_err(key_error)?;
        Ok(self.shared.cleaner.bucket.address(&key.ok_or(BlobError::NotFound)?).into())
    }

    async fn sweep_abandoned(&self, written_before: SystemTime, dry_run: bool) -> Result<Swept, BlobError> {
        let cleaner = &self.shared.cleaner;
        if dry_run {
            let files = cleaner.keys.count_abandoned(written_before).await.map_err(key_error)?;
            return Ok(Swept { files, bytes: 0 });
        }
        let abandoned = cleaner.sweep_abandoned(written_before).await?;
        let expired = cleaner.delete_expired(self.shared.retired_grace).await?;
        Ok(Swept { files: abandoned.files + expired.files, bytes: abandoned.bytes + expired.bytes })
    }

    fn list_unknown(&self) -> mpsc::Receiver<Result<UnknownObject, BlobError>> {
        let Cleaner { bucket, keys, .. } = self.shared.cleaner.clone();
        unknown::list(bucket, keys, ObjectKey::folder(&self.shared.prefix))
    }

    async fn delete_unknown(&self, object: &UnknownObject) -> Result<bool, BlobError> {
        let Cleaner { bucket, keys, .. } = &self.shared.cleaner;
        unknown::delete(bucket, keys, &ObjectKey::folder(&self.shared.prefix), self.shared.retired_grace, object).await
    }

    async fn attach_statements(&self, sha256: Sha256, statements: String) -> Result<(), BlobError> {
        let object = self.shared.find(sha256).await?.ok_or(BlobError::NotFound)?.object;
        self.shared.cleaner.bucket.put_unseen(&statements_of(&object.key), statements.into()).await
    }

    async fn hold(&self) -> Result<S3Hold, BlobError> {
        self.shared.holds.hold(self.shared.keeper.clone()).await.map_err(key_error)
    }

    async fn begin_export(&self, into: &Path) -> Result<S3Export<K>, BlobError> {
        S3Export::begin(Arc::clone(&self.shared), into.to_owned()).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        timeout(CHECK_TIMEOUT, self.shared.check()).await.unwrap_or_else(|_| Err(no_reply(CHECK_TIMEOUT)))
    }
}
