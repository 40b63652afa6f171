//! A source on this machine that does what a test asks, also what no HTTP server would.
//!
//! It speaks no TLS: a client that begins to is answered in plain text, as by a web server on the wrong port.

mod ranged;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use ranged::RangedFile;

use crate::wait::Record;

/// Some bytes of a body, maybe the same as elsewhere in it.
pub type Piece = Arc<[u8]>;

/// What the source does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers 200 with a `Content-Length`.
    Bytes(Vec<u8>),
    /// Answers 200 in chunks of this many bytes, without a `Content-Length`.
    Chunked(Vec<u8>, usize),
    /// Answers 200 with neither; the body ends when the connection does.
    UntilClose(Vec<u8>),
    /// Answers 200 with a `Content-Length` and these pieces in order, and rests so long after each. They may share bytes, so
    /// nobody holds all of them in memory.
    Pieces(Arc<[Piece]>, Duration),
    /// Answers with this status and a small page.
    Status(u16),
    /// Answers with this status and this `Location`.
    Redirect(u16, String),
    /// Takes the request and says nothing.
    StallBeforeHead,
    /// Sends all but the last byte of a body and then nothing.
    StallInBody(Vec<u8>),
    /// Says that the body has this many bytes, sends these and closes.
    Announce(u64, Vec<u8>),
    /// Sends a chunk and closes without the last one.
    BrokenChunks(Vec<u8>),
    /// Never stops sending.
    Endless,
    /// Sends the first, then the second again and again without an end.
    Repeats(Vec<u8>, Vec<u8>),
    /// Sends exactly this, one byte in each pause.
    DripRaw(Vec<u8>, Duration),
    /// Answers 200 with this `Content-Encoding`.
    Encoded(&'static str, Vec<u8>),
    /// Sends a byte, pauses, sends a byte, …
    Drip(Vec<u8>, Duration),
    /// Sends half, waits for [`FakeSource::release`], sends the rest.
    Held(Vec<u8>),
    /// Sends exactly this and closes.
    Raw(Vec<u8>),
    /// Sends exactly this and resets the connection, as a source that dies does.
    Reset(Vec<u8>),
    /// A file with validators, of which parts can be asked for.
    Ranged(RangedFile),
    /// Does something else at each request for the path; the last one stays.
    Turns(Vec<Behaviour>),
}

/// A source. Stops when dropped.
pub struct FakeSource {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behaviour: Behaviour,
    paths: Mutex<HashMap<String, Behaviour>>,
    turns: Mutex<HashMap<String, usize>>,
    requests: Record<String>,
    at_once: AtOnce,
    released: watch::Sender<bool>,
}

impl FakeSource {
    /// Serves these bytes with a `Content-Length`.
    pub async fn serving(bytes: impl Into<Vec<u8>>) -> Self {
        Self::start(Behaviour::Bytes(bytes.into())).await
    }

    /// Behaves like this on every path that has no behaviour of its own.
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::start_at("127.0.0.1:0", behaviour).await
    }

    /// The same at this address of this machine.
    pub async fn start_at(address: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behaviour,
            paths: Mutex::default(),
            turns: Mutex::default(),
            requests: Record::default(),
            at_once: AtOnce::default(),
            released: watch::Sender::new(false),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Behaves differently on one path.
    pub fn on(&self, path: &str, behaviour: Behaviour) {
        self.shared.paths.lock().unwrap().insert(path.to_owned(), behaviour);
    }

    /// `127.0.0.1:port`, as an allow-list has it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A link to `example.tar.gz`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("/generic/example.tar.gz")
    }

    /// A link to any path.
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.all()
    }

    /// How many requests it was answering at the same time, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.shared.at_once.most.load(Ordering::Relaxed)
    }

    /// Waits until that many requests have come.
    pub async fn wait_for_requests(&self, count: usize) {
        self.shared.requests.wait_for("the requests", |seen| seen.len() >= count).await;
    }

    /// Lets every [`Behaviour::Held`] go on, now and later.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for FakeSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // The reader may go away at any time; that is its right.
        tokio::spawn(async move { drop(serve(stream, &shared).await) });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let own = shared.paths.lock().unwrap().get(&path).cloned();
    shared.requests.push(head.clone());
    let _answering = shared.at_once.begin();
    let behaviour = match own.as_ref().unwrap_or(&shared.behaviour) {
        Behaviour::Turns(turns) => &turns[shared.turn(&path).min(turns.len() - 1)],
        same => same,
    };
    if let Behaviour::Ranged(file) = behaviour {
        file.play(&mut stream, &head).await?;
    } else {
        play(&mut stream, behaviour, shared).await?;
    }
    stream.shutdown().await
}

