//! Reads a blob from its file, piece by piece.
//!
//! Promises: no thread is held between two pieces, so whoever reads slowly costs no more than an open file; what the system has
//! in memory is read at once, and only what must come from the disk is given to a thread that may wait.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use linkgate_store_core::ingest::ports::{BlobError, BlobReader};
use rustix::io::{ReadWriteFlags, preadv2};

use super::directory::run_blocking;

/// A blob that is being read.
pub struct FileReader {
    file: Arc<File>,
    at: u64,
    /// Where it ends; `None`: with the file.
    end: Option<u64>,
}

impl FileReader {
    pub(super) fn new(file: File, range: Option<Range<u64>>) -> Self {
        let (at, end) = range.map_or((0, None), |range| (range.start, Some(range.end)));
        Self { file: Arc::new(file), at, end }
    }
}

impl BlobReader for FileReader {
    async fn read_chunk(&mut self, at_most: usize) -> Result<Option<Bytes>, BlobError> {
        let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(self.at));
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(at_most);
        let chunk = match read_cached(&self.file, self.at, wanted) {
            Some(chunk) => chunk,
            None => {
                let (file, at) = (Arc::clone(&self.file), self.at);
                run_blocking("reading a blob", move || read_waiting(&file, at, wanted)).await?
            }
        };
        self.at += chunk.len() as u64;
        Ok((!chunk.is_empty()).then(|| chunk.into()))
    }
}

/// What can be had without waiting for the disk, which may be less. `None`: nothing, or the file system does not tell.
fn read_cached(file: &File, at: u64, wanted: usize) -> Option<Vec<u8>> {
    let mut chunk = vec![0; wanted];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut chunk)], at, ReadWriteFlags::NOWAIT).ok()?;
    chunk.truncate(read);
    Some(chunk)
}

/// Blocks.
fn read_waiting(file: &File, at: u64, wanted: usize) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; wanted];
    let mut read = 0;
    while let Some(rest) = chunk.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    chunk.truncate(read);
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, content).unwrap();
        file
    }

    async fn read_all(mut reader: FileReader, at_most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = reader.read_chunk(at_most).await.unwrap() {
            assert!(chunk.len() <= at_most);
            all.extend_from_slice(&chunk);
        }
        assert_eq!(reader.read_chunk(at_most).await.unwrap(), None, "at the end it stays");
        all
    }

    #[tokio::test]
    async fn a_blob_and_each_part_of_it_are_read_in_pieces() {
        let content: Vec<u8> = (0..=255).collect();
        for at_most in [1, 7, 256, 1_000] {
            assert_eq!(read_all(FileReader::new(file_of(&content), None), at_most).await, content);
            for (start, end) in [(0, 0), (0, 256), (10, 20), (255, 256), (250, 300)] {
                let read = read_all(FileReader::new(file_of(&content), Some(start..end)), at_most).await;
                assert_eq!(read, content[start as usize..end.min(256) as usize], "{start}..{end} by {at_most}");
            }
        }
    }

    #[test]
    fn whoever_waits_reads_the_same() {
        let content: Vec<u8> = (0..=255).collect();
        for (at, wanted) in [(0, 256), (0, 1_000), (100, 10), (256, 10), (300, 10)] {
            let file = file_of(&content);
            let waited = read_waiting(&file, at, wanted).unwrap();
            let until = content.len().min(at as usize + wanted);
            assert_eq!(waited, content.get(at as usize..until).unwrap_or_default());
            if let Some(cached) = read_cached(&file, at, wanted) {
                assert!(waited.starts_with(&cached) && cached.is_empty() == waited.is_empty());
            }
        }
    }
}
