//! The private keys that the store signs with, where the operator gives them, and those that it seals with.
//!
//! Promises: stores that share what they store are given both, or refuse to start: with keys of their own, what one of them
//! signs would be worth nothing at the others.

use std::path::Path;
use std::sync::Arc;

use linkgate_store_core::own_key::{KeyFiles, OwnKey};
use linkgate_store_core::sealing::SealingKeys;
use linkgate_store_core::{attest, signed_url};
use secrecy::ExposeSecret as _;

use super::private_file::read_private_file;
use super::sealing::read_sealing_keys;
use super::shared::DATABASE_URL;
use super::vars::{Reader, Vars};

/// `LINKGATE_STORE_STATEMENT_KEY_FILE`: a file with the private key that signs statements, Ed25519 as PEM (PKCS#8),
/// which the store's user alone may read. Required of stores that share. Default `attestation.key` of the data
/// directory, made at the first start.
pub(super) const STATEMENTS: &str = "LINKGATE_STORE_STATEMENT_KEY_FILE";
/// `LINKGATE_STORE_URL_KEY_FILE`: the same for signed URLs. Default `signed-urls.key` of the data directory, made at
/// the first start.
pub(super) const URLS: &str = "LINKGATE_STORE_URL_KEY_FILE";
/// `LINKGATE_STORE_REPLACED_KEYS`: ids of keys whose place the given ones take, for a rotation. Ids as `linkgate keys
/// id` prints them, and of a sealing key as the refusal to start names it, with commas between. Default none.
pub(super) const REPLACED: &str = "LINKGATE_STORE_REPLACED_KEYS";

/// Digits of an id, which is a SHA-256.
const ID_DIGITS: usize = 64;

/// The operator's keys.
#[derive(Clone, Debug, Default)]
pub struct KeyConfig {
    /// What signs statements; `None`: the data directory's own key.
    pub statements: Option<Arc<OwnKey>>,
    /// What signs URLs; `None`: the data directory's own key.
    pub urls: Option<Arc<OwnKey>>,
    /// What seals requests and callers' credentials, see `sealing`.
    pub sealing: Arc<SealingKeys>,
    /// Ids of keys whose place these take.
    pub replaced: Vec<String>,
}

impl KeyConfig {
    pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>, is_shared: bool) -> Self {
        Self {
            statements: read_key(reader, STATEMENTS, is_shared, ("statements", attest::KEY_FILES)),
            urls: read_key(reader, URLS, is_shared, ("urls", signed_url::KEY_FILES)),
            sealing: read_sealing_keys(reader),
            replaced: read_replaced(reader, is_shared),
        }
    }
}

fn read_key(
    reader: &mut Reader<'_, impl Vars>,
    setting: &str,
    is_shared: bool,
    (name, own): (&str, KeyFiles),
) -> Option<Arc<OwnKey>> {
    let Some(path) = reader.read_text(setting) else {
        if is_shared {
            let fault = format!(
                "is required beside `{DATABASE_URL}`: stores that share packages sign with one key. Make it once, with \
                 `linkgate keys generate --name {name} --to DIR`, and give each of them the file `DIR/{name}-private.pem`; a \
                 store that moves its packages here goes on with the file `{}` of its data directory",
                own.private
            );
            reader.fault(setting, fault);
        }
        return None;
    };
    let key = read_private_file(Path::new(&path)).and_then(|text| {
        let key = OwnKey::from_pem(text.expose_secret());
        key.ok_or_else(|| "holds no Ed25519 private key as PEM".to_owned())
    });
    key.map(Arc::new).map_err(|fault| reader.fault(setting, format!("names {path}, which {fault}"))).ok()
}

