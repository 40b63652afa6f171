//! Reading and writing files.
//!
//! Promises: a reader of a written file sees the old content or the new, never a part, also after a power cut: written
//! aside in the same folder, synced, renamed, and the folder synced. Refuses to read files over a limit.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::error::Error;

/// No configuration of ours comes near this.
pub const MAX_TEXT_BYTES: u64 = 1 << 20;

/// What to do with a file that is already there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Take its place.
    Replace,
    /// Leave it and fail.
    Keep,
}

/// Reads a text of at most [`MAX_TEXT_BYTES`].
pub fn read_text(path: &Path) -> Result<String, Error> {
    let fail = |source| Error::file("read", path, source);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), limit_bytes: MAX_TEXT_BYTES });
    }
    String::from_utf8(bytes).map_err(|_| Error::NotText(path.to_owned()))
}

/// Writes a whole file, or nothing.
pub fn write_whole(path: &Path, content: &[u8], mode: u32, existing: Existing) -> Result<(), Error> {
    let fail = |source| Error::file("write", path, source);
    let folder = folder_of(path);
    let mut aside = Builder::new().prefix(".linkgate-").tempfile_in(folder).map_err(fail)?;
    aside.write_all(content).map_err(fail)?;
    aside.as_file().set_permissions(Permissions::from_mode(mode)).map_err(fail)?;
    aside.as_file().sync_all().map_err(fail)?;
    persist(aside, path, existing)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
}

fn persist(aside: NamedTempFile, path: &Path, existing: Existing) -> Result<(), Error> {
    let outcome = match existing {
        Existing::Replace => aside.persist(path),
        Existing::Keep => aside.persist_noclobber(path),
    };
    match outcome {
        Ok(_) => Ok(()),
        Err(refused) if refused.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::KeyExists(path.to_owned()))
        }
        Err(refused) => Err(Error::file("write", path, refused.error)),
    }
}

/// The folder that a path lies in; a bare name lies in the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
