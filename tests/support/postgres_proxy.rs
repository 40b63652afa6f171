//! What stands between a store and PostgreSQL: it cuts the connection at a commit, and leads elsewhere after a failover.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// The driver's words. What it prepares has a name from then on.
const QUERY: u8 = b'Q';
const PARSE: u8 = b'P';
const BIND: u8 = b'B';

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server never hears of the commit.
    BeforeCommit,
    /// The server has committed, and nobody hears of it.
    AfterCommit,
}

/// Which commits are cut.
#[derive(Clone, Debug)]
pub struct CutCommits {
    /// Where.
    pub cut: Cut,
    /// Those of transactions of which a statement contains this.
    pub with: &'static str,
    /// So many of them are let through before.
    pub after: usize,
    /// And so many are cut then.
    pub times: usize,
}

impl CutCommits {
    /// The next one of a transaction with such a statement.
    #[must_use]
    pub fn next(cut: Cut, with: &'static str) -> Self {
        Self { cut, with, after: 0, times: 1 }
    }
}

/// A running one. Stops when dropped; its connections end with their stores.
pub struct PostgresProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    server: Mutex<PathBuf>,
    plan: Mutex<Option<CutCommits>>,
    /// What was committed in the transactions that were cut: their statements.
    cuts: Mutex<Vec<Vec<String>>>,
}

impl PostgresProxy {
    /// Begins to lead to the server at this socket.
    ///
    /// # Panics
    /// If there is no port left.
    pub async fn before(server: PathBuf) -> Self {
        Self::before_at(server, "127.0.0.1").await
    }

    /// The same at this address of this machine.
    ///
    /// # Panics
    /// If it has no such address.
    pub async fn before_at(server: PathBuf, ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { server: Mutex::new(server), plan: Mutex::default(), cuts: Mutex::default() });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// The database, by way of it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("postgres://postgres@{}/postgres?sslmode=disable", self.address)
    }

    /// New connections go to the server at this socket from now on.
    pub fn lead_to(&self, server: PathBuf) {
        *self.shared.server.lock().unwrap() = server;
    }

    /// Cuts these from now on, or none.
    pub fn cut(&self, plan: impl Into<Option<CutCommits>>) {
        *self.shared.plan.lock().unwrap() = plan.into();
    }

    /// The statements of the transactions at whose end it has cut.
    #[must_use]
    pub fn cuts(&self) -> Vec<Vec<String>> {
        self.shared.cuts.lock().unwrap().clone()
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // Whichever side ends first ends it.
        tokio::spawn(async move { drop(pass_on(client, &shared).await) });
    }
}

/// One connection, until it is cut.
async fn pass_on(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let path = shared.server.lock().unwrap().clone();
    let mut server = connect(&path).await?;
    let (mut said, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut heard = Heard::default();
    loop {
        tokio::select! {
            read = client.read(&mut said) => {
                let said = &said[..read?];
                if said.is_empty() {
                    return Ok(());
                }
                let Some((cut, statements)) = heard.commits(said).then(|| shared.take(&heard)).flatten() else {
                    server.write_all(said).await?;
                    continue;
                };
                if cut == Cut::AfterCommit {
                    server.write_all(said).await?;
                    // Its reply says that it is done.
                    let _reply = server.read(&mut answered).await?;
                }
                shared.cuts.lock().unwrap().push(statements);
                return Ok(());
            }
            read = server.read(&mut answered) => {
                let answered = &answered[..read?];
                if answered.is_empty() {
                    return Ok(());
                }
                client.write_all(answered).await?;
            }
        }
    }
}

async fn connect(server: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(server).await
}

impl Shared {
    fn take(&self, heard: &Heard) -> Option<(Cut, Vec<String>)> {
        let mut plan = self.plan.lock().unwrap();
        let cuts = plan.as_mut().filter(|plan| heard.transaction.iter().any(|text| text.contains(plan.with)))?;
        if cuts.after > 0 {
            cuts.after -= 1;
            return None;
        }
        cuts.times -= 1;
        let cut = cuts.cut;
        if cuts.times == 0 {
            *plan = None;
        }
        Some((cut, heard.transaction.clone()))
    }
}

/// What a client has said so far.
#[derive(Default)]
struct Heard {
    /// What is not a whole message yet.
    rest: Vec<u8>,
    /// The first message has no type.
    has_begun: bool,
    prepared: HashMap<Vec<u8>, String>,
    /// The statements since the last beginning.
    transaction: Vec<String>,
}

impl Heard {
    /// Hears what comes next; whether there is a commit in it.
    fn commits(&mut self, said: &[u8]) -> bool {
        self.rest.extend_from_slice(said);
        let mut commits = false;
        while let Some((kind, body)) = self.next_message() {
            let Some(text) = self.statement(kind, &body) else { continue };
            let words = text.trim_start().to_ascii_lowercase();
            if words.starts_with("begin") {
                self.transaction.clear();
            } else if words.starts_with("commit") {
                commits = true;
            } else {
                self.transaction.push(text);
            }
        }
        commits
    }

    fn next_message(&mut self) -> Option<(u8, Vec<u8>)> {
        let kinds = usize::from(self.has_begun);
        let len: [u8; 4] = self.rest.get(kinds..kinds + 4)?.try_into().ok()?;
        let end = kinds + usize::try_from(u32::from_be_bytes(len)).ok()?;
        if self.rest.len() < end {
            return None;
        }
        let message: Vec<u8> = self.rest.drain(..end).collect();
        let kind = if self.has_begun { message[0] } else { 0 };
        self.has_begun = true;
        Some((kind, message[kinds + 4..].to_vec()))
    }

    /// What is to be done by a message.
    fn statement(&mut self, kind: u8, body: &[u8]) -> Option<String> {
        let mut texts = body.split(|byte| *byte == 0);
        let mut text = || texts.next().map(|text| String::from_utf8_lossy(text).into_owned());
        match kind {
            QUERY => text(),
            PARSE => {
                let (name, statement) = (text()?, text()?);
                self.prepared.insert(name.into_bytes(), statement);
                None
            }
            BIND => {
                let (_portal, name) = (text()?, text()?);
                self.prepared.get(name.as_bytes()).cloned()
            }
            _ => None,
        }
    }
}
