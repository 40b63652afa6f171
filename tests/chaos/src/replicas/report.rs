//! What a campaign came to, and what of it should not be.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};
use std::path::PathBuf;
use std::time::Duration;

use super::trouble::Trouble;
use super::{LEASE, Plan};
use crate::crash::caller::Deeds;
use crate::crash::judge::Look;

/// What a campaign came to.
#[derive(Debug)]
pub struct Report {
    pub(super) plan: Plan,
    pub(super) rounds: u32,
    pub(super) took: Duration,
    /// How often what happened.
    troubles: BTreeMap<&'static str, u32>,
    /// What happens in this round.
    now: String,
    /// Steps that were wanted: reached in time, and not.
    steps: (u32, u32),
    pub(super) deeds: Deeds,
    pub(super) look: Look,
    /// How long it took from a death until what had been accepted was somebody else's.
    pub(super) takeovers: Vec<Duration>,
    pub(super) collections: u32,
    /// What stores said in rounds in which something was wrong.
    pub(super) left: Vec<PathBuf>,
}

impl Report {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            rounds: 0,
            took: Duration::ZERO,
            troubles: BTreeMap::new(),
            now: String::new(),
            steps: (0, 0),
            deeds: Deeds::default(),
            look: Look::default(),
            takeovers: Vec::new(),
            collections: 0,
            left: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, troubles: &[Trouble]) {
        for trouble in troubles {
            *self.troubles.entry(trouble.name()).or_default() += 1;
        }
        self.now = format!("{troubles:?}");
    }

    pub(super) fn count_step(&mut self, is_reached: bool) {
        *(if is_reached { &mut self.steps.0 } else { &mut self.steps.1 }) += 1;
    }

    /// Something is wrong; that is one thing more.
    pub(super) fn wrong(&mut self, fault: String) -> usize {
        let fault = format!("round {}, {}: {fault}", self.rounds, self.now);
        eprintln!("{fault}");
        self.look.wrong.push(fault);
        1
    }

    /// Adds what was found; how much of it is wrong.
    pub(super) fn add_look(&mut self, look: Look) -> usize {
        self.look.rows += look.rows;
        self.look.found_done += look.found_done;
        self.look.found_undone += look.found_undone;
        look.wrong.into_iter().map(|fault| self.wrong(fault)).sum()
    }

    /// Everything that should not be; none if the stores have passed.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut found = self.look.wrong.clone();
        if self.rounds < self.plan.rounds {
            found.push(format!("given up after {} rounds of {}", self.rounds, self.plan.rounds));
        }
        if self.deeds.uploads == 0 {
            found.push("no upload was acknowledged, so nothing was tried".to_owned());
        }
        found
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { plan, deeds, look, .. } = self;
        writeln!(f, "{} rounds in {:.0} s, seed {}", self.rounds, self.took.as_secs_f64(), plan.seed)?;
        self.troubles.iter().try_for_each(|(name, times)| writeln!(f, "  {name:<48}{times:>6}"))?;
        writeln!(f, "steps reached in time: {}, not: {}", self.steps.0, self.steps.1)?;
        writeln!(f, "{deeds}")?;
        let (done, undone) = (look.found_done, look.found_undone);
        writeln!(f, "never answered: {}; found done {done}, not done {undone}", done + undone)?;
        writeln!(
            f,
            "looked at: {} rows; after {} collections {} objects hashed",
            look.rows, self.collections, look.packages
        )?;
        writeln!(f, "{}", Takeovers(&self.takeovers))?;
        let violations = self.violations();
        violations.iter().try_for_each(|violation| writeln!(f, "WRONG: {violation}"))?;
        self.left.iter().try_for_each(|path| writeln!(f, "left for a look: {}", path.display()))?;
        write!(f, "{} violations", violations.len())
    }
}

struct Takeovers<'a>(&'a [Duration]);

impl Display for Takeovers<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut sorted = self.0.to_vec();
        sorted.sort_unstable();
        let (Some(median), Some(last)) = (sorted.get(sorted.len() / 2), sorted.last()) else {
            return write!(f, "nothing was taken over");
        };
        let seconds = |time: &Duration| time.as_secs_f64();
        let (number, lease) = (sorted.len(), seconds(&LEASE));
        write!(
            f,
            "{number} jobs taken over: {:.1} s after a death in the middle, {:.1} s at most, leases of {lease:.0} s",
            seconds(median),
            seconds(last)
        )
    }
}
