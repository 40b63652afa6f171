//! The file of authorities and client certificates for single hosts.
//!
//! Promises: a fault is told with its line or its host, and never with anything of a key. Refuses keys that others may read,
//! unknown keys of the file, and a host that stands in it twice.

use std::path::{Path, PathBuf};

use linkgate_contract::HostRule;
use linkgate_fetch::{Certificates, ClientIdentity, HostTls, InvalidPem, TlsEntry};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::BadConfig;
use super::private_file::read_private_file;
use super::vars::{Reader, Vars};

/// `LINKGATE_FETCH_TLS_FILE`: authorities and client certificates for single hosts. Read again at SIGHUP; if anything
/// is wrong then, the store logs that and goes on as before. Default: none, and what the system trusts, and no client
/// certificate.
pub(super) const FILE: &str = "LINKGATE_FETCH_TLS_FILE";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    hosts: Vec<Declared>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    host: String,
    ca_file: Option<PathBuf>,
    client_certificate_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
}

/// Reads this setting alone, and with it the files.
///
/// # Errors
/// [`BadConfig`] says what cannot be used.
pub fn host_tls_from_vars(vars: &impl Vars) -> Result<HostTls, BadConfig> {
    let mut reader = Reader::new(vars);
    let read = read_host_tls(&mut reader);
    reader.finish(read)
}

pub(super) fn read_host_tls(reader: &mut Reader<'_, impl Vars>) -> HostTls {
    let Some(path) = reader.read_text(FILE) else { return HostTls::default() };
    read_file(Path::new(&path)).unwrap_or_else(|fault| {
        reader.fault(FILE, format!("names {path}, which {fault}"));
        HostTls::default()
    })
}

fn read_file(path: &Path) -> Result<HostTls, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    // The parser's message opens with the line and the column and shows the place.
    let file: File = toml::from_str(&text).map_err(|e| format!("is wrong: {}", e.to_string().trim_end()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut entries: Vec<TlsEntry> = Vec::new();
    for declared in &file.hosts {
        let entry = read_entry(declared, folder);
        let entry = entry.map_err(|fault| format!("is wrong at the host `{}`: {fault}", declared.host))?;
        if entries.iter().any(|other| other.host() == entry.host()) {
            return Err(format!("lists the host `{}` twice", entry.host()));
        }
        entries.push(entry);
    }
    Ok(entries.into())
}

/// Paths are relative to the folder of the file that names them.
fn read_entry(declared: &Declared, folder: &Path) -> Result<TlsEntry, String> {
    let host = HostRule::new(&declared.host).map_err(|e| format!("it {e}"))?;
    let authorities = declared.ca_file.as_deref().map(|file| read_certificates("ca_file", &folder.join(file)));
    let identity = match (&declared.client_certificate_file, &declared.client_key_file) {
        (Some(certificate), Some(key)) => Some(read_identity(&folder.join(certificate), &folder.join(key))?),
        (None, None) => None,
        _ => return Err("`client_certificate_file` and `client_key_file` need each other".to_owned()),
    };
    if authorities.is_none() && identity.is_none() {
        return Err("it needs `ca_file`, or `client_certificate_file` with `client_key_file`".to_owned());
    }
    TlsEntry::new(host, authorities.transpose()?.unwrap_or_default(), identity).map_err(|e| e.to_string())
}

fn read_certificates(key: &str, path: &Path) -> Result<Certificates, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"));
    let read = text.and_then(|text| Certificates::from_pem(&text).map_err(|e: InvalidPem| e.to_string()));
    read.map_err(|fault| format!("`{key}` names {}, which {fault}", path.display()))
}

fn read_identity(certificate: &Path, key: &Path) -> Result<ClientIdentity, String> {
    let certificates = read_certificates("client_certificate_file", certificate)?;
    let identity = read_private_file(key).and_then(|text| {
        ClientIdentity::new(certificates, text.expose_secret()).map_err(|e: InvalidPem| e.to_string())
    });
    identity.map_err(|fault| format!("`client_key_file` names {}, which {fault}", key.display()))
}
