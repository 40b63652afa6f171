//! A clean-up by rules that is cut short.
//!
//! Promises: of each module all is deleted that the rule dooms, or nothing; each deletion has its event, and nothing else is
//! deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use linkgate_store_core::failpoint::Step;
use linkgate_tests::process::{WITH_FAILPOINTS, command_of};

use super::{Campaign, armed};

const RULES: &str = r#"
    [[rules]]
    name = "newest"
    targets = ["*"]
    mode = "enforce"
    keep_last = 1
    order = "created"
"#;
/// What the rule keeps of each module.
const KEPT: usize = 1;

/// Packages of each module that may be deleted: number and creation.
type Deletable = BTreeMap<String, BTreeMap<i64, i64>>;

impl Campaign {
    /// Kills `linkgate-store retention run` at this step, and holds what it left against what was there.
    pub(super) async fn crash_cleanup(&mut self, step: Step) -> usize {
        match self.try_crash_cleanup(step).await {
            Ok(deleted) => {
                self.callers.iter_mut().for_each(|caller| caller.lose(&deleted));
                0
            }
            Err(fault) => self.wrong(fault),
        }
    }

    async fn try_crash_cleanup(&mut self, step: Step) -> Result<BTreeSet<i64>, String> {
        let (before, events) = self.read_deletable().await?;
        let mut rules = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
        rules.write_all(RULES.as_bytes()).map_err(|e| e.to_string())?;
        let (rules, (name, value)) = (rules.path().display().to_string(), armed(step, 1 + self.rng.usize(..3)));
        let settings = [("LINKGATE_RETENTION_FILE", rules.as_str()), (name, &value)];
        let run = command_of(WITH_FAILPOINTS, &self.ground.data_dir(), &["retention", "run"], &settings);
        match run.code {
            None => *self.report.steps.entry(step).or_default() += 1,
            // There were fewer modules to clean up than that.
            Some(0) => {}
            Some(_) => return Err(format!("cleaning up failed: {run:?}")),
        }
        self.ground.cut().await;
        self.ground.come_back().await?;
        let (after, events_after) = self.read_deletable().await?;
        let deleted = judge(&before, &after)?;
        if events_after - events == deleted.len() {
            Ok(deleted)
        } else {
            Err(format!("{} events tell of {} packages that were cleaned up", events_after - events, deleted.len()))
        }
    }

    /// And how many events tell of a clean-up.
    async fn read_deletable(&self) -> Result<(Deletable, usize), String> {
        let directory = self.ground.directory();
        let mut modules = Deletable::new();
        for (module, id, created_ms) in directory.unpinned().await.map_err(|e| e.to_string())? {
            modules.entry(module).or_default().insert(id, created_ms);
        }
        let actions = directory.event_actions().await;
        Ok((modules, actions.iter().filter(|action| *action == "cleanup").count()))
    }
}

/// What was deleted.
fn judge(before: &Deletable, after: &Deletable) -> Result<BTreeSet<i64>, String> {
    let mut all_deleted = BTreeSet::new();
    for (module, packages) in before {
        let left = after.get(module).cloned().unwrap_or_default();
        let (kept, deleted): (Vec<_>, Vec<_>) = packages.iter().partition(|(id, _)| left.contains_key(id));
        let is_newer = || kept.iter().all(|kept| deleted.iter().all(|deleted| kept.1 >= deleted.1));
        let is_whole = deleted.is_empty() || kept.len() == KEPT && is_newer();
        if left.len() != kept.len() || !is_whole {
            return Err(format!("{module}: {packages:?} became {left:?}"));
        }
        all_deleted.extend(deleted.into_iter().map(|(id, _)| *id));
    }
    Ok(all_deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(packages: &[(i64, i64)]) -> Deletable {
        BTreeMap::from([("app/module".to_owned(), packages.iter().copied().collect())])
    }

    #[test]
    fn all_or_nothing_is_deleted_and_the_newest_stays() {
        let before = module(&[(1, 10), (2, 20), (3, 30)]);
        assert_eq!(judge(&before, &before), Ok(BTreeSet::new()));
        assert_eq!(judge(&before, &module(&[(3, 30)])), Ok(BTreeSet::from([1, 2])));
        for wrong in [&[(2, 20), (3, 30)][..], &[(1, 10)], &[], &[(3, 30), (4, 40)]] {
            assert!(judge(&before, &module(wrong)).is_err(), "{wrong:?}");
        }
    }
}
