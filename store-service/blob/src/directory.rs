//! Packages in a directory, each named by its SHA-256.
//!
//! Promises: a blob is written under a temporary name, synced, renamed and its directory synced, so under its name there
//! is always the whole of it, also after a power cut. Nothing else ever appears under `blobs/`; statements about a blob lie
//! under `attestations/`, by the same name. Left-overs of a killed store in `tmp/` are removed at start. Relies on the data directory's lock: two stores would sweep each other's work away.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use linkgate_contract::Sha256;
use linkgate_store_core::data_dir::{
    DIR_MODE, FILE_MODE, blob_path, make_dir, open_removal_lock, statements_path, sync_dir,
};
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::ports::{BlobError, BlobStat, BlobStore, Listed, Swept, UnknownObject};
use tokio::sync::mpsc;

use super::export::DirectoryExport;
use super::list::{list_blobs, stat, sweep};
use super::reader::FileReader;
use super::space::{DiskSpace, SpaceReservation};
use super::writer::{DirectoryBlobWriter, FinishedFile, TempFile};

/// Packages in a directory. A copy is another handle on the same packages.
#[derive(Clone)]
pub struct DirectoryBlobStore {
    pub(super) dirs: Arc<Dirs>,
}

pub(super) struct Dirs {
    data: PathBuf,
    pub(super) blobs: PathBuf,
    pub(super) temp: PathBuf,
    space: Arc<DiskSpace>,
    next_temp: AtomicU64,
    /// One of this process deletes at a time: the removal lock cannot tell two of them from one that holds all blobs.
    deleting: Mutex<()>,
}

impl DirectoryBlobStore {
    /// Opens `blobs/` and `tmp/` below the locked data directory and sweeps the latter. So many bytes of its disk stay
    /// free, whatever is uploaded.
    ///
    /// # Errors
    /// If the directories cannot be made, read or written.
    pub fn open(data_dir: &Path, min_free: u64) -> io::Result<Self> {
        let opened = Self::at(data_dir, min_free);
        let Dirs { blobs, temp, .. } = opened.dirs.as_ref();
        make_dir(blobs)?;
        make_dir(temp)?;
        for left_over in fs::read_dir(temp)? {
            fs::remove_file(left_over?.path())?;
        }
        // Made by the store's own user, or a check by another one would make it and the store could remove nothing.
        open_removal_lock(data_dir)?;
        sync_dir(data_dir)?;
        // A folder of an earlier store that died before it could sync this.
        sync_dir(blobs)?;
        Ok(opened)
    }

    /// Opens what a store has stored, without making or sweeping anything; needs no lock.
    ///
    /// # Errors
    /// If there is no `blobs/`.
    pub fn existing(data_dir: &Path) -> io::Result<Self> {
        // Nothing is written here.
        let opened = Self::at(data_dir, 0);
        fs::read_dir(&opened.dirs.blobs)?;
        Ok(opened)
    }

    fn at(data_dir: &Path, min_free: u64) -> Self {
        let (data, blobs, temp) = (data_dir.to_owned(), data_dir.join("blobs"), data_dir.join("tmp"));
        let space = Arc::new(DiskSpace::of_directory(data_dir, min_free));
        let (next_temp, deleting) = (AtomicU64::new(0), Mutex::default());
        Self { dirs: Arc::new(Dirs { data, blobs, temp, space, next_temp, deleting }) }
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Dirs) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let dirs = Arc::clone(&self.dirs);
        run_blocking(doing, move || work(&dirs)).await
    }
}

/// Runs what waits for the disk where it may.
pub(super) async fn run_blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| BlobError::WriterGone)?;
    done.map_err(|e| BlobError::from_io(doing, e))
}

impl Dirs {
    fn open_writer(&self, size: Option<u64>) -> io::Result<(TempFile, SpaceReservation)> {
        let reservation = self.space.reserve(size)?;
        Ok((self.new_temp()?, reservation))
    }

    fn new_temp(&self) -> io::Result<TempFile> {
        let path = self.temp.join(self.next_temp.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        let temp = TempFile::new(file, path);
        // Says that it has an owner; gone with the process, however that ends.
        temp.own()?;
        reached(Step::WriterOpened);
        Ok(temp)
    }

    fn path_of(&self, sha256: &Sha256) -> (PathBuf, PathBuf) {
        blob_path(&self.blobs, sha256)
    }

    /// `true` if the blob was not there before.
    fn commit(&self, finished: FinishedFile) -> io::Result<bool> {
        let (dir, path) = self.path_of(&finished.sha256);
        if make_dir(&dir)? {
            reached(Step::FolderMade);
            sync_dir(&self.blobs)?;
        }
        let is_new = !path.try_exists()?;
        // Also over a blob that is there: these bytes were hashed a moment ago, and a damaged file is healed.
        reached(Step::RenameDue);
        finished.temp.rename_to(&path)?;
        reached(Step::Renamed);
        sync_dir(&dir)?;
        reached(Step::BlobCommitted);
        Ok(is_new)
    }

    /// `false` if it must stay. Keeps the directory: making it anew would cost a sync of its parent.
    fn delete(&self, sha256: &Sha256) -> io::Result<bool> {
        let (dir, path) = self.path_of(sha256);
        // It holds nothing that a panic could leave half-done.
        let _alone = self.deleting.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = open_removal_lock(&self.data)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        // First, so that none is ever left without its package.
        match fs::remove_file(statements_path(&self.data, sha256)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            removed => {
                removed?;
                reached(Step::Unlinked);
                sync_dir(&dir).map(|()| true)
            }
        }
    }

    fn attach_statements(&self, sha256: &Sha256, statements: &str) -> io::Result<()> {
        let path = statements_path(&self.data, sha256);
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
        }
        let mut temp = self.new_temp()?;
        temp.file().write_all(statements.as_bytes())?;
        // Not synced: the catalog has them.
        temp.rename_to(&path)
    }

