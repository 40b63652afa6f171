//! A copy of catalog and blobs as they were at one moment, taken while the store runs.
//!
//! Promises: the catalog is one moment's, and every blob that it references is there, for nothing is deleted while they are
//! copied; a backup has its name only once all of it is durable. Refuses to write over anything, and to write into the data
//! directory.

use linkgate_contract::Sha256;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{MaintenanceError, at, blocking};
use crate::attest::{PRIVATE_KEY, PUBLIC_KEY};
use crate::data_dir::{catalog_path, make_dir, sync_dir};
use crate::ingest::ports::{BlobExport as _, BlobStore, CatalogReader, Exported, Reference};

/// What a backup or a restore brought over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Packages.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that share their bytes with where they came from.
    pub linked: u64,
    /// Packages that the catalog references and that were not there. The rest is good.
    pub missing: u64,
}

/// Who gets the digests of packages that are missing.
pub(super) type OnMissing<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Writes a backup of a data directory, and of the blobs and the catalog that belong to it, into a directory that is not
/// there, or empty.
///
/// # Errors
/// [`MaintenanceError`] says why there is no backup; nothing is left of it.
pub async fn backup(
    blobs: impl BlobStore,
    catalog: impl CatalogReader,
    data_dir: &Path,
    into: &Path,
    on_missing: OnMissing<'_>,
) -> Result<Copied, MaintenanceError> {
    let target = Target::new(data_dir, into)?;
    let _nothing_is_deleted = blobs.hold().await?;
    let partial = Partial::make(target.partial())?;
    let snapshot = catalog.snapshot(&catalog_path(&partial.0)).await?;
    let copied = copy_blobs(&blobs, &snapshot, &partial.0, on_missing).await;
    snapshot.close().await;
    let copied = copied?;
    copy_keys(data_dir, &partial.0)?;
    blocking(move || partial.become_whole(&target).map(|()| copied)).await
}

/// Where the backup goes.
struct Target {
    parent: PathBuf,
    path: PathBuf,
}

impl Target {
    fn new(data_dir: &Path, into: &Path) -> Result<Self, MaintenanceError> {
        let refused = |why| MaintenanceError::Target { path: into.to_owned(), why };
        let name = into.file_name().ok_or_else(|| refused("it has no name"))?;
        let above = into.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = fs::canonicalize(above).map_err(at(above))?;
        if parent.starts_with(fs::canonicalize(data_dir).map_err(at(data_dir))?) {
            return Err(refused("it lies in the data directory"));
        }
        let path = parent.join(name);
        if path.is_symlink() {
            return Err(refused("it is a link"));
        }
        refuse_unless_empty(&path)?;
        // Listed out now and not by the last step, which gives the backup its name.
        if path.exists() && device(&path)? != device(&parent)? {
            return Err(refused("something is mounted there; name a new directory in it"));
        }
        Ok(Self { parent, path })
    }

    fn partial(&self) -> PathBuf {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".partial");
        self.parent.join(name)
    }
}

fn device(path: &Path) -> Result<u64, MaintenanceError> {
    fs::metadata(path).map(|metadata| metadata.dev()).map_err(at(path))
}

/// What is not there counts as empty.
fn refuse_unless_empty(path: &Path) -> Result<(), MaintenanceError> {
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(MaintenanceError::NotEmpty(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(at(path)(e)),
    }
}

/// A backup that is being written; removed unless it becomes whole.
struct Partial(PathBuf);

impl Partial {
    fn make(path: PathBuf) -> Result<Self, MaintenanceError> {
        if make_dir(&path).map_err(at(&path))? { Ok(Self(path)) } else { Err(MaintenanceError::UnderWay(path)) }
    }

    fn become_whole(self, target: &Target) -> Result<(), MaintenanceError> {
        sync_dir(&self.0).map_err(at(&self.0))?;
        // Takes the place of an empty directory, and of nothing else.
        fs::rename(&self.0, &target.path).map_err(at(&target.path))?;
        std::mem::forget(self);
        sync_dir(&target.parent).map_err(at(&target.parent))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "{} could not be removed", self.0.display());
        }
    }
}

/// Copies every blob that the catalog references, page by page, with the statements about it, and makes all of it durable.
pub(super) async fn copy_blobs(
    blobs: &impl BlobStore,
    catalog: &impl CatalogReader,
    into: &Path,
    on_missing: OnMissing<'_>,
) -> Result<Copied, MaintenanceError> {
    let mut export = blobs.begin_export(into).await?;
    let (mut copied, mut after) = (Copied::default(), String::new());
    loop {
        let page = catalog.references_after(&after).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.digest_text);
        // What is no digest names no blob.
        let (named, unnamed): (Vec<_>, Vec<_>) = page.into_iter().map(parse_digest).partition(Result::is_ok);
        for sha256 in unnamed.into_iter().filter_map(Result::err) {
            copied.missing += 1;
            on_missing(&sha256);
        }
        for exported in export.copy(named.into_iter().flatten().collect()).await? {
            match exported {
                Exported::Copied { bytes, is_linked } => copied.add(bytes, is_linked),
                Exported::Missing(sha256) => {
                    copied.missing += 1;
                    on_missing(&sha256.to_string());
                }
            }
        }
    }
    export.finish().await?;
    Ok(copied)
}

fn parse_digest(reference: Reference) -> Result<Sha256, String> {
    reference.digest_text.parse().map_err(|_| reference.digest_text)
}

/// Copies the key by which statements are signed, and its public half.
pub(super) fn copy_keys(from: &Path, into: &Path) -> Result<(), MaintenanceError> {
    for key in [PRIVATE_KEY, PUBLIC_KEY] {
        let (from, to) = (from.join(key), into.join(key));
        // Of a release that had none.
        if from.exists() {
            // With its mode: the private half stays its owner's.
            fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all()).map_err(at(&to))?;
        }
    }
    Ok(())
}

impl Copied {
    fn add(&mut self, bytes: u64, is_linked: bool) {
        self.blobs += 1;
        self.bytes += bytes;
        self.linked += u64::from(is_linked);
    }
}
