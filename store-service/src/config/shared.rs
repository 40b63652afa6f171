//! Settings of stores that share what they store: a database and a bucket, instead of the data directory.
//!
//! Promises: both or neither; what is missing is named. No secret is ever in a fault or a debug text.

use std::path::Path;
use std::time::Duration;

use linkgate_blob_s3::{Encryption, InvalidS3Settings, Memory, S3Credentials, S3Settings, UrlStyle};
use secrecy::SecretString;
use url::Url;

use super::private_file::read_private_file;
use super::vars::{Reader, Vars};

/// `LINKGATE_DATABASE_URL`: the catalog in PostgreSQL 13 or later, for stores that share it:
/// `postgres://user:password@host:port/name`, with `?sslmode=verify-full&sslrootcert=…` where the network is not to
/// be trusted. Never shown. Default: none, and the catalog is in the data directory.
pub(super) const DATABASE_URL: &str = "LINKGATE_DATABASE_URL";
/// `LINKGATE_DATABASE_URL_FILE`: a file with the same, which the store's user alone may read. Default none.
pub(super) const DATABASE_URL_FILE: &str = "LINKGATE_DATABASE_URL_FILE";
/// `LINKGATE_S3_BUCKET`: the bucket of packages, which must be there. Default: none, and packages are in the data
/// directory.
pub(super) const BUCKET: &str = "LINKGATE_S3_BUCKET";
/// `LINKGATE_S3_PREFIX`: what the names of all objects begin with. Stores with the same database have the same,
/// stores with different ones different ones. Names with a `/` behind each. Default empty.
pub(super) const PREFIX: &str = "LINKGATE_S3_PREFIX";
/// `LINKGATE_S3_ENDPOINT`: where the storage is. Over plain http to another machine each request proves its bytes, which
/// costs more than TLS. Http or https URL of a host. Default AWS, in the region.
pub(super) const ENDPOINT: &str = "LINKGATE_S3_ENDPOINT";
/// `LINKGATE_S3_REDIRECT_ENDPOINT`: where callers reach the storage. Whoever downloads by a signed URL is sent there for
/// the bytes, to an address that is good for five minutes; all others get them from the store, for a redirect would take
/// their credentials along. Http or https URL of a host. Default: none, and the store sends all bytes itself.
pub(super) const REDIRECT_ENDPOINT: &str = "LINKGATE_S3_REDIRECT_ENDPOINT";
/// `LINKGATE_S3_REGION`: the region, which is part of what is signed. Default `us-east-1`.
pub(super) const REGION: &str = "LINKGATE_S3_REGION";
/// `LINKGATE_S3_URL_STYLE`: where the bucket stands in a URL. `path` or `virtual-host`. Default `path`.
pub(super) const URL_STYLE: &str = "LINKGATE_S3_URL_STYLE";
/// `LINKGATE_S3_ACCESS_KEY_ID`: who the store is for the storage. Default: none, and whoever the platform says by its
/// own variables (`AWS_ROLE_ARN`, `AWS_CONTAINER_CREDENTIALS_…` and so on) or its address for metadata.
pub(super) const KEY_ID: &str = "LINKGATE_S3_ACCESS_KEY_ID";
/// `LINKGATE_S3_SECRET_ACCESS_KEY`: the key to it. Never shown. Default none.
pub(super) const SECRET: &str = "LINKGATE_S3_SECRET_ACCESS_KEY";
/// `LINKGATE_S3_SECRET_ACCESS_KEY_FILE`: a file with the same, which the store's user alone may read. Default none.
pub(super) const SECRET_FILE: &str = "LINKGATE_S3_SECRET_ACCESS_KEY_FILE";
/// `LINKGATE_S3_MEMORY_BYTES`: what all uploads together hold in memory on their way into the bucket, and an eighth
/// of that each for the ends of zip archives and for what waits for its digest; what finds no place there goes through temporary files in the data directory. Bytes, 33554432–1099511627776. Default `67108864`.
pub(super) const MEMORY: &str = "LINKGATE_S3_MEMORY_BYTES";

/// `LINKGATE_S3_ENCRYPTION`: how the storage is to encrypt what it stores: `AES256`, with keys of its own, or
/// `aws:kms`. `AES256`, `aws:kms`. Default: none, and as the bucket says.
pub(super) const ENCRYPTION: &str = "LINKGATE_S3_ENCRYPTION";
/// `LINKGATE_S3_KMS_KEY_ID`: by which key of the key service, with `aws:kms`. The store needs `kms:GenerateDataKey`
/// and `kms:Decrypt` for it. Default none.
pub(super) const KMS_KEY_ID: &str = "LINKGATE_S3_KMS_KEY_ID";
/// `LINKGATE_S3_DELETE_GRACE_S`: how long an object stays in the bucket once no package needs it. At least as long as
/// the database may be taken back to an earlier moment, or packages that come back with it have no bytes. Seconds,
/// 0–31622400. Default `604800` (7 days).
pub(super) const DELETE_GRACE: &str = "LINKGATE_S3_DELETE_GRACE_S";

