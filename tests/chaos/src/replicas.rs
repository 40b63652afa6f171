//! Three stores that share a database and a bucket, while one of them is killed, stands still or is stopped, the database or the
//! bucket fails, or replies get lost; or two of these at once. Meanwhile callers upload, overwrite, delete and restore at all three.
//!
//! In an upgrade one after the other is replaced by a store of another release instead, there, back, and there again.
//!
//! After each round all is held against what was acknowledged: no package is lost or there twice, no row is without its bytes,
//! every job that was accepted has ended. After several rounds what is left over is collected, and the bucket holds what rows need
//! and nothing else. Promises: what happens in a round follows from the seed and the number of the round alone; everything that is
//! wrong is named in the report. Panics only where nothing can be judged.

mod fleet;
mod judge;
mod report;
mod takeover;
mod trouble;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::future::join_all;
use linkgate_tests::process::WITH_FAILPOINTS;
use linkgate_tests::replicas::Replicas;
use tokio::sync::RwLock;
use tokio::time::sleep;

use self::fleet::Fleet;
pub use self::report::Report;
use self::trouble::Trouble;
pub use self::upgrade::Upgrade;
use crate::crash::caller::{Caller, MayFail, Round};
use crate::crash::packages::Packages;

/// Stores at once.
const STORES: usize = 3;
/// Callers at once.
const CALLERS: usize = 9;
/// What is left over is collected after so many rounds.
const COLLECTED_EVERY: u32 = 10;
/// How long a claim is good without a sign of life.
const LEASE: Duration = Duration::from_secs(3);
/// Callers go on for so long, if no trouble takes longer.
const ROUND: Duration = Duration::from_millis(1_500);
/// When all is well again, everything that was accepted ends within this time.
const ENDED_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// Rounds with something wrong, after which a campaign is given up.
const ENOUGH: usize = 5;

/// What to do to the stores.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often something happens.
    pub rounds: u32,
    /// What decides what.
    pub seed: u64,
    /// What happens, if it does not follow from the seed.
    upgrade: Option<Upgrade>,
}

impl Plan {
    /// So many rounds, of this seed or any.
    #[must_use]
    pub fn new(rounds: u32, seed: Option<u64>) -> Self {
        Self { rounds, seed: seed.unwrap_or_else(|| fastrand::u32(..).into()), upgrade: None }
    }

    /// One store after the other is replaced.
    #[must_use]
    pub fn of_upgrade(upgrade: Upgrade, seed: Option<u64>) -> Self {
        Self { upgrade: Some(upgrade), ..Self::new(Upgrade::STEPS, seed) }
    }

    /// What stores are at first.
    fn program(&self) -> &str {
        self.upgrade.as_ref().map_or(WITH_FAILPOINTS, Upgrade::old)
    }

    /// How long callers go on, if no trouble takes longer.
    fn round(&self) -> Duration {
        self.upgrade.as_ref().map_or(ROUND, Upgrade::step)
    }

    /// What stores may answer meanwhile.
    fn may_fail(&self, troubles: &[Trouble]) -> MayFail {
        match (&self.upgrade, troubles) {
            (None, _) => MayFail::Always,
            (Some(_), []) => MayFail::Never,
            (Some(_), _) => MayFail::Stopping,
        }
    }

