//! A real S3 server, a database of keys in memory, and a blob store over both.

pub mod keys;
pub mod proxy;
#[allow(dead_code, reason = "tests of several stores need the rest")]
pub mod weed;

use std::time::{Duration, Instant};

use bytes::Bytes;
use linkgate_blob_s3::{Memory, S3BlobStore, S3BlobWriter, S3Credentials, S3FinishedBlob, S3Settings};
use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::{BlobReader as _, BlobStore as _, BlobWriter as _, FinishedBlob as _};
use secrecy::SecretString;
use tempfile::TempDir;
use url::Url;

use keys::MemoryKeys;
use weed::{BUCKET, KEY_ID, SECRET, Weed};

/// A store like those of production, but for graces, which are none, and parts, which are the shortest.
pub type Store = S3BlobStore<MemoryKeys>;
pub type Writer = S3BlobWriter<MemoryKeys>;
pub type Finished = S3FinishedBlob<MemoryKeys>;

/// The shortest part that S3 takes.
pub const PART: usize = 5 << 20;
/// What all objects of the store begin with.
pub const PREFIX: &str = "stores/one/";

/// How long anything may take before a test gives it up: a hundred times what it takes on a machine that is idle.
const WITHIN: Duration = Duration::from_secs(120);

/// A store on a bucket of its own.
pub struct Stage {
    pub weed: Weed,
    pub keys: MemoryKeys,
    pub temp: TempDir,
    pub store: Store,
}

impl Stage {
    /// `None`, and says so, where there is no server.
    pub async fn set() -> Option<Self> {
        let (weed, temp) = (Weed::start().await?, tempfile::tempdir().unwrap());
        let keys = MemoryKeys::default();
        let store = S3BlobStore::open(&settings(&weed.endpoint(), &temp), keys.clone()).await.unwrap();
        Some(Self { weed, keys, temp, store })
    }

    pub fn settings(&self) -> S3Settings {
        settings(&self.weed.endpoint(), &self.temp)
    }

    /// Another process on the same bucket and the same database.
    pub async fn another_store(&self) -> Store {
        S3BlobStore::open(&self.settings(), self.keys.of_another_process()).await.unwrap()
    }

    /// Waits until the bucket has these objects and no open upload, and the database no key that is being written.
    pub async fn wait_until_left(&self, objects: &[&str]) {
        wait_until(async || {
            let seen = (self.weed.objects().await, self.weed.open_uploads().await, self.keys.being_written());
            let is_left = seen.0 == objects && seen.1.is_empty() && seen.2.is_empty();
            if is_left { Ok(()) } else { Err(format!("left: {seen:?}")) }
        })
        .await;
    }

    /// The key of a blob's object.
    pub fn key(&self, sha256: Sha256) -> String {
        self.keys.object(sha256).expect("the blob has an object").key.to_string()
    }
}

pub fn settings(endpoint: &str, temp: &TempDir) -> S3Settings {
    let secret = SecretString::from(SECRET);
    let credentials = S3Credentials::Key { id: KEY_ID.to_owned(), secret, session_token: None };
    let memory = Memory { bytes: 4 * PART, part_bytes: PART, temp_dir: temp.path().to_owned() };
    S3Settings {
        prefix: PREFIX.to_owned(),
        endpoint: Some(Url::parse(endpoint).unwrap()),
        publish_grace: Duration::ZERO,
        retired_grace: Duration::ZERO,
        ..S3Settings::new(BUCKET.to_owned(), "us-east-1".to_owned(), credentials, memory)
    }
}

/// Bytes that are the same each time, and no two parts alike.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    let mut all = Vec::with_capacity(len + 8);
    while all.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend_from_slice(&state.to_le_bytes());
    }
    all.truncate(len);
    all
}

pub async fn write(writer: &mut Writer, bytes: &[u8]) {
    for piece in bytes.chunks(128 << 10) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
}

pub async fn finish(store: &Store, bytes: &[u8], size: Option<u64>) -> Finished {
    let mut writer = store.open_writer(size).await.unwrap();
    write(&mut writer, bytes).await;
    writer.finish().await.unwrap()
}

/// A committed blob.
pub async fn put(store: &Store, bytes: &[u8]) -> Sha256 {
    let finished = finish(store, bytes, Some(bytes.len() as u64)).await;
    let sha256 = finished.sha256();
    assert_eq!(finished.size_bytes(), bytes.len() as u64);
    store.commit(finished).await.unwrap();
    sha256
}

pub async fn read(store: &Store, sha256: Sha256, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let (mut reader, mut all) = (store.open(sha256, range).await.unwrap(), Vec::new());
    while let Some(chunk) = reader.read_chunk(100_000).await.unwrap() {
        assert!((1..=100_000).contains(&chunk.len()));
        all.extend_from_slice(&chunk);
    }
    all
}

/// Looks again and again until there is what was looked for; fails with what was seen instead.
pub async fn wait_until<T>(mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "{seen}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