/// All that says something about the bucket.
const OF_BUCKET: [&str; 13] = [
    BUCKET,
    PREFIX,
    ENDPOINT,
    REDIRECT_ENDPOINT,
    REGION,
    URL_STYLE,
    KEY_ID,
    SECRET,
    SECRET_FILE,
    MEMORY,
    ENCRYPTION,
    KMS_KEY_ID,
    DELETE_GRACE,
];
/// Whoever sets one of these has no store alone.
const EACH_MEANS_IT: [&str; 3] = [DATABASE_URL, DATABASE_URL_FILE, BUCKET];
/// The platform's own variables.
const PLATFORM: &str = "AWS_";

/// Where stores that share it have their catalog and their packages.
#[derive(Clone, Debug)]
pub struct SharedConfig {
    /// The address of the database.
    pub database_url: SecretString,
    /// The bucket.
    pub bucket: S3Settings,
}

pub(super) fn read_shared(reader: &mut Reader<'_, impl Vars>, data_dir: &Path) -> Option<SharedConfig> {
    let database = read_secret(reader, DATABASE_URL, DATABASE_URL_FILE);
    let of_bucket = OF_BUCKET.into_iter().find(|name| reader.read_text(name).is_some());
    let bucket = reader.read_text(BUCKET);
    match (database, of_bucket, bucket) {
        (None, None, _) => None,
        (Some(database_url), _, Some(name)) => {
            let bucket = read_bucket(reader, name, data_dir)?;
            Some(SharedConfig { database_url, bucket })
        }
        (database, of_bucket, bucket) => {
            if bucket.is_none() {
                let beside = of_bucket.unwrap_or(DATABASE_URL);
                reader
                    .fault(BUCKET, format!("is required beside `{beside}`: with a database, packages are in a bucket"));
            }
            if database.is_none() {
                let beside = of_bucket.unwrap_or(BUCKET);
                reader.fault(
                    DATABASE_URL,
                    format!("is required beside `{beside}`: with a bucket, the catalog is in PostgreSQL"),
                );
            }
            None
        }
    }
}

/// Whether anything says that stores share what they store, be it half of it.
pub(super) fn is_meant(reader: &mut Reader<'_, impl Vars>) -> bool {
    EACH_MEANS_IT.into_iter().any(|name| reader.read_text(name).is_some())
}

fn read_secret(reader: &mut Reader<'_, impl Vars>, name: &str, file_name: &str) -> Option<SecretString> {
    match (reader.read_text(name), reader.read_text(file_name)) {
        (None, None) => None,
        (Some(_), Some(_)) => {
            reader.fault(file_name, format!("is set beside {name}: give one of them"));
            None
        }
        (Some(text), None) => Some(text.into()),
        (None, Some(path)) => read_private_file(Path::new(&path))
            .map(|text| trimmed(&text))
            .map_err(|fault| reader.fault(file_name, format!("names {path}, which {fault}")))
            .ok(),
    }
}

fn trimmed(text: &SecretString) -> SecretString {
    use secrecy::ExposeSecret as _;
    text.expose_secret().trim().into()
}

fn read_bucket(reader: &mut Reader<'_, impl Vars>, name: String, data_dir: &Path) -> Option<S3Settings> {
    let region = reader.read_text(REGION).unwrap_or_else(|| "us-east-1".to_owned());
    let usual = Memory::with_temp_dir(data_dir.to_owned());
    let bytes = reader.number(MEMORY, usual.bytes, 4 * usual.part_bytes..=1 << 40);
    let credentials = read_credentials(reader)?;
    let usual = S3Settings::new(name, region, credentials, Memory { bytes, ..usual });
    let grace = reader.number(DELETE_GRACE, usual.retired_grace.as_secs(), 0..=366 * 86_400);
    let settings = S3Settings {
        prefix: reader.read_text(PREFIX).unwrap_or_default(),
        endpoint: read_endpoint(reader, ENDPOINT),
        redirect_endpoint: read_endpoint(reader, REDIRECT_ENDPOINT),
        url_style: read_url_style(reader),
        encryption: read_encryption(reader),
        retired_grace: Duration::from_secs(grace),
        ..usual
    };
    match settings.check() {
        Ok(()) => Some(settings),
        Err(fault) => {
            reader.fault(name_of(&fault), format!("cannot be used: {fault}"));
            None
        }
    }
}

