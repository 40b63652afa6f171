//! What whoever has no credentials can take of Envoy and the gate.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use linkgate_tests::identity::{Service, ServiceBehaviour};
use linkgate_tests::token::{RsaMint, good_claims, jws};
use linkgate_tests::whole::stranger;
use linkgate_tests::{LinkRequestBuilder, Reply, random};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::gather::Gathered;
use super::{Ground, Held, PATH, Resource, refuse};

/// Another gateway whose tokens the policy believes.
const KID: &str = "another";
/// What a signature of its key is as long as.
const RSA_BYTES: usize = 256;
/// How many such signatures a worker verifies in a second, and at once after a rest.
const SIGNATURES_PER_S: f64 = 200.0;
const SIGNATURES_AT_ONCE: f64 = 400.0;

pub(super) fn believing_another_gateway() -> Value {
    json!({"jwt_keys": [{"kid": KID, "public_key": RsaMint::new().public_pem()}], "inner_jwt_kid": KID})
}

/// One that nobody has seen, and nobody signed.
fn made_up_token() -> String {
    let mut claims = good_claims();
    claims["user"]["username"] = random().into();
    jws(&json!({"alg": "RS512", "typ": "JWT", "kid": KID}), &claims, |_| {
        let mut signature = vec![0; RSA_BYTES];
        signature.iter_mut().skip(1).for_each(|byte| *byte = fastrand::u8(..));
        signature
    })
}

fn presenting(credentials: &Value) -> LinkRequestBuilder {
    stranger("https://example.com/a.tgz").header("x-bkapi-authorization", &credentials.to_string()).in_english()
}

