//! What a run came to, and what of it should not be.

use std::fmt::{Display, Formatter, Result};
use std::io;
use std::time::Duration;

use super::mix::{Asked, Mix};
use super::{Plan, SERVING, Stats};
use crate::load::{Scenario as _, Tally};
use linkgate_tests::Reply;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    pub(super) plan: Plan,
    /// Of the load.
    pub(super) tally: Tally,
    /// What was wrong before it and after it.
    pub(super) alone: Vec<String>,
    /// Requests that were sent on before it and after it.
    pub(super) alone_linked: u32,
    /// Requests that came to the upstream, in all.
    pub(super) taken: u32,
    /// What the command line said to policies that it did not deploy.
    pub(super) refusals: Vec<String>,
    /// Questions to the services, in all.
    pub(super) asked: usize,
    /// Those about whom the warm-up showed, and how many there may be.
    pub(super) known_asked: usize,
    pub(super) known_limit: usize,
    /// The last policy.
    pub(super) version: String,
    /// How many workers serve each policy at the end.
    pub(super) workers: Stats,
    /// Before the load, and at the end.
    pub(super) stats: (Stats, Stats),
    pub(super) memory_kib: (u64, u64),
    /// Lines of Envoy's log that should not be.
    pub(super) log_faults: Vec<String>,
}

impl Report {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            tally: Tally::default(),
            alone: Vec::new(),
            alone_linked: 0,
            taken: 0,
            refusals: Vec::new(),
            asked: 0,
            known_asked: 0,
            known_limit: 0,
            version: String::new(),
            workers: Stats::new(),
            stats: Default::default(),
            memory_kib: (0, 0),
            log_faults: Vec::new(),
        }
    }

    /// Judges a request outside the load.
    pub(super) fn alone(&mut self, mix: &Mix, asked: &Asked, reply: io::Result<Reply>) {
        let judged = reply.map_err(|error| error.to_string()).and_then(|reply| {
            self.alone_linked += u32::from(reply.status == 200);
            mix.judge(asked, &reply)
        });
        self.alone.extend(judged.err());
    }

    /// Everything that should not be; none if the gate has passed.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let tally = &self.tally;
        let mut found = Vec::new();
        if tally.wrong > 0 {
            found.push(format!("{} wrong replies, for example:\n  {}", tally.wrong, tally.examples.join("\n  ")));
        }
        found.extend(self.alone.iter().take(10).map(|fault| format!("outside the load: {fault}")));
        found.extend(self.refusals.iter().map(|refusal| format!("a policy was not deployed: {refusal}")));
        let linked = tally.with_status(200) + self.alone_linked;
        if self.taken != linked {
            found.push(format!("{} requests were sent on, and {linked} were answered with 200", self.taken));
        }
        if self.known_asked > self.known_limit {
            let (asked, limit) = (self.known_asked, self.known_limit);
            found.push(format!("{asked} questions about whom the workers know already, at most {limit} were to be"));
        }
        if self.grown("update_success") != u64::from(self.plan.deploys) {
            found.push(format!("Envoy took {} policies of {}", self.grown("update_success"), self.plan.deploys));
        }
        let wanted = [("update_rejected", "policies were refused"), ("vm_reload", "times the gate trapped")];
        found.extend(wanted.iter().filter(|(name, _)| self.grown(name) > 0).map(|(name, what)| {
            let times = self.grown(name);
            format!("{times} {what}")
        }));
        let serving = self.workers.get(&self.version).copied().unwrap_or_default();
        if serving != SERVING {
            found.push(format!("{serving} workers serve the last policy, {SERVING} were to do so"));
        }
        let leaked = self.workers.iter().filter(|(version, count)| **version != self.version && **count > 0);
        found.extend(leaked.map(|(version, count)| format!("policy {version} is still served by {count} workers")));
        found.extend(self.log_faults.iter().take(10).map(|line| format!("in Envoy's log: {line}")));
        found
    }

    /// By how much what ends so has grown.
    fn grown(&self, name: &str) -> u64 {
        let sum = |stats: &Stats| stats.iter().filter(|(of, _)| of.ends_with(name)).map(|(_, n)| n).sum::<u64>();
        sum(&self.stats.1).saturating_sub(sum(&self.stats.0))
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (plan, tally) = (self.plan, &self.tally);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let rate = f64::from(tally.sent()) / tally.took.as_secs_f64();
        writeln!(
            f,
            "{} requests in {:.1} s: {rate:.0} of {} a second",
            tally.sent(),
            tally.took.as_secs_f64(),
            plan.rate
        )?;
        let [half, most, all] = [500, 990, 1_000].map(|part| ms(tally.time_of(part)));
        writeln!(f, "latency: p50 {half:.1} ms, p99 {most:.1} ms, max {all:.1} ms")?;
        let [half, most, all] = [500, 990, 1_000].map(|part| ms(tally.delay_of(part)));
        writeln!(f, "of which the load itself came late: p50 {half:.1} ms, p99 {most:.1} ms, max {all:.1} ms")?;
        for ((class, status), count) in &tally.counts {
            writeln!(f, "  {class:<24}{status:>4}{count:>8}")?;
        }
        writeln!(f, "sent on: {} in all, {} of the load", self.taken, tally.with_status(200))?;
        writeln!(f, "bkauth went down {} times", plan.outages())?;
        let (asked, known, limit) = (self.asked, self.known_asked, self.known_limit);
        writeln!(f, "questions: {asked}, of which {known} (at most {limit}) about whom the workers know")?;
        writeln!(f, "workers by policy, the last one is {}:", self.version)?;
        for (version, count) in &self.workers {
            writeln!(f, "  {version:<24}{count:>4}")?;
        }
        writeln!(f, "Envoy's memory: {} MiB before, {} MiB after", self.memory_kib.0 >> 10, self.memory_kib.1 >> 10)?;
        for (name, count) in &self.stats.1 {
            writeln!(f, "  {name}: {} -> {count}", self.stats.0.get(name).copied().unwrap_or_default())?;
        }
        let violations = self.violations();
        violations.iter().try_for_each(|violation| writeln!(f, "WRONG: {violation}"))?;
        write!(f, "{} violations", violations.len())
    }
}
