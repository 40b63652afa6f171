//! The load: connections that are kept, each with one request under way, and every reply's status looked at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::wire::{Wire, header};

const CONNECTIONS: usize = 16;

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
}

/// Sends the requests in turn and waits for every reply.
pub async fn press(address: SocketAddr, asks: &Arc<[Ask]>, until: Until) -> Done {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let go_on = move |number: u64| match until {
        Until::Over(time) => begun.elapsed() < time,
        Until::Sent(count) => number < count,
    };
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (asks, next) = (asks.clone(), next.clone());
        connections.spawn(async move {
            let mut wire = Wire::open(address).await;
            let mut answered = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if !go_on(number) {
                    return answered;
                }
                if ask(&mut wire, &asks[number as usize % asks.len()]).await == After::Closed {
                    wire = Wire::open(address).await;
                }
                answered += 1;
            }
        });
    }
    let requests = connections.join_all().await.iter().sum();
    Done { requests, took: begun.elapsed() }
}

/// What becomes of the connection. Envoy closes it when it answers before it has read the request's body.
#[derive(PartialEq, Eq)]
enum After {
    Kept,
    Closed,
}

async fn ask(wire: &mut Wire, ask: &Ask) -> After {
    wire.send(&ask.bytes).await.unwrap();
    let head = wire.receive().await.expect("Envoy answers");
    let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    assert_eq!(status, Some(ask.status), "{}", String::from_utf8_lossy(head));
    if header(head, "connection") == Some(b"close") { After::Closed } else { After::Kept }
}
