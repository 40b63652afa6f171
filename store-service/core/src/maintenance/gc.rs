//! Garbage collection: deletes blobs that no row references, and temporary files that nobody owns.
//!
//! An orphaned blob is left by a store that died between committing it and recording its row, by a row that was purged, and
//! by whatever kept a deletion from being done at once. Promises: what is younger than the grace stays; a blob goes only
//! after the catalog was asked while nobody could publish; one that a backup needs stays for the next time. Refuses to
//! trust a damaged catalog, and one in which a commit of unknown outcome may yet turn up: it settles that first.

use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use crate::failpoint::{Step, reached};
use crate::ingest::ports::{BlobError, BlobStat, BlobStore, Listed, Maintenance};
use crate::maintenance::MaintenanceError;

/// A temporary file is made and then marked as owned; a clock that ticks coarsely may call it older than it is.
const UNTIL_OWNED: Duration = Duration::from_secs(1);

/// What is needed to collect garbage.
pub struct Gc<B, C> {
    blobs: B,
    catalog: C,
    grace: Duration,
    temp_grace: Duration,
    dry_run: bool,
    /// Ends a run between two blobs. A run is never just dropped, for then a deletion would go on without the lock.
    pub(super) stop: CancellationToken,
}

/// What was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
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

impl<B: BlobStore, C: Maintenance> Gc<B, C> {
    /// Brings the parts together; what is younger than `grace` will stay.
    #[must_use]
    pub fn new(blobs: B, catalog: C, grace: Duration) -> Self {
        let (temp_grace, stop) = (grace.max(UNTIL_OWNED), CancellationToken::new());
        Self { blobs, catalog, grace, temp_grace, dry_run: false, stop }
    }

    /// For a data directory that no store uses: nobody writes there, so nothing is too young.
    #[must_use]
    pub fn offline(blobs: B, catalog: C, dry_run: bool) -> Self {
        Self { dry_run, temp_grace: Duration::ZERO, ..Self::new(blobs, catalog, Duration::ZERO) }
    }

    /// For what stores share, beside those that run: as a store collects by its clock.
    #[must_use]
    pub fn online(blobs: B, catalog: C, grace: Duration, dry_run: bool) -> Self {
        Self { dry_run, ..Self::new(blobs, catalog, grace) }
    }

    /// Goes over everything once.
    ///
    /// # Errors
    /// [`MaintenanceError`] says what failed; what was deleted until then is gone.
    pub async fn run(&self) -> Result<Collected, MaintenanceError> {
        let now = SystemTime::now();
        let before = |grace| now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let committed_before = before(self.grace);
        let temp = self.blobs.sweep_abandoned(before(self.temp_grace), self.dry_run).await?;
        let mut collected = Collected { temp_files: temp.files, temp_bytes: temp.bytes, ..Collected::default() };
        let mut listed = self.blobs.list(0);
        let mut proven = false;
        while let Some(found) = listed.recv().await {
            if self.stop.is_cancelled() {
                break;
            }
            let Listed::Blob(blob) = found? else { continue };
            // Asked without the lock first, which for most answers the question.
            if blob.modified > committed_before || self.catalog.is_referenced(&blob.sha256).await? {
                continue;
            }
            if !proven {
                self.prove_catalog().await?;
                proven = true;
            }
            self.consider(blob, &mut collected).await?;
        }
        Ok(collected)
    }

    async fn prove_catalog(&self) -> Result<(), MaintenanceError> {
        self.catalog.find_damage().await?.map_or(Ok(()), |damage| Err(MaintenanceError::Damaged(damage)))
    }

    async fn consider(&self, blob: BlobStat, collected: &mut Collected) -> Result<(), MaintenanceError> {
        let _nobody_publishes_it = self.catalog.lock_blob(&blob.sha256).await;
        if !self.dry_run {
            // Each time, since another commit may have failed meanwhile; deleting a file costs a sync anyway.
            self.catalog.settle().await?;
        }
        if self.catalog.is_referenced(&blob.sha256).await? {
            return Ok(());
        }
        if self.dry_run || self.delete(&blob).await? {
            collected.blobs += 1;
            collected.blob_bytes += blob.size_bytes;
        } else {
            collected.held += 1;
        }
        Ok(())
    }

    async fn delete(&self, blob: &BlobStat) -> Result<bool, BlobError> {
        reached(Step::GcFound);
        let deleted = self.blobs.delete(blob.sha256).await?;
        reached(Step::GcRemoved);
        Ok(deleted)
    }
}
