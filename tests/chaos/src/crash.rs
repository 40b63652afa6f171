//! A real store that is killed again and again while callers upload, overwrite and delete.
//!
//! In each round it dies at a random moment or at a named step ([`Step`]), with `kill -9` or with its disk: then it is
//! started again, and what it left is held against what was acknowledged. Promises: everything that is wrong is named in
//! the report; a directory in which something was wrong is left for a look. Panics only where nothing can be judged.

pub mod caller;
mod cleanup;
mod ground;
pub mod judge;
pub mod packages;
mod report;
pub mod trouble;

use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use linkgate_store_core::failpoint::Step;
use tokio::time::sleep;

use self::caller::{Caller, MayFail, Round};
use self::ground::Ground;
pub use self::ground::{FileSystem, cannot_mount};
use self::packages::Packages;
pub use self::report::Report;
use fastrand::Rng;
use linkgate_tests::process::{Finished, WITH_FAILPOINTS, command, command_of, kill_in_start};
use linkgate_tests::{DataDirectory, StoreProcess, TokenMint};

/// Callers at once.
const CALLERS: usize = 6;
/// Rounds on one data directory: long enough to grow old, short enough to meet all steps of a new one.
const ROUNDS_EACH: u32 = 10;
/// A crash at a random moment comes this long after the first call, at most.
const MOMENT_MS: usize = 400;
/// A store that is killed in its start lives so long, at most: about as long as a start takes.
const START_MS: usize = 60;
/// A step that is not reached by then is not waited for.
const STEP_WITHIN: Duration = Duration::from_millis(1_500);
/// A store that starts again does within this time what an earlier one has promised.
const PROMISES_WITHIN: Duration = Duration::from_secs(30);
/// Signal 9.
const KILLED: i32 = 9;
/// Rounds with something wrong, after which a campaign is given up.
const ENOUGH: usize = 5;
/// A store that clears up all the time, while callers call.
const BUSY: [(&str, &str); 5] = [
    ("LINKGATE_STORE_PURGE_INTERVAL_S", "1"),
    ("LINKGATE_STORE_GC_INTERVAL_S", "1"),
    ("LINKGATE_STORE_GC_GRACE_S", "1"),
    ("LINKGATE_STORE_SCRUB_BYTES_PER_S", "0"),
    ("LINKGATE_FETCH_RETRY_DELAY_MS", "1"),
];
/// A store that changes nothing by itself, to be looked at.
const QUIET: [(&str, &str); 3] = [
    ("LINKGATE_STORE_GC_INTERVAL_S", "0"),
    ("LINKGATE_STORE_PURGE_INTERVAL_S", "0"),
    ("LINKGATE_STORE_SCRUB_BYTES_PER_S", "0"),
];

/// What to do to the store.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often it dies.
    pub rounds: u32,
    /// What decides when.
    pub seed: u64,
    /// Whether its disk dies with it, and which; all in turn if there are several.
    pub disks: &'static [FileSystem],
}

impl Plan {
    /// Kills of the process alone.
    #[must_use]
    pub fn kills(rounds: u32, seed: Option<u64>) -> Self {
        Self { rounds, seed: seed.unwrap_or_else(|| fastrand::u32(..).into()), disks: &[] }
    }

    /// Power cuts: the file system takes no more writes, and what it had not made durable is gone.
    #[must_use]
    pub fn power_cuts(rounds: u32, seed: Option<u64>, disks: &'static [FileSystem]) -> Self {
        Self { disks, ..Self::kills(rounds, seed) }
    }
}

/// When a store dies.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// So long after the first call.
    Moment(Duration),
    /// At this step, when it is reached for the n-th time.
    Step(Step, usize),
    /// At this step of `linkgate-store gc`; the store before it dies at a moment.
    Clearing(Step),
    /// At this step of `linkgate-store retention run`; the store before it dies at a moment.
    Cleanup(Step),
}

struct Campaign {
    packages: Packages,
    callers: Vec<Caller>,
    ground: Ground,
    rng: Rng,
    report: Report,
}

/// Runs it all.
pub async fn run(plan: Plan) -> Report {
    let mut rng = Rng::with_seed(plan.seed);
    let mut campaign = Campaign {
        packages: Packages::serve().await,
        callers: (0..CALLERS).map(|number| Caller::new(number, rng.u64(..))).collect(),
        ground: Ground::new(plan.disks, 0),
        rng,
        report: Report::new(plan),
    };
    let (begun, mut bad) = (Instant::now(), 0);
    while campaign.report.rounds < plan.rounds && bad < ENOUGH {
        let wrong = campaign.round().await;
        bad += usize::from(wrong > 0);
        let rounds = campaign.report.rounds;
        if wrong > 0 || rounds.is_multiple_of(ROUNDS_EACH) {
            campaign.begin_anew(wrong > 0);
        }
        if rounds.is_multiple_of(100) {
            eprintln!("{rounds} rounds of {}, {bad} bad", plan.rounds);
        }
    }
    campaign.report.took = begun.elapsed();
    campaign.report
}

