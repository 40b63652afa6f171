//! What stands between a store and its storage, and cuts connections.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Which requests get no reply.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// What their first lines contain; nothing is cut while this is empty.
    pub matching: Vec<&'static str>,
    /// Whether the storage sees them nevertheless.
    pub passes_on: bool,
    /// How many, or all of them.
    pub times: Option<usize>,
}

/// A running one.
pub struct Proxy {
    port: u16,
    cut: Arc<Mutex<Cut>>,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (cut, seen) = (Arc::<Mutex<Cut>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (cuts, heads) = (Arc::clone(&cut), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, port, Arc::clone(&cuts), Arc::clone(&heads)));
            }
        });
        Self { port: own_port, cut, seen, task }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn cut(&self, cut: Cut) {
        *self.cut.lock().unwrap() = cut;
    }

    /// The heads of requests so far that contain all of this, in order.
    pub fn seen(&self, containing: &[&str]) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|head| containing.iter().all(|wanted| head.contains(wanted))).cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes one connection on, request by request: our client sends none before the reply to the last one.
async fn pass(mut client: TcpStream, port: u16, cut: Arc<Mutex<Cut>>, seen: Arc<Mutex<Vec<String>>>) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let (mut from_client, mut from_server) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let (mut begins, mut is_cut) = (true, false);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(len @ 1..) = read else { return };
                let piece = &from_client[..len];
                if begins {
                    let text = String::from_utf8_lossy(piece);
                    let head = text.split("\r\n\r\n").next().unwrap_or_default();
                    is_cut = takes(&cut, head.lines().next().unwrap_or_default());
                    seen.lock().unwrap().push(head.to_owned());
                    begins = false;
                }
                let passes_on = cut.lock().unwrap().passes_on;
                if is_cut && !passes_on || server.write_all(piece).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(len @ 1..) = read else { return };
                if is_cut || client.write_all(&from_server[..len]).await.is_err() {
                    return;
                }
                begins = true;
            }
        }
    }
}

fn takes(cut: &Mutex<Cut>, line: &str) -> bool {
    let mut cut = cut.lock().unwrap();
    let matches = !cut.matching.is_empty() && cut.matching.iter().all(|wanted| line.contains(wanted));
    match (matches, &mut cut.times) {
        (false, _) | (true, Some(0)) => false,
        (true, None) => true,
        (true, Some(times)) => {
            *times -= 1;
            true
        }
    }
}
