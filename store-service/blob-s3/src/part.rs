//! One part of an upload, in memory or in a file.
//!
//! Promises: takes no more bytes than it has place for; a file of a part has no name, so nothing is left of it whatever happens.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use linkgate_store_core::block::{BLOCK_BYTES, Block};
use linkgate_store_core::ingest::ports::BlobError;
use object_store::PutPayload;

use super::budget::{Budget, Taken};

/// So many bytes are tried.
const TRIED: usize = 64 << 10;

/// A part that is being filled or sent.
pub(crate) struct Part {
    content: Content,
    len: usize,
    capacity: usize,
}

enum Content {
    Memory { pieces: Vec<Bytes>, taken: Taken },
    File(Arc<File>),
}

impl Part {
    /// An empty one with place for so many bytes.
    pub(crate) async fn begin(budget: &Budget, temp_dir: &Path, capacity: usize) -> Result<Self, BlobError> {
        let content = match budget.try_take(capacity) {
            Some(taken) => Content::Memory { pieces: Vec::new(), taken },
            None => Content::File(temp_file(temp_dir).await?),
        };
        Ok(Self { content, len: 0, capacity })
    }

    /// Makes place for so many bytes in all. What finds none in memory any more goes into a file.
    pub(crate) async fn grow(&mut self, budget: &Budget, temp_dir: &Path, capacity: usize) -> Result<(), BlobError> {
        if let Content::Memory { pieces, taken } = &mut self.content
            && !taken.extend(budget, capacity.saturating_sub(self.capacity))
        {
            let (file, pieces) = (temp_file(temp_dir).await?, std::mem::take(pieces));
            let into = Arc::clone(&file);
            on_own_disk("writing a part", move || pieces.iter().try_for_each(|piece| (&*into).write_all(piece)))
                .await?;
            self.content = Content::File(file);
        }
        self.capacity = capacity;
        Ok(())
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    /// Takes as many bytes as there is place for.
    pub(crate) async fn fill(&mut self, bytes: &mut Bytes) -> Result<(), BlobError> {
        let piece = bytes.split_to(bytes.len().min(self.capacity - self.len));
        self.len += piece.len();
        match &mut self.content {
            Content::Memory { pieces, .. } => pieces.push(piece),
            Content::File(file) => {
                let file = Arc::clone(file);
                on_own_disk("writing a part", move || (&*file).write_all(&piece)).await?;
            }
        }
        Ok(())
    }

    /// All of it in memory, and what it takes of that.
    pub(crate) async fn into_payload(self, budget: &Budget) -> Result<(PutPayload, Taken), BlobError> {
        let file = match self.content {
            Content::Memory { pieces, taken } => return Ok((pieces.into_iter().collect(), taken)),
            Content::File(file) => file,
        };
        let taken = budget.take_to_send(self.len).await?;
        let pieces = on_own_disk("reading a part", move || read_back(&file, self.len)).await?;
        Ok((pieces.into_iter().collect(), taken))
    }
}

/// One that is gone with whoever has it open.
async fn temp_file(dir: &Path) -> Result<Arc<File>, BlobError> {
    let dir = dir.to_owned();
    on_own_disk("making a temporary file", move || tempfile::tempfile_in(dir)).await.map(Arc::new)
}

fn read_back(mut file: &File, len: usize) -> std::io::Result<Vec<Bytes>> {
    file.seek(SeekFrom::Start(0))?;
    (0..len)
        .step_by(BLOCK_BYTES)
        .map(|at| {
            // Less than a block counts as its bytes, so it must not hold a whole one.
            if len - at < BLOCK_BYTES {
                let mut rest = vec![0; len - at];
                file.read_exact_at(&mut rest, at as u64)?;
                return Ok(Bytes::from(rest));
            }
            let mut block = Block::take();
            block.fill_by(|into| file.read_exact_at(into, at as u64))?;
            Ok(block.freeze())
        })
        .collect()
}

/// Tries that a part would find place in a file.
pub(crate) async fn try_file(temp_dir: &Path) -> Result<(), BlobError> {
    let file = temp_file(temp_dir).await?;
    on_own_disk("writing a part", move || (&*file).write_all(&[0; TRIED])).await
}

/// Whatever is wrong with this store's own disk, the bucket is well, and so may be other stores: it is for now.
async fn on_own_disk<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    blocking(doing, work).await.map_err(|e| BlobError::Unavailable(e.into()))
}

/// Runs what waits for the disk where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| BlobError::WriterGone)?;
    done.map_err(|e| BlobError::from_io(doing, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Memory;

    #[tokio::test]
    async fn a_part_is_the_same_in_memory_and_in_a_file_of_which_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let budget = Budget::new(&Memory { bytes: 32 << 20, ..Memory::with_temp_dir(dir.path().to_owned()) });
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut payloads = Vec::new();
        let mut held = Vec::new();
        for is_in_memory in [true, false] {
            let mut part = Part::begin(&budget, dir.path(), sent.len()).await.unwrap();
            assert_eq!(matches!(part.content, Content::Memory { .. }), is_in_memory);
            let mut bytes = Bytes::from(sent.clone());
            let mut rest = bytes.split_off(1_234_567);
            part.fill(&mut bytes).await.unwrap();
            assert!(!part.is_full());
            rest = [&rest[..], b"more"].concat().into();
            part.fill(&mut rest).await.unwrap();
            assert!(part.is_full() && &rest[..] == b"more", "there is no place for it");
            let (payload, taken) = part.into_payload(&budget).await.unwrap();
            payloads.push(payload.iter().flatten().copied().collect::<Vec<u8>>());
            held.push(taken);
            held.extend(std::iter::from_fn(|| budget.try_take(1 << 20)));
        }
        assert!(payloads == [sent.clone(), sent]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_part_grows_in_memory_as_long_as_there_is_some_and_then_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let budget = Budget::new(&Memory { bytes: 32 << 20, ..Memory::with_temp_dir(dir.path().to_owned()) });
        let mut part = Part::begin(&budget, dir.path(), 2).await.unwrap();
        part.fill(&mut Bytes::from_static(b"ab")).await.unwrap();
        let before = budget.free_kib();
        part.grow(&budget, dir.path(), 4).await.unwrap();
        assert_eq!(budget.free_kib(), before - 1);
        assert!(!part.is_full() && matches!(part.content, Content::Memory { .. }));
        part.fill(&mut Bytes::from_static(b"cd")).await.unwrap();
        part.grow(&budget, dir.path(), 64 << 20).await.unwrap();
        assert!(matches!(part.content, Content::File(_)));
        assert_eq!(budget.free_kib(), 32 << 10, "it has given back what it had");
        part.fill(&mut Bytes::from_static(b"ef")).await.unwrap();
        let (payload, _taken) = part.into_payload(&budget).await.unwrap();
        assert_eq!(payload.iter().flatten().copied().collect::<Vec<u8>>(), b"abcdef");
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_told() {
        let budget = Budget::new(&Memory::with_temp_dir("/nowhere".into()));
        let _all: Vec<_> = std::iter::from_fn(|| budget.try_take(1 << 20)).collect();
        let refused = Part::begin(&budget, Path::new("/nowhere"), 1).await;
        assert!(matches!(refused, Err(BlobError::Unavailable(_))));
        assert!(try_file(Path::new("/nowhere")).await.is_err());
        try_file(&std::env::temp_dir()).await.unwrap();
    }
}
