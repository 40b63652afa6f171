//! TLS of the listener: the store's certificate and key, and who vouches for gateways.
//!
//! Promises: a fault names its file and never shows anything of a key; what is read again takes the place of what was there
//! only if all of it is good. Refuses keys that others may read, and a key that does not belong to the certificate.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use secrecy::ExposeSecret as _;

use super::private_file::read_private_file;
use super::vars::{Reader, Vars};

/// `LINKGATE_STORE_TLS_CERT_FILE`: the certificate that the store shows, PEM, with those between it and its
/// authority: the listener speaks TLS 1.2 and 1.3, and no plain HTTP. It and the two below are read again at SIGHUP,
/// and some seconds after a change; if anything is wrong then, the store logs that and goes on with what it had.
/// Default: none, and plain HTTP.
pub(super) const CERTIFICATE: &str = "LINKGATE_STORE_TLS_CERT_FILE";
/// `LINKGATE_STORE_TLS_KEY_FILE`: its private key, PEM, which the store's user alone may read. Default none.
pub(super) const KEY: &str = "LINKGATE_STORE_TLS_KEY_FILE";
/// `LINKGATE_STORE_TLS_CLIENT_CA_FILE`: authorities of gateways, PEM. Whoever shows another certificate is refused in
/// the handshake, and whoever shows none may ask only how the store is. Default: none, and a token is enough.
pub(super) const CLIENT_CA: &str = "LINKGATE_STORE_TLS_CLIENT_CA_FILE";

/// How the listener shakes hands; copies share it.
#[derive(Clone, Debug)]
pub struct ServerTls {
    files: Files,
    config: Arc<RwLock<Arc<rustls::ServerConfig>>>,
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// By which a file that was changed or replaced is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<Option<(u64, i64, i64, u64)>>);

pub(super) fn read_server_tls(reader: &mut Reader<'_, impl Vars>) -> Option<ServerTls> {
    let [certificate, key, client_ca] =
        [CERTIFICATE, KEY, CLIENT_CA].map(|name| reader.read_text(name).map(PathBuf::from));
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => {
            if client_ca.is_some() {
                reader.fault(CLIENT_CA, format!("needs {CERTIFICATE} and {KEY}"));
            }
            return None;
        }
        (given, _) => {
            let (name, other) = if given.is_some() { (CERTIFICATE, KEY) } else { (KEY, CERTIFICATE) };
            reader.fault(name, format!("needs {other}"));
            return None;
        }
    };
    let files = Files { certificate, key, client_ca };
    match files.read() {
        Ok(config) => Some(ServerTls { files, config: Arc::new(RwLock::new(Arc::new(config))) }),
        Err((name, fault)) => {
            reader.fault(name, fault);
            None
        }
    }
}

impl ServerTls {
    /// By which connections of now are taken.
    #[must_use]
    pub fn now(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether only gateways with a certificate are served.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// Reads the files again; connections that there are stay as they are.
    ///
    /// # Errors
    /// What is wrong with which file; nothing has changed then.
    pub fn read_again(&self) -> Result<(), String> {
        let config = self.files.read().map_err(|(name, fault)| format!("{name} {fault}"))?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    /// How the files are now.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let files = [Some(&self.files.certificate), Some(&self.files.key), self.files.client_ca.as_ref()];
        let stamps = files.into_iter().flatten().map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size()))
        });
        Stamp(stamps.collect())
    }
}

