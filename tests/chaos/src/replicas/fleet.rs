//! The stores of a campaign and what they share, and how trouble is made for them.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use linkgate_tests::postgres_proxy::{CutCommits, PostgresProxy};
use linkgate_tests::replicas::{Reached, Replicas};
use linkgate_tests::s3_proxy::{Fate, Rule, S3Proxy};
use linkgate_tests::{FakeSource, LinkRequestBuilder, StoreProcess};
use tokio::time::sleep;

use super::report::Report;
use super::takeover::Watch;
use super::trouble::Trouble;
use super::{LEASE, STORES};

/// A step that is not reached by then is not waited for.
const STEP_WITHIN: Duration = Duration::from_millis(2_500);
/// Signal 9.
const KILLED: i32 = 9;
/// Settings of every store: it collects, purges, and has short leases.
const BUSY: [(&str, &str); 6] = [
    ("LINKGATE_STORE_PURGE_INTERVAL_S", "1"),
    ("LINKGATE_STORE_GC_INTERVAL_S", "1"),
    ("LINKGATE_STORE_GC_GRACE_S", "1"),
    ("LINKGATE_STORE_SHUTDOWN_GRACE_S", "1"),
    // No upload is given up because its stores died.
    ("LINKGATE_STORE_MAX_UPLOAD_LIVES", "100"),
    ("LINKGATE_STORE_MAX_UPLOADS_PER_APP", "64"),
];

/// Three stores, and what is between them and what they share.
pub(super) struct Fleet {
    pub(super) replicas: Replicas,
    database: PostgresProxy,
    storage: S3Proxy,
    /// Which program each of them is.
    programs: [String; STORES],
    stores: [Option<StoreProcess>; STORES],
    /// Those that were started to die or to stand still at a step.
    armed: [bool; STORES],
    /// What the stores have said in this round.
    logs: [Vec<String>; STORES],
    /// Stores that ended otherwise than they should.
    pub(super) faults: Vec<String>,
}

impl Fleet {
    pub(super) async fn new(replicas: Replicas, seed: u64, program: &str) -> Self {
        let database = PostgresProxy::before(replicas.postgres.socket()).await;
        let storage = S3Proxy::before(replicas.weed.port(), seed).await;
        let programs = std::array::from_fn(|_| program.to_owned());
        let (stores, armed, logs, faults) = Default::default();
        Self { replicas, database, storage, programs, stores, armed, logs, faults }
    }

    /// Starts the stores that are missing, and those anew that must be armed, or are still for a step that did not come in an
    /// earlier round: it would come in one whose callers count on that store.
    pub(super) async fn prepare(&mut self, source: &FakeSource, troubles: &[Trouble]) {
        for number in 0..STORES {
            let failpoint = troubles.iter().filter_map(Trouble::failpoint).find(|(store, _)| *store == number);
            if failpoint.is_some() || self.armed[number] {
                self.stop(number).await;
            }
            if self.stores[number].is_none() {
                self.start(number, source, failpoint.map(|(_, text)| text)).await;
            }
        }
    }

    async fn start(&mut self, number: usize, source: &FakeSource, failpoint: Option<String>) {
        self.armed[number] = failpoint.is_some();
        let reached = self.reached(failpoint);
        self.stores[number] = Some(self.replicas.store_of(&self.programs[number], source, &reached).await);
    }

    fn reached(&self, failpoint: Option<String>) -> Reached {
        let settings = BUSY.map(|(name, value)| (name, value.to_owned())).into_iter();
        let lease = ("LINKGATE_STORE_JOB_LEASE_S", LEASE.as_secs().to_string());
        let failpoint = failpoint.map(|text| ("LINKGATE_STORE_FAILPOINT", text));
        Reached {
            database: Some(self.database.address()),
            endpoint: Some(self.storage.endpoint()),
            settings: settings.chain([lease]).chain(failpoint).collect(),
        }
    }

    fn first(&self) -> &StoreProcess {
        self.stores.iter().flatten().next().expect("stores are started before each round")
    }