/// Which setting is wrong.
fn name_of(fault: &InvalidS3Settings) -> &'static str {
    match fault {
        InvalidS3Settings::Bucket => BUCKET,
        InvalidS3Settings::Prefix => PREFIX,
        InvalidS3Settings::Endpoint => ENDPOINT,
        InvalidS3Settings::RedirectEndpoint => REDIRECT_ENDPOINT,
        InvalidS3Settings::Region => REGION,
        InvalidS3Settings::PartBytes | InvalidS3Settings::Memory => MEMORY,
    }
}

fn read_endpoint(reader: &mut Reader<'_, impl Vars>, name: &'static str) -> Option<Url> {
    let text = reader.read_text(name)?;
    // It may have a password in it.
    Url::parse(&text).map_err(|_| reader.fault(name, "is no http or https URL")).ok()
}

fn read_url_style(reader: &mut Reader<'_, impl Vars>) -> UrlStyle {
    match reader.read_text(URL_STYLE).as_deref() {
        None | Some("path") => UrlStyle::Path,
        Some("virtual-host") => UrlStyle::VirtualHost,
        Some(other) => {
            reader.fault(URL_STYLE, format!("is `{other}`, not `path` or `virtual-host`"));
            UrlStyle::Path
        }
    }
}

fn read_encryption(reader: &mut Reader<'_, impl Vars>) -> Option<Encryption> {
    match (reader.read_text(ENCRYPTION).as_deref(), reader.read_text(KMS_KEY_ID)) {
        (None, None) => None,
        (Some("AES256"), None) => Some(Encryption::Aes256),
        (Some("aws:kms"), Some(key_id)) => Some(Encryption::Kms { key_id }),
        (Some("aws:kms"), None) => {
            reader.fault(KMS_KEY_ID, format!("is required where `{ENCRYPTION}` is `aws:kms`"));
            None
        }
        (None | Some("AES256"), Some(_)) => {
            reader.fault(KMS_KEY_ID, format!("is of use only where `{ENCRYPTION}` is `aws:kms`"));
            None
        }
        (Some(other), _) => {
            reader.fault(ENCRYPTION, format!("is `{other}`, not `AES256` or `aws:kms`"));
            None
        }
    }
}

fn read_credentials(reader: &mut Reader<'_, impl Vars>) -> Option<S3Credentials> {
    match (reader.read_text(KEY_ID), read_secret(reader, SECRET, SECRET_FILE)) {
        (None, None) => Some(S3Credentials::Platform(read_platform(reader))),
        (Some(id), Some(secret)) => Some(S3Credentials::Key { id, secret, session_token: None }),
        (Some(_), None) => {
            reader.fault(SECRET, format!("is required beside `{KEY_ID}`"));
            None
        }
        (None, Some(_)) => {
            reader.fault(KEY_ID, format!("is required beside `{SECRET}`"));
            None
        }
    }
}

