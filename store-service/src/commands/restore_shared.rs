//! Restores a backup into the database and the bucket that stores share.
//!
//! Promises: nothing counts until all of it is there, for the rows come last and in one transaction; one that was cut off is
//! done again and sends no package twice; every package is hashed on its way and seen in the bucket with all its bytes. Refuses
//! a database that anybody has used, and a bucket that holds packages.

use std::path::{Path, PathBuf};
use std::{fs, io};

use futures_util::{StreamExt as _, TryStreamExt as _};
use linkgate_blob::DirectoryBlobStore;
use linkgate_blob_s3::{Imported, S3BlobStore};
use linkgate_catalog::{PostgresCatalog, RestoreBegun, SqliteCatalog};
use linkgate_contract::Sha256;
use linkgate_store_core::data_dir::{DataDir, catalog_path, make_dir, statements_path};
use linkgate_store_core::ingest::ports::{BlobStore as _, Catalog as _, CatalogReader as _, CatalogSum, Cause};
use linkgate_store_core::maintenance::{Copied, MaintenanceError, at, copy_missing_keys, refuse_no_backup};
use linkgate_store_core::settings::QueueLimits;
use secrecy::ExposeSecret as _;
use tracing::{info, warn};

use super::opened::open_beside;
use super::say;
use crate::bucket::{SharedBlobs, tie_bucket};
use crate::config::{CommandConfig, SharedConfig};

/// Packages that are copied at once.
const AT_ONCE: usize = 4;

/// Restores it and says what came over.
pub(super) async fn restore(
    config: &CommandConfig,
    shared: &SharedConfig,
    from: &Path,
) -> Result<Copied, MaintenanceError> {
    refuse_no_backup(from)?;
    let data_dir = &config.data_dir;
    // A store that runs here is one that shares what is about to be filled.
    let _locked = DataDir::lock(data_dir)?;
    let folder = Folder::make(data_dir)?;
    let backup = Backup::open(from, &folder.0).await?;
    let restored = restore_opened(shared, &backup).await;
    backup.catalog.close().await;
    let restored = restored?;
    if copy_missing_keys(from, data_dir)? {
        say(format_args!(
            "The keys of the backup are in {} now: every store that is to sign with them needs them",
            data_dir.display()
        ));
    }
    Ok(restored)
}

/// A folder that is there as long as this is.
struct Folder(PathBuf);

impl Folder {
    fn make(data_dir: &Path) -> Result<Self, MaintenanceError> {
        let path = data_dir.join(".restore");
        // Of a restore that was killed.
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&path)(e)),
            _ => {}
        }
        make_dir(&path).map_err(at(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            warn!(%error, "{} could not be removed", self.0.display());
        }
    }
}

/// A backup that is to be restored.
struct Backup {
    root: PathBuf,
    blobs: DirectoryBlobStore,
    /// A copy of its catalog, which is of this release.
    catalog: SqliteCatalog,
    sum: CatalogSum,
}

impl Backup {
    /// The backup stays as it is: its catalog may be of an earlier release, so a copy is brought up to date.
    async fn open(from: &Path, folder: &Path) -> Result<Self, MaintenanceError> {
        let (blobs, reader) = open_beside(from).await?;
        let path = catalog_path(folder);
        let copied = reader.snapshot(&path).await;
        reader.close().await;
        copied?.close().await;
        let opened = SqliteCatalog::open(&path, QueueLimits::default()).await;
        let catalog = opened.map_err(|e| MaintenanceError::Open(e.into()))?;
        if let Some(damage) = catalog.find_damage().await? {
            return Err(refused(format!("its catalog is damaged: {damage}")));
        }
        let sum = catalog.sum_up().await?.ok_or_else(|| refused("its catalog cannot be brought up to date"))?;
        Ok(Self { root: from.to_owned(), blobs, catalog, sum })
    }

    /// The statements about a blob, one in a line. A power cut may have taken their file.
    async fn statements(&self, sha256: &Sha256) -> Result<String, MaintenanceError> {
        let path = statements_path(&self.root, sha256);
        match tokio::fs::read_to_string(&path).await {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let statements = self.catalog.statements(sha256).await?;
                Ok(statements.iter().flat_map(|statement| [statement.as_str(), "\n"]).collect())
            }
            read => read.map_err(at(path)),
        }
    }
}

