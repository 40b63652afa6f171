//! A copy of books and packages as they were at one moment, taken while the store runs.
//!
//! Promises: the books are one moment's, and every package that they name is there, for nothing is removed while they are
//! copied; a backup has its name only once all of it is durable. Packages are linked where the file system can, so that a
//! backup costs no room, and copied where it cannot. Refuses to write over anything, and to write into the data directory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use linkgate_blob::{DirectoryBlobStore, attestations, blob_path, statements_path};
use linkgate_catalog::{Booked, Books};
use linkgate_contract::Sha256;
use linkgate_store_core::attest::{PRIVATE_KEY, PUBLIC_KEY};
use linkgate_store_core::data_dir::{catalog_path, make_dir, open_file, refuse_half_restored, sync_dir};

use super::{MaintenanceError, at, blocking};

/// What a backup or a restore brought over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Packages.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that share their bytes with where they came from.
    pub linked: u64,
    /// Packages that the books name and that were not there. The rest is good.
    pub missing: u64,
}

/// Writes a backup of a data directory into a directory that is not there, or empty.
///
/// # Errors
/// [`MaintenanceError`] says why there is no backup; nothing is left of it.
pub async fn backup(
    data_dir: &Path,
    into: &Path,
    told: &mut (dyn FnMut(&str) + Send),
) -> Result<Copied, MaintenanceError> {
    refuse_half_restored(data_dir)?;
    let blobs = DirectoryBlobStore::existing(data_dir).map_err(at(data_dir))?;
    let target = Target::new(data_dir, into)?;
    let _nothing_is_removed = blobs.hold_all().await?;
    let partial = Partial::make(target.partial())?;
    let catalog = catalog_path(&partial.0);
    // Made here, so that it gets our mode and not SQLite's.
    open_file(&catalog).map_err(at(&catalog))?;
    Books::snapshot(&catalog_path(data_dir), &catalog).await?;
    File::open(&catalog).and_then(|file| file.sync_all()).map_err(at(&catalog))?;
    let books = Books::open(&catalog).await?;
    let copied = copy_blobs(&books, data_dir, &partial.0, told).await;
    books.close().await;
    let copied = copied?;
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

/// Brings every blob that the books name over, page by page, with the statements about it and the key that they are checked
/// by, and makes all of it durable.
pub(super) async fn copy_blobs(
    books: &Books,
    from: &Path,
    to: &Path,
    told: &mut (dyn FnMut(&str) + Send),
) -> Result<Copied, MaintenanceError> {
    let copier = Copier { from: from.to_owned(), to: to.to_owned() };
    copier.begin()?;
    let (mut copied, mut after) = (Copied::default(), String::new());
    loop {
        let page = books.page_after(&after).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.digest_text);
        let (pages, missing) = {
            let copier = copier.clone();
            blocking(move || copier.copy_page(&page)).await?
        };
        missing.iter().for_each(|sha256| told(sha256));
        copied.add(pages);
    }
    blocking(move || copier.sync().map(|()| copied)).await
}

impl Copied {
    fn add(&mut self, more: Self) {
        self.blobs += more.blobs;
        self.bytes += more.bytes;
        self.linked += more.linked;
        self.missing += more.missing;
    }
}

#[derive(Clone)]
struct Copier {
    from: PathBuf,
    to: PathBuf,
}

impl Copier {
    fn begin(&self) -> Result<(), MaintenanceError> {
        for folder in [blobs(&self.to), attestations(&self.to)] {
            make_dir(&folder).map_err(at(&folder))?;
        }
        for key in [PRIVATE_KEY, PUBLIC_KEY] {
            let (from, to) = (self.from.join(key), self.to.join(key));
            // Of a release that had none.
            if from.exists() {
                // With its mode: the private half stays its owner's.
                fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all()).map_err(at(&to))?;
            }
        }
        Ok(())
    }

    /// Also tells what was not there.
    fn copy_page(&self, page: &[Booked]) -> Result<(Copied, Vec<String>), MaintenanceError> {
        let (mut copied, mut missing) = (Copied::default(), Vec::new());
        for Booked { digest_text, .. } in page {
            match digest_text.parse::<Sha256>().ok().map(|sha256| self.copy(&sha256)).transpose()?.flatten() {
                Some(one) => copied.add(one),
                None => missing.push(digest_text.clone()),
            }
        }
        copied.missing = missing.len() as u64;
        Ok((copied, missing))
    }

    /// `None` if it is not there.
    fn copy(&self, sha256: &Sha256) -> Result<Option<Copied>, MaintenanceError> {
        let ((_, from), (dir, to)) = (blob_path(&blobs(&self.from), sha256), blob_path(&blobs(&self.to), sha256));
        let metadata = match fs::symlink_metadata(&from) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(at(&from))?,
        };
        if !metadata.is_file() {
            return Ok(None);
        }
        make_dir(&dir).map_err(at(&dir))?;
        let linked = bring(&from, &to)?;
        let (from, to) = (statements_path(&self.from, sha256), statements_path(&self.to, sha256));
        if let Some(dir) = to.parent().filter(|_| from.exists()) {
            make_dir(dir).map_err(at(dir))?;
            bring(&from, &to)?;
        }
        Ok(Some(Copied { blobs: 1, bytes: metadata.len(), linked: u64::from(linked), missing: 0 }))
    }

    /// The files are durable already, linked ones since they were uploaded.
    fn sync(&self) -> Result<(), MaintenanceError> {
        for tree in [blobs(&self.to), attestations(&self.to)] {
            for folder in fs::read_dir(&tree).map_err(at(&tree))? {
                let folder = folder.map_err(at(&tree))?.path();
                sync_dir(&folder).map_err(at(&folder))?;
            }
            sync_dir(&tree).map_err(at(&tree))?;
        }
        Ok(())
    }
}

fn blobs(root: &Path) -> PathBuf {
    root.join("blobs")
}

/// `true` if it shares its bytes with where it came from. Whatever keeps a link from being made (another file system, one
/// without links, too many of them), the copy either works or says what is wrong.
fn bring(from: &Path, to: &Path) -> Result<bool, MaintenanceError> {
    let linked = fs::hard_link(from, to).is_ok();
    if !linked {
        copy_file(from, to).map_err(at(to))?;
    }
    Ok(linked)
}

/// A durable copy.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = open_file(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}
