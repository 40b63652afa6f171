//! A rate limit service on this machine: `envoy.service.ratelimit.v3.RateLimitService` over HTTP/2, and of it what Envoy's filter
//! says and hears.
//!
//! It knows no time: of each value of a descriptor's key so many pass, and then none, so a test can count them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::wait::Record;

const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
/// `overall_code` of a reply.
const OK: u8 = 1;
const OVER_LIMIT: u8 = 2;

/// The service. Ends when dropped.
pub struct RateLimits {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What it was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whose limits.
    pub domain: String,
    /// Keys and values, a list for each descriptor.
    pub descriptors: Vec<Vec<(String, String)>>,
}

struct Shared {
    most: HashMap<String, usize>,
    counted: Mutex<HashMap<(String, String), usize>>,
    asked: Record<Asked>,
    answers: watch::Sender<bool>,
}

impl RateLimits {
    /// Lets so many pass of each value of these keys, and all of others.
    pub async fn start(most: &[(&str, usize)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let most = most.iter().map(|(key, most)| ((*key).to_owned(), *most)).collect();
        let (counted, asked, answers) = (Mutex::default(), Record::default(), watch::Sender::new(true));
        let shared = Arc::new(Shared { most, counted, asked, answers });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it was asked, in the order of arrival.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.all()
    }

    /// Takes whatever comes and answers nothing, like a process that is stopped.
    pub fn fall_silent(&self) {
        self.shared.answers.send_replace(false);
    }

    /// Answers again, also what was asked meanwhile.
    pub fn answer_again(&self) {
        self.shared.answers.send_replace(true);
    }
}

impl Drop for RateLimits {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Counts a request by all of its descriptors.
    fn count(&self, asked: &Asked) -> u8 {
        let mut counted = self.counted.lock().unwrap();
        let mut code = OK;
        for (key, value) in asked.descriptors.iter().flatten() {
            let Some(most) = self.most.get(key) else { continue };
            let count = counted.entry((key.clone(), value.clone())).or_default();
            *count += 1;
            if *count > *most {
                code = OVER_LIMIT;
            }
        }
        code
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // They end with this.
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        // Envoy closes its connections when it ends.
        connections.spawn(async move { serve(socket, &shared).await.ok() });
    }
}

async fn serve(socket: TcpStream, shared: &Arc<Shared>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(socket).await?;
    let mut answers = JoinSet::new();
    while let Some(request) = connection.accept().await {
        let (request, reply) = request?;
        let shared = Arc::clone(shared);
        // Who waits no longer has reset the stream.
        answers.spawn(async move { answer(request, reply, &shared).await.ok() });
    }
    Ok(())
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut reply: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<(), h2::Error> {
    assert_eq!(request.uri().path(), METHOD);
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let mut body = request.into_body();
    let mut message = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        message.extend_from_slice(&chunk);
    }
    // Of gRPC's frame: a flag for compression, and the length.
    assert_eq!(message[..5], [&[0][..], &u32::try_from(message.len() - 5).unwrap().to_be_bytes()].concat());
    let asked = read_request(&message[5..]);
    let code = shared.count(&asked);
    shared.asked.push(asked);
    // The service does not end before its requests.
    let _answering = shared.answers.subscribe().wait_for(|answers| *answers).await.is_ok();
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = reply.send_response(head, false)?;
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(2);
    // `overall_code`, field 1, a varint.
    framed.put_slice(&[1 << 3, code]);
    stream.send_data(framed.freeze(), false)?;
    stream.send_trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]))
}

/// `domain` and `descriptors` of a `RateLimitRequest`, and of these the `entries`.
fn read_request(message: &[u8]) -> Asked {
    let mut asked = Asked { domain: String::new(), descriptors: Vec::new() };
    for (field, value) in fields(message) {
        match field {
            1 => asked.domain = text(value),
            2 => {
                asked.descriptors.push(fields(value).filter(|(field, _)| *field == 1).map(|(_, e)| entry(e)).collect())
            }
            _ => {}
        }
    }
    asked
}

fn entry(message: &[u8]) -> (String, String) {
    let mut entry = (String::new(), String::new());
    for (field, value) in fields(message) {
        match field {
            1 => entry.0 = text(value),
            2 => entry.1 = text(value),
            _ => {}
        }
    }
    entry
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The fields of a message that have a length; numbers are passed over.
fn fields(message: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = message;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let key = varint(&mut rest);
            match key & 7 {
                0 => drop(varint(&mut rest)),
                2 => {
                    let length = usize::try_from(varint(&mut rest)).unwrap();
                    let (value, behind) = rest.split_at(length);
                    rest = behind;
                    return Some((key >> 3, value));
                }
                other => panic!("a field of the wire type {other}"),
            }
        }
        None
    })
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first().expect("a whole message");
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return number;
        }
    }
    panic!("a number of more than 64 bits")
}
