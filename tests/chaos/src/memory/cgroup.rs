//! A limit of memory as containers have it: a control group of the kernel, of version 1 or 2.
//!
//! Promises: whatever is in it when it is dropped is gone by then, and so is the group.

use std::fs;
use std::path::{Path, PathBuf};

const V1: &str = "/sys/fs/cgroup/memory";
const V2: &str = "/sys/fs/cgroup";

/// A group with a limit.
pub struct MemoryLimit {
    group: PathBuf,
    is_v2: bool,
}

/// Why no limit can be set here; `None` if one can.
#[must_use]
pub fn cannot_limit() -> Option<String> {
    let probe = MemoryLimit::try_new(64).err()?;
    Some(format!("a limit of memory needs root and a writable control group: {probe}"))
}

impl MemoryLimit {
    pub(super) fn new(mib: u64) -> Self {
        Self::try_new(mib).expect("it was tried before")
    }

    fn try_new(mib: u64) -> std::io::Result<Self> {
        let is_v2 = !Path::new(V1).is_dir();
        let parent = if is_v2 { V2 } else { V1 };
        let group = Path::new(parent).join(format!("linkgate-chaos-{}", std::process::id()));
        fs::create_dir(&group)?;
        let limit = Self { group, is_v2 };
        let bytes = (mib << 20).to_string();
        fs::write(limit.file("memory.max", "memory.limit_in_bytes"), &bytes)?;
        // Without swap, as containers run. A kernel that does not count it has no such file.
        let _counted_or_not =
            fs::write(limit.file("memory.swap.max", "memory.memsw.limit_in_bytes"), if is_v2 { "0" } else { &bytes });
        Ok(limit)
    }

    /// From here on this process and all its threads are limited.
    pub(super) fn take(&self, pid: u32) {
        fs::write(self.group.join("cgroup.procs"), pid.to_string()).expect("it runs, and the group is ours");
    }

    /// The most that was ever in use, with the pages of files that the kernel keeps as long as there is space.
    pub(super) fn peak_mib(&self) -> u64 {
        let text = fs::read_to_string(self.file("memory.peak", "memory.max_usage_in_bytes")).unwrap_or_default();
        text.trim().parse::<u64>().unwrap_or_default() >> 20
    }

    fn file(&self, v2: &str, v1: &str) -> PathBuf {
        self.group.join(if self.is_v2 { v2 } else { v1 })
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
