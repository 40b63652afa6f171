//! Frees the bytes of packages that were deleted and whose time to be restored is over.
//!
//! Promises: a package gives up its bytes in the catalog before they go, so a crash between the two leaves an orphan for
//! garbage collection and never a row without its bytes; bytes go only if no other row needs them, asked while nobody
//! publishes, and the lock is held for one file at a time. What is pinned stays. Refuses, as garbage collection does, to trust
//! a catalog in which a commit of unknown outcome may yet turn up: it settles that first.

use linkgate_contract::Sha256;
use tokio_util::sync::CancellationToken;

use super::MaintenanceError;
use crate::ingest::now_ms;
use crate::ingest::ports::{BlobStore, Changes};

/// What is needed to purge.
pub struct Purge<B, C> {
    blobs: B,
    catalog: C,
    /// Ends a run between two files.
    pub(super) stop: CancellationToken,
}

/// What gave up its bytes, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeSummary {
    /// Packages.
    pub packages: u64,
    /// The bytes that they had, each counted for itself.
    pub bytes: u64,
    /// Blobs that nobody else needed and that are gone.
    pub freed: u64,
    /// Blobs that stay for a backup or a check of this moment. Garbage collection will find them.
    pub held: u64,
}

impl<B: BlobStore, C: Changes> Purge<B, C> {
    /// Brings the parts together.
    #[must_use]
    pub fn new(blobs: B, catalog: C) -> Self {
        Self { blobs, catalog, stop: CancellationToken::new() }
    }

    /// What a run would do now.
    ///
    /// # Errors
    /// What the catalog says.
    pub async fn preview(&self) -> Result<PurgeSummary, MaintenanceError> {
        let (packages, bytes) = self.catalog.count_due(now_ms()).await?;
        Ok(PurgeSummary { packages, bytes, ..PurgeSummary::default() })
    }

    /// Purges all that is due.
    ///
    /// # Errors
    /// [`MaintenanceError`] says what failed; what was purged until then is.
    pub async fn run(&self) -> Result<PurgeSummary, MaintenanceError> {
        let (now, mut summary) = (now_ms(), PurgeSummary::default());
        while !self.stop.is_cancelled() {
            let purged = self.catalog.purge_due(now).await?;
            if purged.is_empty() {
                break;
            }
            for package in purged {
                summary.packages += 1;
                summary.bytes += package.size_bytes;
                // What the stop leaves undone is an orphan.
                if let Some(sha256) = package.sha256.filter(|_| !self.stop.is_cancelled()) {
                    self.free(sha256, &mut summary).await?;
                }
            }
        }
        Ok(summary)
    }

    async fn free(&self, sha256: Sha256, summary: &mut PurgeSummary) -> Result<(), MaintenanceError> {
        let _nobody_publishes_it = self.catalog.lock_blob(&sha256).await;
        if self.blobs.stat(sha256).await?.is_none() {
            return Ok(());
        }
        self.catalog.settle().await?;
        if self.catalog.is_referenced(&sha256).await? {
            return Ok(());
        }
        let is_gone = self.blobs.delete(sha256).await?;
        *(if is_gone { &mut summary.freed } else { &mut summary.held }) += 1;
        Ok(())
    }
}
