//! Files that are to be packed.
//!
//! Promises: sorted, and with nothing of where they came from but their bytes: the same files give the same archive, whoever
//! packs them when. Refuses a path twice.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use crate::error::{Failure, Outcome, Trying};
use crate::images::files::{make_folder, path_in_image};

/// Files by their paths.
#[derive(Default)]
pub struct Tree(BTreeMap<String, File>);

struct File {
    mode: u32,
    bytes: Vec<u8>,
}

/// A file that nobody executes.
pub const PLAIN: u32 = 0o644;
/// A program.
pub const PROGRAM: u32 = 0o755;

impl Tree {
    /// Adds a file of these bytes.
    pub fn add(&mut self, path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Outcome<()> {
        match self.0.entry(path.into()) {
            Entry::Occupied(there) => Err(Failure::new(format!("{} is packed twice", there.key()))),
            Entry::Vacant(free) => {
                free.insert(File { mode, bytes: bytes.into() });
                Ok(())
            }
        }
    }

    /// Adds a copy of a file.
    pub fn copy(&mut self, path: impl Into<String>, mode: u32, from: &Path) -> Outcome<()> {
        self.add(path, mode, fs::read(from).trying(|| format!("read {}", from.display()))?)
    }

    /// Adds all files of a folder and of those below it.
    pub fn copy_folder(&mut self, prefix: &str, from: &Path) -> Outcome<()> {
        let reading = || format!("read {}", from.display());
        for entry in fs::read_dir(from).trying(reading)? {
            let entry = entry.trying(reading)?;
            let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
            match entry.path().is_dir() {
                true => self.copy_folder(&path, &entry.path())?,
                false => self.copy(path, PLAIN, &entry.path())?,
            }
        }
        Ok(())
    }

    /// The bytes of a file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(|file| file.bytes.as_slice())
    }

    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many bytes there are in all.
    pub fn bytes(&self) -> u64 {
        self.0.values().map(|file| file.bytes.len() as u64).sum()
    }

    /// A line for each file, as `sha256sum` writes it.
    pub fn sums(&self) -> String {
        self.0.iter().map(|(path, file)| sum_line(path, &file.bytes)).collect()
    }

    /// As an archive of a folder, all of it of this time.
    pub fn pack(&self, folder: &str, epoch: u64) -> Outcome<Vec<u8>> {
        let tar = self.archive(folder, epoch)?;
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
        let written = std::io::Write::write_all(&mut gzip, &tar).and_then(|()| gzip.finish());
        written.trying(|| format!("pack {folder}"))
    }

    /// The same, not compressed; without a folder around it if that has no name.
    pub fn archive(&self, folder: &str, epoch: u64) -> Outcome<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, file) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_size(file.bytes.len() as u64);
            header.set_mode(file.mode);
            header.set_mtime(epoch);
            let path = if folder.is_empty() { path.clone() } else { format!("{folder}/{path}") };
            archive.append_data(&mut header, path, file.bytes.as_slice()).trying(|| format!("pack {folder}"))?;
        }
        archive.into_inner().trying(|| format!("pack {folder}"))
    }

    /// Writes the files below a folder.
    pub fn write_below(&self, root: &Path, epoch: u64) -> Outcome<()> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(epoch);
        for (path, file) in &self.0 {
            let to = path_in_image(root, path);
            make_folder(to.parent().unwrap_or(root), 0o755)?;
            let written = fs::write(&to, &file.bytes)
                .and_then(|()| fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(file.mode)))
                .and_then(|()| fs::File::open(&to)?.set_modified(time));
            written.trying(|| format!("write {}", to.display()))?;
        }
        Ok(())
    }
}

/// A line as `sha256sum` writes it.
pub fn sum_line(path: &str, bytes: &[u8]) -> String {
    format!("{}  {path}\n", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(order: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for path in order {
            tree.add(*path, PLAIN, path.as_bytes()).unwrap();
        }
        tree
    }

    #[test]
    fn the_same_files_give_the_same_bytes_in_whatever_order_they_come() {
        let (one, other) = (tree(&["b/c", "a"]), tree(&["a", "b/c"]));
        assert_eq!(one.pack("x-1", 7).unwrap(), other.pack("x-1", 7).unwrap());
        assert_ne!(one.pack("x-1", 7).unwrap(), one.pack("x-1", 8).unwrap());
        assert_eq!(one.sums().lines().count(), 2);
        assert!(one.sums().starts_with(&hex::encode(Sha256::digest("a"))));
    }

    #[test]
    fn a_path_twice_is_refused() {
        let mut tree = tree(&["a"]);
        assert_eq!(tree.add("a", PLAIN, []).unwrap_err().to_string(), "a is packed twice");
    }

    #[test]
    fn files_are_written_with_mode_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut tree = Tree::default();
        tree.add("usr/bin/x", PROGRAM, "x").unwrap();
        tree.write_below(folder.path(), 1_000).unwrap();
        let metadata = fs::metadata(folder.path().join("usr/bin/x")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, PROGRAM);
        assert_eq!(metadata.modified().unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
    }
}
