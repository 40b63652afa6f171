//! Removes blobs that no row points at and temporary files that nobody owns.
//!
//! Such a blob is left by a store that died between keeping a package and booking it, by a row that was deleted, and by
//! whatever kept a removal from being done at once. Promises: what is younger than the grace stays; a blob goes only
//! after the books were asked while nobody could publish; one that a backup needs stays for the next time. Refuses to
//! trust damaged books, and books in which a commit of unknown outcome may yet turn up: it settles them first.

use std::path::Path;
use std::time::{Duration, SystemTime};

use linkgate_blob::{BlobStat, DirectoryBlobStore, Listed};
use linkgate_catalog::SqliteCatalog;
use linkgate_store_core::data_dir::DataDir;
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::Publishing;
use linkgate_store_core::ingest::ports::{BlobError, Catalog as _};
use tokio_util::sync::CancellationToken;

use crate::maintenance::{MaintenanceError, at};

/// A temporary file is made and then marked as owned; a clock that ticks coarsely may call it older than it is.
const UNTIL_OWNED: Duration = Duration::from_secs(1);

/// What is needed to clear up.
pub struct Gc {
    blobs: DirectoryBlobStore,
    catalog: SqliteCatalog,
    publishing: Publishing,
    grace: Duration,
    temp_grace: Duration,
    dry_run: bool,
    /// Ends a run between two blobs. A run is never just dropped, for then a removal would go on without the lock.
    pub(super) stop: CancellationToken,
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Temporary files.
    pub temp_files: u64,
    /// Their bytes.
    pub temp_bytes: u64,
    /// Blobs that should go and stay, because a backup or a check of this moment needs them.
    pub held: u64,
}

/// Clears a data directory that no store uses.
///
/// # Errors
/// [`MaintenanceError`] says why it cannot be done; what was removed until then is gone.
pub async fn clear(data_dir: &Path, dry_run: bool) -> Result<Cleared, MaintenanceError> {
    let locked = DataDir::lock_existing(data_dir)?;
    let blobs = DirectoryBlobStore::existing(data_dir).map_err(at(data_dir))?;
    let catalog = SqliteCatalog::open(&locked.existing_catalog()?).await?;
    let gc = Gc::new(blobs, catalog.clone(), Publishing::default(), Duration::ZERO);
    // Nobody writes here, so nothing is too young.
    let cleared = Gc { dry_run, temp_grace: Duration::ZERO, ..gc }.run().await;
    catalog.close().await;
    cleared
}

impl Gc {
    /// Brings the parts together; what is younger than `grace` will stay.
    #[must_use]
    pub fn new(blobs: DirectoryBlobStore, catalog: SqliteCatalog, publishing: Publishing, grace: Duration) -> Self {
        let (temp_grace, stop) = (grace.max(UNTIL_OWNED), CancellationToken::new());
        Self { blobs, catalog, publishing, grace, temp_grace, dry_run: false, stop }
    }

    /// Goes over everything once.
    ///
    /// # Errors
    /// [`MaintenanceError`] says what failed; what was removed until then is gone.
    pub async fn run(&self) -> Result<Cleared, MaintenanceError> {
        let now = SystemTime::now();
        let before = |grace| now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let kept_before = before(self.grace);
        let temp = self.blobs.sweep_temp(before(self.temp_grace), self.dry_run).await?;
        let mut cleared = Cleared { temp_files: temp.files, temp_bytes: temp.bytes, ..Cleared::default() };
        let mut walk = self.blobs.walk(0);
        let mut proven = false;
        while let Some(found) = walk.recv().await {
            if self.stop.is_cancelled() {
                break;
            }
            let Listed::Blob(blob) = found? else { continue };
            // Asked without the lock first, which for most answers the question.
            if blob.kept > kept_before || self.catalog.points_at(&blob.sha256).await? {
                continue;
            }
            if !proven {
                self.prove_books().await?;
                proven = true;
            }
            self.consider(blob, &mut cleared).await?;
        }
        Ok(cleared)
    }

    async fn prove_books(&self) -> Result<(), MaintenanceError> {
        self.catalog.books().damage().await?.map_or(Ok(()), |damage| Err(MaintenanceError::Damaged(damage)))
    }

    async fn consider(&self, blob: BlobStat, cleared: &mut Cleared) -> Result<(), MaintenanceError> {
        let _nobody_publishes = self.publishing.hold().await;
        if !self.dry_run {
            // Each time, since another commit may have failed meanwhile; removing a file costs a sync anyway.
            self.catalog.settle().await?;
        }
        if self.catalog.points_at(&blob.sha256).await? {
            return Ok(());
        }
        if self.dry_run || self.remove(&blob).await? {
            cleared.blobs += 1;
            cleared.blob_bytes += blob.size_bytes;
        } else {
            cleared.held += 1;
        }
        Ok(())
    }

    async fn remove(&self, blob: &BlobStat) -> Result<bool, BlobError> {
        reached(Step::GcFound);
        let removed = self.blobs.remove_unless_held(blob.sha256).await?;
        reached(Step::GcRemoved);
        Ok(removed)
    }
}
