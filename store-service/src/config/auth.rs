//! Whose tokens are believed.
//!
//! Refuses private keys (a store has no use for one, and a leaked copy would sign anything) and every kind of key
//! other than Ed25519 and RSA.

use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey};
use linkgate_fetch::SharedList;

use super::BadConfig;
use super::vars::{Reader, Vars};

pub(super) const PUBLIC_KEYS: &str = "LINKGATE_JWT_PUBLIC_KEYS";

/// Whose tokens are believed.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// `LINKGATE_JWT_PUBLIC_KEYS`: whose `X-Bkapi-JWT` the store believes: comma list of `kid=/path/to/public.pem`,
    /// Ed25519 (`EdDSA`) or RSA of 2048 bits and more (`RS512`); several may share a `kid` while keys rotate. A path
    /// to a folder means every file in it that ends in `.pem`. At SIGHUP the store reads files and folders again; if
    /// anything is wrong then, it logs that and the keys stay as they were. Required.
    pub keys: TrustedKeys,
}

/// Keys that can be exchanged while the store runs.
pub type TrustedKeys = SharedList<TrustedKey>;

/// A public key and the one algorithm that goes with its kind: a token cannot choose another.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    kid: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a PEM text is no key that we trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Half of a secret.
    #[error("holds a private key; give the public one only")]
    Private,
    /// Something else, or nothing.
    #[error("holds no PEM public key")]
    NoPublicKey,
    /// Another kind, for example ECDSA.
    #[error("holds a key that is neither an Ed25519 nor an RSA public key")]
    OtherKind,
}

impl TrustedKey {
    /// Reads a PEM public key (`PUBLIC KEY` or `RSA PUBLIC KEY`).
    ///
    /// # Errors
    /// [`InvalidKey`] says why it is refused.
    pub fn from_pem(kid: &str, pem: &[u8]) -> Result<Self, InvalidKey> {
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY-----") {
            return Err(InvalidKey::Private);
        }
        if !text.contains("PUBLIC KEY-----") {
            return Err(InvalidKey::NoPublicKey);
        }
        let (algorithm, key) = match (DecodingKey::from_ed_pem(pem), DecodingKey::from_rsa_pem(pem)) {
            (Ok(key), _) => (Algorithm::EdDSA, key),
            (_, Ok(key)) => (Algorithm::RS512, key),
            _ => return Err(InvalidKey::OtherKind),
        };
        Ok(Self { kid: kid.to_owned(), algorithm, key })
    }

    /// The name by which a token asks for it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm of its kind.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &DecodingKey {
        &self.key
    }
}

impl AuthConfig {
    /// Reads these settings alone, and with them the files of the keys.
    ///
    /// # Errors
    /// [`BadConfig`] names every key that cannot be used.
    pub fn from_vars(vars: &impl Vars) -> Result<Self, BadConfig> {
        let mut reader = Reader::new(vars);
        let config = Self::read_settings(&mut reader);
        reader.finish(config)
    }

    pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> Self {
        let mut keys = Vec::new();
        for entry in reader.required(PUBLIC_KEYS).iter().flat_map(|list| list.split(',')).map(str::trim) {
            match read_entry(entry) {
                Ok(more) => keys.extend(more),
                Err(fault) => reader.fault(PUBLIC_KEYS, fault),
            }
        }
        Self { keys: keys.into() }
    }
}

fn read_entry(entry: &str) -> Result<Vec<TrustedKey>, String> {
    // The gate's variable takes the key's text, so it is easily put here too; and it might be the private one.
    if entry.contains("-----") || entry.contains(char::is_control) {
        return Err("holds the text of a key; it must hold `kid=/path/to/public.pem`".to_owned());
    }
    let (kid, path) = entry
        .split_once('=')
        .filter(|(kid, path)| !kid.is_empty() && !path.is_empty())
        .ok_or_else(|| format!("has the entry `{entry}`, which must be `kid=/path/to/public.pem`"))?;
    let path = Path::new(path);
    if path.is_dir() {
        return files_in(path)?.iter().map(|file| read_key(kid, file)).collect();
    }
    Ok(vec![read_key(kid, path)?])
}

/// Files of another ending are none of ours, for example those that are being written.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = folder.display();
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(folder).and_then(Iterator::collect);
    let entries = entries.map_err(|e| format!("names {shown}, which cannot be read: {e}"))?;
    let files = entries.iter().map(std::fs::DirEntry::path);
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "pem")).collect();
    if files.is_empty() {
        return Err(format!("names {shown}, which holds no file that ends in `.pem`"));
    }
    files.sort();
    Ok(files)
}

fn read_key(kid: &str, path: &Path) -> Result<TrustedKey, String> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|e| format!("names {shown}, which cannot be read: {e}"))?;
    TrustedKey::from_pem(kid, &pem).map_err(|e| format!("names {shown}, which {e}"))
}
