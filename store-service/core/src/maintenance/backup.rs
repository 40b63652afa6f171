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
use crate::data_dir::{catalog_path, make_dir, sync_dir};
use crate::ingest::ports::{BlobExport as _, BlobStore, CatalogReader, CatalogSum, Exported, Reference};
use crate::own_key::KeyFiles;

/// What a backup or a restore brought over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Packages.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that share their bytes with where they came from.
    pub linked: u64,
    /// Packages that the catalog references and that were not there. The rest is good.
    pub missing: u64,
    /// What the rows of the copy come to; `None` if they are of another release.
    pub rows: Option<CatalogSum>,
}

/// Who gets the digests of packages that are missing.
pub(super) type OnMissing<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Writes a backup of a data directory, and of the blobs and the catalog that belong to it, into a directory that is not
/// there, or empty but for what a file system puts into its root.
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
    let rows = snapshot.sum_up().await;
    snapshot.close().await;
    let copied = Copied { rows: rows?, ..copied? };
    copy_keys(data_dir, &partial.0)?;
    blocking(move || partial.become_whole(&target).map(|()| copied)).await
}

/// Where the backup goes.
struct Target {
    parent: PathBuf,
    path: PathBuf,
    /// The root of a file system: nothing can take its place, so the backup is moved into it, the catalog last.
    is_root: bool,
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
        let found = refuse_used(&path, &[])?;
        let is_root = path.exists() && (found == Found::FileSystemRoot || device(&path)? != device(&parent)?);
        Ok(Self { parent, path, is_root })
    }

    fn partial(&self) -> PathBuf {
        if self.is_root {
            return self.path.join(".linkgate-backup.partial");
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".partial");
        self.parent.join(name)
    }
}

fn device(path: &Path) -> Result<u64, MaintenanceError> {
    fs::metadata(path).map(|metadata| metadata.dev()).map_err(at(path))
}

/// What is in a directory that may be filled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or there is no such directory.
    Nothing,
    /// What mkfs makes in the root of an ext4 file system.
    FileSystemRoot,
}

/// Refuses a directory that holds anything but these files and what a file system has from its making.
pub(super) fn refuse_used(path: &Path, but: &[&str]) -> Result<Found, MaintenanceError> {
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        entries => entries.map_err(at(path))?,
    };
    let mut found = Found::Nothing;
    for entry in entries {
        let entry = entry.map_err(at(path))?;
        let name = entry.file_name();
        if name == "lost+found" && entry.file_type().map_err(at(path))?.is_dir() {
            found = Found::FileSystemRoot;
        } else if !but.iter().any(|but| name == *but) {
            return Err(MaintenanceError::NotEmpty(path.to_owned()));
        }
    }
    Ok(found)
}

/// A backup that is being written; removed unless it becomes whole.
struct Partial(PathBuf);

impl Partial {
    fn make(path: PathBuf) -> Result<Self, MaintenanceError> {
        if make_dir(&path).map_err(at(&path))? { Ok(Self(path)) } else { Err(MaintenanceError::UnderWay(path)) }
    }

    fn become_whole(self, target: &Target) -> Result<(), MaintenanceError> {
        sync_dir(&self.0).map_err(at(&self.0))?;
        if target.is_root {
            return self.move_into(&target.path);
        }
        // Takes the place of an empty directory, and of nothing else.
        fs::rename(&self.0, &target.path).map_err(at(&target.path))?;
        std::mem::forget(self);
        sync_dir(&target.parent).map_err(at(&target.parent))
    }

    /// Without its catalog a directory is no backup, so that one comes last, when all the rest is durable.
    fn move_into(self, root: &Path) -> Result<(), MaintenanceError> {
        let catalog = catalog_path(&self.0);
        let names = fs::read_dir(&self.0).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
        });
        let (last, first): (Vec<_>, Vec<_>) =
            names.map_err(at(&self.0))?.into_iter().partition(|name| self.0.join(name) == catalog);
        for names in [first, last] {
            for name in names {
                let to = root.join(&name);
                fs::rename(self.0.join(&name), &to).map_err(at(&to))?;
            }
            sync_dir(root).map_err(at(root))?;
        }
        Ok(())
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

/// Copies the keys by which the store signs, and their public halves.
pub(super) fn copy_keys(from: &Path, into: &Path) -> Result<(), MaintenanceError> {
    [crate::attest::KEY_FILES, crate::signed_url::KEY_FILES].iter().try_for_each(|key| copy_key(key, from, into))
}

/// The same of those that are not there, and whether there was one.
///
/// # Errors
/// [`MaintenanceError::File`] if a file cannot be read or written.
pub fn copy_missing_keys(from: &Path, into: &Path) -> Result<bool, MaintenanceError> {
    let all = [crate::attest::KEY_FILES, crate::signed_url::KEY_FILES];
    let missing = all.iter().filter(|key| from.join(key.private).exists() && !into.join(key.private).exists());
    let missing: Vec<_> = missing.collect();
    missing.iter().try_for_each(|key| copy_key(key, from, into))?;
    sync_dir(into).map_err(at(into))?;
    Ok(!missing.is_empty())
}

fn copy_key(key: &KeyFiles, from: &Path, into: &Path) -> Result<(), MaintenanceError> {
    for file in [key.private, key.public] {
        let (from, to) = (from.join(file), into.join(file));
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
