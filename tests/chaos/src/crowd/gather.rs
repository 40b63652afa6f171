//! The crowds: how each of them takes what it can get, and what it is told when it gets no more.

use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use linkgate_tests::token::good_claims;
use linkgate_tests::{LinkRequestBuilder, Reply, package_of_size};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{GREEDY, Ground, Resource};

/// Who is not answered by then waits, and is meant to.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Codes of those who get nothing.
const DOCUMENTED: [&str; 2] = ["TOO_MANY_UPLOADS", "TOO_MANY_REQUESTS"];
/// What comes of a body at the most; its last byte never does.
const BODY: usize = 1 << 20;

/// What came of a crowd.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// How many tried.
    pub(super) tried: usize,
    /// How many hold something, and how many should.
    pub(super) held: usize,
    pub(super) bound: usize,
    /// What the others were told: status, code, detail, `Retry-After`.
    pub(super) refusals: BTreeMap<String, usize>,
    /// Refusals that are not as documented.
    pub(super) wrong: Vec<String>,
}

/// The crowd, which stays as long as this is not dropped.
pub(super) type Held = Vec<Box<dyn Any + Send>>;

/// Lets it come.
pub(super) async fn gather(resource: Resource, ground: &Ground) -> (Gathered, Held) {
    match resource {
        Resource::Queue => fill_queue(ground).await,
        Resource::OneUpload => {
            let ask = |_| ground.request(GREEDY, "/slow", "1");
            wait_in_crowds(ground, 1_030, 64, ask).await
        }
        Resource::Waiters => {
            let ask = |number: usize| ground.request(GREEDY, "/slow", &format!("w{}", number % 6));
            wait_in_crowds(ground, 300, 128, ask).await
        }
        Resource::Watchers => watch_in_crowds(ground).await,
        Resource::Bodies => {
            let blanks = vec![b' '; BODY];
            let head = |_| head_of(ground, "link/", "application/json");
            hold_bodies(ground, Gathered::new(64, 16), head, &blanks).await
        }
        Resource::Files => {
            let path = |number| format!("?filename=a.bin&version=f{number}");
            let head = |number| head_of(ground, &path(number), "application/octet-stream");
            hold_bodies(ground, Gathered::new(24, 8), head, &package_of_size(BODY)).await
        }
        Resource::Downloads => leave_unread(ground).await,
        Resource::EndedJobs => fail_in_crowds(ground).await,
        Resource::Strangers => hold_connections(ground).await,
        Resource::Probes => flood_with_probes(ground).await,
    }
}

impl Gathered {
    pub(super) fn new(tried: usize, bound: usize) -> Self {
        Self { tried, bound, ..Self::default() }
    }

    /// Somebody got a reply that has not ended, or nothing.
    async fn keep_open(&mut self, reply: reqwest::Response, held: &mut Held) {
        if reply.status() == 200 {
            held.push(Box::new(reply));
            return;
        }
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        self.refuse(&Reply { status, headers, body: reply.text().await.unwrap_or_default() });
    }

    /// Somebody got nothing.
    fn refuse(&mut self, reply: &Reply) {
        let retry_after = reply.header("retry-after");
        let documented = DOCUMENTED.iter().any(|code| reply.body.contains(code));
        let told = format!("{} {} (Retry-After: {})", reply.status, reply.body, retry_after.unwrap_or("none"));
        if reply.status != 429 || !documented || retry_after != Some("5") {
            self.wrong.push(told.clone());
        }
        *self.refusals.entry(told).or_default() += 1;
    }
}

async fn fill_queue(ground: &Ground) -> (Gathered, Held) {
    let mut gathered = Gathered::new(300, 16 + 64);
    for number in 0..gathered.tried {
        let reply = ground.store.send(ground.hurried(GREEDY, "/slow", &format!("q{number}"))).await;
        if reply.status == 202 { gathered.held += 1 } else { gathered.refuse(&reply) }
    }
    (gathered, Held::new())
}

