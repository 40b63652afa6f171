//! One store after the other is replaced by one of a newer release, while the rest serve the same database; one goes back, and
//! then all are new.
//!
//! Promises: each mixture of releases serves callers for a while. Commands of a release work on what stores of it have seen;
//! where they are refused, they say why.

use std::time::Duration;

use linkgate_tests::FakeSource;
use linkgate_tests::process::{Finished, SHIPPED};
use linkgate_tests::replicas::Replicas;
use serde_json::Value;

use super::trouble::Trouble;

/// A store is told to stop so long after the first call.
const AFTER: Duration = Duration::from_millis(300);
/// What the commands of a newer release say of a database that no store of it has seen.
const NOT_YET: &str = "the catalog is of an earlier release";

/// The finding of a package that no row needs.
const GARBAGE: &str = "blob_orphaned";

/// From which program, and how slowly.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// The store of the release before: an absolute path, or a name as tests know it.
    pub from: String,
    /// How long each mixture serves, in seconds.
    pub seconds: u32,
}

enum Release {
    Old,
    New,
}

impl Upgrade {
    /// Rounds that it takes.
    pub(super) const STEPS: u32 = 7;

    pub(super) fn old(&self) -> &str {
        &self.from
    }

    pub(super) fn step(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Which store is replaced in a round.
    pub(super) fn troubles(&self, round: u32) -> Vec<Trouble> {
        let (store, release) = match round {
            2 => (0, Release::New),
            3 => (1, Release::New),
            // Back while others are of either release.
            4 => (0, Release::Old),
            5 => (2, Release::New),
            6 => (0, Release::New),
            _ => return Vec::new(),
        };
        let program = match release {
            Release::Old => self.from.clone(),
            Release::New => SHIPPED.to_owned(),
        };
        vec![Trouble::Replace { store, program, after: AFTER }]
    }

    /// What is wrong with what the commands of both releases say after a round.
    pub(super) fn try_commands(&self, round: u32, replicas: &Replicas, source: &FakeSource) -> Vec<String> {
        let verify = |program| replicas.command_of(program, &["verify", "--json"], source);
        let (new, old) = (verify(SHIPPED), verify(&self.from));
        let is_refused = round == 1 && new.code != Some(0) && new.err.contains(NOT_YET);
        // All is collected after the last one.
        let is_good = |verified: &Finished| is_good(verified, round == Self::STEPS);
        let named = [("the new release", &new, is_refused || is_good(&new)), ("the one before", &old, is_good(&old))];
        let wrong = named.into_iter().filter(|(_, _, is_good)| !is_good);
        wrong.map(|(of, verified, _)| format!("`verify` of {of}: {verified:?}")).collect()
    }
}

/// Whether nothing was found, but for what nobody needs any more and is to be collected.
fn is_good(verified: &Finished, is_collected: bool) -> bool {
    let is_of_garbage = |line: &str| {
        let said: Value = serde_json::from_str(line).unwrap_or_default();
        said.get("summary").is_some() || said["finding"] == GARBAGE
    };
    verified.code == Some(0) || !is_collected && verified.code == Some(1) && verified.out.lines().all(is_of_garbage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_a_finding_once_all_is_collected() {
        let verified = |code, out: &str| Finished { code: Some(code), out: out.to_owned(), err: String::new() };
        let garbage = verified(1, "{\"finding\":\"blob_orphaned\"}\n{\"summary\":{}}\n");
        assert!(is_good(&garbage, false) && !is_good(&garbage, true));
        assert!(!is_good(&verified(1, "{\"finding\":\"blob_missing\"}\n{\"summary\":{}}\n"), false));
        assert!(!is_good(&verified(2, ""), false) && is_good(&verified(0, ""), true));
    }
}
