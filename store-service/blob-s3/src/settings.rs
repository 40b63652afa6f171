//! What the operator decides about the bucket.
//!
//! Promises: settings that cannot work are refused before anything is asked of the network; no secret is ever in a debug
//! text.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

/// The least that S3 takes as a part that is not the last.
const LEAST_PART: usize = 5 << 20;
const KIB: usize = 1 << 10;

/// Where blobs are stored, and how much of this machine that may take.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket, which must be there.
    pub bucket: String,
    /// What the keys of all objects begin with: empty, or names with a slash behind each. Two stores with the same database have
    /// the same prefix, and stores with different databases have different ones.
    pub prefix: String,
    /// Where the storage is; `None`: that of AWS in the region.
    pub endpoint: Option<Url>,
    /// Where callers reach the storage, if those who need no header of their own are sent there for the bytes of a package.
    pub redirect_endpoint: Option<Url>,
    /// The region, which is part of what is signed.
    pub region: String,
    /// Where the bucket stands in a URL.
    pub url_style: UrlStyle,
    /// Who the store is.
    pub credentials: S3Credentials,
    /// How the storage is to encrypt what it stores; `None`: as the bucket says.
    pub encryption: Option<Encryption>,
    /// How much memory uploads take, and what they do beyond it.
    pub memory: Memory,
    /// How long requests are tried again until the storage counts as unavailable.
    pub retry_timeout: Duration,
    /// How long a blob that was just published is kept though no row references it. Longer than a row ever takes to be
    /// recorded after its blob.
    pub publish_grace: Duration,
    /// How long an object stays in the bucket once no blob needs it. At least as long as the database can be taken back to an
    /// earlier moment, or a restored row has no bytes.
    pub retired_grace: Duration,
}

/// Where the bucket stands in a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlStyle {
    /// `https://endpoint/bucket/key`, which every server understands.
    #[default]
    Path,
    /// `https://bucket.endpoint/key`.
    VirtualHost,
}

/// Who the store is.
#[derive(Clone, Debug)]
pub enum S3Credentials {
    /// Somebody with a key.
    Key {
        /// Its name.
        id: String,
        /// The key.
        secret: SecretString,
        /// The token of a session, if it is one.
        session_token: Option<SecretString>,
    },
    /// Whoever the platform says it is, by these variables of its (`AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`,
    /// `AWS_CONTAINER_CREDENTIALS_…`, `AWS_ACCESS_KEY_ID` and so on), which name files and addresses that are asked again in
    /// time; without any, whoever the machine's own address for metadata names.
    Platform(Vec<(String, SecretString)>),
}

/// How the storage is to encrypt what it stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// By keys of the storage (`AES256`).
    Aes256,
    /// By a key of the key service (`aws:kms`).
    Kms {
        /// Which.
        key_id: String,
    },
}

/// How much memory uploads take together, and what they do beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What all of them may hold.
    pub bytes: usize,
    /// The bytes of a part of an upload: the longer, the fewer requests. S3 takes 10,000 parts.
    pub part_bytes: usize,
    /// Where parts are that find no place in memory. A directory on a disk: one in memory would make the bound worthless.
    pub temp_dir: PathBuf,
}

/// Why settings cannot work.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidS3Settings {
    /// The bucket has no name that a bucket can have.
    #[error("the bucket's name must be 3 to 63 characters of a to z, 0 to 9, `.` and `-`")]
    Bucket,
    /// The prefix would not be found again as it is.
    #[error("the prefix must be empty, or names of A to Z, a to z, 0 to 9, `.`, `_` and `-` with a slash behind each")]
    Prefix,
    /// The endpoint is no address of a storage.
    #[error("the endpoint must be an http or https URL with a host and nothing behind it")]
    Endpoint,
    /// That of callers is none either.
    #[error("the endpoint for callers must be an http or https URL with a host and nothing behind it")]
    RedirectEndpoint,
    /// No region.
    #[error("the region is missing; any word does for a storage that has none, as `us-east-1`")]
    Region,
    /// The parts are too small.
    #[error("a part has at least 5 MiB and at most 1 GiB")]
    PartBytes,
    /// A part fits twice, or nothing could be sent while another upload waits for its source.
    #[error("the memory must hold at least four parts")]
    Memory,
}

impl Memory {
    /// The usual amounts.
    #[must_use]
    pub fn with_temp_dir(temp_dir: PathBuf) -> Self {
        Self { bytes: 64 << 20, part_bytes: 8 << 20, temp_dir }
    }
}

impl S3Settings {
    /// The usual ones.
    #[must_use]
    pub fn new(bucket: String, region: String, credentials: S3Credentials, memory: Memory) -> Self {
        Self {
            bucket,
            prefix: String::new(),
            endpoint: None,
            redirect_endpoint: None,
            region,
            url_style: UrlStyle::Path,
            credentials,
            encryption: None,
            memory,
            retry_timeout: Duration::from_secs(60),
            publish_grace: Duration::from_secs(3_600),
            retired_grace: Duration::from_secs(7 * 86_400),
        }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`InvalidS3Settings`] says what.
    pub fn check(&self) -> Result<(), InvalidS3Settings> {
        let Memory { bytes, part_bytes, .. } = self.memory;
        let checks = [
            (is_bucket_name(&self.bucket), InvalidS3Settings::Bucket),
            (is_prefix(&self.prefix), InvalidS3Settings::Prefix),
            (self.endpoint.as_ref().is_none_or(is_endpoint), InvalidS3Settings::Endpoint),
            (self.redirect_endpoint.as_ref().is_none_or(is_endpoint), InvalidS3Settings::RedirectEndpoint),
            (!self.region.is_empty(), InvalidS3Settings::Region),
            (
                (LEAST_PART..=1 << 30).contains(&part_bytes) && part_bytes.is_multiple_of(KIB),
                InvalidS3Settings::PartBytes,
            ),
            (bytes / 4 >= part_bytes && bytes <= 1 << 40, InvalidS3Settings::Memory),
        ];
        checks.into_iter().find(|(is_good, _)| !is_good).map_or(Ok(()), |(_, fault)| Err(fault))
    }

