//! What the stores of the compose file's profile `replicas` share, beside what they store.
//!
//! Promises: a secret that is there stays; each stands in a private file, in the folder of who may know it.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::error::Outcome;
use crate::up::demo::random_hex;
use crate::up::files::{read_text, write_atomically};

/// Whose database it is, and its name.
const OWNER: &str = "linkgate";
/// By which name the stores are known to the bucket.
const KEY_ID: &str = "linkgate-store";

/// Makes what is not there yet.
pub fn prepare_shared(folder: &Path, database: &str, bucket: &str) -> Outcome<()> {
    let password = load_or_create(&folder.join("database/password"))?;
    let url = format!("postgres://{OWNER}:{}@{database}/{OWNER}", password.expose_secret());
    write_atomically(&folder.join("database/url"), url.as_bytes(), 0o600)?;
    let secret = load_or_create(&folder.join("bucket/secret"))?;
    let actions = ["Read", "Write", "List", "Tagging"].map(|action| format!("{action}:{bucket}"));
    let known = json!({"identities": [{
        "name": KEY_ID,
        "credentials": [{"accessKey": KEY_ID, "secretKey": secret.expose_secret()}],
        "actions": actions,
    }]});
    write_atomically(&folder.join("bucket/s3.json"), known.to_string().as_bytes(), 0o600)?;
    load_or_create(&folder.join("store/sealing-key")).map(drop)
}

/// As many digits as a key for sealing has.
fn load_or_create(path: &Path) -> Outcome<SecretString> {
    if !path.exists() {
        let digits = [random_hex()?, random_hex()?].concat();
        write_atomically(path, digits.as_bytes(), 0o600)?;
    }
    read_text(path).map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_stand_in_private_files_only() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["database", "bucket", "store"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let files = ["database/password", "database/url", "bucket/secret", "bucket/s3.json", "store/sealing-key"];
        let read = || {
            prepare_shared(folder.path(), "postgres", "linkgate").unwrap();
            files.map(|name| fs::read_to_string(folder.path().join(name)).unwrap())
        };
        let first = read();
        assert_eq!(first, read());
        let [password, url, secret, known, sealing] = first;
        assert_eq!(url, format!("postgres://linkgate:{password}@postgres/linkgate"));
        assert!(known.contains(&secret) && !known.contains(&password) && sealing.len() == 64);
        for name in files {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
