//! Room on the disk: what is free, less what was promised to packages under way, less what is kept free.
//!
//! Promises: a package whose size is known finds its room or is refused before its first byte; several at once are not
//! promised the same room. Whatever its size, no package takes what is kept free, so that the books can still be written.
//! Refuses by [`io::ErrorKind::StorageFull`], as a full disk itself does. Others may write to the same disk: what was
//! promised may be gone when it is needed, and then writing fails.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Free = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// Room for packages.
pub(super) struct Room {
    free: Free,
    keep_free: u64,
    promised: Mutex<u64>,
}

/// Room for one package; what is not used is given back when this is dropped.
pub(super) struct Promise {
    room: Arc<Room>,
    left: u64,
}

/// Why there is none, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{needed} bytes are needed and {free} are free, of which {promised} are promised and {kept} kept free")]
struct NoRoom {
    needed: u64,
    free: u64,
    promised: u64,
    kept: u64,
}

impl Room {
    /// That of the file system which this directory is on.
    pub(super) fn of(dir: &Path, keep_free: u64) -> Self {
        let dir = dir.to_owned();
        Self::over(Box::new(move || free(&dir)), keep_free)
    }

    fn over(free: Free, keep_free: u64) -> Self {
        Self { free, keep_free, promised: Mutex::new(0) }
    }

    /// Whether so many bytes would find room now.
    pub(super) fn ask(&self, bytes: u64) -> io::Result<()> {
        let promised = *self.promised();
        self.need(bytes, promised)
    }

    /// Sets room aside for a package of so many bytes; none for one whose size nobody knows.
    pub(super) fn promise(self: &Arc<Self>, bytes: Option<u64>) -> io::Result<Promise> {
        let left = bytes.unwrap_or(0);
        let mut promised = self.promised();
        self.need(left, *promised)?;
        *promised += left;
        Ok(Promise { room: Arc::clone(self), left })
    }

    fn need(&self, needed: u64, promised: u64) -> io::Result<()> {
        let (free, kept) = ((self.free)()?, self.keep_free);
        if needed.saturating_add(promised).saturating_add(kept) <= free {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, NoRoom { needed, free, promised, kept }))
    }

    /// A number is never half written, whoever panicked.
    fn promised(&self) -> MutexGuard<'_, u64> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promise {
    /// Asked before so many bytes are written.
    pub(super) fn admits(&self, bytes: u64) -> io::Result<()> {
        // What was promised may be used, whatever else is promised; what goes beyond it is like any other wish.
        let others = if bytes <= self.left { 0 } else { *self.room.promised() - self.left };
        self.room.need(bytes, others)
    }

    /// So many bytes are written: they are no longer free, so they need no promise.
    pub(super) fn used(&mut self, bytes: u64) {
        let used = bytes.min(self.left);
        self.left -= used;
        *self.room.promised() -= used;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.used(self.left);
    }
}

fn free(dir: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A disk with so many bytes free, of which 10 are kept.
    fn disk(free: u64) -> (Arc<AtomicU64>, Arc<Room>) {
        let free = Arc::new(AtomicU64::new(free));
        let seen = Arc::clone(&free);
        (free, Arc::new(Room::over(Box::new(move || Ok(seen.load(Ordering::Relaxed))), 10)))
    }

    fn is_full<T>(refused: io::Result<T>) -> bool {
        refused.is_err_and(|e| e.kind() == io::ErrorKind::StorageFull)
    }

    #[test]
    fn room_is_what_is_free_less_what_is_kept() {
        let (_, room) = disk(100);
        assert!(room.ask(89).is_ok() && room.ask(90).is_ok());
        assert!(is_full(room.ask(91)) && is_full(room.ask(u64::MAX)));
        let (_, room) = disk(9);
        assert!(is_full(room.ask(0)), "what is kept free is not there any more");
    }

    #[test]
    fn the_same_room_is_not_promised_twice_and_comes_back() {
        let (_, room) = disk(100);
        let first = room.promise(Some(60)).unwrap();
        assert!(is_full(room.promise(Some(31))) && is_full(room.ask(31)));
        let second = room.promise(Some(30)).unwrap();
        drop(first);
        assert!(room.ask(60).is_ok() && is_full(room.ask(61)));
        drop(second);
        assert!(room.ask(90).is_ok());
    }

    #[test]
    fn what_is_written_is_no_longer_promised() {
        let (free, room) = disk(100);
        let mut promise = room.promise(Some(60)).unwrap();
        promise.admits(40).unwrap();
        free.fetch_sub(40, Ordering::Relaxed);
        promise.used(40);
        // 60 are free, 20 promised, 10 kept.
        assert!(room.ask(30).is_ok() && is_full(room.ask(31)));
        promise.used(1_000);
        assert!(room.ask(50).is_ok());
    }

    #[test]
    fn a_package_of_unknown_size_takes_neither_what_is_promised_nor_what_is_kept() {
        let (free, room) = disk(100);
        let _other = room.promise(Some(60)).unwrap();
        let mut unknown = room.promise(None).unwrap();
        assert!(is_full(unknown.admits(31)));
        unknown.admits(30).unwrap();
        free.fetch_sub(30, Ordering::Relaxed);
        unknown.used(30);
        assert!(is_full(unknown.admits(1)));
    }

    #[test]
    fn a_promise_that_others_broke_is_told_before_what_is_kept_is_taken() {
        let (free, room) = disk(100);
        let promise = room.promise(Some(60)).unwrap();
        free.store(30, Ordering::Relaxed);
        assert!(promise.admits(20).is_ok() && is_full(promise.admits(21)));
    }

    #[test]
    fn the_room_of_a_real_disk_is_known_and_a_lost_one_is_an_error_of_another_kind() {
        assert!(Room::of(Path::new("/"), 0).ask(1).is_ok());
        let lost = Room::of(Path::new("/nowhere/at/all"), 0).ask(0).unwrap_err();
        assert_eq!(lost.kind(), io::ErrorKind::NotFound);
    }
}