/// A variable, and the end of a sentence that begins with it.
type Fault = (&'static str, String);

impl Files {
    fn read(&self) -> Result<rustls::ServerConfig, Fault> {
        let chain = read_certificates(CERTIFICATE, &self.certificate)?;
        let key = read_key(&self.key)?;
        let verifier = self.client_ca.as_deref().map(read_verifier).transpose()?;
        let unusable = |e: rustls::Error| match e {
            rustls::Error::InconsistentKeys(_) => names(KEY, &self.key, "does not belong to the certificate"),
            other => names(CERTIFICATE, &self.certificate, &format!("cannot be used: {other}")),
        };
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session that is taken up again would keep a certificate in force that has expired or is trusted no more.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn names(variable: &'static str, path: &Path, fault: &str) -> Fault {
    (variable, format!("names {}, which {fault}", path.display()))
}

fn read_certificates(variable: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let text = fs::read(path).map_err(|e| names(variable, path, &format!("cannot be read: {e}")))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(names(variable, path, "holds no PEM certificate")),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let text = read_private_file(path).map_err(|fault| names(KEY, path, &fault))?;
    let key = PrivateKeyDer::from_pem_slice(text.expose_secret().as_bytes());
    key.map_err(|_| names(KEY, path, "holds no PEM private key"))
}

/// Who shows no certificate is let in to ask how the store is: probes have none. Who shows one that is not good is not.
fn read_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(CLIENT_CA, path)? {
        roots.add(certificate).map_err(|e| names(CLIENT_CA, path, &format!("cannot be used: {e}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let verifier = builder.allow_unauthenticated().build();
    verifier.map_err(|e| names(CLIENT_CA, path, &format!("cannot be used: {e}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    fn issue(folder: &TempDir) -> [PathBuf; 2] {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["linkgate-store".to_owned()]).unwrap();
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
        fs::write(&certificate, cert.pem()).unwrap();
        write_key(&key, &signing_key.serialize_pem());
        [certificate, key]
    }

    fn write_key(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn read(vars: &[(&str, &Path)]) -> Result<Option<ServerTls>, String> {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, path)| ((*name).to_owned(), path.display().to_string())).collect();
        let mut reader = Reader::new(&vars);
        let tls = read_server_tls(&mut reader);
        reader.finish(tls).map_err(|bad| bad.to_string())
    }

    #[test]
    fn certificate_and_key_make_a_listener_and_an_authority_asks_for_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = issue(&folder);
        assert!(read(&[]).unwrap().is_none());
        let without = read(&[(CERTIFICATE, &certificate), (KEY, &key)]).unwrap().unwrap();
        assert!(!without.asks_for_certificates());
        let with = read(&[(CERTIFICATE, &certificate), (KEY, &key), (CLIENT_CA, &certificate)]).unwrap().unwrap();
        assert!(with.asks_for_certificates());
        assert_eq!(with.now().alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn what_cannot_be_used_is_named_by_its_variable_and_nothing_of_a_key_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = issue(&folder);
        let [_, other] = issue(&tempfile::tempdir().unwrap()).map(|path| folder.path().join(path.file_name().unwrap()));
        let open = folder.path().join("open.key");
        fs::write(&open, "-----BEGIN PRIVATE KEY-----").unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        let foreign = folder.path().join("foreign.key");
        write_key(&foreign, &generate_simple_self_signed(["x".to_owned()]).unwrap().signing_key.serialize_pem());
        for (vars, want) in [
            (vec![(CERTIFICATE, &certificate)], "LINKGATE_STORE_TLS_CERT_FILE needs LINKGATE_STORE_TLS_KEY_FILE"),
            (vec![(KEY, &key)], "LINKGATE_STORE_TLS_KEY_FILE needs LINKGATE_STORE_TLS_CERT_FILE"),
            (vec![(CLIENT_CA, &certificate)], "LINKGATE_STORE_TLS_CLIENT_CA_FILE needs"),
            (vec![(CERTIFICATE, &key), (KEY, &other)], "tls.key, which holds no PEM certificate"),
            (vec![(CERTIFICATE, &certificate), (KEY, &certificate)], "LINKGATE_STORE_TLS_KEY_FILE names"),
            (vec![(CERTIFICATE, &certificate), (KEY, &open)], "has the mode 644"),
            (vec![(CERTIFICATE, &certificate), (KEY, &foreign)], "does not belong to the certificate"),
            (
                vec![(CERTIFICATE, &certificate), (KEY, &key), (CLIENT_CA, &key)],
                "LINKGATE_STORE_TLS_CLIENT_CA_FILE names",
            ),
        ] {
            let vars: Vec<_> = vars.iter().map(|(name, path)| (*name, path.as_path())).collect();
            let fault = read(&vars).unwrap_err();
            assert!(fault.contains(want) && !fault.contains("PRIVATE KEY"), "{want}: {fault}");
        }
    }

    #[test]
    fn what_is_read_again_counts_if_all_of_it_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = issue(&folder);
        let tls = read(&[(CERTIFICATE, &certificate), (KEY, &key)]).unwrap().unwrap();
        let (before, stamp) = (tls.now(), tls.stamp());
        fs::write(&certificate, "nothing").unwrap();
        assert_ne!(tls.stamp(), stamp);
        assert!(tls.read_again().unwrap_err().contains("holds no PEM certificate"));
        assert!(Arc::ptr_eq(&tls.now(), &before));
        issue(&folder);
        tls.read_again().unwrap();
        assert!(!Arc::ptr_eq(&tls.now(), &before));
    }
}
