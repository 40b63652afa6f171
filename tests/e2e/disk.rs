//! A disk of a test's own, as large as a real one, that takes hardly any space of the machine's: ext4 in a sparse file. Needs
//! root, loop devices and `mkfs.ext4`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

/// Gone when dropped.
pub struct Disk(TempDir);

impl Disk {
    /// Makes one of so many bytes. The error says what it lacks here.
    pub fn mount(bytes: u64) -> Result<Self, String> {
        let disk = Self(tempfile::tempdir().unwrap());
        let image = disk.0.path().join("image");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        std::fs::create_dir(disk.path()).unwrap();
        // Nothing is kept for root, few files are prepared for, and there is no journal: all of it would be written.
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-N", "4096", "-O", "^has_journal"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()))?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn free(&self) -> u64 {
        let disk = statvfs(self.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all space but so many bytes.
    pub fn fill(&self, left: u64) {
        let filler = File::create(self.filler()).unwrap();
        fallocate(&filler, FallocateFlags::empty(), 0, self.free() - left).unwrap();
        assert!(self.free() <= left);
    }

    /// Gives it back.
    pub fn free_up(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.path());
    }
}

/// Lazily: the store may still hold a file for a moment. It fails where nothing was mounted, which is fine.
fn unmount(at: &Path) {
    drop(Command::new("umount").arg("--lazy").arg(at).output());
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", said.trim())) }
}