impl Ground {
    /// As many as Envoy takes, but for a few for others; each that is closed is opened again.
    pub(super) async fn say_nothing(&self) -> (Gathered, Held) {
        const BOUND: usize = 4_096;
        let mut gathered = Gathered::new(BOUND - 96, BOUND);
        let (address, open) = (self.stack.gateway().address(), Arc::new(AtomicUsize::new(0)));
        let mut silent = JoinSet::new();
        for number in 0..gathered.tried {
            let open = Arc::clone(&open);
            silent.spawn(async move {
                loop {
                    if let Ok(mut stream) = connect_from(Ipv4Addr::new(127, 0, 0, 2), address).await {
                        open.fetch_add(1, Ordering::Relaxed);
                        let _closed = stream.read(&mut [0]).await;
                        open.fetch_sub(1, Ordering::Relaxed);
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            });
            if number % 50 == 49 {
                sleep(Duration::from_millis(10)).await;
            }
        }
        sleep(Duration::from_secs(1)).await;
        gathered.held = open.load(Ordering::Relaxed);
        (gathered, vec![Box::new(silent)])
    }

    /// Of one connection, whatever Envoy says that it takes.
    pub(super) async fn open_streams(&self) -> (Gathered, Held) {
        let mut gathered = Gathered::new(100, 32);
        let mut connection = TcpStream::connect(self.stack.gateway().address()).await.expect("it listens");
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for number in 0..gathered.tried {
            bytes.extend_from_slice(&begun_stream(2 * u32::try_from(number).expect("few") + 1));
        }
        connection.write_all(&bytes).await.expect("it reads");
        let mut answers = Vec::new();
        while let Ok(Ok(_)) = timeout(Duration::from_secs(1), connection.read_buf(&mut answers)).await {}
        gathered.held = gathered.tried;
        for (kind, payload) in frames(&answers) {
            let refused = match kind {
                RST_STREAM => 1,
                GOAWAY => gathered.held,
                _ => 0,
            };
            if refused > 0 {
                gathered.held -= refused;
                let told = format!("frame {kind}: {payload:?}");
                if payload != REFUSED_STREAM.to_be_bytes() {
                    gathered.wrong.push(told.clone());
                }
                *gathered.refusals.entry(told).or_default() += 1;
            }
        }
        (gathered, vec![Box::new(connection)])
    }

    /// Faster than they may be verified.
    pub(super) async fn make_up_tokens(&self) -> (Gathered, Held) {
        const TRIED: usize = 1_500;
        let base = self.stack.base().to_owned();
        let send = move || presenting(&json!({"inner_jwt": made_up_token()})).try_send_owned(&base);
        let begun = Instant::now();
        let replies: Vec<_> = stream::iter((0..TRIED).map(|_| send())).buffer_unordered(16).collect().await;
        let bound = SIGNATURES_AT_ONCE + SIGNATURES_PER_S * begun.elapsed().as_secs_f64();
        let mut gathered = Gathered::new(TRIED, bound.ceil() as usize);
        for reply in replies {
            match reply {
                Ok(reply) if is_mismatch(&reply) => gathered.held += 1,
                Ok(reply) => refuse(&mut gathered, Resource::Signatures, &reply),
                Err(e) => gathered.wrong.push(format!("no reply: {e}")),
            }
        }
        let mut flood = JoinSet::new();
        for _ in 0..4 {
            let send = send.clone();
            flood.spawn(async move {
                loop {
                    let _answered = send().await;
                    // This machine is the stranger's and the gate's.
                    sleep(Duration::from_millis(10)).await;
                }
            });
        }
        (gathered, vec![Box::new(flood)])
    }

    /// Each for somebody whom only a service could know; who is answered asks for somebody else.
    pub(super) async fn ask_in_vain(&self) -> (Gathered, Held) {
        const BOUND: usize = 512;
        let mut gathered = Gathered::new(3 * 200, BOUND);
        self.identity.set(Service::Bkauth, ServiceBehaviour::Held).await;
        let (waiting, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
        let mut asking = JoinSet::new();
        for number in 0..gathered.tried {
            // No address waits with more than its share.
            let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + (number % 3) as u8));
            let client = reqwest::Client::builder().no_proxy().local_address(from).build().expect("a client");
            let (url, waiting, told) =
                (format!("{}{PATH}", self.stack.base()), Arc::clone(&waiting), Arc::clone(&told));
            asking.spawn(async move {
                loop {
                    let credentials = json!({"bk_app_code": random()[..16], "bk_app_secret": random()}).to_string();
                    let request = client.post(&url).header("x-bkapi-authorization", credentials).body("{}");
                    waiting.fetch_add(1, Ordering::Relaxed);
                    let reply = request.header("content-type", "application/json").send().await;
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    if let Ok(reply) = reply {
                        let (status, body) = (reply.status().as_u16(), reply.text().await.unwrap_or_default());
                        told.lock().expect("no panic").push((status, body));
                    }
                    sleep(Duration::from_millis(200)).await;
                }
            });
        }
        sleep(Duration::from_secs(3)).await;
        gathered.held = waiting.load(Ordering::Relaxed);
        for (status, body) in told.lock().expect("no panic").drain(..) {
            if status != 500 {
                gathered.wrong.push(format!("{status} {body}"));
            }
            *gathered.refusals.entry(format!("{status} {body}")).or_default() += 1;
        }
        (gathered, vec![Box::new(asking)])
    }
}

fn is_mismatch(reply: &Reply) -> bool {
    reply.status == 400 && reply.body.contains("signature mismatch")
}

async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    socket.connect(to).await
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;

/// The head of an upload whose body never comes.
fn begun_stream(id: u32) -> Vec<u8> {
    // Of the static table: `:method: POST`, `:scheme: http`, and names without values.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(&[0x04][..], PATH), (&[0x01], "x"), (&[0x0f, 0x10], "application/json")] {
        block.extend_from_slice(name);
        block.push(u8::try_from(value.len()).expect("a short value"));
        block.extend_from_slice(value.as_bytes());
    }
    let mut frame = u32::try_from(block.len()).expect("few bytes").to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[HEADERS, END_HEADERS]);
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&block);
    frame
}

/// Kinds and payloads of frames.
fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        frames.push((head[3], payload));
        bytes = rest;
    }
    frames
}
