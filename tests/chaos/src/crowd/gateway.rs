//! The same before a real Envoy: what the gate holds for callers, known or not, and what the policy bounds for each of them.

mod strangers;

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::identity::{Identity, Service};
use linkgate_tests::measure::median;
use linkgate_tests::whole::{WholeStack, stranger};
use linkgate_tests::{Behaviour, Compression, LinkRequestBuilder, Reply, random, sha256_hex, tar};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::gather::Gathered;
use super::{Found, GREEDY, Latencies, REQUESTS, peak_memory_mib, timed};

const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
/// A job that nobody has: asking for it costs the store next to nothing.
const NO_JOB: &str = "0198c3a4-5f00-7abc-8def-0123456789ab";
/// How many requests an application may send at once, and how many uploads it may have in progress, in this policy.
const BURST: usize = 300;
const UPLOADS: usize = 4;

/// What a crowd takes of the gate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    /// Connections on which nothing comes.
    Silence,
    /// Streams of a connection.
    Streams,
    /// Requests of an address that wait before anybody is known.
    Strangers,
    /// Signatures of tokens that were not seen before.
    Signatures,
    /// Questions to a service that does not answer.
    Questions,
    /// Requests of a caller that wait for their bodies.
    Bodies,
    /// Requests in a second.
    Rate,
    /// Uploads in progress.
    Uploads,
}

impl Resource {
    pub(super) const ALL: [Self; 8] = [
        Self::Silence,
        Self::Streams,
        Self::Strangers,
        Self::Signatures,
        Self::Questions,
        Self::Bodies,
        Self::Rate,
        Self::Uploads,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Silence => "Envoy: connections on which nothing comes",
            Self::Streams => "Envoy: streams of a connection",
            Self::Signatures => "the gate: signatures of tokens of strangers",
            Self::Questions => "the gate: questions of strangers to a service that does not answer",
            Self::Strangers => "the gate: requests of strangers that wait",
            Self::Bodies => "the gate: requests of a caller that wait for their bodies",
            Self::Rate => "the gate: requests of a caller in a second",
            Self::Uploads => "the gate: uploads of a caller in progress",
        }
    }

    /// What those read who get nothing.
    fn code(self) -> &'static str {
        match self {
            Self::Rate | Self::Signatures => "RATE_LIMIT_RESTRICTION",
            _ => "CONCURRENCY_LIMIT_RESTRICTION",
        }
    }
}

/// A gateway, a store behind it, and two callers.
struct Ground {
    stack: WholeStack,
    secret: String,
    identity: Identity,
}

type Held = Vec<Box<dyn Any + Send>>;

pub(super) async fn try_one(resource: Resource) -> Found {
    let (ground, mut faults) = (Ground::new(resource).await, Vec::new());
    let quiet = ground.measure("quiet", &mut faults).await;
    let (gathered, held) = ground.gather(resource).await;
    let crowded = ground.measure("crowded", &mut faults).await;
    let stack = &ground.stack;
    let peaks =
        vec![("Envoy", peak_memory_mib(stack.gateway().pid())), ("the store", peak_memory_mib(stack.store().pid()))];
    drop(held);
    Found { name: resource.name(), gathered, quiet, crowded, peaks, faults }
}

impl Ground {
    async fn new(resource: Resource) -> Self {
        let (secret, package) = (random(), tar(&[("main.py", b"print()")], Compression::Gzip));
        // One worker, for each counts by itself what it holds.
        let settings = [("LINKGATE_FETCH_IDLE_TIMEOUT_S", "600"), ("LINKGATE_FETCH_MIN_RATE", "0")];
        let identity = Identity::start().await;
        let plan = GatewayPlan::new().workers(1).asking(&identity);
        let stack = WholeStack::under(plan, &settings, &[], |policy, source| {
            source.on("/slow", Behaviour::Held(package.clone()));
            source.on("/quick", Behaviour::Bytes(package));
            let greedy = json!({"app_code": GREEDY, "secret_sha256": [sha256_hex(secret.as_bytes())]});
            policy["clients"].as_array_mut().expect("clients are a list").push(greedy);
            match resource {
                Resource::Rate => policy["limits"]["requests_per_app"] = json!({"per_second": 1, "burst": BURST}),
                Resource::Uploads => policy["limits"]["uploads_per_app"] = json!({"concurrent": UPLOADS}),
                Resource::Signatures => policy["identity"] = strangers::believing_another_gateway(),
                Resource::Questions => policy["identity"] = json!({"bkauth": {"cluster": Service::Bkauth.cluster()}}),
                Resource::Silence | Resource::Streams | Resource::Strangers | Resource::Bodies => {}
            }
        })
        .await;
        Self { stack, secret, identity }
    }

    fn greedy_header(&self) -> String {
        let ticket = &self.stack.gateway().credentials().ticket;
        json!({"bk_app_code": GREEDY, "bk_app_secret": self.secret, "bk_ticket": ticket}).to_string()
    }

    fn greedy(&self, path: &str, version: &str) -> LinkRequestBuilder {
        let request = stranger(self.stack.source().url_of(path)).version(version);
        request.header("x-bkapi-authorization", &self.greedy_header()).in_english()
    }

