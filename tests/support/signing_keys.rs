//! Keys that stores which share what they store sign with.

use std::path::PathBuf;

use linkgate_store_core::own_key::{KeyFiles, OwnKey};

/// The keys, in a folder that lasts as long as this.
pub struct SigningKeys {
    dir: tempfile::TempDir,
    /// Their ids: that of statements, and that of URLs.
    pub ids: [String; 2],
}

impl SigningKeys {
    const FILES: [(&str, KeyFiles); 2] = [
        ("LINKGATE_STORE_STATEMENT_KEY_FILE", KeyFiles { private: "statements", public: "statements.pub" }),
        ("LINKGATE_STORE_URL_KEY_FILE", KeyFiles { private: "urls", public: "urls.pub" }),
    ];

    /// New ones.
    #[must_use]
    pub fn generate() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ids = Self::FILES.map(|(_, files)| OwnKey::open(dir.path(), files).unwrap().id().to_owned());
        Self { dir, ids }
    }

    /// By which a store is given them.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, String); 2] {
        Self::FILES.map(|(setting, files)| (setting, self.path(files.private).display().to_string()))
    }

    /// One of the files: `statements`, `urls`, or the public half of one, with `.pub` behind it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
