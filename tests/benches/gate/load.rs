//! The load: connections, each with one request under way, and every reply's status looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use linkgate_tests::measure::share;
use serde_json::json;
use tokio::task::JoinSet;

use crate::wire::{Entrance, Wire, header};

/// So many at once.
pub const CONNECTIONS: usize = 16;

/// A request, and the status that is right.
pub struct Ask {
    bytes: Vec<u8>,
    status: u16,
}

impl Ask {
    /// The request of the API document with this `X-Bkapi-Authorization`.
    pub fn upload(authorization: &str, status: u16) -> Self {
        let link = "https://example.com/generic/packages/example-app/0.0.5/example.tar.gz";
        let body = json!({"package_url": link, "version": "0.0.5", "allow_overwrite": false}).to_string();
        let head = format!(
            "POST /stag/bkapps/applications/app_code/modules/default/source_package/link/ HTTP/1.1\r\n\
             host: gateway.example.com\r\nuser-agent: curl/8.5.0\r\naccept: */*\r\n\
             content-type: application/json\r\nx-bkapi-authorization: {authorization}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        Self { bytes: [head.as_bytes(), body.as_bytes()].concat(), status }
    }
}

/// What callers do.
#[derive(Clone)]
pub struct Load {
    asks: Arc<[Ask]>,
    callers: usize,
    /// Whether a caller opens a connection for every request.
    connects: bool,
}

impl Load {
    /// Many callers, each with a connection that is kept, who send these in turn.
    pub fn of(asks: impl Into<Arc<[Ask]>>) -> Self {
        Self { asks: asks.into(), callers: CONNECTIONS, connects: false }
    }

    /// The same with a new connection for every request.
    pub fn connecting(&self) -> Self {
        Self { connects: true, ..self.clone() }
    }

    /// The same by one caller.
    pub fn alone(&self) -> Self {
        Self { callers: 1, ..self.clone() }
    }
}

/// When the load ends.
#[derive(Clone, Copy)]
pub enum Until {
    Over(Duration),
    Sent(u64),
}

/// What was done.
pub struct Done {
    pub requests: u64,
    pub took: Duration,
    pub latency: Latency,
}

/// What callers waited for a reply, in milliseconds; with a new connection, for that too.
#[derive(Clone, Copy)]
pub struct Latency {
    pub median_ms: f64,
    pub p99_ms: f64,
}

impl Latency {
    fn of(waited: &[Duration]) -> Self {
        let ms = |thousandths| share(waited.iter().copied(), thousandths).as_secs_f64() * 1e3;
        Self { median_ms: ms(500), p99_ms: ms(990) }
    }
}

/// Sends the requests in turn and waits for every reply.
pub async fn press(entrance: &Entrance, load: &Load, until: Until) -> Done {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let go_on = move |number: u64| match until {
        Until::Over(time) => begun.elapsed() < time,
        Until::Sent(count) => number < count,
    };
    let mut callers = JoinSet::new();
    for _ in 0..load.callers {
        let (load, entrance, next) = (load.clone(), entrance.clone(), next.clone());
        callers.spawn(async move {
            let mut waited = Vec::new();
            let mut wire = None;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if !go_on(number) {
                    return waited;
                }
                let asked = Instant::now();
                let kept = match wire.take() {
                    Some(wire) => wire,
                    None => Wire::open(&entrance).await,
                };
                wire = ask(kept, &load.asks[number as usize % load.asks.len()]).await.filter(|_| !load.connects);
                waited.push(asked.elapsed());
            }
        });
    }
    let waited = callers.join_all().await.concat();
    Done { requests: waited.len() as u64, took: begun.elapsed(), latency: Latency::of(&waited) }
}

/// The connection, if it stays open. Envoy closes it when it answers before it has read the request's body.
async fn ask(mut wire: Wire, ask: &Ask) -> Option<Wire> {
    wire.send(&ask.bytes).await.unwrap();
    let head = wire.receive().await.expect("Envoy answers");
    let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    assert_eq!(status, Some(ask.status), "{}", String::from_utf8_lossy(head));
    let closes = header(head, "connection") == Some(b"close");
    (!closes).then_some(wire)
}
