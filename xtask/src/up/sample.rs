//! The origin of the demo: a small package, packed the same way every time, and a server for it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use super::login::{self, Login};
use crate::error::{Outcome, Trying};

/// The folder under `samples/`, and the name of the archive.
const NAME: &str = "example";
const PATH: &str = "/generic/example.tar.gz";
/// A request line and headers longer than this are not meant for us.
const HEAD_BYTES: u64 = 16 << 10;

/// A query that holds the second half of the package back for so long.
const PAUSE: &str = "pause_ms=";
const LONGEST_PAUSE_MS: u64 = 60_000;

/// The package that is served.
pub struct Sample {
    /// Where it is.
    pub url: String,
    /// Its size.
    pub bytes: usize,
    /// Its SHA-256, computed here.
    pub sha256: String,
}

impl Sample {
    /// What a sample at this `host:port` must be.
    pub fn at(authority: &str, archive: &[u8]) -> Self {
        Self {
            url: format!("http://{authority}{PATH}"),
            bytes: archive.len(),
            sha256: hex::encode(Sha256::digest(archive)),
        }
    }

    /// Packs the sample and serves it until the process ends, and beside it the login of the demo.
    pub fn serve(samples: &Path, listener: TcpListener, login: Login) -> Outcome<Self> {
        let archive = pack_sample(samples)?;
        let port = listener.local_addr().trying(|| "ask for the sample's port".to_owned())?.port();
        let sample = Self::at(&format!("127.0.0.1:{port}"), &archive);
        let accept = move || serve(&listener, &archive, Some(&login));
        thread::Builder::new().name("sample".to_owned()).spawn(accept).trying(|| "start a thread".to_owned())?;
        Ok(sample)
    }
}

/// Serves the package for as long as the listener is there, several requests at a time.
pub fn serve(listener: &TcpListener, archive: &[u8], login: Option<&Login>) {
    thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            // The other side sees a broken connection; nobody else needs to know.
            scope.spawn(move || serve_request(&stream, archive, login).ok());
        }
    });
}

/// The sample as an archive: of the folder `example` in this one.
pub fn pack_sample(samples: &Path) -> Outcome<Vec<u8>> {
    pack_folder(&samples.join(NAME))
}

/// A tar.gz of the folder's files, sorted, without times or owners.
fn pack_folder(folder: &Path) -> Outcome<Vec<u8>> {
    let packing = || format!("pack {}", folder.display());
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .trying(packing)?;
    files.sort();
    let mut archive = tar::Builder::new(GzBuilder::new().write(Vec::new(), Compression::best()));
    for file in files {
        let content = fs::read(&file).trying(packing)?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        let name = Path::new(NAME).join(file.file_name().unwrap_or_default());
        archive.append_data(&mut header, name, content.as_slice()).trying(packing)?;
    }
    archive.into_inner().and_then(|gzip| gzip.finish()).trying(packing)
}

fn serve_request(stream: &TcpStream, archive: &[u8], login: Option<&Login>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut lines = BufReader::new(stream.take(HEAD_BYTES)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The rest of the head is read, or closing the connection would cut off the answer.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (method, target) = request.split_once(' ').unwrap_or_default();
    let target = target.split(' ').next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let signed_in = login.filter(|_| (method, path) == ("GET", login::PATH)).map(|login| login.answer(query));
    let (status, headers, body) = match (method, path, &signed_in) {
        (_, _, Some(answer)) => (answer.status, answer.headers.as_str(), answer.body),
        ("GET" | "HEAD", PATH, None) => ("200 OK", "", archive),
        ("GET" | "HEAD", _, None) => ("404 Not Found", "", &b"no such package\n"[..]),
        _ => ("405 Method Not Allowed", "", &b"GET or HEAD\n"[..]),
    };
    let length = body.len();
    let media_type = if signed_in.is_some() { "text/plain" } else { "application/octet-stream" };
    let mut out = stream;
    write!(
        out,
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    if method == "HEAD" {
        return out.flush();
    }
    let (first, second) = body.split_at(length / 2);
    out.write_all(first)?;
    out.flush()?;
    if let Some(ms) = query.strip_prefix(PAUSE).and_then(|ms| ms.parse::<u64>().ok()) {
        thread::sleep(Duration::from_millis(ms.min(LONGEST_PAUSE_MS)));
    }
    out.write_all(second)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    fn samples() -> PathBuf {
        crate::workspace::root_of_tests().join("samples")
    }

    #[test]
    fn the_archive_is_the_same_every_time_and_holds_the_files() {
        let archive = pack_sample(&samples()).unwrap();
        assert_eq!(archive, pack_sample(&samples()).unwrap());
        let mut reader = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()));
        let names: Vec<_> = reader.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, ["example/README.md", "example/app_desc.yaml", "example/main.py"].map(PathBuf::from));
    }

    #[test]
    fn only_the_package_is_served() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let credentials = crate::up::demo::Credentials { secret: "s".into(), ticket: "t".into() };
        let sample = Sample::serve(&samples(), listener, Login::new(&credentials, "http", 1).unwrap()).unwrap();
        assert_eq!(sample.url, format!("http://127.0.0.1:{port}/generic/example.tar.gz"));
        let begun = std::time::Instant::now();
        assert_eq!(http::get(port, &format!("{PATH}?{PAUSE}0")).unwrap().status, 200);
        assert_eq!(http::get(port, &format!("{PATH}?{PAUSE}50")).unwrap().status, 200);
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert_eq!(http::get(port, "/generic/other.tar.gz").unwrap().status, 404);
        assert_eq!(http::post(port, PATH, &[], "{}").unwrap().status, 405);
        assert_eq!(http::get(port, login::PATH).unwrap().status, 403, "nobody signs in without the link");
    }
}
