//! A file as the body of a request: read, hashed and sent at the same time.
//!
//! Promises: never holds more than a few pieces; the digest is of the very bytes that went into the request.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use linkgate_contract::Sha256;
use reqwest::Body;
use sha2::Digest as _;
use tokio::sync::mpsc;

use crate::error::Error;

/// Large enough for a disk, small enough for a pipe.
const PIECE_BYTES: usize = 256 << 10;
/// How many pieces are read ahead of the network.
const AHEAD: usize = 4;

/// Is told how many bytes of an attempt were sent so far.
pub(crate) type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Where the bytes of an upload are.
pub enum FileSource {
    /// A file, which is read anew for each attempt.
    Path(PathBuf),
    /// What can be read once, as standard input. Such an upload is not repeated.
    Reader(Mutex<Option<Box<dyn Read + Send>>>),
}

impl FileSource {
    /// What can be read once.
    #[must_use]
    pub fn reader(reader: impl Read + Send + 'static) -> Self {
        Self::Reader(Mutex::new(Some(Box::new(reader))))
    }

    /// The bytes that will come, where that is known.
    pub(crate) fn length(&self) -> Result<Option<u64>, Error> {
        let Self::Path(path) = self else { return Ok(None) };
        let found = std::fs::metadata(path).map_err(|source| Error::file("read", path, source))?;
        if found.is_dir() {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(Error::file("send", path, source));
        }
        // A pipe or a device has no length that counts.
        Ok(found.is_file().then_some(found.len()))
    }

    /// Whether it can be read more than once.
    pub(crate) fn is_repeatable(&self) -> bool {
        matches!(self, Self::Path(path) if path.is_file())
    }

    fn open(&self) -> Result<(Box<dyn Read + Send>, PathBuf), Error> {
        match self {
            Self::Path(path) => {
                let file = File::open(path).map_err(|source| Error::file("read", path, source))?;
                Ok((Box::new(file), path.clone()))
            }
            Self::Reader(reader) => {
                let taken = reader.lock().unwrap_or_else(PoisonError::into_inner).take();
                let reader = taken.ok_or_else(|| Error::Setting("the input was read already".to_owned()))?;
                Ok((reader, Path::new("standard input").to_owned()))
            }
        }
    }
}

/// What becomes of the bytes of one attempt.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Outcome>>);

#[derive(Default)]
struct Outcome {
    digest: Option<Sha256>,
    failure: Option<Error>,
}

impl Sent {
    fn set(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The digest of all bytes, if all were read.
    pub(crate) fn digest(&self) -> Option<Sha256> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).digest
    }

    /// Why the file could not be read, if that is what ended the request.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failure.take()
    }
}

/// Begins to read a file for one attempt. What becomes of it is found in `sent`.
pub(crate) fn make_body(source: &FileSource, sent: &Sent, progress: Option<Progress>) -> Result<Body, Error> {
    let (reader, path) = source.open()?;
    let (pieces, mut coming) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let sent = sent.clone();
    sent.set(|outcome| *outcome = Outcome::default());
    tokio::task::spawn_blocking(move || read_pieces(reader, &path, &pieces, &sent));
    let mut passed = 0;
    let stream = stream::poll_fn(move |context| {
        let polled = coming.poll_recv(context);
        if let (std::task::Poll::Ready(Some(Ok(piece))), Some(progress)) = (&polled, &progress) {
            passed += piece.len() as u64;
            progress(passed);
        }
        polled
    });
    Ok(Body::wrap_stream(stream))
}

/// The last piece goes out once the digest is there: who reads the reply finds it.
fn read_pieces(mut reader: Box<dyn Read + Send>, path: &Path, pieces: &mpsc::Sender<io::Result<Bytes>>, sent: &Sent) {
    let mut hash = sha2::Sha256::new();
    let mut waiting = None;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        match fill(&mut reader, &mut piece) {
            Ok(0) => {
                sent.set(|outcome| outcome.digest = Some(Sha256::from_bytes(hash.finalize().into())));
                let _sent = waiting.map(|last| pieces.blocking_send(Ok(last)));
                break;
            }
            Ok(read) => {
                piece.truncate(read);
                hash.update(&piece);
                let before = waiting.replace(piece.into());
                // Nobody takes it any more: the request has ended.
                if before.is_some_and(|before| pieces.blocking_send(Ok(before)).is_err()) {
                    break;
                }
            }
            Err(error) => {
                let kind = error.kind();
                sent.set(|outcome| outcome.failure = Some(Error::file("read", path, error)));
                let _ended = pieces.blocking_send(Err(kind.into()));
                break;
            }
        }
    }
}

/// Reads until the piece is full or the input has ended.
fn fill(reader: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match reader.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