    /// A request that is valid at all of them.
    pub(super) fn request(&self) -> LinkRequestBuilder {
        self.first().request("replaced by each caller")
    }

    /// Tokens for other actions.
    pub(super) fn tokens(&self) -> BTreeMap<&'static str, String> {
        let mint = self.replicas.mint();
        ["delete", "restore", "pin", "read", "download"].map(|action| (action, mint.token_for(action))).into()
    }

    pub(super) fn bases(&self) -> Vec<String> {
        self.stores.iter().flatten().map(|store| store.base().to_owned()).collect()
    }

    /// Lets all of it happen, one after the other where that takes time, and waits until it is over.
    pub(super) async fn cause(&mut self, troubles: &[Trouble], source: &FakeSource, report: &mut Report) {
        let mut rules = Vec::new();
        for trouble in troubles {
            match trouble {
                Trouble::CutCommits { cut, after, times } => {
                    self.database.cut(CutCommits { cut: *cut, with: "", after: *after, times: *times });
                }
                Trouble::StorageFails { status, percent } => rules.push(Rule::some(*percent, Fate::Status(*status))),
                Trouble::StorageSlow { time, percent } => rules.push(Rule::some(*percent, Fate::Late(*time))),
                Trouble::StorageLoses { replies, percent } => {
                    let fate = if *replies { Fate::LostReply } else { Fate::LostRequest };
                    rules.push(Rule::some(*percent, fate));
                }
                _ => {}
            }
        }
        self.storage.set(rules);
        for trouble in troubles {
            self.cause_one(trouble, source, report).await;
        }
    }

    async fn cause_one(&mut self, trouble: &Trouble, source: &FakeSource, report: &mut Report) {
        match trouble {
            Trouble::Kill { store, after } => {
                sleep(*after).await;
                self.kill(*store, report).await;
            }
            Trouble::KillAt { store, .. } => {
                let is_at_step = self.wait_for_step(*store, |store| store.ended().is_some()).await;
                report.count_step(is_at_step);
                self.kill(*store, report).await;
            }
            Trouble::Pause { store, after } => {
                sleep(*after).await;
                self.pause(*store).await;
            }
            Trouble::PauseAt { store, .. } => {
                report.count_step(self.wait_for_step(*store, |store| store.stands_still()).await);
                self.pause(*store).await;
            }
            Trouble::Terminate { store, after } => {
                sleep(*after).await;
                self.stop(*store).await;
            }
            Trouble::Replace { store, program, after } => {
                sleep(*after).await;
                self.stop(*store).await;
                self.programs[*store].clone_from(program);
                // Callers know it from the next round on.
                self.start(*store, source, None).await;
            }
            Trouble::DatabaseRestart { after } => {
                sleep(*after).await;
                self.replicas.postgres.stop();
                self.replicas.postgres.start_again();
            }
            Trouble::DatabasePause { after, time } => {
                sleep(*after).await;
                self.replicas.postgres.pause();
                sleep(*time).await;
                self.replicas.postgres.go_on();
            }
            Trouble::StoragePause { after, time } => {
                sleep(*after).await;
                self.replicas.weed.pause();
                sleep(*time).await;
                self.replicas.weed.go_on();
            }
            Trouble::StorageRestart { after } => {
                sleep(*after).await;
                self.replicas.weed.kill();
                self.replicas.weed.resume().await;
            }
            Trouble::CutCommits { .. }
            | Trouble::StorageFails { .. }
            | Trouble::StorageSlow { .. }
            | Trouble::StorageLoses { .. } => {}
        }
    }

    /// Another trouble of the same round may have ended it already.
    fn take_running(&mut self, number: usize) -> Option<StoreProcess> {
        let mut store = self.stores[number].take()?;
        let Some(ended) = store.ended() else { return Some(store) };
        if ended.signal() != Some(KILLED) {
            self.faults.push(format!("store {number} ended by itself: {ended}"));
        }
        self.logs[number].extend(store.log());
        None
    }

    async fn stop(&mut self, number: usize) {
        let Some(mut store) = self.take_running(number) else { return };
        store.terminate();
        let ends_well = ends_well(&mut store).await;
        // One that has a step to die at may come to it while it ends.
        let dies_at_step = self.armed[number] && store.ended().is_some_and(|end| end.signal() == Some(KILLED));
        if !ends_well && !dies_at_step {
            self.faults.push(format!("store {number} was told to stop and did not end well"));
        }
        self.logs[number].extend(store.log());
    }

    /// Kills a store, if it lives still, and waits until what it had accepted is somebody else's.
    async fn kill(&mut self, number: usize, report: &mut Report) {
        let Some(mut store) = self.stores[number].take() else { return };
        store.kill_9();
        let watch = Watch::begin(&self.replicas).await;
        self.logs[number].extend(store.log());
        drop(store);
        match watch.wait(&self.replicas).await {
            Ok(takeovers) => report.takeovers.extend(takeovers),
            Err(seen) => drop(report.wrong(seen)),
        }
    }

    async fn pause(&mut self, number: usize) {
        let Some(store) = self.take_running(number) else { return };
        store.pause();
        sleep(Trouble::pause()).await;
        store.go_on();
        self.stores[number] = Some(store);
    }

    async fn wait_for_step(&mut self, number: usize, mut is_there: impl FnMut(&mut StoreProcess) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < STEP_WITHIN {
            if self.stores[number].as_mut().is_none_or(&mut is_there) {
                return self.stores[number].is_some();
            }
            sleep(Duration::from_millis(2)).await;
        }
        false
    }

    /// All is well from now on. A store that came to its step late goes on or is gone.
    pub(super) async fn end_troubles(&mut self) {
        self.storage.set(Vec::new());
        self.database.cut(None);
        for number in 0..STORES {
            if let Some(store) = self.take_running(number) {
                if store.stands_still() {
                    store.go_on();
                }
                self.stores[number] = Some(store);
            }
        }
    }

    /// Whether nothing is under way any more, in whatever store.
    pub(super) async fn is_idle(&mut self) -> Result<(), String> {
        // Those of its steps that nobody waits for may come now.
        self.end_troubles().await;
        let unfinished = self.replicas.look().await.map_err(|e| e.to_string())?.unfinished();
        if unfinished > 0 {
            return Err(format!("{unfinished} jobs have not ended"));
        }
        for store in self.stores.iter().flatten() {
            let metrics = linkgate_tests::request::get(store.base(), "/metrics").await.body;
            if !metrics.lines().any(|line| line == "linkgate_store_uploads_active 0") {
                return Err("a store works still".to_owned());
            }
        }
        Ok(())
    }

    /// Stops all stores in good order.
    pub(super) async fn stop_all(&mut self) {
        for number in 0..STORES {
            self.stop(number).await;
        }
    }

    /// Leaves what the stores have said for a look.
    pub(super) fn leave_logs(&mut self, round: u32) -> PathBuf {
        self.gather_logs();
        let dir = tempfile::Builder::new().prefix(&format!("replicas-{round}-")).tempdir().unwrap().keep();
        for (number, log) in self.logs.iter().enumerate() {
            std::fs::write(dir.join(format!("store-{number}.log")), log.join("\n")).unwrap();
        }
        dir
    }

    pub(super) fn forget_logs(&mut self) {
        self.gather_logs();
        self.logs = Default::default();
    }

    fn gather_logs(&mut self) {
        for (store, log) in self.stores.iter().zip(&mut self.logs) {
            log.extend(store.iter().flat_map(StoreProcess::log));
        }
    }
}

/// Within a time that no store comes near.
async fn ends_well(store: &mut StoreProcess) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(120) {
        match store.ended() {
            Some(status) => return status.success(),
            // It may come to its step now.
            None if store.stands_still() => store.go_on(),
            None => sleep(Duration::from_millis(5)).await,
        }
    }
    false
}
