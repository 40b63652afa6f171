//! A disk that fills up, has no more space for names, or fails, in the middle of an upload; and comes back.
//!
//! In each round everything is well, then the trouble begins while an upload is half written, then it is over. Promises:
//! while it lasts every upload is refused with the code that is right for it, nothing is half there, and when it is over
//! the same process takes uploads again.

mod disks;

use std::fmt::{Display, Formatter, Result as Shown};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use self::disks::Troubled;
pub use self::disks::{Trouble, cannot_trouble};
use super::caller::{Caller, Key, Live};
use super::judge::{Look, after_clearing, after_restart};
use super::packages::{Package, Packages};
use linkgate_tests::process::command;
use linkgate_tests::{Behaviour, FakeSource, LinkRequestBuilder, Reply, StoreProcess, package_of_size};

/// Callers at once.
const CALLERS: usize = 4;
/// More than is handed to the writer at a time, in each half.
const HELD_BYTES: usize = 3 << 20;
/// How often an upload is tried when the trouble is over: a failure that nobody was told of is told to the next who asks.
const TRIES: u32 = 5;

/// What came of one trouble.
#[derive(Debug)]
pub struct TroubleReport {
    trouble: Trouble,
    rounds: u32,
    stored: u32,
    refused: u32,
    /// Refused once more after it was over.
    late: u32,
    look: Look,
}

impl TroubleReport {
    /// Everything that should not be.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.look.wrong
    }
}

impl Display for TroubleReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Shown {
        let Self { trouble, rounds, stored, refused, late, look } = self;
        writeln!(
            f,
            "{}: {rounds} rounds, {stored} uploads stored, {refused} refused as they should be",
            trouble.name()
        )?;
        writeln!(f, "  refused once more when it was over: {late}; {} packages hashed", look.packages)?;
        look.wrong.iter().try_for_each(|fault| writeln!(f, "WRONG: {fault}"))?;
        write!(f, "  {} violations", look.wrong.len())
    }
}

struct Scene {
    packages: Packages,
    /// One for each round: what they hold back they hold back once.
    held: Vec<FakeSource>,
    callers: Vec<Caller>,
    store: StoreProcess,
    // After the store, which must be gone before its disk goes.
    disk: Troubled,
    report: TroubleReport,
}

/// Runs it.
pub async fn run(trouble: Trouble, rounds: u32) -> TroubleReport {
    let mut scene = Scene::set_up(trouble, rounds).await;
    for round in 0..rounds {
        scene.round(round).await;
    }
    let Scene { store, disk, mut report, .. } = scene;
    store.stop();
    let data = disk.data_dir();
    for what in ["gc", "verify"] {
        let done = command(&data, &[what]);
        if done.code != Some(0) {
            report.look.wrong.push(format!("`{what}` ended with {done:?}"));
        }
    }
    report.look.wrong.extend(after_clearing(&linkgate_tests::DataDirectory::new(data)).await.wrong);
    report
}

impl Scene {
    async fn set_up(trouble: Trouble, rounds: u32) -> Self {
        let (packages, disk) = (Packages::serve().await, Troubled::make(trouble).unwrap());
        let mut held = Vec::new();
        for _ in 0..rounds {
            held.push(FakeSource::start(Behaviour::Held(package_of_size(HELD_BYTES))).await);
        }
        let hosts: Vec<String> = held.iter().map(FakeSource::host).chain([packages.source().host()]).collect();
        let hosts = hosts.join(",");
        let settings = [
            ("LINKGATE_FETCH_ALLOWED_HOSTS", hosts.as_str()),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", &hosts),
            // The disk itself shall say no.
            ("LINKGATE_STORE_MIN_FREE_BYTES", "0"),
            ("LINKGATE_STORE_SCRUB_BYTES_PER_S", "0"),
            ("LINKGATE_STORE_GC_INTERVAL_S", "0"),
        ];
        let store = StoreProcess::start(&disk.data_dir(), &settings);
        let callers = (0..CALLERS).map(|number| Caller::new(number, 0)).collect();
        let report = TroubleReport { trouble, rounds, stored: 0, refused: 0, late: 0, look: Look::default() };
        Self { packages, held, callers, store, disk, report }
    }

