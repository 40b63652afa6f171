//! What went well between two releases, and what did not.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display, Formatter};

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    held: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Report {
    /// Notes whether something is as it should be, and what is there if not.
    pub(super) fn expect(&mut self, what: &'static str, holds: bool, found: &impl Debug) {
        if holds {
            *self.held.entry(what).or_default() += 1;
        } else {
            self.wrong.push(format!("not so: {what}: {found:?}"));
        }
    }

    /// Whatever should not be.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.wrong.clone()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.held {
            writeln!(f, "    {count} x {what}")?;
        }
        match self.wrong.as_slice() {
            [] => writeln!(f, "nothing was wrong"),
            wrong => wrong.iter().try_for_each(|one| writeln!(f, "WRONG: {one}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_is_enough_and_is_named() {
        let mut report = Report::default();
        report.expect("it is there", true, &1);
        assert!(report.violations().is_empty());
        report.expect("it is there", false, &"nothing");
        assert_eq!(report.violations(), ["not so: it is there: \"nothing\""]);
        assert_eq!(report.to_string(), "    1 x it is there\nWRONG: not so: it is there: \"nothing\"\n");
    }
}
