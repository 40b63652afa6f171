//! The other use case: a package that is stored is read.
//!
//! Promises: what a caller gets are the bytes that the row named when they were opened, whole, whatever becomes of the package
//! meanwhile. A row that is overwritten between its reading and the opening of its bytes is read again. Refuses packages of
//! other modules as if they were not there, and those that were deleted. Bytes that are gone or of another length are told as
//! damage, never as an absent package.

use std::ops::Range;

use linkgate_contract::{ModuleRef, PackageId, Sha256};
use tracing::error;

use crate::ingest::ports::{
    BlobError, BlobStore as _, Catalog as _, CatalogError, FileState, Services, ShownAs, StoredFile,
};
use crate::metrics::{Finder, Metrics};

/// Reads packages, over whatever blob store and catalog it is given.
pub struct Downloads<V: Services> {
    blobs: V::Blobs,
    catalog: V::Catalog,
    metrics: Metrics,
}

/// Why a package is not read.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The module has none of this number.
    #[error("there is no such package")]
    Unknown,
    /// It was deleted.
    #[error("the package was deleted")]
    Deleted,
    /// It was deleted, and its bytes with it.
    #[error("the package was deleted, and its bytes are gone")]
    Purged,
    /// It has other bytes than those that the caller may read.
    #[error("the package was overwritten")]
    Changed,
    /// Its row is there and its bytes are not.
    #[error("the bytes of the package are missing or damaged")]
    Damaged,
    /// The bytes could not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Its row could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What came of opening the bytes of a row.
pub enum Opened<R> {
    /// They are open, and stay readable.
    Bytes(R),
    /// They were freed after the row was read, which says this now.
    Overwritten(StoredFile),
}

/// A download of one package.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Of which module.
    pub target: &'a ModuleRef,
    /// Which package.
    pub id: PackageId,
    /// The only bytes that it may have, if that is settled.
    pub expected: Option<Sha256>,
}

type Reader<V> = <<V as Services>::Blobs as crate::ingest::ports::BlobStore>::Reader;

impl<V: Services> Downloads<V> {
    /// Brings the parts together.
    pub fn new(blobs: V::Blobs, catalog: V::Catalog, metrics: Metrics) -> Self {
        Self { blobs, catalog, metrics }
    }

    /// What is known of the package, if its bytes are for callers.
    ///
    /// # Errors
    /// [`DownloadError`] says why they are not.
    pub async fn find(&self, wanted: Wanted<'_>) -> Result<StoredFile, DownloadError> {
        let file = self.catalog.find_file(wanted.target, wanted.id).await?.ok_or(DownloadError::Unknown)?;
        match file.state {
            FileState::Purged => Err(DownloadError::Purged),
            FileState::Deleted => Err(DownloadError::Deleted),
            FileState::Live if wanted.expected.is_some_and(|expected| expected != file.sha256) => {
                Err(DownloadError::Changed)
            }
            FileState::Live => Ok(file),
        }
    }

    /// Opens the bytes that a row named, or these of them.
    ///
    /// # Errors
    /// [`DownloadError`], also if the package is not for callers any more.
    pub async fn open(
        &self,
        wanted: Wanted<'_>,
        file: &StoredFile,
        range: Range<u64>,
    ) -> Result<Opened<Reader<V>>, DownloadError> {
        let reader = match self.blobs.open(file.sha256, Some(range)).await {
            Err(BlobError::NotFound) => return self.read_row_again(wanted, file).await,
            opened => opened?,
        };
        // What is open stays, so bytes that have lost their name meanwhile are as good.
        let stat = self.blobs.stat(file.sha256).await?;
        match stat.map(|stat| stat.size_bytes).filter(|found| *found != file.size_bytes) {
            None => Ok(Opened::Bytes(reader)),
            Some(found) => {
                let Wanted { target, id, .. } = wanted;
                let (digest, expected) = (file.sha256, file.size_bytes);
                error!(
                    "Found damage: package {id} of {target} has {found} bytes in the blob {digest} instead of {expected}; run `linkgate-store verify --repair`"
                );
                self.metrics.found_damage(Finder::Download);
                Err(DownloadError::Damaged)
            }
        }
    }

    /// An address where the bytes that a row named are to be had from their storage itself, if it gives one.
    ///
    /// # Errors
    /// If the storage fails. Bytes that are not there have no address: opening them says why.
    pub async fn link(&self, file: &StoredFile, shown: &ShownAs) -> Result<Option<String>, DownloadError> {
        match self.blobs.link(file.sha256, shown).await {
            Err(BlobError::NotFound) => Ok(None),
            linked => Ok(linked?),
        }
    }

    async fn read_row_again(
        &self,
        wanted: Wanted<'_>,
        before: &StoredFile,
    ) -> Result<Opened<Reader<V>>, DownloadError> {
        let now = self.find(wanted).await?;
        if now != *before {
            return Ok(Opened::Overwritten(now));
        }
        let (Wanted { target, id, .. }, digest) = (wanted, before.sha256);
        error!(
            "Found damage: the bytes of package {id} of {target} are missing, blob {digest}; run `linkgate-store verify` to see what else is, and put the blob back from a backup or upload the package again with allow_overwrite"
        );
        self.metrics.found_damage(Finder::Download);
        Err(DownloadError::Damaged)
    }

    /// The statement of where a package came from.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn find_statement(&self, target: &ModuleRef, id: PackageId) -> Result<Option<String>, CatalogError> {
        self.catalog.find_statement(target, id).await
    }
}
