//! What ingest and maintenance need from the world: where bytes come from, where they are stored, where packages are
//! recorded and looked up, where jobs wait.
//!
//! Each port names its own failures, free of HTTP and of any adapter, with values instead of ready-made sentences. What keeps
//! two uploads apart is asked of the ports and never of this process's memory alone, so adapters for several processes can
//! keep the same promises.

mod blob;
mod blob_keys;
mod catalog;
mod change;
mod file;
mod job;
mod nonces;
mod packages;
mod queue;

pub use blob::{
    AWAY, BlobError, BlobExport, BlobReader, BlobStat, BlobStore, BlobWriter, Exported, FinishedBlob, Listed, ShownAs,
    Swept, UnknownObject,
};
pub use blob_keys::{
    BlobKeys, BlobObject, HoldId, KeyError, KeyHolder, ObjectKey, OpenUpload, Published, PublishedObject,
    RetiredObject, Retirement,
};
pub use catalog::{
    BytesFrom, Candidate, CandidateCursor, CandidatePlace, Catalog, CatalogError, CatalogReader, CatalogSum, Chore,
    FileState, LivePackage, Maintenance, NewPackage, Origin, PackageRow, Provenance, QuotaClaim, QuotaReservation,
    Recorded, Reference, RowName, StoredFile, StoredPackage, Turn,
};
pub use change::{
    Actor, Change, ChangeError, Changes, Cleanup, Deletion, EventAction, MAX_PINS, NewPin, PackageDetail, Pin, Purged,
};
pub use file::{FileBody, FileError};
pub use job::{Failure, JobEnd, JobKey, JobRecord, JobRequest, JobState, JobView};
pub use linkgate_fetch::{
    Access, Cause, Chunk, CredentialError, FetchRequest, Fetched, Phase, Progress, SentCredential, Source, SourceError,
    SourceStream, Unreachable,
};
pub use nonces::{NonceError, UsedNonces};
pub use packages::{
    CANDIDATES, COUNTED, Count, EventPage, EventQuery, EventRow, Liveness, ModuleSums, PackageFilter, PackageKey,
    PackageOrder, PackagePage, PackageQuery, PackageReader, PackageSums, Sums, TimeSpan,
};
pub use queue::{BeatReply, Claim, Enqueued, Fence, Heartbeat, HolderId, JobQueue, NewJob, QueueError, UploadKey};

/// The adapters that a store stands on, named once.
pub trait Services: Send + Sync + 'static {
    /// Where bytes come from.
    type Source: Source;
    /// Where they are stored.
    type Blobs: BlobStore;
    /// Where packages are recorded, changed and looked up, and jobs wait: a package and the end of its job are recorded in one
    /// transaction.
    type Catalog: Changes + JobQueue + UsedNonces;
}
