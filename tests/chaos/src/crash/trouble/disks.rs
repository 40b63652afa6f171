//! Disks that can be troubled, and set right again.
//!
//! Promises: what is mounted or started is let go when it is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempDir;

use super::super::data_below;
use super::super::ground::{mount, run, unmount_lazily};

/// What happens to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every byte is taken.
    Full,
    /// There are bytes, but no more files can be made.
    NoInodes,
    /// Every write fails with EIO.
    Fails,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::NoInodes, Self::Fails];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "a full disk",
            Self::NoInodes => "a disk that takes no more files",
            Self::Fails => "a disk that fails",
        }
    }

    /// What an upload must be answered meanwhile.
    pub(super) fn refusal(self) -> (u16, &'static str) {
        match self {
            Self::Full | Self::NoInodes => (507, "INSUFFICIENT_STORAGE"),
            Self::Fails => (500, "OBJECT_STORE_EXCEPTION"),
        }
    }
}

/// A file system on a disk that can be troubled.
pub(super) struct Troubled {
    trouble: Trouble,
    // What the disk is made of goes after what stands on it.
    dir: TempDir,
    served: Vec<Child>,
}

/// Why that cannot be tried here; `None` if it can.
#[must_use]
pub fn cannot_trouble() -> Option<String> {
    Trouble::ALL.into_iter().find_map(|trouble| Troubled::make(trouble).err())
}

impl Troubled {
    /// Makes one that is well.
    pub(super) fn make(trouble: Trouble) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut disk = Self { trouble, dir, served: Vec::new() };
        fs::create_dir(disk.path("mounted")).map_err(|e| e.to_string())?;
        let image = disk.image()?;
        let mut mkfs = Command::new("mkfs.ext4");
        // Without a journal: one that could not be written would end the file system for good.
        mkfs.args(["-q", "-F", "-m", "0", "-O", "^has_journal"]);
        if trouble == Trouble::NoInodes {
            mkfs.args(["-N", "400"]);
        }
        run(mkfs.arg(&image))?;
        mount(&image, &disk.path("mounted"), "loop,errors=continue")?;
        Ok(disk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        data_below(&self.path("mounted"))
    }

    /// The file behind the loop device.
    fn image(&mut self) -> Result<PathBuf, String> {
        if self.trouble != Trouble::Fails {
            let image = self.path("image");
            let file = File::create(&image).map_err(|e| e.to_string())?;
            file.set_len(64 << 20).map_err(|e| e.to_string())?;
            return Ok(image);
        }
        let (socket, fuse) = (self.path("socket"), self.path("fuse"));
        fs::create_dir(&fuse).map_err(|e| e.to_string())?;
        let image = fuse.join("disk");
        let flag = format!("error-file={}", self.path("fails").display());
        let mut server = Command::new("nbdkit");
        server.args(["-f", "-U"]).arg(&socket).args(["--filter=error", "memory", "64M"]);
        server.args(["error-pwrite=EIO", "error-pwrite-rate=1", &flag]);
        self.serve(&mut server, &socket)?;
        self.serve(Command::new("nbdfuse").arg(&image).arg("--unix").arg(&socket), &image)?;
        Ok(image)
    }

    /// Starts a program that serves, and waits until this is there.
    fn serve(&mut self, command: &mut Command, there: &Path) -> Result<(), String> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.served.push(child.map_err(|e| format!("{command:?}: {e}"))?);
        let begun = Instant::now();
        while !there.exists() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(format!("{command:?}: {} does not appear", there.display()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The trouble begins; again, where something gave space back meanwhile.
    pub(super) fn begin(&self) {
        let filler = self.path("mounted/filler");
        match self.trouble {
            Trouble::Full => fill(&File::options().append(true).create(true).open(filler).unwrap()),
            Trouble::NoInodes => {
                fs::create_dir_all(&filler).unwrap();
                let there = fs::read_dir(&filler).unwrap().count();
                let made = (there..).map(|n| File::create(filler.join(n.to_string())));
                assert!(made.take_while(Result::is_ok).count() > 0, "there was no space for files before");
            }
            Trouble::Fails => drop(File::create(self.path("fails")).unwrap()),
        }
    }

    /// It is over.
    pub(super) fn end(&self) {
        let filler = self.path("mounted/filler");
        match self.trouble {
            Trouble::Full => fs::remove_file(filler).unwrap(),
            Trouble::NoInodes => fs::remove_dir_all(filler).unwrap(),
            Trouble::Fails => fs::remove_file(self.path("fails")).unwrap(),
        }
    }
}

/// Takes all space that there is, in ever smaller pieces.
fn fill(filler: &File) {
    let mut end = filler.metadata().unwrap().len();
    for piece in [16 << 20, 1 << 20, 64 << 10, 4 << 10] {
        while fallocate(filler, FallocateFlags::empty(), end, piece).is_ok() {
            end += piece;
        }
    }
}

impl Drop for Troubled {
    fn drop(&mut self) {
        drop(fs::remove_file(self.path("fails")));
        unmount_lazily(&self.path("mounted"));
        if self.trouble == Trouble::Fails {
            unmount_lazily(&self.path("fuse"));
        }
        for child in self.served.iter_mut().rev() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
