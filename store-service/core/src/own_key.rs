//! The store's own key.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::data_dir::{FILE_MODE, sync_dir};

/// The private half, in the data directory. Nobody else needs it.
pub const PRIVATE_KEY: &str = "attestation.key";
/// The public half beside it, for those who check statements.
pub const PUBLIC_KEY: &str = "attestation.pub.pem";
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

/// Signs statements.
pub struct Signer {
    key: Ed25519KeyPair,
    id: String,
}

impl Signer {
    /// Opens the key of a data directory that nobody else uses, and makes it first if there is none.
    ///
    /// # Errors
    /// [`KeyError`] if it cannot be read, made, or is no key.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join(PRIVATE_KEY);
        let failed = |why: String| KeyError { path: path.clone(), why };
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8());
                let text = pem("PRIVATE KEY", made.map_err(|e| failed(e.to_string()))?.as_ref());
                write(data_dir, PRIVATE_KEY, &text, PRIVATE_MODE).map_err(|e| failed(e.to_string()))?;
                text
            }
            read => read.map_err(|e| failed(e.to_string()))?,
        };
        let key = decode(&text).and_then(|der| Ed25519KeyPair::from_pkcs8(&der).ok());
        let key =
            key.ok_or_else(|| failed("it holds no Ed25519 key; to begin with another one, move it away".into()))?;
        let spki = [&SPKI_PREFIX[..], key.public_key().as_ref()].concat();
        let public = pem("PUBLIC KEY", &spki);
        if fs::read_to_string(data_dir.join(PUBLIC_KEY)).ok().as_ref() != Some(&public) {
            write(data_dir, PUBLIC_KEY, &public, FILE_MODE).map_err(|e| failed(e.to_string()))?;
        }
        Ok(Self { key, id: hex::encode(digest(&SHA256, &spki)) })
    }

    /// SHA-256 of the public half in its standard form.
    pub(super) fn key_id(&self) -> &str {
        &self.id
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).as_ref().to_vec()
    }

    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.key.public_key().as_ref()).verify(message, signature).is_ok()
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

    #[test]
    fn the_private_half_is_its_owners_alone_and_the_public_half_is_a_standard_pem() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(PRIVATE_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, PRIVATE_MODE);
        let public = fs::read_to_string(dir.path().join(PUBLIC_KEY)).unwrap();
        assert!(jsonwebtoken::DecodingKey::from_ed_pem(public.as_bytes()).is_ok(), "{public}");
        assert_eq!(signer.key_id(), hex::encode(digest(&SHA256, &decode(&public).unwrap())));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PRIVATE_KEY), "nonsense").unwrap();
        let error = Signer::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("attestation.key") && error.contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join(PRIVATE_KEY)).unwrap(), "nonsense");
    }
}
