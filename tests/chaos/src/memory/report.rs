//! What the store came to in its memory.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    limit_mib: u64,
    /// The most that was in use.
    pub(super) peak_mib: u64,
    /// How often the store was started.
    pub(super) starts: usize,
    /// When it ended by itself, and how.
    pub(super) deaths: Vec<String>,
    /// Uploads that were accepted.
    pub(super) accepted: usize,
    /// Those that the store did not live to answer.
    pub(super) unanswered: usize,
    /// How they ended, by package.
    pub(super) ends: BTreeMap<(&'static str, String), usize>,
    /// What else was wrong.
    pub(super) faults: Vec<String>,
}

impl Report {
    pub(super) fn new(limit_mib: u64) -> Self {
        let (ends, deaths, faults) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { limit_mib, peak_mib: 0, starts: 0, deaths, accepted: 0, unanswered: 0, ends, faults }
    }

    /// Whatever should not be.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let died = self.deaths.iter().map(|death| format!("the store ended by itself, {death}"));
        died.chain(self.faults.iter().cloned()).collect()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (peak, limit) = (self.peak_mib, self.limit_mib);
        writeln!(
            f,
            "{} uploads accepted, {} not answered, {} starts, peak {peak} MiB of {limit} (with the kernel's pages of files)",
            self.accepted, self.unanswered, self.starts
        )?;
        for ((package, end), count) in &self.ends {
            writeln!(f, "    {count} x {package}: {end}")?;
        }
        match self.violations().as_slice() {
            [] => writeln!(f, "nothing was wrong"),
            wrong => wrong.iter().try_for_each(|one| writeln!(f, "WRONG: {one}")),
        }
    }
}
