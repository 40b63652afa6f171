//! A key of the store's own, for what it signs.
//!
//! Promises: made at the first start unless the operator gives one, for one purpose, and never shown; its private half is its
//! owner's alone. Refuses to go on with one that cannot be read.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::data_dir::{FILE_MODE, sync_dir};

/// Where a key lies in the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The private half. Nobody else needs it.
    pub private: &'static str,
    /// The public half, for those who check what was signed.
    pub public: &'static str,
}

const PRIVATE_MODE: u32 = 0o600;
/// What stands before the 32 bytes of a key in the standard form of public keys (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used: {why}")]
pub struct KeyError {
    path: PathBuf,
    why: String,
}

/// A pair of keys, Ed25519.
pub struct OwnKey {
    key: Ed25519KeyPair,
    /// In its standard form.
    public: Vec<u8>,
    id: String,
}

impl OwnKey {
    /// Opens the key of a data directory that nobody else uses, and makes it first if there is none.
    ///
    /// # Errors
    /// [`KeyError`] if it cannot be read, made, or is no key.
    pub fn open(data_dir: &Path, files: KeyFiles) -> Result<Self, KeyError> {
        let path = data_dir.join(files.private);
        let failed = |why: String| KeyError { path: path.clone(), why };
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8());
                let text = pem("PRIVATE KEY", made.map_err(|e| failed(e.to_string()))?.as_ref());
                write(data_dir, files.private, &text, PRIVATE_MODE).map_err(|e| failed(e.to_string()))?;
                text
            }
            read => read.map_err(|e| failed(e.to_string()))?,
        };
        let key = Self::from_pem(&text);
        let key =
            key.ok_or_else(|| failed("it holds no Ed25519 key; to begin with another one, move it away".into()))?;
        key.write_public(data_dir, files)?;
        Ok(key)
    }

    /// Takes the operator's key, or [opens](Self::open) the one of a data directory. Either way the public half lies in the
    /// directory.
    ///
    /// # Errors
    /// [`KeyError`] if it cannot be read, made, written, or is no key.
    pub fn given_or_open(given: Option<Arc<Self>>, data_dir: &Path, files: KeyFiles) -> Result<Arc<Self>, KeyError> {
        match given {
            Some(key) => key.write_public(data_dir, files).map(|()| key),
            None => Self::open(data_dir, files).map(Arc::new),
        }
    }

    /// Reads the private half as PEM (PKCS#8); `None` if it is none.
    #[must_use]
    pub fn from_pem(text: &str) -> Option<Self> {
        let der = decode(text)?;
        // What openssl makes has no public half in it.
        let key =
            Ed25519KeyPair::from_pkcs8(&der).or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)).ok()?;
        let public = [&SPKI_PREFIX[..], key.public_key().as_ref()].concat();
        let id = hex::encode(digest(&SHA256, &public));
        Some(Self { key, public, id })
    }

    /// Writes the public half into a data directory, unless it is there.
    fn write_public(&self, data_dir: &Path, files: KeyFiles) -> Result<(), KeyError> {
        let (path, public) = (data_dir.join(files.public), pem("PUBLIC KEY", &self.public));
        if fs::read_to_string(&path).ok().as_ref() == Some(&public) {
            return Ok(());
        }
        write(data_dir, files.public, &public, FILE_MODE).map_err(|e| KeyError { path, why: e.to_string() })
    }

    /// SHA-256 of the public half in its standard form.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).as_ref().to_vec()
    }

    /// Whether it signed this.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.key.public_key().as_ref()).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnKey({})", self.id)
    }
}

/// Short enough for two lines.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let (first, rest) = text.split_at_checked(64).unwrap_or((&text, ""));
    let rest = if rest.is_empty() { String::new() } else { format!("{rest}\n") };
    format!("-----BEGIN {label}-----\n{first}\n{rest}-----END {label}-----\n")
}

fn decode(pem: &str) -> Option<Vec<u8>> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(text.trim()).ok()
}

/// Whole or not at all.
fn write(data_dir: &Path, name: &str, text: &str, mode: u32) -> io::Result<()> {
    let temporary = data_dir.join(format!("{name}.new"));
    // Of a store that died here.
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, data_dir.join(name))?;
    sync_dir(data_dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const FILES: KeyFiles = KeyFiles { private: "test.key", public: "test.pub.pem" };

    #[test]
    fn the_private_half_is_its_owners_alone_and_the_public_half_is_a_standard_pem() {
        let dir = tempfile::tempdir().unwrap();
        let key = OwnKey::open(dir.path(), FILES).unwrap();
        let mode = fs::metadata(dir.path().join(FILES.private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE_MODE);
        let public = fs::read_to_string(dir.path().join(FILES.public)).unwrap();
        assert!(jsonwebtoken::DecodingKey::from_ed_pem(public.as_bytes()).is_ok(), "{public}");
        assert_eq!(key.id(), hex::encode(digest(&SHA256, &decode(&public).unwrap())));
        assert_eq!(OwnKey::open(dir.path(), FILES).unwrap().id(), key.id(), "the key stays");
        assert_eq!(format!("{key:?}"), format!("OwnKey({})", key.id()));
    }

    #[test]
    fn a_key_that_is_given_makes_none_and_leaves_its_public_half() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let given = Arc::new(OwnKey::open(other.path(), FILES).unwrap());
        let key = OwnKey::given_or_open(Some(Arc::clone(&given)), dir.path(), FILES).unwrap();
        assert_eq!(key.id(), given.id());
        assert!(!dir.path().join(FILES.private).exists());
        let public = |dir: &Path| fs::read_to_string(dir.join(FILES.public)).unwrap();
        assert_eq!(public(dir.path()), public(other.path()));
        let own = OwnKey::given_or_open(None, dir.path(), FILES).unwrap();
        assert_ne!(own.id(), given.id(), "without it, a key of its own is made");
    }

    #[test]
    fn a_key_that_cannot_be_read_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILES.private), "nonsense").unwrap();
        let error = OwnKey::open(dir.path(), FILES).err().unwrap().to_string();
        assert!(error.contains("test.key") && error.contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join(FILES.private)).unwrap(), "nonsense");
    }

    #[test]
    fn a_key_that_openssl_made_is_read() {
        // `openssl genpkey -algorithm ed25519`, from RFC 8410.
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let key = OwnKey::from_pem(pem).unwrap();
        assert!(key.has_signed(b"x", &key.sign(b"x")) && !key.has_signed(b"y", &key.sign(b"x")));
        assert!(OwnKey::from_pem("").is_none() && OwnKey::from_pem("AAAA").is_none());
    }
}