    /// The other caller's latencies; what was not served is a fault.
    async fn measure(&self, when: &str, faults: &mut Vec<String>) -> Latencies {
        let (stack, mut uploads, mut looks, mut probes) = (&self.stack, Vec::new(), Vec::new(), Vec::new());
        let upload = |version: &str| stack.request(stack.source().url_of("/quick")).version(version);
        let accepted = stack.send(upload(&format!("{when}-job")).header("prefer", "respond-async")).await;
        let Some(job) = accepted.header("location").map(str::to_owned) else {
            faults.push(format!("{when}: an upload was answered {} {}", accepted.status, accepted.body));
            return Latencies { upload: Duration::MAX, look: Duration::MAX, probe: Duration::MAX };
        };
        for number in 0..REQUESTS {
            uploads.push(timed(stack.send(upload(&format!("{when}-{number}"))), faults).await);
            let look = upload("1").method(Method::GET).path(format!("{PATH}{job}")).raw_body("").content_type(None);
            looks.push(timed(stack.send(look), faults).await);
            probes.push(timed(linkgate_tests::request::get(stack.gateway().status(), "/readyz"), faults).await);
        }
        Latencies { upload: median(uploads), look: median(looks), probe: median(probes) }
    }

    async fn gather(&self, resource: Resource) -> (Gathered, Held) {
        match resource {
            Resource::Silence => self.say_nothing().await,
            Resource::Streams => self.open_streams().await,
            Resource::Signatures => self.make_up_tokens().await,
            Resource::Questions => self.ask_in_vain().await,
            // Another address than the other caller's.
            Resource::Strangers => self.hold_back_bodies(resource, "", "127.0.0.2:0", 300, 256).await,
            Resource::Bodies => {
                let credentials = format!("x-bkapi-authorization: {}\r\n", self.greedy_header());
                self.hold_back_bodies(resource, &credentials, "127.0.0.1:0", 600, 512).await
            }
            Resource::Rate => self.ask_too_often(resource).await,
            Resource::Uploads => self.upload_too_much(resource).await,
        }
    }

    /// Bodies of which the last byte never comes.
    async fn hold_back_bodies(
        &self,
        resource: Resource,
        credentials: &str,
        from: &str,
        tried: usize,
        bound: usize,
    ) -> (Gathered, Held) {
        let mut gathered = Gathered::new(tried, bound);
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: x\r\n{credentials}content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        let from: SocketAddr = from.parse().expect("an address");
        let mut open = Vec::new();
        for _ in 0..tried {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(from).expect("an address of this machine");
            let mut stream = socket.connect(self.stack.gateway().address()).await.expect("it listens");
            stream.write_all(head.as_bytes()).await.expect("it reads");
            open.push(stream);
        }
        let mut held = Held::new();
        for stream in open {
            if let Some(stream) = self.is_held(resource, stream, &mut gathered).await {
                held.push(Box::new(stream));
            }
        }
        gathered.held = held.len();
        (gathered, held)
    }

    /// The connection, if nothing was said on it.
    async fn is_held(&self, resource: Resource, mut stream: TcpStream, gathered: &mut Gathered) -> Option<TcpStream> {
        let mut answer = vec![0; 4_096];
        match timeout(Duration::from_millis(10), stream.read(&mut answer)).await {
            Err(_) => return Some(stream),
            Ok(Err(_) | Ok(0)) => gathered.wrong.push("the connection was closed without a word".to_owned()),
            Ok(Ok(read)) => {
                let told = String::from_utf8_lossy(&answer[..read]).into_owned();
                let has = |text: &str| told.contains(text);
                if !has(" 429 ") || !has(resource.code()) || !has("retry-after: ") {
                    gathered.wrong.push(told.clone());
                }
                let first = told.lines().next().unwrap_or_default().to_owned();
                *gathered.refusals.entry(first).or_default() += 1;
            }
        }
        None
    }

    async fn ask_too_often(&self, resource: Resource) -> (Gathered, Held) {
        let mut gathered = Gathered::new(BURST + 100, BURST + 30);
        for _ in 0..gathered.tried {
            let ask = self.greedy("/", "1").method(Method::GET).path(format!("{PATH}{NO_JOB}/"));
            let reply = self.stack.send(ask.raw_body("").content_type(None)).await;
            if reply.status == 404 { gathered.held += 1 } else { refuse(&mut gathered, resource, &reply) }
        }
        (gathered, Held::new())
    }

    async fn upload_too_much(&self, resource: Resource) -> (Gathered, Held) {
        let mut gathered = Gathered::new(20, UPLOADS);
        let mut asking = JoinSet::new();
        for number in 0..gathered.tried {
            asking.spawn(self.greedy("/slow", &number.to_string()).try_send_owned(self.stack.base()));
        }
        while asking.len() > UPLOADS {
            let Ok(Some(ended)) = timeout(Duration::from_secs(20), asking.join_next()).await else { break };
            match ended.expect("it does not panic") {
                Ok(reply) => refuse(&mut gathered, resource, &reply),
                Err(e) => gathered.wrong.push(format!("no reply: {e}")),
            }
        }
        gathered.held = asking.len();
        (gathered, vec![Box::new(asking)])
    }
}

/// Somebody got nothing.
fn refuse(gathered: &mut Gathered, resource: Resource, reply: &Reply) {
    let told = format!("{} {}", reply.status, reply.body);
    if reply.status != 429 || !reply.body.contains(resource.code()) || reply.header("retry-after").is_none() {
        gathered.wrong.push(told.clone());
    }
    *gathered.refusals.entry(told).or_default() += 1;
}