    async fn round(&mut self, round: u32) {
        self.all_are_stored(round, "well").await;
        let request = self.store.request(self.held[round as usize].url()).module("held", "default");
        let half = tokio::spawn(request.try_send_owned(self.store.base()));
        let begun = Instant::now();
        while self.store.directory().temp_files().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the upload does not begin: {:?}", self.store.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.disk.begin();
        self.held[round as usize].release();
        let reply = half.await.unwrap();
        self.must_be_refused("what was half written", reply);
        // It gave back what it had taken.
        self.disk.begin();
        self.all_are_refused(round).await;
        self.disk.end();
        self.all_are_stored(round, "well again").await;
        let look = after_restart(self.store.directory(), &mut self.callers, &self.packages).await;
        let Look { wrong, rows, packages, .. } = look;
        let sum = &mut self.report.look;
        (sum.rows, sum.packages) = (sum.rows + rows, sum.packages + packages);
        sum.wrong.extend(wrong.into_iter().map(|fault| format!("round {round}: {fault}")));
    }

    /// A new version and an overwrite by each caller.
    fn list_uploads(&self, round: u32) -> Vec<(usize, Key, &Package, LinkRequestBuilder)> {
        let key = |version: String| Key { module: "default".to_owned(), version };
        let upload = |caller: usize, key: Key, number: usize| {
            let package = self.packages.get(number % self.packages.count());
            let link = self.packages.url(package.number);
            let request = self.store.request(link).module(&self.callers[caller].app, &key.module);
            (caller, key.clone(), package, request.version(&key.version).overwriting())
        };
        let first = self.report.stored as usize + self.report.refused as usize;
        (0..CALLERS)
            .flat_map(|caller| {
                let new = upload(caller, key(format!("v{round}")), first + 7 * caller + 1);
                [new, upload(caller, key("same".to_owned()), first + 11 * caller + 2)]
            })
            .collect()
    }

    async fn all_are_stored(&mut self, round: u32, when: &str) {
        let base = self.store.base().to_owned();
        let uploads: Vec<_> = self
            .list_uploads(round)
            .into_iter()
            .map(|(caller, key, package, request)| (caller, key, package.sha256.clone(), request))
            .collect();
        for (caller, key, sha256, request) in uploads {
            for again in 0..TRIES {
                let reply = request.clone().send(&base).await;
                if reply.status == 200 {
                    let id = reply.json()["id"].as_i64().unwrap_or_default();
                    self.callers[caller].live.insert(key.clone(), Live { id, sha256: sha256.clone() });
                    self.report.stored += 1;
                    break;
                }
                self.report.late += 1;
                if again + 1 == TRIES {
                    let logged = self.store.log();
                    let why = logged.iter().rev().find(|line| line.contains("ERROR") || line.contains("WARN"));
                    self.report.look.wrong.push(format!(
                        "round {round}: refused although all is {when}: {} {}, for {why:?}",
                        reply.status, reply.body
                    ));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn all_are_refused(&mut self, round: u32) {
        let base = self.store.base().to_owned();
        let sent = self.list_uploads(round).into_iter().map(|(.., request)| request.try_send_owned(&base));
        for reply in join_all(sent.collect::<Vec<_>>()).await {
            self.must_be_refused("an upload in trouble", reply);
        }
    }

    fn must_be_refused(&mut self, what: &str, reply: Result<Reply, reqwest::Error>) {
        let said = match reply {
            Ok(reply) => (reply.status, reply.json()["code"].as_str().unwrap_or_default().to_owned()),
            Err(error) => (0, error.to_string()),
        };
        let (status, code) = self.report.trouble.refusal();
        if said == (status, code.to_owned()) {
            self.report.refused += 1;
        } else {
            self.report.look.wrong.push(format!("{what} was answered {said:?}, not {status} {code}"));
        }
    }
}
