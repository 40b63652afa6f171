//! A gateway of a test: it says what a script tells it, over real sockets, and remembers what it was asked.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use linkgate_client::{Client, Credentials, RetryPolicy, Settings};
use linkgate_contract::ModuleRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the gateway does with the next request. The last one of a script stays.
#[derive(Clone)]
pub enum Turn {
    /// Answers with this status, these headers and this body.
    Reply(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Says that the body has so many bytes, sends these and closes.
    CutAfter(u16, Vec<(&'static str, String)>, u64, Vec<u8>),
    /// Sends these events and closes.
    Events(String),
    /// Reads the request and closes.
    HangUp,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub struct Gateway {
    pub base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Gateway {
    pub async fn start(script: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/stag", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                serve(stream, &script[number.min(script.len() - 1)], &shared).await;
            }
        });
        Self { base, seen, task }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn client(&self) -> Client {
        self.client_with(Credentials::default().app_code("ci").secret("s3cret".into()).ticket("t1cket".into()))
    }

    pub fn client_with(&self, credentials: Credentials) -> Client {
        Client::new(Settings::new(&self.base, credentials).unwrap().retries(hurried())).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// As often as ever, after hardly any pause.
pub fn hurried() -> RetryPolicy {
    RetryPolicy { attempts: 4, first_pause: Duration::from_millis(2), longest_pause: Duration::from_secs(5) }
}

pub fn module() -> ModuleRef {
    "app_code/default".parse().unwrap()
}

pub fn json(status: u16, body: &serde_json::Value) -> Turn {
    Turn::Reply(status, vec![("content-type", "application/json".to_owned())], body.to_string().into_bytes())
}

async fn serve(mut stream: TcpStream, turn: &Turn, seen: &Mutex<Vec<Seen>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let is_head = request.line.starts_with("HEAD ");
    seen.lock().unwrap().push(request);
    let reply = match turn {
        Turn::Reply(status, headers, body) => {
            let mut reply = head(*status, headers, Some(body.len() as u64));
            reply.extend(if is_head { &[] } else { &body[..] });
            reply
        }
        Turn::CutAfter(status, headers, length, body) => {
            let mut reply = head(*status, headers, Some(*length));
            reply.extend(body);
            reply
        }
        Turn::Events(events) => {
            let mut reply = head(200, &[("content-type", "text/event-stream".to_owned())], None);
            reply.extend(events.as_bytes());
            reply
        }
        Turn::HangUp => Vec::new(),
    };
    // The client may be gone; that is its right.
    let _sent = stream.write_all(&reply).await;
    let _closed = stream.shutdown().await;
}

fn head(status: u16, headers: &[(&'static str, String)], length: Option<u64>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let (Some(length), false) = (length, headers.iter().any(|(name, _)| *name == "content-length")) {
        head += &format!("content-length: {length}\r\n");
    }
    (head + "\r\n").into_bytes()
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut seen = Seen { line, headers, body: bytes[end + 4..].to_vec() };
    let length: usize = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    let is_chunked = seen.header("transfer-encoding").is_some();
    while seen.body.len() < length || is_chunked && !seen.body.ends_with(b"0\r\n\r\n") {
        if stream.read_buf(&mut seen.body).await.ok()? == 0 {
            break;
        }
    }
    Some(seen)
}