fn refused(why: impl Into<Cause>) -> MaintenanceError {
    MaintenanceError::Restore(why.into())
}

async fn restore_opened(shared: &SharedConfig, backup: &Backup) -> Result<Copied, MaintenanceError> {
    let connected = PostgresCatalog::connect_to_restore(shared.database_url.expose_secret()).await;
    let catalog = connected.map_err(|e| MaintenanceError::Open(e.into()))?;
    let begun = catalog.begin_restore(&backup.sum).await.map_err(refused)?;
    let opened = open_bucket(shared, &catalog, begun).await;
    if opened.is_err() && begun == RestoreBegun::Now {
        catalog.take_restore_back().await?;
    }
    let target = Target { blobs: opened?, catalog };
    let restored = target.fill(backup).await;
    target.blobs.close().await;
    target.catalog.close().await;
    restored
}

async fn open_bucket(
    shared: &SharedConfig,
    catalog: &PostgresCatalog,
    begun: RestoreBegun,
) -> Result<SharedBlobs, MaintenanceError> {
    let blobs = S3BlobStore::open(&shared.bucket, catalog.blob_keys()).await;
    let blobs = blobs.map_err(|e| MaintenanceError::OpenBucket(e.into()))?;
    if begun == RestoreBegun::Now && !blobs.is_unused().await? {
        return Err(refused("the bucket holds packages below this prefix already: restore below another one"));
    }
    tie_bucket(&blobs, catalog).await.map_err(|e| MaintenanceError::OpenBucket(e.into()))?;
    Ok(blobs)
}

/// Where it is restored.
struct Target {
    blobs: SharedBlobs,
    catalog: PostgresCatalog,
}

impl Target {
    async fn fill(&self, backup: &Backup) -> Result<Copied, MaintenanceError> {
        let _nothing_is_deleted = self.blobs.hold().await?;
        let copied = self.copy_blobs(backup).await?;
        let loaded = self.catalog.finish_restore(&backup.catalog, &backup.sum, copied.missing).await;
        loaded.map_err(refused)?;
        Ok(Copied { rows: Some(backup.sum.clone()), ..copied })
    }

    /// Page by page, so that memory does not grow with their number.
    async fn copy_blobs(&self, backup: &Backup) -> Result<Copied, MaintenanceError> {
        let (mut copied, mut after) = (Copied::default(), String::new());
        loop {
            let page = backup.catalog.references_after(&after).await?;
            let Some(last) = page.last() else { return Ok(copied) };
            after.clone_from(&last.digest_text);
            let copies = page.into_iter().map(|reference| self.copy_blob(backup, reference.digest_text));
            let mut copies = futures_util::stream::iter(copies).buffer_unordered(AT_ONCE);
            while let Some(imported) = copies.try_next().await? {
                count(imported, &mut copied);
            }
            info!("Restored {} packages ({} bytes)", copied.blobs, copied.bytes);
        }
    }

    /// With the statements about it, which may be missing beside one that is there.
    async fn copy_blob(&self, backup: &Backup, digest: String) -> Result<(String, Imported), MaintenanceError> {
        // What is no digest names no blob.
        let Ok(sha256) = digest.parse::<Sha256>() else { return Ok((digest, Imported::Missing)) };
        let imported = self.blobs.import(&backup.blobs, sha256).await?;
        if let Imported::New(_) | Imported::Existing(_) = imported {
            let statements = backup.statements(&sha256).await?;
            if !statements.is_empty() {
                self.blobs.attach_statements(sha256, statements).await?;
            }
        }
        Ok((digest, imported))
    }
}

fn count((digest, imported): (String, Imported), copied: &mut Copied) {
    match imported {
        Imported::New(bytes) | Imported::Existing(bytes) => {
            copied.blobs += 1;
            copied.bytes += bytes;
            copied.linked += u64::from(imported == Imported::Existing(bytes));
        }
        Imported::Missing => {
            copied.missing += 1;
            say(format_args!("{digest} is in the catalog and missing"));
        }
        Imported::Corrupt => {
            copied.missing += 1;
            say(format_args!("{digest} is corrupt in the backup: its bytes have another digest; it is missing now"));
        }
    }
}