impl Campaign {
    /// How much was wrong.
    async fn round(&mut self) -> usize {
        self.report.rounds += 1;
        *self.report.disks.entry(self.ground.name()).or_default() += 1;
        // New directories too: what brings them into being may be cut short.
        if self.rng.u8(..100) < 25
            && let Err(fault) = self.crash_start().await
        {
            return self.wrong(fault);
        }
        let aim = self.aim();
        if let Aim::Step(step, _) = aim
            && is_of_clearing(step)
        {
            self.give_up_some(step).await;
        }
        self.crash(aim).await;
        let mut back = self.ground.come_back().await;
        if back.is_ok() && self.rng.u8(..100) < 25 {
            back = self.crash_start().await;
        }
        if let Err(fault) = back {
            return self.wrong(fault);
        }
        let mut wrong = self.look().await;
        if wrong == 0 {
            if let Aim::Clearing(step) = aim {
                self.give_up_some(step).await;
                wrong += self.crash_clearing(step).await;
                if let Err(fault) = self.ground.come_back().await {
                    return wrong + self.wrong(fault);
                }
            }
            if let Aim::Cleanup(step) = aim {
                wrong += self.crash_cleanup(step).await;
            }
            wrong += self.clear().await;
        }
        for caller in &mut self.callers {
            self.report.deeds.add(std::mem::take(&mut caller.deeds));
        }
        wrong
    }

    fn aim(&mut self) -> Aim {
        let moment = Aim::Moment(Duration::from_millis(self.rng.usize(..MOMENT_MS) as u64));
        if self.rng.u8(..100) < 35 {
            return moment;
        }
        let Some(step) = self.rng.choice(Step::ALL) else { return moment };
        let most = match step {
            // No store that serves here has rules to clean up by.
            Step::CleanupDue | Step::CleanedUp => return Aim::Cleanup(step),
            Step::BlockWritten => 60,
            // Of packages that were deleted before, of which there are a few.
            Step::GcFound | Step::GcRemoved | Step::PurgeDue | Step::Purged => 3,
            _ => 10,
        };
        if is_of_clearing(step) && self.rng.u8(..100) < 40 {
            return Aim::Clearing(step);
        }
        Aim::Step(step, 1 + self.rng.usize(..most))
    }

    /// Deletes a version of each caller while no store runs, so that there is something to clear up.
    async fn give_up_some(&mut self, step: Step) {
        let directory = self.ground.directory();
        let for_good = !matches!(step, Step::PurgeDue | Step::Purged);
        for caller in &mut self.callers {
            caller.delete_one(&directory, for_good).await;
        }
    }

    /// A crash while the store starts, and sets right what an earlier one left.
    async fn crash_start(&mut self) -> Result<(), String> {
        let after = Duration::from_millis(self.rng.usize(..START_MS) as u64);
        kill_in_start(&self.ground.data_dir(), &pairs(&self.settings()), after, self.ground.cut()).await;
        self.report.starts += 1;
        self.ground.come_back().await
    }

    /// Lets the callers call until the store is dead.
    async fn crash(&mut self, aim: Aim) {
        let mut settings = self.settings();
        if let Aim::Step(step, times) = aim {
            settings.push(armed(step, times));
        }
        let data = self.ground.data_dir();
        let mut store = StoreProcess::start_program(WITH_FAILPOINTS, &data, &pairs(&settings), TokenMint::new());
        let round = Round {
            packages: &self.packages,
            directory: Some(self.ground.directory()),
            request: store.request("replaced by each caller"),
            tokens: ["delete", "restore", "pin"].map(|action| (action, store.mint().token_for(action))).into(),
            bases: vec![store.base().to_owned()],
            number: self.report.rounds,
            power: self.ground.power(),
            may_fail: MayFail::Never,
            is_over: AtomicBool::new(false),
        };
        let calls = join_all(self.callers.iter_mut().map(|caller| caller.call(&round)));
        let (died_at, _) = tokio::join!(die(&mut store, &self.ground, aim), calls);
        match (died_at, aim) {
            (Some(step), _) => *self.report.steps.entry(step).or_default() += 1,
            (None, Aim::Step(..)) => {
                (self.report.late, self.report.random) = (self.report.late + 1, self.report.random + 1)
            }
            (None, _) => self.report.random += 1,
        }
    }

    /// Those of a busy store. Every store that starts here must be able to do what an earlier one has promised.
    fn settings(&self) -> Vec<(&'static str, String)> {
        self.with_source(&BUSY)
    }

    fn with_source(&self, settings: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let host = self.packages.source().host();
        let hosts = ["LINKGATE_FETCH_ALLOWED_HOSTS", "LINKGATE_FETCH_PRIVATE_HOSTS"].map(|name| (name, host.clone()));
        settings.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(hosts).collect()
    }

