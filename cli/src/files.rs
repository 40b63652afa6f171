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
    read_text_up_to(path, MAX_TEXT_BYTES)
}

/// Reads a text of at most so many bytes.
pub fn read_text_up_to(path: &Path, limit_bytes: u64) -> Result<String, Error> {
    let fail = |source| Error::file("read", path, source);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(Error::TooLarge { path: path.to_owned(), limit_bytes });
    }
    String::from_utf8(bytes).map_err(|_| Error::NotText(path.to_owned()))
}

/// Writes a whole file, or nothing.
pub fn write_whole(path: &Path, content: &[u8], mode: u32, existing: Existing) -> Result<(), Error> {
    Aside::write(path, content, mode)?.put(existing)
}

/// A whole file that lies beside its place; dropped, it is gone.
pub struct Aside<'a> {
    path: &'a Path,
    file: NamedTempFile,
}

impl<'a> Aside<'a> {
    /// Writes it.
    pub fn write(path: &'a Path, content: &[u8], mode: u32) -> Result<Self, Error> {
        let fail = |source| Error::file("write", path, source);
        let mut file = Builder::new().prefix(".linkgate-").tempfile_in(folder_of(path)).map_err(fail)?;
        file.write_all(content).map_err(fail)?;
        file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        Ok(Self { path, file })
    }

    /// Puts it in its place.
    pub fn put(self, existing: Existing) -> Result<(), Error> {
        persist(self.file, self.path, existing)?;
        let folder = File::open(folder_of(self.path)).and_then(|folder| folder.sync_all());
        folder.map_err(|source| Error::file("write", self.path, source))
    }
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
