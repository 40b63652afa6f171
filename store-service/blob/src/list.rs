//! Lists blobs, folder by folder, and sweeps temporary files.
//!
//! Promises: never more than [`AHEAD`] names in memory, however many packages there are. What vanishes meanwhile is left
//! out. Refuses to call anything a blob that does not lie where a blob of its name would.

use linkgate_contract::Sha256;
use std::fs::{self, DirEntry, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use linkgate_store_core::ingest::ports::{BlobError, BlobStat, Listed, Swept};

/// Names that are read ahead of whoever looks at them.
const AHEAD: usize = 256;

type Sender = mpsc::Sender<Result<Listed, BlobError>>;

/// Lists all blobs, beginning with this one of the 256 folders. Ends early when the receiver is dropped.
pub(super) fn list_blobs(blobs: PathBuf, first_folder: u8) -> mpsc::Receiver<Result<Listed, BlobError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(e) = walk(&blobs, first_folder, &sender) {
            // Nobody listens any more: then nobody needs to know.
            let _unheard = sender.blocking_send(Err(BlobError::from_io("reading a folder of blobs", e)));
        }
    });
    receiver
}

/// The receiver went away.
struct Unheard;

fn walk(blobs: &Path, first_folder: u8, sender: &Sender) -> io::Result<()> {
    for entry in fs::read_dir(blobs)? {
        let entry = entry?;
        let is_ours = entry.file_type()?.is_dir() && is_folder_name(entry.file_name().as_encoded_bytes());
        if !is_ours && sender.blocking_send(Ok(Listed::Stray(entry.path()))).is_err() {
            return Ok(());
        }
    }
    for n in (0..=u8::MAX).map(|n| n.wrapping_add(first_folder)) {
        let folder = hex::encode([n]);
        match walk_folder(&blobs.join(&folder), &folder, sender) {
            Ok(Ok(())) => {}
            Ok(Err(Unheard)) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            // Named among the strays above.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn is_folder_name(name: &[u8]) -> bool {
    name.len() == 2 && name.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn walk_folder(path: &Path, folder: &str, sender: &Sender) -> io::Result<Result<(), Unheard>> {
    for entry in fs::read_dir(path)? {
        let Some(found) = look_at(&entry?, folder)? else { continue };
        if sender.blocking_send(Ok(found)).is_err() {
            return Ok(Err(Unheard));
        }
    }
    Ok(Ok(()))
}

/// `None` if it is gone meanwhile.
fn look_at(entry: &DirEntry, folder: &str) -> io::Result<Option<Listed>> {
    let metadata = match entry.metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    let name = entry.file_name();
    let sha256 = name.to_str().filter(|name| name.starts_with(folder)).and_then(|name| name.parse().ok());
    Ok(Some(match sha256 {
        Some(sha256) if metadata.is_file() => Listed::Blob(stat(sha256, &metadata)),
        _ => Listed::Stray(entry.path()),
    }))
}

/// What a file says of the blob in it.
pub(super) fn stat(sha256: Sha256, metadata: &fs::Metadata) -> BlobStat {
    BlobStat { sha256, size_bytes: metadata.len(), modified: modified_at(metadata) }
}

/// A rename changes only the second of the two times.
fn modified_at(metadata: &fs::Metadata) -> SystemTime {
    let time = |s: i64, ns: i64| {
        let (s, ns) = (u64::try_from(s).unwrap_or(0), u32::try_from(ns).unwrap_or(0));
        UNIX_EPOCH + Duration::new(s, ns)
    };
    time(metadata.mtime(), metadata.mtime_nsec()).max(time(metadata.ctime(), metadata.ctime_nsec()))
}

/// Deletes temporary files that nobody owns and nobody has written to since, and counts them; `dry_run` only counts.
pub(super) fn sweep(temp: &Path, written_before: SystemTime, dry_run: bool) -> io::Result<Swept> {
    let mut swept = Swept::default();
    let entries = match fs::read_dir(temp) {
        // No store has run here yet.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(swept),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Not opened to find out: a pipe would wait for its other end.
        if !entry.file_type()?.is_file() {
            continue;
        }
        let path = entry.path();
        match sweep_one(&path, written_before, dry_run) {
            Ok(None) => {}
            Ok(Some(bytes)) => swept = Swept { files: swept.files + 1, bytes: swept.bytes + bytes },
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(swept)
}

/// Its bytes, if it goes.
fn sweep_one(path: &Path, written_before: SystemTime, dry_run: bool) -> io::Result<Option<u64>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if modified_at(&metadata) > written_before {
        return Ok(None);
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(e)) => return Err(e),
    }
    if !dry_run {
        fs::remove_file(path)?;
    }
    Ok(Some(metadata.len()))
}
