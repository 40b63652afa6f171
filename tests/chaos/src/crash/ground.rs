//! What a data directory stands on: a folder, or a file system of its own whose power can be cut.
//!
//! Promises: whatever is mounted is unmounted and its loop device let go when it is dropped. The power cut is the file
//! system's own: it is shut down without flushing its journal, so what was not synced is gone when it is mounted again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::ioctl::{Setter, ioctl};
use tempfile::TempDir;
use tokio::sync::RwLock;

use super::data_below;
use linkgate_tests::DataDirectory;

/// `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN`, which are the same.
const SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
/// Not even the journal is written.
const NO_LOG_FLUSH: u32 = 2;
/// How often unmounting is tried while somebody still has a file open.
const TRIES: u32 = 100;

/// A file system that can be shut down under a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4, with its journal.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ext4, Self::Xfs];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// XFS takes no less.
    fn bytes(self) -> u64 {
        match self {
            Self::Ext4 => 256 << 20,
            Self::Xfs => 320 << 20,
        }
    }
}

/// Where a data directory lies.
pub enum Ground {
    /// A folder.
    Folder(TempDir),
    /// A file system of its own.
    Disk(Disk),
}

/// A file system in a file.
pub struct Disk {
    file_system: FileSystem,
    /// Holds the image and the place where it is mounted. Taken when it is left for a look.
    dir: Option<TempDir>,
    power: Power,
}

/// Whether there is power. It is not cut while somebody holds on to it.
pub type Power = Arc<RwLock<bool>>;

/// Why power cuts cannot be tried here; `None` if they can.
#[must_use]
pub fn cannot_mount(disks: &[FileSystem]) -> Option<String> {
    disks.iter().find_map(|disk| Disk::make(*disk).err())
}

impl Ground {
    /// A new one: a folder if there are no disks, else the next of these.
    pub(super) fn new(disks: &[FileSystem], number: u32) -> Self {
        match disks.get(number as usize % disks.len().max(1)) {
            None => Self::Folder(tempfile::tempdir().unwrap()),
            Some(disk) => Self::Disk(Disk::make(*disk).unwrap()),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Folder(_) => "a folder",
            Self::Disk(disk) => disk.file_system.name(),
        }
    }

    /// Whether it has power now.
    pub(super) fn power(&self) -> Power {
        match self {
            Self::Folder(_) => Power::new(RwLock::new(true)),
            Self::Disk(disk) => Arc::clone(&disk.power),
        }
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        match self {
            Self::Folder(dir) => data_below(dir.path()),
            Self::Disk(disk) => data_below(&disk.mount_point()),
        }
    }

    pub(super) fn directory(&self) -> DataDirectory {
        DataDirectory::new(self.data_dir())
    }

    /// Cuts the power, if it has any of its own.
    pub(super) async fn cut(&self) {
        if let Self::Disk(disk) = self {
            disk.cut().await;
        }
    }

    /// What was cut off is there again, as it survived.
    pub(super) async fn come_back(&self) -> Result<(), String> {
        let Self::Disk(disk) = self else { return Ok(()) };
        disk.unmount().await?;
        disk.mount()?;
        *disk.power.write().await = true;
        Ok(())
    }

    /// Leaves it for a look; a file system is left as its image.
    pub(super) fn leave(self) -> PathBuf {
        match self {
            Self::Folder(dir) => dir.keep(),
            Self::Disk(mut disk) => {
                disk.let_go();
                disk.dir.take().map(TempDir::keep).unwrap_or_default()
            }
        }
    }
}

impl Disk {
    /// Makes one and mounts it.
    ///
    /// # Errors
    /// What is missing here.
    fn make(file_system: FileSystem) -> Result<Self, String> {
        let dir = Some(tempfile::tempdir().map_err(|e| e.to_string())?);
        let disk = Self { file_system, dir, power: Power::new(RwLock::new(true)) };
        std::fs::create_dir(disk.mount_point()).map_err(|e| e.to_string())?;
        let image = File::create(disk.image()).map_err(|e| e.to_string())?;
        image.set_len(file_system.bytes()).map_err(|e| e.to_string())?;
        run(Command::new(format!("mkfs.{}", file_system.name())).arg("-q").arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    fn dir(&self) -> &Path {
        self.dir.as_ref().map_or(Path::new(""), TempDir::path)
    }

    fn image(&self) -> PathBuf {
        self.dir().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.dir().join("mounted")
    }

    fn mount(&self) -> Result<(), String> {
        mount(&self.image(), &self.mount_point(), "loop")
    }

    async fn unmount(&self) -> Result<(), String> {
        let mut tried = run(Command::new("umount").arg(self.mount_point()));
        for _ in 0..TRIES {
            if tried.is_ok() {
                break;
            }
            // A process that was killed a moment ago may still be giving its files back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            tried = run(Command::new("umount").arg(self.mount_point()));
        }
        tried
    }

    async fn cut(&self) {
        let root = File::open(self.mount_point()).unwrap();
        // First, so that nothing counts as heard that was answered meanwhile: a sync that is under way when a file system
        // shuts down may be told as done although it was not.
        let mut power = self.power.write().await;
        *power = false;
        // SAFETY: the kernel reads one u32 from where the third argument points, and writes nothing.
        let cut = unsafe { ioctl(&root, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
        match cut {
            // It may be off already.
            Ok(()) | Err(rustix::io::Errno::IO) => {}
            Err(error) => panic!("the power cannot be cut: {error}"),
        }
    }

    fn let_go(&self) {
        unmount_lazily(&self.mount_point());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.dir.is_some() {
            self.let_go();
        }
    }
}

/// Mounts an image; its loop device goes with the mount.
pub(super) fn mount(image: &Path, at: &Path, options: &str) -> Result<(), String> {
    run(Command::new("mount").args(["-o", options]).arg(image).arg(at))
}

/// Somebody may have a file open still; everything goes once that is closed.
pub(super) fn unmount_lazily(at: &Path) {
    drop(run(Command::new("umount").arg("--lazy").arg(at)));
}

/// Runs a command; what it said if it fails.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|e| format!("{shown}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{shown}: {}", said.trim())) }
}
