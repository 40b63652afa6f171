//! Reads a blob from its file, piece by piece.
//!
//! Promises: no thread is held between two pieces, so whoever reads slowly costs no more than an open file.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use linkgate_store_core::ingest::ports::{BlobError, BlobReader};

use super::directory::run_blocking;

/// A blob that is being read.
pub struct FileReader {
    file: Arc<File>,
    /// Bytes that are still to come; `None`: all there are.
    left: Option<u64>,
}

impl FileReader {
    /// Blocks.
    pub(super) fn new(mut file: File, range: Option<Range<u64>>) -> io::Result<Self> {
        if let Some(range) = &range {
            file.seek(SeekFrom::Start(range.start))?;
        }
        let left = range.map(|range| range.end.saturating_sub(range.start));
        Ok(Self { file: Arc::new(file), left })
    }
}

impl BlobReader for FileReader {
    async fn read_chunk(&mut self, at_most: usize) -> Result<Option<Bytes>, BlobError> {
        let wanted = self.left.map_or(at_most, |left| usize::try_from(left).unwrap_or(usize::MAX).min(at_most));
        let file = Arc::clone(&self.file);
        let chunk = run_blocking("reading a blob", move || {
            let mut chunk = Vec::with_capacity(wanted);
            (&*file).take(wanted as u64).read_to_end(&mut chunk)?;
            Ok(chunk)
        })
        .await?;
        self.left = self.left.map(|left| left.saturating_sub(chunk.len() as u64));
        Ok((!chunk.is_empty()).then(|| chunk.into()))
    }
}
