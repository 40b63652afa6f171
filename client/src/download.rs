//! Downloads that resume and are checked.
//!
//! Promises: what has the name that was asked for has the digest that the store named; a download that was cut goes
//! on where it was, in this process or in another one, and never mixes bytes of two versions. Refuses to leave a file
//! whose digest is another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use linkgate_contract::{ModuleRef, PackageId, Sha256};
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName};
use reqwest::{Method, Response, StatusCode};
use sha2::Digest as _;
use tokio::time::timeout;

use crate::call::Call;
use crate::client::{Client, SILENCE};
use crate::error::Error;
use crate::retry::Repeatable;

const CHECKSUM: HeaderName = HeaderName::from_static("x-checksum-sha256");
/// What is written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// What a download will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadHead {
    /// The digest of all bytes.
    pub sha256: Sha256,
    /// How many there are.
    pub bytes: u64,
    /// Under which name to store it: safe in a folder.
    pub file_name: String,
}

/// A download that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The digest, checked.
    pub sha256: Sha256,
    /// All bytes.
    pub bytes: u64,
    /// How many of them were there from a download that was cut.
    pub resumed_from: u64,
}

impl Client {
    /// What a download would be, without its bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn head_download(&self, module: &ModuleRef, id: PackageId) -> Result<DownloadHead, Error> {
        let response = self.send(&Call::new(Method::HEAD, module, format!("{id}/download/"))).await?;
        let headers = response.headers();
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let head = (|| {
            let sha256 = text(&CHECKSUM)?.parse().ok()?;
            let bytes = text(&CONTENT_LENGTH)?.parse().ok()?;
            let file_name =
                text(&CONTENT_DISPOSITION).and_then(read_file_name).unwrap_or_else(|| format!("package-{id}"));
            Some(DownloadHead { sha256, bytes, file_name })
        })();
        head.ok_or_else(|| self.not_ours("a download without a length or a digest".to_owned()))
    }

    /// Downloads to a file, by way of [`part_path`](DownloadHead::part_path), from which it resumes. `progress` is
    /// told how many bytes are there.
    ///
    /// # Errors
    /// See [`Error`]. The part stays for the next time, unless its digest is another.
    pub async fn pull_to_file(
        &self,
        module: &ModuleRef,
        id: PackageId,
        head: &DownloadHead,
        path: &Path,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Pulled, Error> {
        let part = head.part_path(path);
        let failed = |source| Error::file("write", &part, source);
        let (file, mut sink) = open_part(&part, head).map_err(failed)?;
        let resumed_from = sink.position;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        let outcome = self.pull(module, id, head, &mut sink, &mut writer, progress).await;
        // What has come is of use the next time, also after a failure.
        let flushed = writer.flush();
        let sha256 = match outcome.and_then(|()| sink.finish(head)) {
            Err(error @ Error::DigestMismatch { .. }) => {
                fs::remove_file(&part).map_err(failed)?;
                return Err(error);
            }
            other => other?,
        };
        flushed.and_then(|()| writer.get_ref().sync_all()).map_err(failed)?;
        fs::rename(&part, path).map_err(|source| Error::file("write", path, source))?;
        Ok(Pulled { sha256, bytes: head.bytes, resumed_from })
    }

    /// Downloads into a writer, which has got bytes that count for nothing if this fails.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pull_to_writer(
        &self,
        module: &ModuleRef,
        id: PackageId,
        head: &DownloadHead,
        writer: &mut (dyn Write + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Pulled, Error> {
        let mut sink = Hashed::default();
        self.pull(module, id, head, &mut sink, writer, progress).await?;
        let sha256 = sink.finish(head)?;
        writer.flush().map_err(|source| Error::file("write", Path::new("standard output"), source))?;
        Ok(Pulled { sha256, bytes: head.bytes, resumed_from: 0 })
    }

    /// Asks for the rest until all is there. An attempt that brought something is followed by a fresh one.
    async fn pull(
        &self,
        module: &ModuleRef,
        id: PackageId,
        head: &DownloadHead,
        sink: &mut Hashed,
        writer: &mut (dyn Write + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Error> {
        let mut sent = 0;
        progress(sink.position);
        while sink.position < head.bytes {
            let before = sink.position;
            let Err(error) = self.pull_once(module, id, head, sink, writer, progress).await else { continue };
            if sink.position > before {
                sent = 0;
            }
            self.pause_or_fail(error, Repeatable::Always, &mut sent).await?;
        }
        Ok(())
    }

    async fn pull_once(
        &self,
        module: &ModuleRef,
        id: PackageId,
        head: &DownloadHead,
        sink: &mut Hashed,
        writer: &mut (dyn Write + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Error> {
        let from = sink.position;
        let call = Call::get(module, format!("{id}/download/"))
            .header("if-match", Some(&format!("\"{}\"", head.sha256)))?
            .header("range", (from > 0).then(|| format!("bytes={from}-")).as_deref())?;
        let mut response = match self.send_once(&call).await {
            Err(Error::Refused(refusal)) if refusal.status == 412 => return Err(Error::Overwritten),
            other => other?,
        };
        self.check_range(&response, from, head)?;
        loop {
            let piece = timeout(SILENCE, response.chunk()).await.map_err(|_| self.timed_out(SILENCE))?;
            let Some(piece) = piece.map_err(|error| Error::of_transport(error, self.host()))? else { break };
            if sink.position + piece.len() as u64 > head.bytes {
                return Err(self.not_ours("more bytes than it announced".to_owned()));
            }
            writer.write_all(&piece).map_err(|source| Error::file("write", Path::new("the download"), source))?;
            sink.take(&piece);
            progress(sink.position);
        }
        if sink.position == head.bytes {
            return Ok(());
        }
        let reason = format!("{} of {} bytes have come", sink.position, head.bytes);
        Err(Error::BrokenOff { host: self.host().to_owned(), reason })
    }

    /// Whether the reply begins where the file ends.
    fn check_range(&self, response: &Response, from: u64, head: &DownloadHead) -> Result<(), Error> {
        let is_right = if from == 0 {
            response.status() == StatusCode::OK
        } else {
            response.status() == StatusCode::PARTIAL_CONTENT && begins_at(response.headers(), from, head.bytes)
        };
        if is_right { Ok(()) } else { Err(self.not_ours(format!("another range than that from byte {from} on"))) }
    }
}

fn begins_at(headers: &HeaderMap, from: u64, bytes: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range == Some(&format!("bytes {from}-{}/{bytes}", bytes - 1))
}

impl DownloadHead {
    /// Where the bytes are until all have come: beside the file, and named by the digest, so that the bytes of two
    /// versions never meet.
    #[must_use]
    pub fn part_path(&self, path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.part", &self.sha256.to_string()[..16]));
        path.with_file_name(name)
    }
}

/// How far a download is, and the digest of what is there.
#[derive(Default)]
struct Hashed {
    hash: sha2::Sha256,
    position: u64,
}

impl Hashed {
    fn take(&mut self, piece: &[u8]) {
        self.hash.update(piece);
        self.position += piece.len() as u64;
    }

    fn finish(self, head: &DownloadHead) -> Result<Sha256, Error> {
        let got = Sha256::from_bytes(self.hash.finalize().into());
        if got == head.sha256 { Ok(got) } else { Err(Error::DigestMismatch { expected: head.sha256, got }) }
    }
}

/// Opens the part of a download that was cut, and hashes what is in it. One that has more bytes than the package
/// begins anew.
fn open_part(part: &Path, head: &DownloadHead) -> io::Result<(File, Hashed)> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part)?;
    let mut sink = Hashed::default();
    if file.metadata()?.len() > head.bytes {
        file.set_len(0)?;
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => sink.take(&buffer[..read]),
        }
    }
    file.seek(SeekFrom::Start(sink.position))?;
    Ok((file, sink))
}

/// The plain `filename` of a `Content-Disposition`, if it is safe as the name of a file.
fn read_file_name(disposition: &str) -> Option<String> {
    let (_, rest) = disposition.split_once("filename=\"")?;
    let (name, _) = rest.split_once('"')?;
    let is_safe = !name.is_empty()
        && !name.starts_with('.')
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | ':'));
    is_safe.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_the_name_that_the_store_gives_unless_it_leads_elsewhere() {
        let name = |text: &str| read_file_name(&format!("attachment; filename=\"{text}\"; filename*=UTF-8''x"));
        assert_eq!(name("example-1.0.tar.gz").as_deref(), Some("example-1.0.tar.gz"));
        for bad in ["", ".", "..", ".bashrc", "../a", "a/b", "a\\b", "C:a", "a\u{7}"] {
            assert_eq!(name(bad), None, "{bad}");
        }
        assert_eq!(read_file_name("attachment"), None);
    }

    #[test]
    fn parts_of_two_versions_have_two_names() {
        let head = |byte| DownloadHead { sha256: Sha256::from_bytes([byte; 32]), bytes: 1, file_name: String::new() };
        let path = Path::new("/tmp/x/app.tgz");
        assert_eq!(head(1).part_path(path), Path::new("/tmp/x/app.tgz.0101010101010101.part"));
        assert_ne!(head(1).part_path(path), head(2).part_path(path));
    }
}
