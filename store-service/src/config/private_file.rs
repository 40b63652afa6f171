//! Files with secrets.
//!
//! Refuses what others may read or change, for then it is no secret any more.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use secrecy::SecretString;

/// More than any list of credentials has.
const MAX_BYTES: u64 = 1 << 20;
/// A file of root's, such as one that an orchestrator mounts, may be readable by the group of whoever runs the store.
const ROOT: u32 = 0;

/// Reads a file that only the store can; the fault is the end of a sentence that begins with its path.
pub(super) fn read_private_file(path: &Path) -> Result<SecretString, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is no file".to_owned());
    }
    if let Some(fault) = judge_mode(metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw()) {
        return Err(fault);
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    let is_small = text.len() as u64 <= MAX_BYTES;
    let secret = SecretString::from(text);
    if is_small { Ok(secret) } else { Err(format!("has more than {MAX_BYTES} bytes")) }
}

fn judge_mode(mode: u32, owner: u32, user: u32) -> Option<String> {
    let is_mounted = owner == ROOT && user != ROOT;
    let allowed = if is_mounted { 0o740 } else { 0o700 };
    let (mode, good) = (mode & 0o777, if is_mounted { "640" } else { "600" });
    (mode & !allowed != 0).then(|| {
        format!("has the mode {mode:03o}, so others than the store can read or change it: run `chmod {good}` on it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_read_or_change_is_refused() {
        for (mode, owner, user) in [(0o100_600, 1000, 1000), (0o400, 1000, 1000), (0o600, 0, 0), (0o640, 0, 1000)] {
            assert_eq!(judge_mode(mode, owner, user), None, "{mode:o}");
        }
        for (mode, owner, user) in [
            (0o100_644, 1000, 1000),
            (0o640, 1000, 1000),
            (0o620, 0, 1000),
            (0o660, 0, 1000),
            (0o644, 0, 1000),
            (0o640, 0, 0),
            (0o602, 1000, 1000),
        ] {
            assert!(judge_mode(mode, owner, user).unwrap().contains("run `chmod 6"), "{mode:o}");
        }
    }
}
