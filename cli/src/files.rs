//! Reading and writing files.
//!
//! Promises: a reader of a written file sees the old content or the new, never a part, also after a power cut: it is
//! written to a temporary file of the same folder, synced, renamed, and the folder synced. Refuses to read files over a limit.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
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
    Refuse,
}

/// Reads a text of at most [`MAX_TEXT_BYTES`].
pub fn read_text(path: &Path) -> Result<String, Error> {
    read_text_up_to(path, MAX_TEXT_BYTES)
}

/// Reads standard input, at most so many bytes of it.
pub fn read_stdin(limit_bytes: u64) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(limit_bytes + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::io("read", "standard input", source))?;
    to_text(bytes, Path::new("standard input"), limit_bytes)
}

/// Reads a text of at most so many bytes.
pub fn read_text_up_to(path: &Path, limit_bytes: u64) -> Result<String, Error> {
    let fail = |source| Error::file("read", path, source);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(fail)?;
    to_text(bytes, path, limit_bytes)
}

fn to_text(bytes: Vec<u8>, path: &Path, limit_bytes: u64) -> Result<String, Error> {
    if bytes.len() as u64 > limit_bytes {
        return Err(Error::TooLarge { path: path.to_owned(), limit_bytes });
    }
    String::from_utf8(bytes).map_err(|_| Error::NotText(path.to_owned()))
}

/// Writes a whole file, or nothing.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32, existing: Existing) -> Result<(), Error> {
    AtomicFile::create(path, content, mode)?.commit(existing)
}

/// A whole file under a temporary name beside its own; dropped, it is gone.
pub struct AtomicFile<'a> {
    path: &'a Path,
    file: NamedTempFile,
}

impl<'a> AtomicFile<'a> {
    /// Writes it under a temporary name, with this mode.
    pub fn create(path: &'a Path, content: &[u8], mode: u32) -> Result<Self, Error> {
        let fail = |source| Error::file("write", path, source);
        let mut file = Builder::new().prefix(".linkgate-").tempfile_in(parent_of(path)).map_err(fail)?;
        file.write_all(content).map_err(fail)?;
        file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        Ok(Self { path, file })
    }

    /// Gives it to the group of its folder, so that a service of that group can read it. A caller who may not do that leaves
    /// it with its own group.
    pub fn share_with_group_of_folder(self) -> Self {
        let group = fs::metadata(parent_of(self.path)).map(|folder| folder.gid());
        let _shared = group.and_then(|group| fchown(self.file.as_file(), None, Some(group)));
        self
    }

    /// Gives it its name.
    pub fn commit(self, existing: Existing) -> Result<(), Error> {
        persist(self.file, self.path, existing)?;
        let folder = File::open(parent_of(self.path)).and_then(|folder| folder.sync_all());
        folder.map_err(|source| Error::file("write", self.path, source))
    }
}

fn persist(file: NamedTempFile, path: &Path, existing: Existing) -> Result<(), Error> {
    let outcome = match existing {
        Existing::Replace => file.persist(path),
        Existing::Refuse => file.persist_noclobber(path),
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
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
