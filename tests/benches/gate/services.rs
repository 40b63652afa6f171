//! What stands behind Envoy: an upstream in the place of the store, and the cheapest service that `ext_authz` can ask.
//!
//! Both are as cheap as they can be: no service that does the gate's work costs as little as this one, which compares
//! one string and never sees the body.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::cpu;
use crate::wire::{Wire, header};

/// Answers every request alike, and remembers the last.
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    count: AtomicU64,
    last: Mutex<Vec<u8>>,
}

impl Upstream {
    /// Runs beside the load generator, on its thread; under TLS if it has a certificate to show.
    pub async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let ours = seen.clone();
        let answer = move |head: &[u8]| {
            ours.count.fetch_add(1, Ordering::Relaxed);
            let mut last = ours.last.lock().unwrap();
            last.clear();
            last.extend_from_slice(head);
            ACCEPTED
        };
        tokio::spawn(serve(listener, tls, answer));
        Self { address, seen }
    }

    /// How many requests have come so far.
    pub fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// Whether the last request had this header.
    pub fn saw(&self, name: &str) -> bool {
        header(&self.seen.last.lock().unwrap(), name).is_some()
    }
}

const ACCEPTED: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 24\r\n\r\n{\"id\":1,\"version\":\"0.5\"}";
const ALLOWED: &[u8] = b"HTTP/1.1 200 OK\r\nx-bkapi-app-code: apigw-api-test\r\nx-bkapi-username: admin\r\n\
    content-length: 0\r\n\r\n";
const DENIED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n\
    {\"code\":1640001}";

/// The service that `ext_authz` asks, on a thread of its own, so that its time can be told from the load generator's.
pub struct Authorizer {
    pub address: SocketAddr,
    /// The thread, as `/proc` names it.
    thread: PathBuf,
}

impl Authorizer {
    /// Allows what shows this secret.
    pub fn start(secret: &str) -> Self {
        let presented = format!("\"bk_app_secret\":\"{secret}\"");
        let answer = move |head: &[u8]| {
            let given = header(head, "x-bkapi-authorization").unwrap_or_default();
            let good = given.windows(presented.len()).any(|part| part == presented.as_bytes());
            if good { ALLOWED } else { DENIED }
        };
        on_its_own_thread(move |listener| serve(listener, None, answer))
    }

    /// What it has used so far.
    pub fn cpu(&self) -> Duration {
        cpu::of_thread(&self.thread)
    }
}

/// Runs a service and tells where it is.
pub fn on_its_own_thread<F: Future<Output = ()>>(run: impl FnOnce(TcpListener) -> F + Send + 'static) -> Authorizer {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let thread = std::fs::canonicalize("/proc/thread-self").unwrap();
            sender.send((listener.local_addr().unwrap(), thread)).unwrap();
            run(listener).await;
        });
    });
    let (address, thread) = receiver.recv().unwrap();
    Authorizer { address, thread }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answer: impl Fn(&[u8]) -> &'static [u8] + Clone + Send + 'static,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, answer) = (tls.clone(), answer.clone());
        tokio::spawn(async move {
            let mut wire = Wire::accept(stream, tls.as_ref()).await.expect("Envoy shakes hands");
            while let Ok(head) = wire.receive().await {
                let reply = answer(head);
                if wire.send(reply).await.is_err() {
                    break;
                }
            }
        });
    }
}
