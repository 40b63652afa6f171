//! The least that anybody must do to take a package in: receive it, hash it, write it. Nothing is judged, recorded or tried
//! again.
//!
//! It is this program once more, in a process of its own, so that its processor time is its own, too.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use linkgate_tests::measure::cpu_time;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use url::Url;

use crate::Package;
use crate::report::Measured;

const FLAG: &str = "--minimum";
const BUFFER_BYTES: usize = 256 << 10;
/// Buffers between two threads.
const BUFFERS: usize = 4;

/// How many threads share the work: with two, one hashes while the other receives and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    One,
    Two,
}

impl Threads {
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "the minimum, one thread",
            Self::Two => "the minimum, two threads",
        }
    }

    /// Runs it and checks the hash.
    pub async fn take_in(self, root: &Path, syncs: bool, package: &Package) -> Measured {
        let dir = tempfile::tempdir_in(root).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([FLAG, if self == Self::One { "1" } else { "2" }, if syncs { "sync" } else { "" }]);
        command.arg(package.url()).arg(dir.path().join("package")).args(package.authority_file());
        let run = move || {
            let begun = Instant::now();
            let output = command.output().unwrap();
            (begun.elapsed(), output)
        };
        let (took, output) = tokio::task::spawn_blocking(run).await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (sha256, cpu_ms) = said.trim().split_once(' ').unwrap_or_else(|| panic!("{said:?}"));
        assert_eq!(sha256, package.sha256, "the minimum got other bytes");
        Measured { took, cpu: Duration::from_millis(cpu_ms.parse().unwrap()), peak_kib: None }
    }
}

/// In the process that is the minimum: does the work and tells hash and processor time.
pub fn run_if_asked() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [flag, threads, sync, url, file, authority @ ..] = &args[..] else { return false };
    if flag != FLAG {
        return false;
    }
    let (mut source, mut file) = (open(&Url::parse(url).unwrap(), authority.first()), File::create(file).unwrap());
    let sha256 = if threads == "1" { copy(&mut source, &mut file) } else { copy_with_two(&mut source, &mut file) };
    if sync == "sync" {
        file.sync_all().unwrap();
    }
    println!("{sha256} {}", cpu_time(std::process::id()).as_millis());
    true
}

fn copy(source: &mut impl Read, file: &mut File) -> String {
    let (mut hash, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER_BYTES]);
    loop {
        let bytes = match source.read(&mut buffer).unwrap() {
            0 => return hex::encode(hash.finish()),
            count => &buffer[..count],
        };
        hash.update(bytes);
        file.write_all(bytes).unwrap();
    }
}

fn copy_with_two(source: &mut impl Read, file: &mut File) -> String {
    let (to_hash, received) = sync_channel::<(Arc<Vec<u8>>, usize)>(BUFFERS);
    let free = Mutex::new(vec![vec![0; BUFFER_BYTES]; BUFFERS]);
    thread::scope(|scope| {
        let hasher = scope.spawn(|| {
            let mut hash = Context::new(&SHA256);
            for (buffer, count) in received {
                hash.update(&buffer[..count]);
                if let Some(buffer) = Arc::into_inner(buffer) {
                    free.lock().unwrap().push(buffer);
                }
            }
            hex::encode(hash.finish())
        });
        loop {
            let mut buffer = free.lock().unwrap().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES]);
            let count = source.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            let buffer = Arc::new(buffer);
            to_hash.send((Arc::clone(&buffer), count)).unwrap();
            file.write_all(&buffer[..count]).unwrap();
            if let Some(buffer) = Arc::into_inner(buffer) {
                free.lock().unwrap().push(buffer);
            }
        }
        drop(to_hash);
        hasher.join().unwrap()
    })
}

/// The body that a link leads to.
fn open(url: &Url, authority: Option<&String>) -> impl Read + use<> {
    let (host, port) = (url.host_str().unwrap(), url.port_or_known_default().unwrap());
    let stream = TcpStream::connect((host, port)).unwrap();
    let mut stream: Box<dyn Stream> = match authority {
        Some(file) => Box::new(tls(host, stream, Path::new(file))),
        None => Box::new(stream),
    };
    write!(stream, "GET {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n", url.path()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    stream.take(length.parse().unwrap())
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Trusts this authority alone.
fn tls(host: &str, stream: TcpStream, authority: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let config =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}
