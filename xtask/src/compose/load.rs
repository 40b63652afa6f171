//! Callers of two gateways behind a load balancer, which sends nothing to a gateway that is leaving.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use serde_json::json;

use crate::error::{Failure, Outcome};
use crate::http;
use crate::up::demo::Credentials;
use crate::up::upload;

/// Between two requests of one caller.
const PAUSE: Duration = Duration::from_millis(50);
/// How many callers there are.
const CALLERS: usize = 2;

/// Requests under way, until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Tally>>,
}

/// What came of them.
#[derive(Default)]
pub struct Tally {
    /// How many each gateway answered as it should.
    pub good: [u64; 2],
    wrong: Vec<String>,
}

impl Load {
    /// Begins to upload a package as version after version.
    pub fn start(gateways: [u16; 2], credentials: &Credentials, url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let caller = |number: usize| {
            let (stop, credentials, url) = (Arc::clone(&stop), credentials.clone(), url.to_owned());
            thread::spawn(move || upload_in_turns(number, gateways, &credentials, &url, &stop))
        };
        let callers = (0..CALLERS).map(caller).collect();
        Self { stop, callers }
    }

    /// Ends it; fails if a single request was not answered as it should be.
    pub fn finish(self) -> Outcome<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for caller in self.callers {
            let tally = caller.join().map_err(|_| Failure::new("a caller of the load panicked"))?;
            all.wrong.extend(tally.wrong);
            all.good = [all.good[0] + tally.good[0], all.good[1] + tally.good[1]];
        }
        if all.wrong.is_empty() && all.good.iter().all(|good| *good > 0) {
            return Ok(all);
        }
        let [one, two] = all.good;
        let examples: Vec<_> = all.wrong.iter().take(5).map(String::as_str).collect();
        Err(Failure::new(format!(
            "{} requests of the load failed, {one} and {two} were good:\n{}",
            all.wrong.len(),
            examples.join("\n")
        )))
    }
}

fn upload_in_turns(
    number: usize,
    gateways: [u16; 2],
    credentials: &Credentials,
    url: &str,
    stop: &AtomicBool,
) -> Tally {
    let mut tally = Tally::default();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // As a balancer does: by turns, and who is not ready is passed over.
        let first = (turn + number) % 2;
        let Some(at) = [first, 1 - first].into_iter().find(|at| is_ready(gateways[*at])) else {
            tally.wrong.push("no gateway was ready".to_owned());
            continue;
        };
        let body = json!({"package_url": url, "version": format!("load-{number}-{turn}")}).to_string();
        match upload::send_upload(gateways[at], credentials, &body) {
            Ok(reply) if reply.status() == 200 => tally.good[at] += 1,
            Ok(reply) => tally.wrong.push(reply.to_string()),
            Err(failure) => tally.wrong.push(failure.to_string()),
        }
        sleep(PAUSE);
    }
    tally
}

/// Whether a gateway says that it takes requests.
pub fn is_ready(port: u16) -> bool {
    http::get(port, "/readyz").is_ok_and(|response| response.status == 200)
}
