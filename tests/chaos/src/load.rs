//! A load that does not wait for who it is sent to: each request has its moment, whatever became of those before.
//!
//! Promises: a request is sent once and never again; its time counts from the moment at which it was due, so that a
//! stall is seen by all whom it would have met; connections, examples and the time for a reply are bounded.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use linkgate_tests::Reply;
use linkgate_tests::http1::Message;

/// How long a reply may take before the request counts as lost.
const WITHIN: Duration = Duration::from_secs(20);
/// How many wrong replies are kept to be shown.
const EXAMPLES: usize = 10;

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests in a second.
    pub rate: u32,
    /// How many seconds.
    pub seconds: u32,
    /// Connections, each with at most one request under way. Too few of them would make the load wait.
    pub connections: u32,
}

/// One request on the wire.
pub struct Shot {
    /// The head, with its empty line.
    pub head: Vec<u8>,
    /// What passes between head and body. It does not count as time that the reply took.
    pub pause: Duration,
    /// The body.
    pub body: Vec<u8>,
    /// How long the caller waits for a reply before it goes away; most wait.
    pub hangs_up_after: Option<Duration>,
}

/// What is sent, and what is right to come back.
pub trait Scenario: Send + Sync + 'static {
    /// What the judge has to know of a request.
    type Asked: Send;

    /// The request of this number, made when it is sent.
    fn shot(&self, number: u32) -> (Shot, Self::Asked);

    /// The class that the request is counted under.
    fn class(&self, asked: &Self::Asked) -> &'static str;

    /// Says whether the reply is right.
    ///
    /// # Errors
    /// What is wrong with it.
    fn judge(&self, asked: &Self::Asked, reply: &Reply) -> Result<(), String>;
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Replies by class and status; status 0 is no reply, which is right where the caller went away.
    pub counts: BTreeMap<(&'static str, u16), u32>,
    /// How many replies were wrong.
    pub wrong: u32,
    /// Some of them.
    pub examples: Vec<String>,
    /// How long all of it took.
    pub took: Duration,
    /// How long each reply took, in order of length once the load has ended.
    times: Vec<Duration>,
    /// How late each request was sent, in order as well: what the machine, not the other side, did to the load.
    delays: Vec<Duration>,
}

impl Tally {
    /// How many requests were sent.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.counts.values().sum()
    }

    /// How many replies had this status.
    #[must_use]
    pub fn with_status(&self, status: u16) -> u32 {
        self.counts.iter().filter(|((_, of), _)| *of == status).map(|(_, count)| count).sum()
    }

    /// The time that this share of the replies, in thousandths, came within.
    #[must_use]
    pub fn time_of(&self, thousandths: usize) -> Duration {
        share_of(&self.times, thousandths)
    }

    /// The delay that this share of the requests, in thousandths, was sent with.
    #[must_use]
    pub fn delay_of(&self, thousandths: usize) -> Duration {
        share_of(&self.delays, thousandths)
    }

    fn add(&mut self, class: &'static str, status: u16, judged: Result<(), String>) {
        *self.counts.entry((class, status)).or_default() += 1;
        if let Err(fault) = judged {
            self.wrong += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(format!("{class}: {fault}"));
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.wrong += other.wrong;
        self.times.extend(other.times);
        self.delays.extend(other.delays);
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
    }
}

fn share_of(sorted: &[Duration], thousandths: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * thousandths.min(1_000) / 1_000).copied().unwrap_or_default()
}

/// Sends a load and waits for its last reply.
pub async fn fire<S: Scenario>(address: SocketAddr, load: Load, scenario: &Arc<S>) -> Tally {
    let (next, begun) = (Arc::new(AtomicU32::new(0)), Instant::now());
    let mut clients = JoinSet::new();
    for _ in 0..load.connections {
        clients.spawn(client(address, load, begun, Arc::clone(&next), Arc::clone(scenario)));
    }
    let mut all = Tally::default();
    for tally in clients.join_all().await {
        all.merge(tally);
    }
    all.took = begun.elapsed();
    all.times.sort_unstable();
    all.delays.sort_unstable();
    all
}

/// Takes the requests that no other client has taken, one by one.
async fn client<S: Scenario>(
    address: SocketAddr,
    load: Load,
    begun: Instant,
    next: Arc<AtomicU32>,
    scenario: Arc<S>,
) -> Tally {
    let (mut tally, mut wire) = (Tally::default(), Wire::new(address));
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.rate * load.seconds {
            return tally;
        }
        let due = begun + Duration::from_secs_f64(f64::from(number) / f64::from(load.rate));
        sleep_until(due).await;
        let (shot, asked) = scenario.shot(number);
        tally.delays.push(due.elapsed());
        let reply = wire.ask(&shot).await;
        if shot.hangs_up_after.is_none() {
            tally.times.push(due.elapsed().saturating_sub(shot.pause));
        }
        let class = scenario.class(&asked);
        match reply {
            Err(_) if shot.hangs_up_after.is_some() => tally.add(class, 0, Ok(())),
            Ok(reply) => tally.add(class, reply.status, scenario.judge(&asked, &reply)),
            Err(error) => tally.add(class, 0, Err(format!("request {number}: no reply: {error}"))),
        }
    }
}

/// A kept connection, opened when it is needed.
pub struct Wire {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Wire {
    /// One to this address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request and reads the reply.
    ///
    /// # Errors
    /// What happened instead of a reply.
    pub async fn ask(&mut self, shot: &Shot) -> io::Result<Reply> {
        let exchanged = timeout(shot.hangs_up_after.unwrap_or(WITHIN) + shot.pause, self.exchange(shot)).await;
        let reply = exchanged.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if !reply.as_ref().is_ok_and(|reply| !reply.is_last()) {
            self.stream = None;
        }
        let reply = reply?;
        let (status, body) = (reply.status(), String::from_utf8_lossy(&reply.body).into_owned());
        Ok(Reply { status, headers: reply.headers, body })
    }

    async fn exchange(&mut self, shot: &Shot) -> io::Result<Message> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                self.stream.insert(BufReader::new(stream))
            }
        };
        if shot.pause.is_zero() {
            stream.get_mut().write_all(&[shot.head.as_slice(), &shot.body].concat()).await?;
        } else {
            stream.get_mut().write_all(&shot.head).await?;
            sleep(shot.pause).await;
            stream.get_mut().write_all(&shot.body).await?;
        }
        Message::read(stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