    /// The bucket as callers reach it.
    pub(crate) fn for_callers(&self) -> Option<Self> {
        self.redirect_endpoint.is_some().then(|| Self { endpoint: self.redirect_endpoint.clone(), ..self.clone() })
    }

    /// Whether bytes go over the network as they are.
    pub(crate) fn is_plain_http(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http")
    }

    /// Whether each request proves its bytes. TLS proves them anyway, and what listens on this machine gets them from its kernel; on
    /// a plain network the signature must, which costs as much as the digest of the package.
    pub(crate) fn signs_bytes(&self) -> bool {
        self.is_plain_http() && !self.endpoint.as_ref().and_then(Url::host).is_some_and(|host| is_this_machine(&host))
    }

    /// The endpoint as the client wants it: with the bucket in front if that is where it stands.
    pub(crate) fn client_endpoint(&self) -> Option<String> {
        let endpoint = self.endpoint.as_ref()?;
        let (scheme, host) = (endpoint.scheme(), endpoint.host_str().unwrap_or_default());
        let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(match self.url_style {
            UrlStyle::Path => format!("{scheme}://{host}{port}"),
            UrlStyle::VirtualHost => format!("{scheme}://{}.{host}{port}", self.bucket),
        })
    }
}

/// What a name leads to is not looked up: tomorrow it may be something else.
fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn is_bucket_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && !name.starts_with(['.', '-'])
}

fn is_prefix(prefix: &str) -> bool {
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    prefix.len() <= 256
        && (prefix.is_empty() || prefix.strip_suffix('/').is_some_and(|names| names.split('/').all(is_name)))
}

fn is_endpoint(endpoint: &Url) -> bool {
    matches!(endpoint.scheme(), "http" | "https")
        && endpoint.has_host()
        && endpoint.path() == "/"
        && endpoint.query().is_none()
        && endpoint.fragment().is_none()
        && endpoint.username().is_empty()
        && endpoint.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> S3Settings {
        let secret = SecretString::from("s3cr3t-key");
        let credentials =
            S3Credentials::Key { id: "id".into(), secret, session_token: Some(SecretString::from("s3cr3t-token")) };
        S3Settings::new("bucket".into(), "here".into(), credentials, Memory::with_temp_dir("/tmp".into()))
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        use InvalidS3Settings as F;
        type Change = fn(&mut S3Settings);
        let cases: [(Change, F); 12] = [
            (|s| s.redirect_endpoint = Url::parse("https://s3.example.com/bucket").ok(), F::RedirectEndpoint),
            (|s| s.bucket = "B".into(), F::Bucket),
            (|s| s.bucket = "a/b/c".into(), F::Bucket),
            (|s| s.prefix = "a".into(), F::Prefix),
            (|s| s.prefix = "../".into(), F::Prefix),
            (|s| s.prefix = "a//".into(), F::Prefix),
            (|s| s.endpoint = Url::parse("ftp://h").ok(), F::Endpoint),
            (|s| s.endpoint = Url::parse("http://id:secret@h").ok(), F::Endpoint),
            (|s| s.endpoint = Url::parse("http://h/path").ok(), F::Endpoint),
            (|s| s.region = String::new(), F::Region),
            (|s| s.memory.part_bytes = (5 << 20) - 1, F::PartBytes),
            (|s| s.memory.bytes = 4 * (8 << 20) - 1, F::Memory),
        ];
        for (change, fault) in cases {
            let mut changed = settings();
            change(&mut changed);
            assert_eq!(changed.check(), Err(fault));
        }
        let good = S3Settings { prefix: "a/b_c.d-e/".into(), endpoint: Url::parse("http://h:1").ok(), ..settings() };
        assert_eq!(good.check(), Ok(()));
    }

    #[test]
    fn no_debug_text_has_a_secret() {
        let platform = vec![("AWS_SECRET_ACCESS_KEY".to_owned(), SecretString::from("s3cr3t-variable"))];
        let other = S3Settings { credentials: S3Credentials::Platform(platform), ..settings() };
        let text = format!("{:?} {other:?}", settings());
        assert!(text.contains("bucket") && !text.contains("s3cr3t"), "{text}");
    }

    #[test]
    fn the_bucket_stands_where_the_server_expects_it() {
        let endpoint = Url::parse("https://s3.example:9000").ok();
        let style = |url_style| S3Settings { endpoint: endpoint.clone(), url_style, ..settings() }.client_endpoint();
        assert_eq!(style(UrlStyle::Path).as_deref(), Some("https://s3.example:9000"));
        assert_eq!(style(UrlStyle::VirtualHost).as_deref(), Some("https://bucket.s3.example:9000"));
    }
    #[test]
    fn bytes_are_signed_where_nothing_else_proves_them() {
        let signs = |endpoint| S3Settings { endpoint: Url::parse(endpoint).ok(), ..settings() }.signs_bytes();
        for proven in ["https://h", "https://10.0.0.1", "http://127.0.0.1:9000", "http://[::1]", "http://LOCALHOST"] {
            assert!(!signs(proven), "{proven}");
        }
        for bare in
            ["http://h", "http://10.0.0.1:9000", "http://[::2]", "http://0.0.0.0", "http://localhost.example.com"]
        {
            assert!(signs(bare), "{bare}");
        }
        assert!(!settings().signs_bytes(), "AWS is reached by TLS");
    }
}