/// Counts what goes on at the same time.
#[derive(Default)]
struct AtOnce {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl AtOnce {
    fn begin(&self) -> Answering<'_> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        Answering(self)
    }
}

/// Ends when dropped.
struct Answering<'a>(&'a AtOnce);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// How many requests for this path there were before.
    fn turn(&self, path: &str) -> usize {
        let mut turns = self.turns.lock().unwrap();
        let next = turns.entry(path.to_owned()).or_default();
        std::mem::replace(next, *next + 1)
    }
}

/// The first byte of every TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        if head == [TLS_HANDSHAKE] {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

async fn play(stream: &mut TcpStream, behaviour: &Behaviour, shared: &Shared) -> std::io::Result<()> {
    match behaviour {
        Behaviour::Bytes(body) => whole(stream, 200, "", body).await,
        Behaviour::Status(status) => whole(stream, *status, "", b"<html>a page</html>").await,
        Behaviour::Redirect(status, to) => whole(stream, *status, &format!("location: {to}\r\n"), b"").await,
        Behaviour::Encoded(encoding, body) => {
            whole(stream, 200, &format!("content-encoding: {encoding}\r\n"), body).await
        }
        Behaviour::Raw(bytes) => stream.write_all(bytes).await,
        Behaviour::Reset(bytes) => {
            stream.write_all(bytes).await?;
            // Time for the reader to take them; a reset throws away what waits on its side.
            tokio::time::sleep(Duration::from_millis(100)).await;
            reset(stream)
        }
        Behaviour::Ranged(_) | Behaviour::Turns(_) => panic!("turns do not nest"),
        Behaviour::Announce(len, body) => announce(stream, *len, body).await,
        Behaviour::StallBeforeHead => std::future::pending().await,
        Behaviour::StallInBody(body) => {
            announce(stream, body.len() as u64 + 1, body).await?;
            std::future::pending().await
        }
        Behaviour::UntilClose(body) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            stream.write_all(body).await
        }
        Behaviour::Chunked(body, size) => {
            chunks(stream, body, *size).await?;
            stream.write_all(b"0\r\n\r\n").await
        }
        Behaviour::BrokenChunks(body) => chunks(stream, body, body.len().max(1)).await,
        Behaviour::Pieces(pieces, pause) => send_pieces(stream, pieces, *pause).await,
        Behaviour::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 65_536]).await?;
            }
        }
        Behaviour::Repeats(first, piece) => {
            stream.write_all(first).await?;
            let pieces = piece.repeat(65_536_usize.div_ceil(piece.len()));
            loop {
                stream.write_all(&pieces).await?;
            }
        }
        Behaviour::Drip(body, pause) => {
            announce(stream, body.len() as u64, b"").await?;
            drip(stream, body, *pause).await
        }
        Behaviour::DripRaw(bytes, pause) => drip(stream, bytes, *pause).await,
        Behaviour::Held(body) => {
            let (first, rest) = body.split_at(body.len() / 2);
            announce(stream, body.len() as u64, first).await?;
            let mut released = shared.released.subscribe();
            // An error means that the source was dropped while it held.
            drop(released.wait_for(|go| *go).await);
            stream.write_all(rest).await
        }
    }
}

async fn whole(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} Any\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

async fn announce(stream: &mut TcpStream, len: u64, body: &[u8]) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n").as_bytes()).await?;
    stream.write_all(body).await
}

/// Ends it with a reset, and with an error, so that nobody says goodbye first: a reset that follows a goodbye is not seen.
fn reset(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_zero_linger()?;
    Err(std::io::ErrorKind::ConnectionReset.into())
}

async fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in bytes {
        tokio::time::sleep(pause).await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

async fn chunks(stream: &mut TcpStream, body: &[u8], size: usize) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    for chunk in body.chunks(size) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        stream.write_all(chunk).await?;
        stream.write_all(b"\r\n").await?;
    }
    Ok(())
}

async fn send_pieces(stream: &mut TcpStream, pieces: &[Piece], pause: Duration) -> std::io::Result<()> {
    announce(stream, pieces.iter().map(|piece| piece.len() as u64).sum(), b"").await?;
    for piece in pieces {
        stream.write_all(piece).await?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}
