//! Packages in a directory, each named by its SHA-256.
//!
//! Promises: a blob is written aside, synced, renamed and its directory synced, so under its name there is always the
//! whole of it, also after a power cut. Nothing else ever appears under `blobs/`. Left-overs of a killed store in `tmp/`
//! are removed at start. Relies on the data directory's lock: two stores would sweep each other's work away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::writer::{FsDraft, SealedFile, TempFile};
use crate::data_dir::{FILE_MODE, make_dir};
use crate::link::ports::{BlobError, Blobs, Sha256Hex};

/// Packages in a directory.
pub struct FsBlobs {
    dirs: Arc<Dirs>,
}

struct Dirs {
    blobs: PathBuf,
    temp: PathBuf,
    next_temp: AtomicU64,
}

impl FsBlobs {
    /// Opens `blobs/` and `tmp/` below the locked data directory and sweeps the latter.
    ///
    /// # Errors
    /// If the directories cannot be made, read or written.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let (blobs, temp) = (data_dir.join("blobs"), data_dir.join("tmp"));
        make_dir(&blobs)?;
        make_dir(&temp)?;
        for left_over in fs::read_dir(&temp)? {
            fs::remove_file(left_over?.path())?;
        }
        sync_dir(data_dir)?;
        // A folder of an earlier store that died before it could sync this.
        sync_dir(&blobs)?;
        Ok(Self { dirs: Arc::new(Dirs { blobs, temp, next_temp: AtomicU64::new(0) }) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Dirs) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let dirs = Arc::clone(&self.dirs);
        let done = tokio::task::spawn_blocking(move || work(&dirs)).await.map_err(|_| BlobError::WriterGone)?;
        done.map_err(|e| BlobError::from_io(doing, e))
    }
}

impl Dirs {
    fn new_temp(&self) -> io::Result<TempFile> {
        let path = self.temp.join(self.next_temp.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        Ok(TempFile::new(file, path))
    }

    fn path_of(&self, sha256: &Sha256Hex) -> (PathBuf, PathBuf) {
        let dir = self.blobs.join(sha256.as_str().split_at(2).0);
        let file = dir.join(sha256.as_str());
        (dir, file)
    }

    /// `true` if the blob was not there before.
    fn keep(&self, sealed: SealedFile) -> io::Result<bool> {
        let (dir, path) = self.path_of(&sealed.sha256);
        if make_dir(&dir)? {
            sync_dir(&self.blobs)?;
        }
        let is_new = !path.try_exists()?;
        // Also over a blob that is there: these bytes were hashed a moment ago, and a damaged file is healed.
        sealed.temp.rename_to(&path)?;
        sync_dir(&dir)?;
        Ok(is_new)
    }

    /// Keeps the directory: making it anew would cost a sync of its parent.
    fn remove(&self, sha256: &Sha256Hex) -> io::Result<()> {
        let (dir, path) = self.path_of(sha256);
        match fs::remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| sync_dir(&dir)),
        }
    }

    fn check(&self) -> io::Result<()> {
        let mut probe = self.new_temp()?;
        probe.file().write_all(b"ready?")?;
        fs::metadata(&self.blobs).map(|_| ())
    }
}

impl Blobs for FsBlobs {
    type Draft = FsDraft;
    type Sealed = SealedFile;

    async fn draft(&self) -> Result<FsDraft, BlobError> {
        let temp = self.blocking("making a temporary file", Dirs::new_temp).await?;
        Ok(FsDraft::start(temp))
    }

    async fn keep(&self, sealed: SealedFile) -> Result<bool, BlobError> {
        self.blocking("keeping a blob", move |dirs| dirs.keep(sealed)).await
    }

    async fn remove(&self, sha256: Sha256Hex) -> Result<(), BlobError> {
        self.blocking("removing a blob", move |dirs| dirs.remove(&sha256)).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        self.blocking("writing a probe", Dirs::check).await
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