    /// Starts the store again, and holds everything against what was acknowledged.
    async fn look(&mut self) -> usize {
        let mut wrong = 0;
        for caller in &mut self.callers {
            let (app, faults) = (caller.app.clone(), std::mem::take(&mut caller.wrong));
            wrong += faults.len();
            let named = faults.into_iter().map(|fault| format!("round {}: {app}: {fault}", self.report.rounds));
            self.report.look.wrong.extend(named);
        }
        let data = self.ground.data_dir();
        // It panics where the store does not come up, with the store's log.
        let settings = self.with_source(&QUIET);
        let Ok(mut store) = catch_unwind(AssertUnwindSafe(|| StoreProcess::start(&data, &pairs(&settings)))) else {
            return wrong + self.wrong("the store does not start again".to_owned());
        };
        if !promises_are_kept(&self.ground.directory(), store.base()).await {
            wrong += self.wrong("uploads that were promised do not end".to_owned());
        }
        let look = judge::after_restart(&self.ground.directory(), &mut self.callers, &self.packages).await;
        wrong += self.report.add_look(look);
        // Half of the time what comes next finds a journal that nobody has folded in.
        if self.rng.u8(..100) < 50 {
            store.kill_9();
        } else {
            store.stop();
        }
        wrong
    }

    /// A crash of the command that clears up.
    async fn crash_clearing(&mut self, step: Step) -> usize {
        let (name, value) = armed(step, 1);
        let what = if matches!(step, Step::PurgeDue | Step::Purged) { "purge" } else { "gc" };
        let gc = command_of(WITH_FAILPOINTS, &self.ground.data_dir(), &[what], &[(name, &value)]);
        match gc.code {
            None => {
                self.ground.cut().await;
                *self.report.steps.entry(step).or_default() += 1;
                0
            }
            // There was nothing to clear up.
            Some(0) => 0,
            Some(_) => self.wrong(format!("clearing up failed: {gc:?}")),
        }
    }

    /// Clears up; after that nothing may be left to find.
    async fn clear(&mut self) -> usize {
        let data = self.ground.data_dir();
        let purge = command(&data, &["purge"]);
        let (gc, verify) = (command(&data, &["gc"]), command(&data, &["verify"]));
        let look = judge::after_clearing(&self.ground.directory()).await;
        let wrong = self.report.add_look(look);
        let wrong = wrong + self.must_be_well("purge", &purge);
        wrong + self.must_be_well("gc", &gc) + self.must_be_well("verify", &verify)
    }

    fn must_be_well(&mut self, what: &str, done: &Finished) -> usize {
        if done.code == Some(0) { 0 } else { self.wrong(format!("`{what}` ended with {done:?}")) }
    }

    fn wrong(&mut self, fault: String) -> usize {
        self.report.look.wrong.push(format!("round {}: {fault}", self.report.rounds));
        1
    }

    /// A new data directory; the old one may be left for a look.
    fn begin_anew(&mut self, leave: bool) {
        let old =
            std::mem::replace(&mut self.ground, Ground::new(self.report.plan.disks, self.report.rounds / ROUNDS_EACH));
        if leave {
            self.report.left.push(old.leave());
        }
        self.callers.iter_mut().for_each(Caller::forget);
    }
}

/// Whether it is a step of what frees bytes.
fn is_of_clearing(step: Step) -> bool {
    matches!(step, Step::GcFound | Step::GcRemoved | Step::Unlinked | Step::PurgeDue | Step::Purged)
}

fn pairs<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Waits until everything that was promised has ended, one way or the other, and what it replaced is cleared away.
async fn promises_are_kept(directory: &DataDirectory, base: &str) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PROMISES_WITHIN {
        match directory.unfinished().await {
            Ok(0) if is_idle(base).await => return true,
            // Whatever is wrong with the catalog is named by the look.
            Err(_) => return true,
            Ok(_) => sleep(Duration::from_millis(5)).await,
        }
    }
    false
}

async fn is_idle(base: &str) -> bool {
    let metrics = linkgate_tests::request::get(base, "/metrics").await;
    metrics.body.lines().any(|line| line == "linkgate_store_uploads_active 0")
}

fn armed(step: Step, times: usize) -> (&'static str, String) {
    ("LINKGATE_STORE_FAILPOINT", format!("{}:{times}", step.name()))
}

/// Waits until the store is to die, and sees to it that it is dead; the step at which it died by itself.
async fn die(store: &mut StoreProcess, ground: &Ground, aim: Aim) -> Option<Step> {
    let died_at = match aim {
        Aim::Moment(moment) => {
            sleep(moment).await;
            None
        }
        Aim::Clearing(_) | Aim::Cleanup(_) => {
            sleep(Duration::from_millis(MOMENT_MS as u64 / 2)).await;
            None
        }
        Aim::Step(step, _) => dead_within(store, STEP_WITHIN).await.then_some(step),
    };
    // The disk goes first: what the store does until it is dead must not reach it.
    ground.cut().await;
    store.kill_9();
    died_at
}

async fn dead_within(store: &mut StoreProcess, timeout: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < timeout {
        if let Some(status) = store.ended() {
            assert_eq!(status.signal(), Some(KILLED), "the store ended by itself: {status}; {:?}", store.log());
            return true;
        }
        sleep(Duration::from_millis(1)).await;
    }
    false
}

/// Where the data directory of a campaign lies below its ground.
fn data_below(ground: &Path) -> std::path::PathBuf {
    ground.join("data")
}
