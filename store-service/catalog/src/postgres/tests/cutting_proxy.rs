//! Stands between a catalog and its server, and cuts the connection at a commit, or at anything else that is said.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// What a driver sends to commit.
const COMMIT: &[u8] = b"COMMIT";

/// When it cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The server never hears of the commit.
    BeforeCommit,
    /// The server has committed, and nobody hears of it.
    AfterCommit,
}

/// It. Cuts once each time that it is told to.
pub(super) struct CuttingProxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    next: Mutex<Option<(&'static [u8], Cut)>>,
    cuts: AtomicUsize,
}

impl CuttingProxy {
    pub(super) async fn start(server: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, shared) = (listener.local_addr().unwrap().port(), Arc::<Shared>::default());
        tokio::spawn(serve(listener, server, Arc::clone(&shared)));
        Self { port, shared }
    }

    pub(super) fn address(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// At the next commit.
    pub(super) fn cut(&self, cut: Cut) {
        self.cut_at(COMMIT, cut);
    }

    /// The next time that this is said; what was said with it counts as the commit.
    pub(super) fn cut_at(&self, said: &'static [u8], cut: Cut) {
        *self.shared.next.lock().unwrap() = Some((said, cut));
    }

    /// How often it did.
    pub(super) fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, server: PathBuf, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (server, shared) = (server.clone(), Arc::clone(&shared));
        // Whichever side ends first ends it.
        tokio::spawn(async move { pass_on(client, &server, &shared).await });
    }
}

/// One connection, until it is cut.
async fn pass_on(mut client: TcpStream, server: &Path, shared: &Shared) -> std::io::Result<()> {
    let mut server = UnixStream::connect(server).await?;
    let (mut said, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut said) => {
                let said = &said[..read?];
                if said.is_empty() {
                    return Ok(());
                }
                let next = shared.next.lock().unwrap().take_if(|(at, _)| contains(said, at));
                let cut = next.map(|(_, cut)| cut);
                if cut != Some(Cut::BeforeCommit) {
                    server.write_all(said).await?;
                }
                if let Some(cut) = cut {
                    if cut == Cut::AfterCommit {
                        // Its reply says that it is done.
                        let _reply = server.read(&mut answered).await?;
                    }
                    shared.cuts.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
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

fn contains(said: &[u8], at: &[u8]) -> bool {
    said.windows(at.len()).any(|window| window == at)
}
