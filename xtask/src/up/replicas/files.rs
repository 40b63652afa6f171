//! The files of a demo with several stores: what is where in its folder.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::balancer::Balancer;
use super::bucket::{BUCKET, KEY_ID};
use super::database::{USER, let_server_enter};
use crate::error::{Failure, Outcome, Trying};
use crate::programs::Programs;
use crate::run::run;
use crate::up::demo::random_hex;
use crate::up::files::{DemoFiles, read_text, write_atomically};

/// The keys that all stores sign with.
const STORE_KEYS: [(&str, &str); 2] =
    [("LINKGATE_STORE_STATEMENT_KEY_FILE", "statements"), ("LINKGATE_STORE_URL_KEY_FILE", "urls")];

/// The folder, absolute.
pub struct ReplicaFiles {
    demo: DemoFiles,
    folder: PathBuf,
    secrets: Secrets,
}

/// What the stores show their servers.
pub struct Secrets {
    /// The database's password.
    pub database: SecretString,
    /// The key to the bucket.
    pub bucket: SecretString,
}

impl Secrets {
    /// Reads them, or makes them the first time.
    fn load_or_create(path: &Path) -> Outcome<Self> {
        if !path.exists() {
            let made = json!({"database": random_hex()?, "bucket": random_hex()?});
            write_atomically(path, made.to_string().as_bytes(), 0o600)?;
        }
        let text = read_text(path)?;
        let read: Value = serde_json::from_str(&text).trying(|| format!("read {}", path.display()))?;
        let secret = |name: &str| {
            let text = read[name].as_str().map(SecretString::from);
            text.ok_or_else(|| Failure::new(format!("{} has no {name}: remove the folder", path.display())))
        };
        Ok(Self { database: secret("database")?, bucket: secret("bucket")? })
    }
}

impl ReplicaFiles {
    /// Makes the folders for so many stores.
    pub fn prepare(folder: &Path, stores: usize) -> Outcome<Self> {
        let demo = DemoFiles::prepare(folder)?;
        let folder = demo.replicas();
        for path in [folder.clone(), folder.join("s3"), folder.join("logs"), folder.join("keys")] {
            make_private(&path)?;
        }
        for number in 1..=stores {
            make_private(&folder.join(format!("store-{number}")))?;
        }
        for entered in [demo.folder(), &folder] {
            let_server_enter(entered)?;
        }
        let secrets = Secrets::load_or_create(&folder.join("secrets.json"))?;
        Ok(Self { demo, folder, secrets })
    }

    /// What is there with one store, too.
    pub fn demo(&self) -> &DemoFiles {
        &self.demo
    }

    /// What the stores show their servers.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The database's folder.
    pub fn database(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// The bucket's folder.
    pub fn bucket(&self) -> PathBuf {
        self.folder.join("s3")
    }

    /// A store's data directory.
    pub fn store(&self, number: usize) -> PathBuf {
        self.folder.join(format!("store-{number}"))
    }

    /// A gateway's configuration.
    pub fn gateway(&self, number: usize) -> PathBuf {
        self.folder.join(format!("gateway-{number}.yaml"))
    }

    /// The load balancer's configuration.
    pub fn balancer(&self) -> PathBuf {
        self.folder.join("balancer.json")
    }

    /// Where all logs are.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// A program's log.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Makes the keys that all stores sign with, the first time.
    pub fn prepare_store_keys(&self, programs: &Programs) -> Outcome<()> {
        STORE_KEYS.into_iter().try_for_each(|(_, name)| {
            let mut making = programs.linkgate();
            making.args(["keys", "generate", "--keep", "--name", name, "--to"]).arg(self.folder.join("keys"));
            run(making.stdout(std::process::Stdio::null()))
        })
    }

    /// Writes the load balancer's configuration.
    pub fn write_balancer(&self, balancer: &Balancer) -> Outcome<()> {
        write_atomically(&self.balancer(), balancer.config().to_string().as_bytes(), 0o600)
    }

    /// The settings by which all stores share what they store; secrets are in files.
    pub fn write_store_settings(&self, database: u16, bucket: u16) -> Outcome<Vec<(&'static str, String)>> {
        let Secrets { database: password, bucket: secret } = &self.secrets;
        let (url_file, secret_file) = (self.folder.join("database-url"), self.folder.join("bucket-secret"));
        let url = format!("postgres://{USER}:{}@127.0.0.1:{database}/postgres", password.expose_secret());
        write_atomically(&url_file, url.as_bytes(), 0o600)?;
        write_atomically(&secret_file, secret.expose_secret().as_bytes(), 0o600)?;
        let path = |path: &Path| path.display().to_string();
        let keys =
            STORE_KEYS.map(|(setting, name)| (setting, path(&self.folder.join(format!("keys/{name}-private.pem")))));
        let shared = [
            ("LINKGATE_DATABASE_URL_FILE", path(&url_file)),
            ("LINKGATE_S3_BUCKET", BUCKET.to_owned()),
            ("LINKGATE_S3_ENDPOINT", format!("http://127.0.0.1:{bucket}")),
            ("LINKGATE_S3_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("LINKGATE_S3_SECRET_ACCESS_KEY_FILE", path(&secret_file)),
        ];
        Ok(shared.into_iter().chain(keys).collect())
    }
}

fn make_private(path: &Path) -> Outcome<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.trying(|| format!("make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_stand_in_private_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let first = ReplicaFiles::prepare(folder.path(), 2).unwrap();
        let settings = first.write_store_settings(1, 2).unwrap();
        let secrets = |files: &ReplicaFiles| {
            let Secrets { database, bucket } = files.secrets();
            [database.expose_secret().to_owned(), bucket.expose_secret().to_owned()]
        };
        let second = ReplicaFiles::prepare(folder.path(), 2).unwrap();
        assert_eq!(secrets(&first), secrets(&second));
        for secret in secrets(&first) {
            assert_eq!(secret.len(), 32);
            assert!(settings.iter().all(|(_, value)| !value.contains(&secret)));
        }
        for (name, path) in settings
            .iter()
            .filter(|(name, _)| ["LINKGATE_DATABASE_URL_FILE", "LINKGATE_S3_SECRET_ACCESS_KEY_FILE"].contains(name))
        {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
        assert!(first.store(2).is_dir() && !first.store(3).exists());
    }
}