/// All at once; whoever is not refused waits.
async fn wait_in_crowds(
    ground: &Ground,
    tried: usize,
    bound: usize,
    ask: impl Fn(usize) -> LinkRequestBuilder,
) -> (Gathered, Held) {
    let mut gathered = Gathered::new(tried, bound);
    let mut asking = JoinSet::new();
    for number in 0..tried {
        asking.spawn(ask(number).try_send_owned(ground.store.base()));
        // As a gateway connects: not a thousand times before it says a word.
        if number % 50 == 49 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    while asking.len() > bound {
        let Ok(Some(ended)) = timeout(ANSWERED_WITHIN, asking.join_next()).await else { break };
        match ended.expect("it does not panic") {
            Ok(reply) => gathered.refuse(&reply),
            Err(e) => gathered.wrong.push(format!("no reply: {e}")),
        }
    }
    gathered.held = asking.len();
    (gathered, vec![Box::new(asking)])
}

async fn watch_in_crowds(ground: &Ground) -> (Gathered, Held) {
    let mut gathered = Gathered::new(520, 64);
    let mut jobs = Vec::new();
    for number in 0..10 {
        jobs.push(ground.store.send(ground.hurried(GREEDY, "/slow", &format!("e{number}"))).await);
    }
    let mut held = Held::new();
    for number in 0..gathered.tried {
        let request = ground.about(GREEDY, &jobs[number % jobs.len()]).header("accept", "text/event-stream");
        gathered.keep_open(request.open(ground.store.base()).await, &mut held).await;
    }
    gathered.held = held.len();
    (gathered, held)
}

/// What a body follows that is longer than [`BODY`].
fn head_of(ground: &Ground, below: &str, media_type: &str) -> String {
    format!(
        "POST /bkapps/applications/{GREEDY}/modules/default/source_package/{below} HTTP/1.1\r\nhost: x\r\n\
         blueking-language: en\r\nx-bkapi-jwt: {}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
        ground.store.mint().token_of(GREEDY),
        BODY + 1
    )
}

/// Bodies of which the last byte never comes.
async fn hold_bodies(
    ground: &Ground,
    mut gathered: Gathered,
    head: impl Fn(usize) -> String,
    body: &[u8],
) -> (Gathered, Held) {
    let address = ground.store.base().trim_start_matches("http://");
    let mut open = Vec::new();
    for number in 0..gathered.tried {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let sent = async {
            stream.write_all(head(number).as_bytes()).await?;
            stream.write_all(body).await
        };
        // Whoever is refused may be refused before all has been sent.
        let _sent_or_refused = sent.await;
        open.push(stream);
    }
    let mut held = Held::new();
    for mut stream in open {
        let mut answer = vec![0; 4_096];
        match timeout(Duration::from_millis(500), stream.read(&mut answer)).await {
            Err(_) => held.push(Box::new(stream)),
            // The rest of a refused body makes the system break the connection, sometimes before the answer is read.
            Ok(Err(_) | Ok(0)) => *gathered.refusals.entry("connection closed".to_owned()).or_default() += 1,
            Ok(Ok(read)) => {
                let told = String::from_utf8_lossy(&answer[..read]).into_owned();
                let first = told.lines().next().unwrap_or_default().to_owned();
                if !told.contains(" 429 ") || !DOCUMENTED.iter().any(|code| told.contains(code)) {
                    gathered.wrong.push(told);
                }
                *gathered.refusals.entry(first).or_default() += 1;
            }
        }
    }
    gathered.held = held.len();
    (gathered, held)
}

/// Downloads of which only the head is read.
async fn leave_unread(ground: &Ground) -> (Gathered, Held) {
    let (mut gathered, mut held) = (Gathered::new(100, 64), Held::new());
    let uploaded = ground.store.send(ground.request(GREEDY, "/large", "1")).await;
    let mut claims = good_claims();
    claims["app"]["app_code"] = GREEDY.into();
    claims["linkgate"]["action"] = "download".into();
    for _ in 0..gathered.tried {
        let path = format!("{}/download/", uploaded.json()["id"]);
        let request = ground.request(GREEDY, "/large", "1").below(Method::GET, &path).in_english();
        let request = request.token(Some(ground.store.mint().sign(&claims)));
        gathered.keep_open(request.open(ground.store.base()).await, &mut held).await;
    }
    gathered.held = held.len();
    (gathered, held)
}

/// Eight at a time, as the source does not have what they ask for.
async fn fail_in_crowds(ground: &Ground) -> (Gathered, Held) {
    let mut gathered = Gathered::new(600, 100);
    let all =
        (0..gathered.tried).map(|number| ground.store.send(ground.request(GREEDY, "/none", &format!("f{number}"))));
    let replies: Vec<Reply> = stream::iter(all).buffer_unordered(8).collect().await;
    let failed = |reply: &&Reply| reply.status == 502 && reply.body.contains("SOURCE_UNREACHABLE");
    gathered.wrong = replies.iter().filter(|reply| !failed(reply)).map(|reply| reply.body.clone()).collect();
    let jobs = ground.store.directory().jobs().await;
    gathered.held = jobs.iter().filter(|(state, _)| state == "failed").count();
    (gathered, Held::new())
}

/// One byte each, and no more.
async fn hold_connections(ground: &Ground) -> (Gathered, Held) {
    let mut gathered = Gathered::new(2_200, 64);
    let address = ground.store.base().trim_start_matches("http://");
    let mut open = Vec::new();
    for _ in 0..gathered.tried {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // It may be closed already, for those that came after it.
        let _sent_or_closed = stream.write_all(b"G").await;
        open.push(stream);
    }
    // The last of them are spared for a moment; then somebody comes.
    sleep(Duration::from_millis(1_500)).await;
    ground.store.get("/readyz").await;
    let mut held = Held::new();
    for mut stream in open {
        match timeout(Duration::from_millis(5), stream.read(&mut [0])).await {
            Err(_) => held.push(Box::new(stream)),
            Ok(_) => *gathered.refusals.entry("connection closed".to_owned()).or_default() += 1,
        }
    }
    gathered.held = held.len();
    (gathered, held)
}

/// Each asks again as soon as it is answered.
async fn flood_with_probes(ground: &Ground) -> (Gathered, Held) {
    let mut gathered = Gathered::new(16, 16);
    let address = ground.store.base().trim_start_matches("http://").to_owned();
    let mut asking = JoinSet::new();
    for _ in 0..gathered.tried {
        let address = address.clone();
        asking.spawn(async move {
            let mut stream = TcpStream::connect(&address).await?;
            let mut answer = vec![0; 4_096];
            loop {
                stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await?;
                if stream.read(&mut answer).await? == 0 {
                    return Ok::<_, std::io::Error>(());
                }
                // This machine is the caller's and the store's; a flood that took all of it would measure nothing.
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    gathered.held = asking.len();
    (gathered, vec![Box::new(asking)])
}