    /// What happens in a round.
    fn troubles(&self, round: u32) -> Vec<Trouble> {
        if let Some(upgrade) = &self.upgrade {
            return upgrade.troubles(round);
        }
        let mut rng = Rng::with_seed(self.seed.wrapping_add(u64::from(round).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let number = if rng.u8(..100) < 25 { 2 } else { 1 };
        (0..number).map(|_| Trouble::choose(&mut rng)).collect()
    }
}

struct Campaign {
    packages: Packages,
    callers: Vec<Caller>,
    fleet: Fleet,
    report: Report,
}

/// Runs it all. `None`, and says so, where one of the servers is not to be had.
pub async fn run(plan: Plan) -> Option<Report> {
    let (mut rng, planned) = (Rng::with_seed(plan.seed), plan.rounds);
    let packages = Packages::serve().await;
    let fleet = Fleet::new(Replicas::start().await?, plan.seed, plan.program()).await;
    let callers = (0..CALLERS).map(|number| Caller::new(number, rng.u64(..))).collect();
    let mut campaign = Campaign { packages, callers, fleet, report: Report::new(plan) };
    let (begun, mut bad) = (Instant::now(), 0);
    while campaign.report.rounds < planned && bad < ENOUGH {
        let mut wrong = campaign.round().await;
        let rounds = campaign.report.rounds;
        if rounds.is_multiple_of(COLLECTED_EVERY) || rounds == planned {
            wrong += campaign.collect().await;
        }
        wrong += campaign.try_commands();
        bad += usize::from(wrong > 0);
        if rounds.is_multiple_of(50) {
            eprintln!("{rounds} rounds of {planned}, {bad} bad, {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    campaign.report.took = begun.elapsed();
    Some(campaign.report)
}

impl Campaign {
    /// How much was wrong.
    async fn round(&mut self) -> usize {
        self.report.rounds += 1;
        let troubles = self.report.plan.troubles(self.report.rounds);
        self.report.begin(&troubles);
        self.fleet.prepare(self.packages.source(), &troubles).await;
        self.call(&troubles).await;
        let mut wrong = self.wait_for_ends().await;
        let faults = std::mem::take(&mut self.fleet.faults);
        wrong += faults.into_iter().map(|fault| self.report.wrong(fault)).sum::<usize>();
        wrong += self.look().await;
        for caller in &mut self.callers {
            self.report.deeds.add(std::mem::take(&mut caller.deeds));
        }
        if wrong > 0 {
            self.report.left.push(self.fleet.leave_logs(self.report.rounds));
        }
        self.fleet.forget_logs();
        wrong
    }

    /// Lets the callers call while it happens.
    async fn call(&mut self, troubles: &[Trouble]) {
        let round = Round {
            packages: &self.packages,
            directory: None,
            request: self.fleet.request(),
            tokens: self.fleet.tokens(),
            bases: self.fleet.bases(),
            number: self.report.rounds,
            power: Arc::new(RwLock::new(true)),
            may_fail: self.report.plan.may_fail(troubles),
            is_over: AtomicBool::new(false),
        };
        let (have_ended, time) = (AtomicBool::new(false), self.report.plan.round());
        let calls = async {
            join_all(self.callers.iter_mut().map(|caller| caller.call(&round))).await;
            have_ended.store(true, Ordering::Relaxed);
        };
        let (fleet, report, source) = (&mut self.fleet, &mut self.report, self.packages.source());
        let happens = async {
            let begun = Instant::now();
            fleet.cause(troubles, source, report).await;
            sleep(time.saturating_sub(begun.elapsed())).await;
            round.is_over.store(true, Ordering::Relaxed);
            // Whoever waits for an answer gets one, or knows that there will be none.
            while !have_ended.load(Ordering::Relaxed) {
                fleet.end_troubles().await;
                sleep(PAUSE).await;
            }
        };
        tokio::join!(happens, calls);
    }

    /// Waits until all jobs have ended and every store is idle.
    async fn wait_for_ends(&mut self) -> usize {
        let begun = Instant::now();
        loop {
            match self.fleet.is_idle().await {
                Ok(()) => return 0,
                Err(seen) if begun.elapsed() > ENDED_WITHIN => {
                    return self.report.wrong(format!("it does not come to an end: {seen}"));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Holds everything against what was acknowledged.
    async fn look(&mut self) -> usize {
        let mut wrong = 0;
        for caller in &mut self.callers {
            let (app, faults) = (caller.app.clone(), std::mem::take(&mut caller.wrong));
            wrong += faults.into_iter().map(|fault| self.report.wrong(format!("{app}: {fault}"))).sum::<usize>();
        }
        let look = judge::after_round(&self.fleet.replicas, &mut self.callers, &self.packages).await;
        wrong += self.report.add_look(look);
        self.fleet.replicas.let_graces_pass().await;
        wrong
    }

    /// Runs the commands of both releases, if there are two; how much was wrong.
    fn try_commands(&mut self) -> usize {
        let Some(upgrade) = self.report.plan.upgrade.clone() else { return 0 };
        let (replicas, source) = (&self.fleet.replicas, self.packages.source());
        let faults = upgrade.try_commands(self.report.rounds, replicas, source);
        faults.into_iter().map(|fault| self.report.wrong(fault)).sum()
    }

    /// Collects what is left over; all stores begin anew.
    async fn collect(&mut self) -> usize {
        self.fleet.stop_all().await;
        let faults = std::mem::take(&mut self.fleet.faults);
        let mut wrong: usize = faults.into_iter().map(|fault| self.report.wrong(fault)).sum();
        let (left, hashed) = judge::after_collection(&self.fleet, self.packages.source(), ENDED_WITHIN).await;
        self.report.look.packages += hashed;
        wrong += left.into_iter().map(|fault| self.report.wrong(fault)).sum::<usize>();
        self.report.collections += 1;
        wrong
    }
}