    /// A name of its own for each, so that a second one does not take the place of the first.
    fn quarantine(&self, sha256: &Sha256) -> io::Result<PathBuf> {
        let (dir, path) = self.path_of(sha256);
        let quarantine = self.data.join("quarantine");
        if make_dir(&quarantine)? {
            sync_dir(&self.data)?;
        }
        let name = |n: u32| quarantine.join(format!("{sha256}.{n}"));
        let free = (0..u32::MAX).map(name).find(|path| !path.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
        fs::rename(path, &free)?;
        sync_dir(&quarantine)?;
        sync_dir(&dir)?;
        Ok(free)
    }

    fn check(&self) -> io::Result<()> {
        let mut probe = self.new_temp()?;
        probe.file().write_all(b"ready?")?;
        fs::metadata(&self.blobs).map(|_| ())
    }
}

impl BlobStore for DirectoryBlobStore {
    type Writer = DirectoryBlobWriter;
    type Finished = FinishedFile;
    type Reader = FileReader;
    type Hold = File;
    type Export = DirectoryExport;

    async fn check_space(&self, bytes: u64) -> Result<(), BlobError> {
        self.blocking("looking for space", move |dirs| dirs.space.check(bytes)).await
    }

    async fn open_writer(&self, size: Option<u64>) -> Result<DirectoryBlobWriter, BlobError> {
        let (temp, reservation) = self.blocking("making a temporary file", move |dirs| dirs.open_writer(size)).await?;
        Ok(DirectoryBlobWriter::start(temp, reservation))
    }

    async fn commit(&self, finished: FinishedFile) -> Result<bool, BlobError> {
        self.blocking("committing a blob", move |dirs| dirs.commit(finished)).await
    }

    async fn open(&self, sha256: Sha256, range: Option<Range<u64>>) -> Result<FileReader, BlobError> {
        let opened = self.blocking("opening a blob", move |dirs| match File::open(dirs.path_of(&sha256).1) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(FileReader::new(file?, range))),
        });
        opened.await?.ok_or(BlobError::NotFound)
    }

    async fn stat(&self, sha256: Sha256) -> Result<Option<BlobStat>, BlobError> {
        self.blocking("looking for a blob", move |dirs| match fs::symlink_metadata(dirs.path_of(&sha256).1) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            // A folder or a link is none.
            metadata => metadata.map(|metadata| metadata.is_file().then(|| stat(sha256, &metadata))),
        })
        .await
    }

    fn list(&self, first_part: u8) -> mpsc::Receiver<Result<Listed, BlobError>> {
        list_blobs(self.dirs.blobs.clone(), first_part)
    }

    async fn delete(&self, sha256: Sha256) -> Result<bool, BlobError> {
        self.blocking("deleting a blob", move |dirs| dirs.delete(&sha256)).await
    }

    async fn quarantine(&self, sha256: Sha256) -> Result<PathBuf, BlobError> {
        self.blocking("moving a blob to quarantine", move |dirs| dirs.quarantine(&sha256)).await
    }

    async fn sweep_abandoned(&self, written_before: SystemTime, dry_run: bool) -> Result<Swept, BlobError> {
        self.blocking("sweeping temporary files", move |dirs| sweep(&dirs.temp, written_before, dry_run)).await
    }

    /// Names are digests here: what has another one is a stray.
    fn list_unknown(&self) -> mpsc::Receiver<Result<UnknownObject, BlobError>> {
        mpsc::channel(1).1
    }

    async fn delete_unknown(&self, _: &UnknownObject) -> Result<bool, BlobError> {
        Ok(false)
    }

    async fn attach_statements(&self, sha256: Sha256, statements: String) -> Result<(), BlobError> {
        self.blocking("attaching statements", move |dirs| dirs.attach_statements(&sha256, &statements)).await
    }

    async fn hold(&self) -> Result<File, BlobError> {
        self.blocking("holding the blobs", |dirs| {
            let lock = open_removal_lock(&dirs.data)?;
            lock.lock_shared().map(|()| lock)
        })
        .await
    }

    async fn begin_export(&self, into: &Path) -> Result<DirectoryExport, BlobError> {
        let into = into.to_owned();
        self.blocking("making the folders of a copy", move |dirs| DirectoryExport::begin(&dirs.data, into)).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.blocking("writing a probe", Dirs::check).await
    }
}
