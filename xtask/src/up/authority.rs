//! The authority of a demo with TLS, and the three certificates that it gives: callers see the gateway's, and gateway and
//! store see each other's.
//!
//! Promises: made once, so that whoever trusts the authority can go on doing so; its key is forgotten at once, so nobody can
//! make further certificates by it.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::files::{make_private_folder, read_text, write_atomically};
use crate::error::{Outcome, Trying};

/// By which name the gateway knows the store (`LINKGATE_UPSTREAM_TLS_NAME`).
const STORE: &str = "linkgate-store";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// Where it all lies.
pub struct Authority(PathBuf);

impl Authority {
    /// Makes what is not there yet.
    pub fn load_or_create(folder: PathBuf) -> Outcome<Self> {
        let authority = Self(folder);
        if !authority.file().exists() {
            authority.create()?;
        }
        Ok(authority)
    }

    /// Its own certificate, by which callers know the gateway.
    pub fn file(&self) -> PathBuf {
        self.0.join(AUTHORITY)
    }

    /// The same, as PEM.
    pub fn pem(&self) -> Outcome<String> {
        read_text(&self.file())
    }

    /// `LINKGATE_GATEWAY_TLS_DIR`.
    pub fn gateway(&self) -> PathBuf {
        self.0.join("gateway")
    }

    /// `LINKGATE_UPSTREAM_TLS_DIR`.
    pub fn upstream(&self) -> PathBuf {
        self.0.join("upstream")
    }

    /// What the store needs.
    pub fn store_settings(&self) -> [(&'static str, PathBuf); 3] {
        let folder = self.store();
        [
            ("LINKGATE_STORE_TLS_CERT_FILE", folder.join(CERTIFICATE)),
            ("LINKGATE_STORE_TLS_KEY_FILE", folder.join(KEY)),
            ("LINKGATE_STORE_TLS_CLIENT_CA_FILE", folder.join(AUTHORITY)),
        ]
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The authority's own file comes last: it says that the others are there.
    fn create(&self) -> Outcome<()> {
        let issuer = make_issuer().trying(|| "make an authority".to_owned())?;
        let parts = [
            (self.gateway(), &["localhost", "127.0.0.1"][..]),
            (self.upstream(), &["linkgate-gateway"]),
            (self.store(), &[STORE, "localhost"]),
        ];
        for (folder, names) in parts {
            make_private_folder(&folder)?;
            let (certificate, key) = issue(&issuer, names).trying(|| format!("make a certificate for {names:?}"))?;
            write(&folder, KEY, &key)?;
            write(&folder, CERTIFICATE, &certificate)?;
            write(&folder, AUTHORITY, &issuer.pem())?;
        }
        write(&self.0, AUTHORITY, &issuer.pem())
    }
}

/// An authority and two certificates of it for this name, one to take the place of the other: names of files, texts, modes.
pub fn issue_twice(name: &str) -> Outcome<[(&'static str, String, u32); 5]> {
    let making = || format!("make certificates for {name}");
    let issuer = make_issuer().trying(making)?;
    let (first, first_key) = issue(&issuer, &[name]).trying(making)?;
    let (second, second_key) = issue(&issuer, &[name]).trying(making)?;
    Ok([
        (AUTHORITY, issuer.pem(), 0o644),
        ("gateway.crt", first, 0o644),
        ("gateway.key", first_key, 0o600),
        ("new.crt", second, 0o644),
        ("new.key", second_key, 0o600),
    ])
}

fn write(folder: &Path, name: &str, text: &str) -> Outcome<()> {
    write_atomically(&folder.join(name), text.as_bytes(), if name == KEY { 0o600 } else { 0o644 })
}

fn make_issuer() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "Linkgate demo");
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// A certificate and its key, as PEM.
fn issue(issuer: &CertifiedIssuer<'static, KeyPair>, names: &[&str]) -> Result<(String, String), rcgen::Error> {
    let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn certificates_are_made_once_and_keys_are_for_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(folder.path().join("tls")).unwrap();
        let first = authority.pem().unwrap();
        for part in [authority.gateway(), authority.upstream(), authority.store()] {
            assert_eq!(fs::metadata(part.join(KEY)).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(read_text(&part.join(AUTHORITY)).unwrap(), first);
        }
        let again = Authority::load_or_create(folder.path().join("tls")).unwrap();
        assert_eq!(again.pem().unwrap(), first);
        assert!(!folder.path().join("tls/ca.key").exists());
    }
}
