//! Settings of signed URLs.

use std::path::Path;
use std::sync::Arc;

use linkgate_store_core::own_key::OwnKey;
use secrecy::ExposeSecret as _;
use url::Url;

use super::private_file::read_private_file;
use super::vars::{Reader, Vars};

/// `LINKGATE_STORE_URL_KEY_FILE`: a file with the private key by which URLs are signed, Ed25519 as PEM (PKCS#8). Default: the
/// data directory's own, which is made at the first start.
pub(super) const KEY_FILE: &str = "LINKGATE_STORE_URL_KEY_FILE";
/// `LINKGATE_STORE_PUBLIC_URL`: where callers reach the gateway, with the prefix that URLs are to have, such as
/// `https://gateway.example.com/prod`. Default: none, and URLs are relative to that of the request that made them.
pub(super) const PUBLIC_URL: &str = "LINKGATE_STORE_PUBLIC_URL";

pub(super) fn read_url_key(reader: &mut Reader<'_, impl Vars>) -> Option<Arc<OwnKey>> {
    let path = reader.read_text(KEY_FILE)?;
    let key = read_private_file(Path::new(&path)).and_then(|text| {
        let key = OwnKey::from_pem(text.expose_secret());
        key.ok_or_else(|| "holds no Ed25519 private key as PEM".to_owned())
    });
    key.map(Arc::new).map_err(|fault| reader.fault(KEY_FILE, format!("names {path}, which {fault}"))).ok()
}

/// Without a slash at its end.
pub(super) fn read_public_url(reader: &mut Reader<'_, impl Vars>) -> Option<String> {
    let text = reader.read_text(PUBLIC_URL)?;
    let is_plain = |url: &Url| {
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        let has_more = url.query().is_some() || url.fragment().is_some();
        is_http && !has_more && url.username().is_empty() && url.password().is_none()
    };
    match Url::parse(&text).ok().filter(is_plain) {
        Some(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
        None => {
            // It may have a password in it.
            let want = "an http or https URL of a host and perhaps a path, without query, fragment and user";
            reader.fault(PUBLIC_URL, format!("is not {want}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use linkgate_store_core::own_key::KeyFiles;

    use super::*;

    type Read = (Option<Arc<OwnKey>>, Option<String>);

    fn read(vars: &[(&str, &str)]) -> Result<Read, String> {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&vars);
        let links = (read_url_key(&mut reader), read_public_url(&mut reader));
        reader.finish(links).map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_public_url_has_a_host_and_at_the_most_a_path() {
        assert!(matches!(read(&[]), Ok((None, None))));
        for (good, want) in [
            ("https://gw.example.com", "https://gw.example.com"),
            ("http://gw:8080/api/bkpaas3/prod/", "http://gw:8080/api/bkpaas3/prod"),
        ] {
            assert_eq!(read(&[(PUBLIC_URL, good)]).unwrap().1.as_deref(), Some(want));
        }
        for bad in ["gw.example.com", "ftp://gw", "https://", "https://gw/?a", "https://gw/#a", "https://u:5ecret@gw/"]
        {
            let fault = read(&[(PUBLIC_URL, bad)]).unwrap_err();
            assert!(fault.contains("LINKGATE_STORE_PUBLIC_URL is not") && !fault.contains("5ecret"), "{fault}");
        }
    }

    #[test]
    fn a_key_comes_from_a_private_file() {
        let dir = tempfile::tempdir().unwrap();
        let made = OwnKey::open(dir.path(), KeyFiles { private: "key", public: "pub" }).unwrap();
        let path = dir.path().join("key");
        let read_key = |path: &Path| read(&[(KEY_FILE, path.to_str().unwrap())]);
        assert_eq!(read_key(&path).unwrap().0.unwrap().id(), made.id());
        assert!(read_key(&dir.path().join("none")).unwrap_err().contains("cannot be read"));
        assert!(read_key(&dir.path().join("pub")).unwrap_err().contains("chmod"), "others may read it");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(read_key(&path).unwrap_err().contains("holds no Ed25519 private key"));
    }
}
