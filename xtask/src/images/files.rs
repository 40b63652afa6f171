//! Folders and files that images are made of.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Outcome, Trying};

/// Removes a folder of ours under `target/`.
pub fn remove_folder(folder: &Path) -> Outcome<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).trying(|| format!("empty {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// A path inside an image, below a folder that becomes its root.
pub fn path_in_image(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Makes a folder with this mode.
pub fn make_folder(path: &Path, mode: u32) -> Outcome<()> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .trying(|| format!("make {}", path.display()))
}

/// Copies a file, and makes the folders around it.
pub fn copy_file(from: &Path, to: &Path, mode: u32) -> Outcome<()> {
    make_folder(to.parent().unwrap_or(to), 0o755)?;
    let copied = fs::copy(from, to).and_then(|_| fs::set_permissions(to, Permissions::from_mode(mode)));
    copied.trying(|| format!("copy {} to {}", from.display(), to.display()))
}
