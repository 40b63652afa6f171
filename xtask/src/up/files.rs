//! The files of a demo: what is where in its folder.

use std::fs::{self, DirBuilder, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf, absolute};

use crate::error::{Outcome, Trying};

/// The folder, absolute.
pub struct DemoFiles(PathBuf);

impl DemoFiles {
    /// Makes the folder, for its owner only: it holds keys.
    pub fn prepare(folder: &Path) -> Outcome<Self> {
        let folder = absolute(folder).trying(|| format!("find {}", folder.display()))?;
        let files = Self(folder);
        for path in [&files.0, &files.watched()] {
            make_private_folder(path)?;
        }
        Ok(files)
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// What several stores have beside it.
    pub fn replicas(&self) -> PathBuf {
        self.0.join("replicas")
    }

    /// The store's data directory.
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The folder of the keys.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// What the gate signs with.
    pub fn private_key(&self) -> PathBuf {
        self.keys().join("jwt-private.pem")
    }

    /// What the store verifies signatures with.
    pub fn public_key(&self) -> PathBuf {
        self.keys().join("jwt-public.pem")
    }

    /// The demo's credentials.
    pub fn credentials(&self) -> PathBuf {
        self.0.join("demo.env")
    }

    /// The demo's policy.
    pub fn policy(&self) -> PathBuf {
        self.0.join("policy.yaml")
    }

    /// The folder that Envoy watches for a new policy.
    pub fn watched(&self) -> PathBuf {
        self.0.join("envoy")
    }

    /// What vouches for gateway and store, where they speak TLS.
    pub fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }

    /// Envoy's configuration.
    pub fn envoy_config(&self) -> PathBuf {
        self.0.join("envoy.yaml")
    }

    /// Envoy's log.
    pub fn envoy_log(&self) -> PathBuf {
        self.0.join("envoy.log")
    }

    /// The store's log.
    pub fn store_log(&self) -> PathBuf {
        self.0.join("store.log")
    }
}

/// Makes a folder that only its owner can look into.
pub fn make_private_folder(path: &Path) -> Outcome<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.trying(|| format!("make {}", path.display()))
}

/// Writes a whole file or nothing: under a temporary name, then renamed.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Outcome<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::Builder::new().prefix(".xtask-").tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.persist(path).map(drop).map_err(std::io::Error::from)
    };
    write().trying(|| format!("write {}", path.display()))
}

/// Reads a text.
pub fn read_text(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).trying(|| format!("read {}", path.display()))
}
