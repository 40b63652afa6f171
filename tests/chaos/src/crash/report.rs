//! What a campaign came to, and what of it should not be.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};
use std::path::PathBuf;
use std::time::Duration;

use linkgate_store_core::failpoint::Step;

use super::Plan;
use super::caller::Deeds;
use super::judge::Look;

/// From so many rounds on every step must have been met.
const ROUNDS_FOR_EVERY_STEP: u32 = 500;

/// What a campaign came to.
#[derive(Debug)]
pub struct Report {
    pub(super) plan: Plan,
    pub(super) rounds: u32,
    pub(super) took: Duration,
    /// Crashes at a random moment.
    pub(super) random: u32,
    /// Of these, those where a step was wanted and not reached in time.
    pub(super) late: u32,
    /// Crashes while the store started, before or after the one that the round is about.
    pub(super) starts: u32,
    /// Crashes at a step.
    pub(super) steps: BTreeMap<Step, u32>,
    /// Rounds by file system.
    pub(super) disks: BTreeMap<&'static str, u32>,
    pub(super) deeds: Deeds,
    pub(super) look: Look,
    /// Directories that are left for a look.
    pub(super) left: Vec<PathBuf>,
}

impl Report {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            rounds: 0,
            took: Duration::ZERO,
            random: 0,
            late: 0,
            starts: 0,
            steps: BTreeMap::new(),
            disks: BTreeMap::new(),
            deeds: Deeds::default(),
            look: Look::default(),
            left: Vec::new(),
        }
    }

    /// Adds what was found; how much of it is wrong.
    pub(super) fn add_look(&mut self, look: Look) -> usize {
        let (sum, wrong) = (&mut self.look, look.wrong.len());
        sum.rows += look.rows;
        sum.packages += look.packages;
        sum.found_done += look.found_done;
        sum.found_undone += look.found_undone;
        sum.wrong.extend(look.wrong.into_iter().map(|fault| format!("round {}: {fault}", self.rounds)));
        wrong
    }

    /// Everything that should not be; none if the store has passed.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut found = self.look.wrong.clone();
        if self.rounds < self.plan.rounds {
            found.push(format!("given up after {} rounds of {}", self.rounds, self.plan.rounds));
        }
        if self.plan.rounds >= ROUNDS_FOR_EVERY_STEP {
            let missed = Step::ALL.into_iter().filter(|step| !self.steps.contains_key(step));
            found.extend(missed.map(|step| format!("no crash at `{}`", step.name())));
        }
        found
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { plan, deeds, look, .. } = self;
        let at_steps: u32 = self.steps.values().sum();
        writeln!(f, "{} rounds in {:.0} s, seed {}", self.rounds, self.took.as_secs_f64(), plan.seed)?;
        for (disk, rounds) in &self.disks {
            writeln!(f, "  on {disk:<22}{rounds:>6}")?;
        }
        writeln!(f, "crashes at a random moment: {}", self.random)?;
        writeln!(f, "  of these, a step was wanted and not reached in time: {}", self.late)?;
        writeln!(f, "crashes while it started, besides: {}", self.starts)?;
        writeln!(f, "crashes at a step: {at_steps}")?;
        for step in Step::ALL {
            writeln!(f, "  {:<24}{:>6}", step.name(), self.steps.get(&step).copied().unwrap_or_default())?;
        }
        writeln!(f, "{deeds}")?;
        let (done, undone) = (look.found_done, look.found_undone);
        writeln!(f, "in doubt when it crashed: {}; found done {done}, not done {undone}", done + undone)?;
        writeln!(f, "looked at: {} rows, {} packages hashed", look.rows, look.packages)?;
        let violations = self.violations();
        violations.iter().try_for_each(|violation| writeln!(f, "WRONG: {violation}"))?;
        self.left.iter().try_for_each(|path| writeln!(f, "left for a look: {}", path.display()))?;
        write!(f, "{} violations", violations.len())
    }
}