fn read_platform(reader: &mut Reader<'_, impl Vars>) -> Vec<(String, SecretString)> {
    let names = reader.names().into_iter().filter(|name| name.starts_with(PLATFORM));
    let names: Vec<String> = names.collect();
    names.into_iter().filter_map(|name| reader.read_text(&name).map(|value| (name, value.into()))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const URL: &str = "postgres://store:hunter2@db/linkgate";

    fn read(vars: &[(&str, &str)]) -> Result<Option<SharedConfig>, String> {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&vars);
        let shared = read_shared(&mut reader, Path::new("/data"));
        reader.finish(shared).map_err(|bad| bad.to_string())
    }

    #[test]
    fn nothing_is_shared_by_default_and_a_half_is_refused_by_what_is_missing() {
        assert!(read(&[]).unwrap().is_none() && read(&[(BUCKET, ""), (DATABASE_URL, " ")]).unwrap().is_none());
        for (half, missing) in [
            (vec![(DATABASE_URL, URL)], "LINKGATE_S3_BUCKET is required beside `LINKGATE_DATABASE_URL`"),
            (vec![(BUCKET, "bucket")], "LINKGATE_DATABASE_URL is required beside `LINKGATE_S3_BUCKET`"),
            (vec![(REGION, "r")], "LINKGATE_DATABASE_URL is required beside `LINKGATE_S3_REGION`"),
            (vec![(REGION, "r"), (DATABASE_URL, URL)], "LINKGATE_S3_BUCKET is required beside `LINKGATE_S3_REGION`"),
            (
                vec![(BUCKET, "bucket"), (DATABASE_URL, URL), (KEY_ID, "id")],
                "LINKGATE_S3_SECRET_ACCESS_KEY is required",
            ),
            (
                vec![(BUCKET, "bucket"), (DATABASE_URL, URL), (SECRET, "5ecret")],
                "LINKGATE_S3_ACCESS_KEY_ID is required",
            ),
        ] {
            let fault = read(&half).unwrap_err();
            assert!(fault.contains(missing), "{fault}");
            assert!(!fault.contains("hunter2") && !fault.contains("5ecret"), "{fault}");
        }
    }

    #[test]
    fn a_database_and_a_bucket_are_shared_and_no_secret_is_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{URL}\n")).unwrap();
        let path = file.path().to_str().unwrap();
        let bucket = [(BUCKET, "bucket"), (ENDPOINT, "http://s3:9000"), (KEY_ID, "id"), (SECRET, "5ecret")];
        for database in [(DATABASE_URL, URL), (DATABASE_URL_FILE, path)] {
            let shared = read(&[&bucket[..], &[database]].concat()).unwrap().unwrap();
            assert_eq!(secrecy::ExposeSecret::expose_secret(&shared.database_url), URL);
            assert_eq!((shared.bucket.bucket.as_str(), shared.bucket.memory.bytes), ("bucket", 64 << 20));
            let text = format!("{shared:?}");
            assert!(!text.contains("hunter2") && !text.contains("5ecret"), "{text}");
        }
        let database = (DATABASE_URL, URL);
        let kms =
            [&bucket[..], &[database, (ENCRYPTION, "aws:kms"), (KMS_KEY_ID, "key"), (DELETE_GRACE, "0")]].concat();
        let kms = read(&kms).unwrap().unwrap().bucket;
        assert_eq!(kms.encryption, Some(Encryption::Kms { key_id: "key".to_owned() }));
        assert_eq!(kms.retired_grace, Duration::ZERO);
        let aes = [&bucket[..], &[database, (ENCRYPTION, "AES256")]].concat();
        let aes = read(&aes).unwrap().unwrap().bucket;
        assert_eq!((aes.encryption, aes.retired_grace), (Some(Encryption::Aes256), Duration::from_secs(7 * 86_400)));
        let platform = read(&[(BUCKET, "bucket"), (DATABASE_URL, URL), ("AWS_ROLE_ARN", "arn")]).unwrap().unwrap();
        assert!(matches!(platform.bucket.credentials, S3Credentials::Platform(named) if named.len() == 1));
    }

    #[test]
    fn what_cannot_work_is_named_by_its_setting() {
        let both = [(BUCKET, "bucket"), (DATABASE_URL, URL)];
        for (wrong, said) in [
            ((BUCKET, "B"), "LINKGATE_S3_BUCKET cannot be used"),
            ((PREFIX, "no-slash"), "LINKGATE_S3_PREFIX cannot be used"),
            ((ENDPOINT, "5ecret"), "LINKGATE_S3_ENDPOINT is no http"),
            ((ENDPOINT, "http://u:5ecret@h"), "LINKGATE_S3_ENDPOINT cannot be used"),
            ((REDIRECT_ENDPOINT, "5ecret"), "LINKGATE_S3_REDIRECT_ENDPOINT is no http"),
            ((REDIRECT_ENDPOINT, "http://h/x"), "LINKGATE_S3_REDIRECT_ENDPOINT cannot be used"),
            ((URL_STYLE, "x"), "LINKGATE_S3_URL_STYLE is `x`"),
            ((MEMORY, "1"), "LINKGATE_S3_MEMORY_BYTES is `1`"),
            ((ENCRYPTION, "rot13"), "LINKGATE_S3_ENCRYPTION is `rot13`"),
            ((ENCRYPTION, "aws:kms"), "LINKGATE_S3_KMS_KEY_ID is required"),
            ((KMS_KEY_ID, "key"), "LINKGATE_S3_KMS_KEY_ID is of use only"),
            ((DELETE_GRACE, "x"), "LINKGATE_S3_DELETE_GRACE_S is `x`"),
            ((DATABASE_URL_FILE, "/no/such"), "give one of them"),
        ] {
            let fault = read(&[&both[..], &[wrong]].concat()).unwrap_err();
            assert!(fault.contains(said) && !fault.contains("5ecret"), "{fault}");
        }
    }
}
