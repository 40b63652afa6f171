//! The packages of a campaign: real archives, of a few sizes, each under a name of its own.

use std::collections::BTreeMap;

use linkgate_tests::{Behaviour, FakeSource};

/// How many there are: more than callers keep at a time, so that packages come and go; few enough to meet again.
const PACKAGES: usize = 300;

/// One package, as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its place.
    pub number: usize,
    /// Its SHA-256.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
}

impl Package {
    /// The name that the store gives it.
    #[must_use]
    pub fn display_name(&self, version: &str) -> String {
        format!("package-{}:{version}", self.number)
    }

    /// The name under which it is sent as a file, which the store gives it then.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("package-{}.tar", self.number)
    }
}

/// All of them, and the source that serves them.
pub struct Packages {
    source: FakeSource,
    all: Vec<Package>,
    by_digest: BTreeMap<String, usize>,
}

impl Packages {
    /// Makes them and begins to serve.
    pub async fn serve() -> Self {
        let source = FakeSource::start(Behaviour::Status(404)).await;
        let mut all = Vec::new();
        for number in 0..PACKAGES {
            let bytes = archive(number);
            all.push(Package { number, sha256: linkgate_tests::sha256_hex(&bytes), size: bytes.len() as u64 });
            source.on(&path(number), Behaviour::Bytes(bytes));
        }
        let by_digest = all.iter().map(|package| (package.sha256.clone(), package.number)).collect();
        Self { source, all, by_digest }
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &FakeSource {
        &self.source
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, number: usize) -> &Package {
        &self.all[number]
    }

    /// The one of this digest.
    #[must_use]
    pub fn of_digest(&self, sha256: &str) -> Option<&Package> {
        self.by_digest.get(sha256).map(|number| &self.all[*number])
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self, number: usize) -> Vec<u8> {
        archive(number)
    }

    /// The link to one of them.
    #[must_use]
    pub fn url(&self, number: usize) -> String {
        self.source.url_of(&path(number))
    }
}

fn path(number: usize) -> String {
    format!("/package-{number}.tar")
}

/// Mostly small, for the many rounds; now and then over the size of the store's batches, so that it is written in parts.
fn archive(number: usize) -> Vec<u8> {
    let size = match number % 30 {
        0 => 700_000,
        1..=4 => 60_000 + number,
        _ => 500 + 17 * number,
    };
    let mut content = linkgate_tests::bytes(size);
    content[..8].copy_from_slice(&(number as u64).to_le_bytes());
    let mut header = tar::Header::new_ustar();
    header.set_size(size as u64);
    header.set_mode(0o644);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, format!("package-{number}/content"), content.as_slice()).unwrap();
    tar.into_inner().unwrap()
}
