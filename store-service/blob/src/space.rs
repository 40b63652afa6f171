//! Space on the disk: what is free, less what is reserved for packages under way, less what stays free.
//!
//! Promises: a package whose size is known finds its space or is refused before its first byte; the same space is never
//! reserved twice. Whatever its size, no package takes what must stay free, so that the catalog can still be written.
//! Refuses by [`io::ErrorKind::StorageFull`], as a full disk itself does. Others may write to the same disk: what was
//! reserved may be gone when it is needed, and then writing fails.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Free = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// Space for packages.
pub(super) struct DiskSpace {
    free: Free,
    min_free: u64,
    reserved: Mutex<u64>,
}

/// Space for one package; what is not used is given back when this is dropped.
pub(super) struct SpaceReservation {
    space: Arc<DiskSpace>,
    left: u64,
}

/// Why there is none, for the log.
#[derive(Debug, thiserror::Error)]
#[error(
    "{needed} bytes are needed and {free} are free, of which {reserved} are reserved and {stays_free} to stay free"
)]
struct NotEnoughSpace {
    needed: u64,
    free: u64,
    reserved: u64,
    stays_free: u64,
}

impl DiskSpace {
    /// That of the file system which this directory is on.
    pub(super) fn of_directory(dir: &Path, min_free: u64) -> Self {
        let dir = dir.to_owned();
        Self::over(Box::new(move || free(&dir)), min_free)
    }

    fn over(free: Free, min_free: u64) -> Self {
        Self { free, min_free, reserved: Mutex::new(0) }
    }

    /// Whether so many bytes would find space now.
    pub(super) fn check(&self, bytes: u64) -> io::Result<()> {
        let reserved = *self.reserved();
        self.require(bytes, reserved)
    }

    /// Reserves space for a package of so many bytes; none for one whose size nobody knows.
    pub(super) fn reserve(self: &Arc<Self>, bytes: Option<u64>) -> io::Result<SpaceReservation> {
        let left = bytes.unwrap_or(0);
        let mut reserved = self.reserved();
        self.require(left, *reserved)?;
        *reserved += left;
        Ok(SpaceReservation { space: Arc::clone(self), left })
    }

    fn require(&self, needed: u64, reserved: u64) -> io::Result<()> {
        let (free, stays_free) = ((self.free)()?, self.min_free);
        if needed.saturating_add(reserved).saturating_add(stays_free) <= free {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, NotEnoughSpace { needed, free, reserved, stays_free }))
    }

    /// A number is never half written, whoever panicked.
    fn reserved(&self) -> MutexGuard<'_, u64> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpaceReservation {
    /// Asked before so many bytes are written.
    pub(super) fn check_write(&self, bytes: u64) -> io::Result<()> {
        // What was reserved may be used, whatever else is reserved; what goes beyond it is like any other write.
        let others = if bytes <= self.left { 0 } else { *self.space.reserved() - self.left };
        self.space.require(bytes, others)
    }

    /// So many bytes are written: they are no longer free, so they need no reservation.
    pub(super) fn consume(&mut self, bytes: u64) {
        let used = bytes.min(self.left);
        self.left -= used;
        *self.space.reserved() -= used;
    }
}

impl Drop for SpaceReservation {
    fn drop(&mut self) {
        self.consume(self.left);
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

    /// A disk with so many bytes free, of which 10 are stays_free.
    fn disk(free: u64) -> (Arc<AtomicU64>, Arc<DiskSpace>) {
        let free = Arc::new(AtomicU64::new(free));
        let seen = Arc::clone(&free);
        (free, Arc::new(DiskSpace::over(Box::new(move || Ok(seen.load(Ordering::Relaxed))), 10)))
    }

    fn is_full<T>(refused: io::Result<T>) -> bool {
        refused.is_err_and(|e| e.kind() == io::ErrorKind::StorageFull)
    }

    #[test]
    fn space_is_what_is_free_less_what_is_kept() {
        let (_, space) = disk(100);
        assert!(space.check(89).is_ok() && space.check(90).is_ok());
        assert!(is_full(space.check(91)) && is_full(space.check(u64::MAX)));
        let (_, space) = disk(9);
        assert!(is_full(space.check(0)), "what is to stay free is not there any more");
    }

    #[test]
    fn the_same_space_is_not_promised_twice_and_comes_back() {
        let (_, space) = disk(100);
        let first = space.reserve(Some(60)).unwrap();
        assert!(is_full(space.reserve(Some(31))) && is_full(space.check(31)));
        let second = space.reserve(Some(30)).unwrap();
        drop(first);
        assert!(space.check(60).is_ok() && is_full(space.check(61)));
        drop(second);
        assert!(space.check(90).is_ok());
    }

    #[test]
    fn what_is_written_is_no_longer_promised() {
        let (free, space) = disk(100);
        let mut reservation = space.reserve(Some(60)).unwrap();
        reservation.check_write(40).unwrap();
        free.fetch_sub(40, Ordering::Relaxed);
        reservation.consume(40);
        // 60 are free, 20 reserved, 10 stays_free.
        assert!(space.check(30).is_ok() && is_full(space.check(31)));
        reservation.consume(1_000);
        assert!(space.check(50).is_ok());
    }

    #[test]
    fn a_package_of_unknown_size_takes_neither_what_is_promised_nor_what_is_kept() {
        let (free, space) = disk(100);
        let _other = space.reserve(Some(60)).unwrap();
        let mut unknown = space.reserve(None).unwrap();
        assert!(is_full(unknown.check_write(31)));
        unknown.check_write(30).unwrap();
        free.fetch_sub(30, Ordering::Relaxed);
        unknown.consume(30);
        assert!(is_full(unknown.check_write(1)));
    }

    #[test]
    fn a_promise_that_others_broke_is_told_before_what_is_kept_is_taken() {
        let (free, space) = disk(100);
        let reservation = space.reserve(Some(60)).unwrap();
        free.store(30, Ordering::Relaxed);
        assert!(reservation.check_write(20).is_ok() && is_full(reservation.check_write(21)));
    }

    #[test]
    fn the_space_of_a_real_disk_is_known_and_a_lost_one_is_an_error_of_another_kind() {
        assert!(DiskSpace::of_directory(Path::new("/"), 0).check(1).is_ok());
        let lost = DiskSpace::of_directory(Path::new("/nowhere/at/all"), 0).check(0).unwrap_err();
        assert_eq!(lost.kind(), io::ErrorKind::NotFound);
    }
}
