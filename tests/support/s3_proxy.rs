//! What stands between a store and its bucket: it fails, is slow, loses requests or replies, and lies, as it is told.
//!
//! Promises: one request for each connection to the storage, passed on whole and as it came, so signatures hold.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered with this status, and the storage never sees it.
    Status(u16),
    /// It is passed on so much later.
    Late(Duration),
    /// The connection is cut, and the storage never sees it.
    LostRequest,
    /// The storage sees it, and the connection is cut in the place of its reply.
    LostReply,
    /// It is answered with this, and the storage never sees it.
    Answer(String),
    /// In the head of its reply the one is replaced by the other.
    Changed(&'static str, String),
}

/// Which requests that happens to.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What their first lines contain, all of it.
    pub matching: Vec<&'static str>,
    /// What happens.
    pub fate: Fate,
    /// Of a hundred of them to so many, in no order.
    pub percent: u8,
    /// To so many of them in all; `None`: as long as the rule is there.
    pub times: Option<usize>,
}

impl Rule {
    /// To all of them.
    #[must_use]
    pub fn all(matching: &[&'static str], fate: Fate) -> Self {
        Self { matching: matching.to_vec(), fate, percent: 100, times: None }
    }

    /// To the next one.
    #[must_use]
    pub fn next(matching: &[&'static str], fate: Fate) -> Self {
        Self { times: Some(1), ..Self::all(matching, fate) }
    }

    /// To some of all requests.
    #[must_use]
    pub fn some(percent: u8, fate: Fate) -> Self {
        Self { percent, ..Self::all(&[], fate) }
    }
}

/// A running one. Stops when dropped.
pub struct S3Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    server: u16,
    rules: Mutex<Vec<Rule>>,
    rng: Mutex<fastrand::Rng>,
    /// How often any of the rules has struck.
    struck: Mutex<usize>,
    seen: Mutex<Vec<String>>,
}

impl S3Proxy {
    /// Begins to lead to the storage at this port.
    ///
    /// # Panics
    /// If there is no port left.
    pub async fn before(server: u16, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            rules: Mutex::default(),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            struck: Mutex::default(),
            seen: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    /// The storage, by way of it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on these rules hold, the first one that fits; none: all is passed on.
    pub fn set(&self, rules: Vec<Rule>) {
        *self.shared.rules.lock().unwrap() = rules;
    }

    /// How often any of the rules has struck so far.
    #[must_use]
    pub fn struck(&self) -> usize {
        *self.shared.struck.lock().unwrap()
    }

    /// The first lines of requests so far that contain all of this, in order.
    #[must_use]
    pub fn seen(&self, containing: &[&str]) -> Vec<String> {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|line| containing.iter().all(|wanted| line.contains(wanted))).cloned().collect()
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn decide(&self, line: &str) -> Option<Fate> {
        self.seen.lock().unwrap().push(line.to_owned());
        let mut rules = self.rules.lock().unwrap();
        let roll = self.rng.lock().unwrap().u8(..100);
        let fits = |rule: &&mut Rule| {
            rule.times != Some(0) && roll < rule.percent && rule.matching.iter().all(|wanted| line.contains(wanted))
        };
        let rule = rules.iter_mut().find(fits)?;
        rule.times = rule.times.map(|times| times - 1);
        *self.struck.lock().unwrap() += 1;
        Some(rule.fate.clone())
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // Whichever side ends first ends it.
        tokio::spawn(async move { drop(pass_on(client, &shared).await) });
    }
}

/// One request.
struct Request {
    head: String,
    body: Vec<u8>,
}

/// One connection of a client, for one request: it is told that there will be no second one.
async fn pass_on(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let Some(request) = read_request(&mut client).await? else { return Ok(()) };
    let fate = shared.decide(request.head.lines().next().unwrap_or_default());
    let reply = match fate {
        Some(Fate::LostRequest) => return Ok(()),
        Some(Fate::Status(status)) => reply(status, ""),
        Some(Fate::Answer(body)) => reply(200, &body),
        Some(Fate::Late(time)) => {
            tokio::time::sleep(time).await;
            ask(shared.server, &request).await?
        }
        Some(Fate::LostReply) => {
            ask(shared.server, &request).await?;
            return Ok(());
        }
        Some(Fate::Changed(from, to)) => change_head(ask(shared.server, &request).await?, from, &to),
        // What is long is not held in memory.
        None => {
            let mut server = send(shared.server, &request).await?;
            tokio::io::copy(&mut server, client.get_mut()).await?;
            return client.get_mut().shutdown().await;
        }
    };
    client.get_mut().write_all(&reply).await?;
    client.get_mut().shutdown().await
}

async fn read_request(client: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let mut body = vec![0; header(&head, "content-length").and_then(|len| len.parse().ok()).unwrap_or(0)];
    client.read_exact(&mut body).await?;
    Ok(Some(Request { head, body }))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value.trim()))
}

async fn send(server: u16, Request { head, body }: &Request) -> io::Result<TcpStream> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    let head = head.strip_suffix("\r\n").unwrap_or(head);
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await?;
    server.write_all(body).await?;
    Ok(server)
}

async fn ask(server: u16, request: &Request) -> io::Result<Vec<u8>> {
    let (mut server, mut reply) = (send(server, request).await?, Vec::new());
    server.read_to_end(&mut reply).await?;
    Ok(reply)
}

fn reply(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Any\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

/// Whatever the case of its letters.
fn change_head(reply: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(reply.len());
    let (head, body) = reply.split_at(end);
    let head = String::from_utf8_lossy(head);
    let changed = head.lines().map(|line| {
        let is_it = line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case(from));
        if is_it { format!("{from}: {to}") } else { line.to_owned() }
    });
    [changed.collect::<Vec<_>>().join("\r\n").as_bytes(), body].concat()
}
