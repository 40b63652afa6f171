//! In the store's place: takes every request, remembers it, and says yes. Who asks for events gets those that a test says,
//! when it says them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The first line and the headers.
    pub head: String,
    /// The body, in chunks as it came if there is no length.
    pub body: String,
}

impl Recorded {
    /// Every value of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| *n == name).map(|(_, value)| value).collect()
    }
}

/// The recorder. Stops when dropped.
pub struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Recorded>>>,
    events: watch::Sender<Vec<String>>,
    task: JoinHandle<()>,
}

/// What every plain reply has beside its length, for tests of what reaches callers.
pub const REPLY_HEADERS: [(&str, &str); 4] = [
    ("location", "0198c3a4-5f00-7abc-8def-0123456789ab/"),
    ("preference-applied", "respond-async"),
    ("retry-after", "3"),
    ("cache-control", "no-store"),
];

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::default());
        let (events, said) = watch::channel(Vec::new());
        let task = tokio::spawn(accept(listener, Arc::clone(&seen), said));
        Self { address, seen, events, task }
    }

    /// Says one more event to all who listen; an empty one is the end of them.
    pub fn say(&self, event: &str) {
        self.events.send_modify(|events| events.push(event.to_owned()));
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that came since the last call.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<Recorded>>>, said: watch::Receiver<Vec<String>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (seen, said) = (Arc::clone(&seen), said.clone());
        tokio::spawn(async move { drop(serve(stream, &seen, said).await) });
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Recorded>>,
    said: watch::Receiver<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let mut recorded = Recorded { head: String::from_utf8_lossy(&head).into_owned(), body: String::new() };
        let mut body = Vec::new();
        match recorded.headers("content-length").first() {
            Some(length) => {
                body.resize(length.parse().unwrap(), 0);
                stream.read_exact(&mut body).await?;
            }
            None if recorded.headers("transfer-encoding").is_empty() => {}
            None => {
                while !body.ends_with(b"0\r\n\r\n") {
                    body.push(stream.read_u8().await?);
                }
            }
        }
        recorded.body = String::from_utf8_lossy(&body).into_owned();
        let wants_events = recorded.headers("accept") == ["text/event-stream"];
        seen.lock().unwrap().push(recorded);
        if wants_events {
            tell(&mut stream, said.clone()).await?;
        } else {
            let headers: String = REPLY_HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\n{{}}").as_bytes()).await?;
        }
    }
}

/// Each event in a chunk of its own, as soon as it is said.
async fn tell(stream: &mut TcpStream, mut said: watch::Receiver<Vec<String>>) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut sent = 0;
    loop {
        let events = said.wait_for(|events| events.len() > sent).await.map_err(std::io::Error::other)?.clone();
        for event in &events[sent..] {
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
            if event.is_empty() {
                return Ok(());
            }
        }
        sent = events.len();
    }
}
