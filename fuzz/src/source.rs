//! A source that answers as an input says, and the download that it gives.
//!
//! An input is text. A first line `size N` is the size that the caller named. Then replies, one for each request, with a
//! line `%` between two. The first line of a reply is the length of its body, and how it is sent: `x`, without its last chunk;
//! `r`, with a reset at its end. The rest is the head, word for word; if it says `transfer-encoding`, the body comes in chunks.
//! When no reply is left the source hangs up.
//!
//! The source makes the bodies, so that every byte tells from which reply it came and where it stood there.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use linkgate_contract::{AllowList, HostRule, PackageUrl};
use linkgate_fetch::{
    Access, Chunk, FetchConfig, FetchRequest, HttpSource, Source as _, SourceError, SourceStream as _,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// The largest package that is taken.
pub const MAX_BYTES: u64 = 3_000;
/// A little more than that.
const LONGEST_BODY: usize = 4_000;
/// How many replies can be told apart by a byte.
const MOST_REPLIES: usize = 8;

/// What a source does, and what the caller named.
pub struct Script<'a> {
    /// The size, if the caller named one.
    pub size: Option<u64>,
    /// What is answered, in order.
    pub replies: Vec<Reply<'a>>,
}

/// One answer.
pub struct Reply<'a> {
    /// Its lines, without their ends.
    pub head: Vec<&'a [u8]>,
    body: usize,
    chunks: bool,
    last_chunk: bool,
    reset: bool,
}

impl<'a> Script<'a> {
    /// Reads an input.
    pub fn read(input: &'a [u8]) -> Self {
        let mut lines = input.split(|b| *b == b'\n').peekable();
        let size = lines.next_if(|line| line.starts_with(b"size ")).map(|line| digits(&line[5..]) as u64);
        let lines: Vec<_> = lines.collect();
        let replies = lines.split(|line| *line == b"%").take(MOST_REPLIES).filter_map(Reply::read).collect();
        Self { size, replies }
    }
}

impl<'a> Reply<'a> {
    fn read(lines: &[&'a [u8]]) -> Option<Self> {
        let (how, head) = lines.split_first()?;
        let head: Vec<_> = head.iter().take_while(|line| !line.is_empty() && **line != b"\r").copied().collect();
        let says = |letter| how.contains(&letter);
        let coding = b"transfer-encoding:";
        Some(Self {
            body: digits(how).min(LONGEST_BODY),
            chunks: head.iter().any(|line| line.get(..coding.len()).is_some_and(|l| l.eq_ignore_ascii_case(coding))),
            head,
            last_chunk: !says(b'x'),
            reset: says(b'r'),
        })
    }

    async fn play(&self, at: usize, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut all = self.head.join(&b"\r\n"[..]);
        all.extend(b"\r\n\r\n");
        let body: Vec<u8> = (0..self.body).map(|place| byte(at, place)).collect();
        if self.chunks {
            for chunk in body.chunks(700) {
                all.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            all.extend_from_slice(if self.last_chunk { b"0\r\n\r\n" } else { b"" });
        } else {
            all.extend(body);
        }
        stream.write_all(&all).await?;
        if self.reset {
            // Else nothing of it would be read.
            tokio::time::sleep(Duration::from_millis(1)).await;
            return stream.set_zero_linger();
        }
        stream.shutdown().await
    }
}

/// The number that these digits make, whatever stands between them.
fn digits(text: &[u8]) -> usize {
    let digits = text.iter().filter(|b| b.is_ascii_digit()).take(6);
    digits.fold(0, |number, b| number * 10 + usize::from(b - b'0'))
}

/// The byte at a place of a reply's body; never ASCII, so that no framing can be taken for it.
fn byte(reply: usize, place: usize) -> u8 {
    0x80 | u8::try_from((reply << 4) | (place % 16)).unwrap()
}

/// From which reply a byte came, and where it stood there.
pub fn origin(byte: u8) -> (usize, usize) {
    assert!(byte >= 0x80, "the framing of a body is none of its bytes");
    (usize::from((byte >> 4) & 7), usize::from(byte & 15))
}

/// What came of it.
pub struct Downloaded {
    /// The bytes since the last restart.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: Result<(), SourceError>,
    /// The heads of the requests that were answered or hung up on.
    pub requests: Vec<String>,
    /// The source's address and port.
    pub host: String,
}

struct World {
    runtime: Runtime,
    listener: TcpListener,
    source: HttpSource,
    host: String,
}

thread_local!(static WORLD: World = World::new());

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let only = || AllowList::new(vec![HostRule::new(&host).unwrap()]);
        // No wait that a source asks for fits in, so no run takes longer than this.
        let soon = Duration::from_millis(900);
        let source = HttpSource::new(FetchConfig {
            allowed_hosts: only(),
            private_hosts: only(),
            max_bytes: MAX_BYTES,
            connect_timeout: soon,
            idle_timeout: soon,
            head_timeout: soon,
            total_timeout: soon,
            min_rate: 0,
            min_rate_window: soon,
            retry_delay: Duration::ZERO,
            proxy: None,
            host_tls: Default::default(),
            parallel: 4,
            ..FetchConfig::default()
        });
        Self { source: source.unwrap(), runtime, listener, host }
    }

    async fn serve(&self, script: &Script<'_>, requests: &RefCell<Vec<String>>) {
        let mut replies = script.replies.iter().enumerate();
        loop {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            // One that was given up before, by a download whose time was over.
            let Some(request) = read_head(&mut stream).await else { continue };
            requests.borrow_mut().push(request);
            if let Some((at, reply)) = replies.next() {
                // Whoever downloads may hang up at any time.
                drop(reply.play(at, &mut stream).await);
            }
        }
    }

    async fn read(&self, size: Option<u64>, bytes: &RefCell<Vec<u8>>) -> Result<(), SourceError> {
        let url = PackageUrl::new(&format!("http://{}/a/example.tar.gz?b=c", self.host)).unwrap();
        let private = AllowList::new(Vec::new());
        let wanted =
            FetchRequest { url: &url, private: &private, access: Access::default(), size, progress: &Arc::default() };
        let mut stream = self.source.open(wanted).await?;
        while let Some(chunk) = stream.next().await? {
            let mut bytes = bytes.borrow_mut();
            match chunk {
                Chunk::Data(more) => bytes.extend_from_slice(&more),
                Chunk::Restart => bytes.clear(),
            }
            let most = size.unwrap_or(u64::MAX).min(MAX_BYTES);
            assert!(bytes.len() as u64 <= most, "{} bytes of at most {most}", bytes.len());
        }
        Ok(())
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    // A tag that we send back may be no UTF-8.
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Downloads from a source that does as the script says.
pub fn download(script: &Script<'_>) -> Downloaded {
    WORLD.with(|world| {
        let (requests, bytes) = (RefCell::default(), RefCell::default());
        let end = world.runtime.block_on(async {
            tokio::select! {
                biased;
                end = world.read(script.size, &bytes) => end,
                () = world.serve(script, &requests) => unreachable!("it serves for ever"),
            }
        });
        Downloaded { bytes: bytes.into_inner(), end, requests: requests.into_inner(), host: world.host.clone() }
    })
}
