//! Which object of an object storage holds which blob.
//!
//! An object has a key that is never used twice, so whatever deletes one object can hit no other one. Which blob it holds is
//! known in a database that all processes of a store share. Promises of an adapter: what it answers is durable; a key is at
//! any moment in one state, which is being written, holding a blob, retired, in quarantine, or unknown; a digest has at most
//! one object. Time is the database's.

use std::fmt;
use std::time::{Duration, SystemTime};

use linkgate_contract::Sha256;
use uuid::Uuid;

use super::Cause;

/// Knows which object holds which blob. A copy is another handle on the same.
pub trait BlobKeys: Clone + Send + Sync + 'static {
    /// Says that a process is alive. Until [`KeyHolder::LEASE`] has passed, what it writes is its own, and its holds count.
    fn beat(&self, holder: KeyHolder) -> impl Future<Output = Result<(), KeyError>> + Send;
    /// Notes the key of an object that is about to be written.
    fn begin(&self, holder: KeyHolder, key: &ObjectKey) -> impl Future<Output = Result<(), KeyError>> + Send;
    /// Notes by which name the storage knows the upload to this key.
    fn note_upload(&self, key: &ObjectKey, upload_id: &str) -> impl Future<Output = Result<(), KeyError>> + Send;
    /// Makes an object the one of its blob, unless the blob has one, which then counts as just published, too; a key that is
    /// not used stays one that is being written. If the blob's object is this `lost` one, it is retired and replaced.
    ///
    /// [`KeyError::Lost`] if the key is not this holder's any more.
    fn publish(
        &self,
        holder: KeyHolder,
        object: &BlobObject,
        lost: Option<&ObjectKey>,
    ) -> impl Future<Output = Result<Published, KeyError>> + Send;
    /// The object of a blob.
    fn find(&self, sha256: Sha256) -> impl Future<Output = Result<Option<PublishedObject>, KeyError>> + Send;
    /// Objects of blobs whose digests begin with this byte, in order of the digests, those after the given one; empty after
    /// the last.
    fn list(
        &self,
        part: u8,
        after: Option<Sha256>,
    ) -> impl Future<Output = Result<Vec<PublishedObject>, KeyError>> + Send;
    /// Takes its object from a blob, to be deleted later, unless a row of the catalog references the blob, somebody holds all
    /// blobs, or it was published within that time: whoever published it may be about to record its row.
    fn retire(
        &self,
        sha256: Sha256,
        untouched_for: Duration,
    ) -> impl Future<Output = Result<Retirement, KeyError>> + Send;
    /// Takes its object from a blob for good: it will never be deleted. `None` if the blob has none.
    fn quarantine(&self, sha256: Sha256) -> impl Future<Output = Result<Option<ObjectKey>, KeyError>> + Send;
    /// Gives up a key that is being written: no [`publish`](Self::publish) of it will succeed, and whoever sweeps may delete
    /// its object. `false` if it is not this holder's: hands off. Asked again it says the same, until another one took it over.
    fn disown(&self, holder: KeyHolder, key: &ObjectKey) -> impl Future<Output = Result<bool, KeyError>> + Send;
    /// Forgets a key that is being written, or was given up, and of which nothing is left.
    fn forget(&self, key: &ObjectKey) -> impl Future<Output = Result<(), KeyError>> + Send;
    /// Takes over up to a hundred keys that were begun before then and whose writers are gone or gave them up. They belong to
    /// this holder then, and are not given to anybody else.
    fn take_abandoned(
        &self,
        holder: KeyHolder,
        begun_before: SystemTime,
    ) -> impl Future<Output = Result<Vec<OpenUpload>, KeyError>> + Send;
    /// How many keys there are to take over.
    fn count_abandoned(&self, begun_before: SystemTime) -> impl Future<Output = Result<u64, KeyError>> + Send;
    /// Those of these keys that are in no state: neither a blob's object nor written, given up, retired or in quarantine.
    fn unknown(&self, keys: Vec<ObjectKey>) -> impl Future<Output = Result<Vec<ObjectKey>, KeyError>> + Send;
    /// Up to a hundred keys that were retired so long ago, after this one in their order; none while somebody holds all blobs.
    fn expired(
        &self,
        retired_for: Duration,
        after: Option<&ObjectKey>,
    ) -> impl Future<Output = Result<Vec<RetiredObject>, KeyError>> + Send;
    /// Forgets a retired key of which nothing is left.
    fn forget_retired(&self, key: &ObjectKey) -> impl Future<Output = Result<(), KeyError>> + Send;
    /// Keeps all blobs from being retired and deleted, as long as the holder lives or until it is released. What is being
    /// retired at this moment is retired once this returns.
    fn hold(&self, holder: KeyHolder) -> impl Future<Output = Result<HoldId, KeyError>> + Send;
    /// Ends a hold.
    fn release(&self, hold: HoldId) -> impl Future<Output = Result<(), KeyError>> + Send;
}

/// A process that writes and holds blobs, from its start to its end: no two starts have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHolder(Uuid);

/// What keeps all blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HoldId(Uuid);

/// The name of an object, which is never used twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

/// An object that holds a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobObject {
    /// The blob's digest.
    pub sha256: Sha256,
    /// Its bytes.
    pub size_bytes: u64,
    /// The object's name.
    pub key: ObjectKey,
}

/// The object of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedObject {
    /// Which.
    pub object: BlobObject,
    /// When it was published last, be it by another upload of the same bytes.
    pub published: SystemTime,
}

/// What became of an object that was to be a blob's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The blob had none, now it has this one.
    New,
    /// It took the place of the lost one.
    Replaced,
    /// The blob has another one.
    Existing(BlobObject),
}

/// Whether a blob has lost its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// Its object will be deleted once the grace is over.
    Retired,
    /// It has none.
    NotThere,
    /// Somebody holds all blobs.
    Held,
    /// It was published a moment ago.
    JustPublished,
    /// A row references it.
    Referenced,
}

/// A key that is being written, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    /// The object's name.
    pub key: ObjectKey,
    /// By which name the storage knows the upload, if it is one of several parts and that was noted.
    pub upload_id: Option<String>,
}

/// An object that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredObject {
    /// Its name.
    pub key: ObjectKey,
    /// Its bytes.
    pub size_bytes: u64,
}

/// Why it is not known which object holds a blob.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key is not this process's any more: it showed no sign of life for so long that its key was swept.
    #[error("the object was given up, because its writer had shown no sign of life")]
    Lost,
    /// The database is away, or cannot do it now. What was to be written may be written.
    #[error("the database of object keys is away")]
    Unavailable(#[source] Cause),
    /// The database failed. What was to be written may be written.
    #[error("the database of object keys failed")]
    Database(#[source] Cause),
}

impl KeyHolder {
    /// How long a process counts as alive after each sign of life.
    pub const LEASE: Duration = Duration::from_secs(60);

    /// Another one each time.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// For a database.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl HoldId {
    /// Another one each time.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// For a database.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl ObjectKey {
    /// One that nobody had before, below a prefix that ends in a slash or is empty.
    #[must_use]
    pub fn unused(prefix: &str) -> Self {
        Self(format!("{}/{}", Self::folder(prefix), Uuid::now_v7()))
    }

    /// What all of them have in front, without the slash behind it.
    #[must_use]
    pub fn folder(prefix: &str) -> Self {
        Self(format!("{prefix}p"))
    }

    /// As it was written down.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// As the storage knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
