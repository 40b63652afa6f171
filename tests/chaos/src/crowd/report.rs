//! What the crowds came to, and what of it should not be.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use super::Found;

/// What the shipped deployments give the store, and Envoy, at least.
const MEMORY_MIB: u64 = 512;
/// Below this, what a busy machine does to a request is more than what a crowd may.
const NOISE: Duration = Duration::from_millis(20);

/// What all crowds came to.
#[derive(Debug)]
pub struct Report {
    found: Vec<Found>,
}

impl Report {
    pub(super) fn new(found: Vec<Found>) -> Self {
        Self { found }
    }

    /// Whatever should not be.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.found.iter().flat_map(violations).collect()
    }
}

fn violations(found: &Found) -> Vec<String> {
    let (name, gathered) = (found.name, &found.gathered);
    let mut wrong: Vec<String> = found.faults.iter().chain(&gathered.wrong).take(5).cloned().collect();
    if gathered.held > gathered.bound {
        wrong.push(format!("{} hold something, the bound is {}", gathered.held, gathered.bound));
    }
    if gathered.held == 0 {
        wrong.push("there was no crowd".to_owned());
    }
    for (process, mib) in found.peaks.iter().filter(|(_, mib)| *mib > MEMORY_MIB) {
        wrong.push(format!("{process} had {mib} MiB, the limit is {MEMORY_MIB}"));
    }
    let (quiet, crowded) = (found.quiet, found.crowded);
    for (what, quiet, crowded) in [
        ("an upload", quiet.upload, crowded.upload),
        ("a look at a job", quiet.look, crowded.look),
        ("a probe", quiet.probe, crowded.probe),
    ] {
        if crowded > (quiet * 2).max(quiet.saturating_add(NOISE)) {
            wrong.push(format!("{what} took {crowded:.1?}, when all was quiet {quiet:.1?}"));
        }
    }
    wrong.into_iter().map(|fault| format!("{name}: {fault}")).collect()
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for found in &self.found {
            let (gathered, quiet, crowded) = (&found.gathered, found.quiet, found.crowded);
            writeln!(
                f,
                "{}: {} tried, {} hold it (bound {})",
                found.name, gathered.tried, gathered.held, gathered.bound
            )?;
            for (told, count) in &gathered.refusals {
                writeln!(f, "    {count} x {told}")?;
            }
            writeln!(
                f,
                "    the other caller, quiet and crowded (medians): upload {:.1?} {:.1?}, look {:.1?} {:.1?}, probe {:.1?} {:.1?}",
                quiet.upload, crowded.upload, quiet.look, crowded.look, quiet.probe, crowded.probe
            )?;
            for (process, mib) in &found.peaks {
                writeln!(f, "    peak memory of {process}: {mib} MiB of {MEMORY_MIB}")?;
            }
        }
        match self.violations().as_slice() {
            [] => writeln!(f, "nothing was wrong"),
            wrong => wrong.iter().try_for_each(|one| writeln!(f, "WRONG: {one}")),
        }
    }
}
