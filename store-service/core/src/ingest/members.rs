//! What a stored package has inside, read once more for whoever wants to see it.
//!
//! Promises: reads with the same eyes as the inspection of an upload, and within the same bounds; names so many members and no
//! more. Nothing is kept: who asks again has it read again, one listing at a time for each caller and few in sum.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use linkgate_archive::{Limits, Opaque, Package};
use linkgate_contract::Sha256;
use tokio::runtime::Handle;

use super::ports::{BlobError, BlobReader as _, BlobStore, FinishedBlob, Services, StoredFile};
use super::{Ingest, IngestError};
use crate::budget::{Bounds, Owner};

/// Listings at a time. Each decodes a whole package.
pub(super) const LISTINGS: Bounds = Bounds { per_owner: 1, in_sum: 4 };
/// Members that are named.
const LISTED: usize = 2_000;
/// Bytes that are read at a time.
const BLOCK: usize = 256 << 10;

impl<V: Services> Ingest<V> {
    /// Reads what a package is, with the first of its members.
    ///
    /// # Errors
    /// [`IngestError::TooManyListings`], and what reading it meets.
    pub async fn list_members(&self, file: &StoredFile, owner: Owner) -> Result<Package, IngestError> {
        let name = loan_name(&owner);
        let _permit = self.listings.take(owner, 1).map_err(IngestError::TooManyListings)?;
        let limits = Limits { opaque: Opaque::Allow, listed_members: LISTED, ..self.rules.packages.clone() };
        let mut inspection = self.inspections.begin(&limits, &name);
        let mut reader = self.blobs.open(file.sha256, None).await?;
        while let Some(block) = reader.read_chunk(BLOCK).await? {
            inspection.push(&block).await?;
        }
        let stored = Stored { blobs: self.blobs.clone(), sha256: file.sha256, size: file.size_bytes };
        Ok(inspection.package(stored).await?.1)
    }
}

/// In whose name memory is lent: an application's, as of its uploads.
fn loan_name(owner: &Owner) -> String {
    match owner {
        Owner::App(app) => app.to_string(),
        Owner::User(user) => format!("user:{user}"),
        Owner::Address(_) => String::new(),
    }
}

/// A blob that was stored long ago, as the inspection of a zip reads one that was just written.
struct Stored<B> {
    blobs: B,
    sha256: Sha256,
    size: u64,
}

impl<B: BlobStore> FinishedBlob for Stored<B> {
    type Seekable = Ranges<B>;

    fn open_seekable(&self) -> Result<Ranges<B>, BlobError> {
        Ok(Ranges { blobs: self.blobs.clone(), sha256: self.sha256, size: self.size, at: 0, block: Block::default() })
    }

    fn sha256(&self) -> Sha256 {
        self.sha256
    }

    fn size_bytes(&self) -> u64 {
        self.size
    }
}

/// Reads ranges of a blob, for a thread that may wait.
struct Ranges<B> {
    blobs: B,
    sha256: Sha256,
    size: u64,
    at: u64,
    block: Block,
}

/// The bytes that were read last, and where they stand.
#[derive(Default)]
struct Block {
    begin: u64,
    bytes: Bytes,
}

impl Block {
    /// What it has from there on.
    fn from(&self, at: u64) -> Option<&[u8]> {
        let skipped = usize::try_from(at.checked_sub(self.begin)?).ok()?;
        self.bytes.get(skipped..).filter(|rest| !rest.is_empty())
    }
}

impl<B: BlobStore> Ranges<B> {
    fn load(&mut self) -> io::Result<()> {
        let end = self.size.min(self.at.saturating_add(BLOCK as u64));
        let bytes = Handle::current().block_on(async {
            let mut reader = self.blobs.open(self.sha256, Some(self.at..end)).await?;
            reader.read_chunk(BLOCK).await
        });
        let bytes = bytes.map_err(BlobError::into_read_error)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.block = Block { begin: self.at, bytes };
        Ok(())
    }
}

impl<B: BlobStore> Read for Ranges<B> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || self.at >= self.size {
            return Ok(0);
        }
        if self.block.from(self.at).is_none() {
            self.load()?;
        }
        let read = self.block.from(self.at).unwrap_or_default().read(into)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

impl<B> Seek for Ranges<B> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