fn read_replaced(reader: &mut Reader<'_, impl Vars>, is_shared: bool) -> Vec<String> {
    let Some(text) = reader.read_text(REPLACED) else { return Vec::new() };
    if !is_shared {
        reader.fault(REPLACED, format!("is of no use without `{DATABASE_URL}`: a store alone replaces nobody's key"));
    }
    let ids: Vec<String> = text.split(',').map(|id| id.trim().to_ascii_lowercase()).collect();
    let is_id = |id: &String| id.len() == ID_DIGITS && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    if let Some(other) = ids.iter().find(|id| !is_id(id)) {
        let want = "the id of a key, 64 hexadecimal digits as `linkgate keys id` prints them";
        reader.fault(REPLACED, format!("has `{other}`, which is not {want}"));
    }
    ids
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const FILES: KeyFiles = KeyFiles { private: "key", public: "pub" };

    fn read(is_shared: bool, vars: &[(&str, &str)]) -> Result<KeyConfig, String> {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&vars);
        let keys = KeyConfig::read_settings(&mut reader, is_shared);
        reader.finish(keys).map_err(|bad| bad.to_string())
    }

    #[test]
    fn keys_come_from_private_files() {
        let dir = tempfile::tempdir().unwrap();
        let made = OwnKey::open(dir.path(), FILES).unwrap();
        let path = dir.path().join("key");
        for setting in [STATEMENTS, URLS] {
            let read_key = |path: &Path| read(false, &[(setting, path.to_str().unwrap())]);
            let keys = read_key(&path).unwrap();
            let [of_it, other] =
                if setting == URLS { [keys.urls, keys.statements] } else { [keys.statements, keys.urls] };
            assert!(of_it.unwrap().id() == made.id() && other.is_none());
            assert!(read_key(&dir.path().join("none")).unwrap_err().contains("cannot be read"));
            assert!(read_key(&dir.path().join("pub")).unwrap_err().contains("chmod"), "others may read it");
        }
        std::fs::write(&path, "nonsense").unwrap();
        assert!(read(false, &[(URLS, path.to_str().unwrap())]).unwrap_err().contains("holds no Ed25519 private key"));
    }

    #[test]
    fn stores_that_share_are_given_both_keys_and_are_told_how_to_make_them() {
        assert!(read(false, &[]).unwrap().statements.is_none());
        let fault = read(true, &[]).unwrap_err();
        for said in [
            "LINKGATE_STORE_STATEMENT_KEY_FILE is required beside `LINKGATE_DATABASE_URL`",
            "`linkgate keys generate --name statements --to DIR`",
            "`attestation.key`",
            "LINKGATE_STORE_URL_KEY_FILE is required beside `LINKGATE_DATABASE_URL`",
            "`DIR/urls-private.pem`",
            "`signed-urls.key`",
        ] {
            assert!(fault.contains(said), "{said} in {fault}");
        }
        let dir = tempfile::tempdir().unwrap();
        OwnKey::open(dir.path(), FILES).unwrap();
        let path = dir.path().join("key");
        let both = [STATEMENTS, URLS].map(|setting| (setting, path.to_str().unwrap()));
        assert!(read(true, &both).is_ok());
    }

    #[test]
    fn replaced_keys_are_named_by_their_ids() {
        let (id, upper) = ("0a".repeat(32), "0A".repeat(32));
        let dir = tempfile::tempdir().unwrap();
        OwnKey::open(dir.path(), FILES).unwrap();
        let path = dir.path().join("key");
        let replacing = |is_shared: bool, ids: &str| {
            let both = [STATEMENTS, URLS].map(|setting| (setting, path.to_str().unwrap()));
            read(is_shared, &[&both[..], &[(REPLACED, ids)]].concat())
        };
        assert_eq!(replacing(true, &format!("{id}, {upper}")).unwrap().replaced, [id.as_str(), &id]);
        assert!(replacing(true, &format!("{id},x")).unwrap_err().contains("has `x`, which is not the id of a key"));
        assert!(replacing(false, &id).unwrap_err().contains("is of no use without `LINKGATE_DATABASE_URL`"));
    }
}
