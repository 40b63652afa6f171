//! Clean-up by the operator's rules: which packages of a module go, and their deletion.
//!
//! Promises: a plan is made of what the catalog says at one moment and named by all that it depends on, so whoever runs it by its
//! name runs that and nothing else. Memory does not grow with the number of packages: a plan has a bounded number of deletions,
//! and what is left is for the next. Refuses to touch what is pinned or being uploaded. A deletion is one that can be taken back.

use linkgate_contract::{ModuleRef, PackageId, PackageVersion, Sha256};
use tracing::{info, warn};

use crate::ingest::ports::{
    Actor, Candidate, CandidateCursor, CandidatePlace, CatalogReader, ChangeError, Changes, Cleanup as Deletions,
    JobQueue,
};
use crate::ingest::{chain, now_ms};
use crate::metrics::Metrics;
use crate::settings::{RetentionMode, RetentionOrder, RetentionRule, RetentionRules};
use crate::version_order::natural_key;

/// Deletions of one plan, and packages that it names as kept.
pub const MAX_PLANNED: usize = 1_000;
/// A plan that is older is made anew.
const PLAN_LIFE_MS: i64 = 86_400_000;

/// What would be deleted of a module, and what would not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CleanupPlan {
    /// The rule that fits; without one nothing is deleted.
    pub rule: Option<String>,
    /// Whether the clock would do it.
    pub mode: RetentionMode,
    /// Its name.
    pub id: String,
    /// Packages that go.
    pub doomed: Vec<Doomed>,
    /// Their bytes.
    pub doomed_bytes: u64,
    /// Packages that stay, the first of them.
    pub kept: Vec<Kept>,
    /// How many stay.
    pub kept_count: u64,
    /// Whether more would go than are named.
    pub is_cut: bool,
}

/// A package that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Which.
    pub id: PackageId,
    /// Its version.
    pub version: PackageVersion,
    /// Its bytes.
    pub size_bytes: u64,
    /// In which state it was seen.
    pub revision: i64,
    /// How many newer ones there are, pinned ones not counted.
    pub newer: u64,
    /// How old it is, in whole days.
    pub age_days: i64,
}

/// A package that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub id: PackageId,
    /// Its version.
    pub version: PackageVersion,
    /// Why.
    pub reason: KeptBy,
}

/// Why a package stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// It is pinned.
    Pin,
    /// It is being uploaded.
    Upload,
    /// It is one of the newest.
    KeepLast,
    /// It is young.
    RemoveAfterDays,
    /// Its version stays.
    KeepVersions,
    /// Its version is none of those that may go.
    RemoveVersions,
}

impl KeptBy {
    /// Its name: the key of the rule where one decides.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pin => "pinned",
            Self::Upload => "uploading",
            Self::KeepLast => "keep_last",
            Self::RemoveAfterDays => "remove_after_days",
            Self::KeepVersions => "keep_versions",
            Self::RemoveVersions => "remove_versions",
        }
    }
}

/// What a run over all modules came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanupSummary {
    /// Packages that were deleted.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Packages that rules in report mode would have deleted.
    pub reported: u64,
}

const DAY_MS: i64 = 86_400_000;

/// What goes of a module by this rule, by the state of this moment.
///
/// # Errors
/// What the catalog says.
pub async fn plan(
    catalog: &impl CatalogReader,
    rule: &RetentionRule,
    target: &ModuleRef,
    uploading: &[PackageVersion],
    at_ms: i64,
) -> Result<CleanupPlan, crate::ingest::ports::CatalogError> {
    let mut plan = CleanupPlan { rule: Some(rule.name.clone()), mode: rule.mode, ..CleanupPlan::default() };
    let (mut after, mut newer) = (None, 0);
    loop {
        let page = catalog.candidates_after(target, rule.order, after).await?;
        let Some(last) = page.last() else { break };
        after = Some(CandidateCursor { place: last.place_in(rule.order), id: last.id });
        for candidate in page {
            match rule.keeps(&candidate, newer, uploading, at_ms) {
                Some(reason) => plan.keep(&candidate, reason),
                None => plan.doom(&candidate, newer, (at_ms - candidate.time_of(rule.order)) / DAY_MS),
            }
            newer += u64::from(!candidate.is_pinned);
        }
    }
    plan.id = plan.name(rule, at_ms);
    Ok(plan)
}

impl RetentionRule {
    /// Why a package stays that has so many newer ones before it.
    fn keeps(&self, package: &Candidate, newer: u64, uploading: &[PackageVersion], at_ms: i64) -> Option<KeptBy> {
        let version = package.version.as_str();
        let age = at_ms.saturating_sub(package.time_of(self.order));
        let reasons = [
            (package.is_pinned, KeptBy::Pin),
            (uploading.contains(&package.version), KeptBy::Upload),
            (newer < self.keep_last, KeptBy::KeepLast),
            (age <= self.remove_after_ms, KeptBy::RemoveAfterDays),
            (self.keep_versions.matches(version), KeptBy::KeepVersions),
            (!self.remove_versions.matches(version), KeptBy::RemoveVersions),
        ];
        reasons.into_iter().find_map(|(holds, reason)| holds.then_some(reason))
    }
}

impl Candidate {
    fn time_of(&self, order: RetentionOrder) -> i64 {
        match order {
            RetentionOrder::Updated | RetentionOrder::Version => self.updated_ms,
            RetentionOrder::Created => self.created_ms,
        }
    }

    fn place_in(&self, order: RetentionOrder) -> CandidatePlace {
        match order {
            RetentionOrder::Updated => CandidatePlace::Time(self.updated_ms),
            RetentionOrder::Created => CandidatePlace::Time(self.created_ms),
            RetentionOrder::Version => CandidatePlace::Version(natural_key(self.version.as_str())),
        }
    }
}

impl CleanupPlan {
    fn keep(&mut self, package: &Candidate, reason: KeptBy) {
        self.kept_count += 1;
        if self.kept.len() < MAX_PLANNED {
            self.kept.push(Kept { id: package.id, version: package.version.clone(), reason });
        }
    }

    fn doom(&mut self, package: &Candidate, newer: u64, age_days: i64) {
        if self.doomed.len() == MAX_PLANNED {
            self.is_cut = true;
            return;
        }
        self.doomed_bytes = self.doomed_bytes.saturating_add(package.size_bytes);
        let Candidate { id, version, size_bytes, revision, .. } = package;
        let (version, revision) = (version.clone(), *revision);
        self.doomed.push(Doomed { id: *id, version, size_bytes: *size_bytes, revision, newer, age_days });
    }

    /// When it was made, and a digest of the rule and of all that would go, in the state in which it was seen.
    fn name(&self, rule: &RetentionRule, at_ms: i64) -> String {
        let rule = format!("{rule:?}");
        let doomed: String = self.doomed.iter().map(|doomed| format!("{}.{};", doomed.id, doomed.revision)).collect();
        let digest = Sha256::digest_parts([rule.as_bytes(), doomed.as_bytes()]).to_string();
        format!("{at_ms}-{}", digest.get(..32).unwrap_or_default())
    }

    /// When a plan of this name was made.
    fn made_at(id: &str) -> Option<i64> {
        id.split_once('-')?.0.parse().ok()
    }
}

/// Cleans up, over whatever catalog it is given. A copy shares the rules.
#[derive(Clone)]
pub struct Cleanup<C> {
    catalog: C,
    rules: RetentionRules,
    restore_ms: i64,
    metrics: Metrics,
}

impl<C: Changes + JobQueue> Cleanup<C> {
    /// Brings the parts together. What is deleted can be restored for so long.
    #[must_use]
    pub fn new(catalog: C, rules: RetentionRules, restore_ms: i64, metrics: Metrics) -> Self {
        Self { catalog, rules, restore_ms, metrics }
    }

    /// What would be deleted of a module now.
    ///
    /// # Errors
    /// [`ChangeError`] of the catalog.
    pub async fn plan(&self, target: &ModuleRef) -> Result<CleanupPlan, ChangeError> {
        self.plan_at(target, now_ms()).await
    }

    async fn plan_at(&self, target: &ModuleRef, at_ms: i64) -> Result<CleanupPlan, ChangeError> {
        let rules = self.rules.now();
        let Some(rule) = rules.iter().find(|rule| rule.fits(target)) else { return Ok(CleanupPlan::default()) };
        let uploading = self.catalog.uploading(target).await.map_err(ChangeError::Queue)?;
        Ok(plan(&self.catalog, rule, target, &uploading, at_ms).await?)
    }

    /// Runs exactly the plan of this name.
    ///
    /// # Errors
    /// [`ChangeError::PlanChanged`] if it would be another by now; nothing is deleted then.
    pub async fn run(&self, target: &ModuleRef, id: &str, actor: &Actor) -> Result<CleanupPlan, ChangeError> {
        let now = now_ms();
        let at_ms = CleanupPlan::made_at(id).filter(|at| (now - PLAN_LIFE_MS..=now).contains(at));
        let plan = self.plan_at(target, at_ms.ok_or(ChangeError::PlanChanged)?).await?;
        if plan.id != id {
            return Err(ChangeError::PlanChanged);
        }
        self.delete(target, &plan, actor).await?;
        Ok(plan)
    }

    async fn delete(&self, target: &ModuleRef, plan: &CleanupPlan, actor: &Actor) -> Result<(), ChangeError> {
        let rule = plan.rule.as_deref().unwrap_or_default();
        let doomed = plan.doomed.iter().map(|doomed| (doomed.id, doomed.revision)).collect();
        let deletions =
            Deletions { target: target.clone(), rule: rule.to_owned(), doomed, restore_ms: self.restore_ms };
        let done = self.catalog.clean_up(&deletions, actor).await;
        self.metrics.changed("cleanup", done.as_ref().map_or_else(ChangeError::kind, |()| "done"));
        done?;
        let (packages, bytes) = (plan.doomed.len() as u64, plan.doomed_bytes);
        self.metrics.cleaned_up("enforce", packages, bytes);
        if packages > 0 {
            info!(
                request.id = actor.request_id,
                app.code = %target.app,
                module.name = %target.module,
                cleanup.rule = rule,
                cleanup.packages = packages,
                cleanup.bytes = bytes,
                "Deleted {packages} packages of `{}`/`{}` by the rule `{rule}`",
                target.app,
                target.module
            );
        }
        Ok(())
    }

    /// Goes over all modules once: deletes where rules are enforced, and says what it would delete elsewhere.
    ///
    /// # Errors
    /// What the catalog says when it is asked for modules. What fails for one module holds up no other.
    pub async fn run_all(&self) -> Result<CleanupSummary, ChangeError> {
        let (mut summary, mut after) = (CleanupSummary::default(), None);
        loop {
            let modules = self.catalog.modules_after(after.as_ref()).await?;
            let Some(last) = modules.last() else { return Ok(summary) };
            after = Some(last.clone());
            for target in &modules {
                if let Err(e) = self.run_module(target, &mut summary).await {
                    warn!(
                        app.code = %target.app,
                        module.name = %target.module,
                        error = chain(&e),
                        "Cannot clean up `{}`/`{}`; trying again at the next interval",
                        target.app,
                        target.module
                    );
                }
            }
        }
    }

    async fn run_module(&self, target: &ModuleRef, summary: &mut CleanupSummary) -> Result<(), ChangeError> {
        loop {
            let plan = self.plan(target).await?;
            let (packages, bytes) = (plan.doomed.len() as u64, plan.doomed_bytes);
            match plan.mode {
                _ if packages == 0 => return Ok(()),
                RetentionMode::Report => {
                    summary.reported += packages;
                    self.report(target, &plan);
                    return Ok(());
                }
                RetentionMode::Enforce => {
                    self.delete(target, &plan, &Actor::default()).await?;
                    summary.deleted += packages;
                    summary.deleted_bytes += bytes;
                }
            }
            if !plan.is_cut {
                return Ok(());
            }
        }
    }

    fn report(&self, target: &ModuleRef, plan: &CleanupPlan) {
        let (packages, bytes) = (plan.doomed.len() as u64, plan.doomed_bytes);
        let rule = plan.rule.as_deref().unwrap_or_default();
        self.metrics.cleaned_up("report", packages, bytes);
        info!(
            app.code = %target.app,
            module.name = %target.module,
            cleanup.rule = rule,
            cleanup.packages = packages,
            cleanup.bytes = bytes,
            "Would delete {packages} packages of `{}`/`{}` by the rule `{rule}`, which only reports",
            target.app,
            target.module
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::Patterns;

    use super::*;

    fn rule() -> RetentionRule {
        RetentionRule {
            name: "nightly".to_owned(),
            targets: Patterns::any(),
            modules: Patterns::any(),
            mode: RetentionMode::Report,
            keep_last: 2,
            remove_after_ms: 3 * DAY_MS,
            keep_versions: Patterns::new(["release-*"]),
            remove_versions: Patterns::new(["*-nightly", "release-*"]),
            order: RetentionOrder::Updated,
        }
    }

    fn candidate(version: &str) -> Candidate {
        Candidate {
            id: PackageId::from_row(1),
            version: PackageVersion::new(version).unwrap(),
            size_bytes: 7,
            created_ms: 0,
            updated_ms: 0,
            revision: 1,
            is_pinned: false,
        }
    }

    #[test]
    fn a_package_goes_only_if_nothing_keeps_it() {
        let old = 3 * DAY_MS + 1;
        let keeps = |package: &Candidate, newer, at_ms| rule().keeps(package, newer, &[], at_ms);
        let package = candidate("1-nightly");
        assert_eq!(keeps(&package, 2, old), None);
        assert_eq!(keeps(&package, 1, old), Some(KeptBy::KeepLast));
        assert_eq!(keeps(&package, 2, old - 1), Some(KeptBy::RemoveAfterDays));
        assert_eq!(keeps(&candidate("release-1"), 2, old), Some(KeptBy::KeepVersions));
        assert_eq!(keeps(&candidate("1"), 2, old), Some(KeptBy::RemoveVersions));
        let pinned = Candidate { is_pinned: true, ..package.clone() };
        assert_eq!(keeps(&pinned, 9, old), Some(KeptBy::Pin));
        let uploading = [package.version.clone()];
        assert_eq!(rule().keeps(&package, 9, &uploading, old), Some(KeptBy::Upload));
        let restored = Candidate { updated_ms: old, ..package };
        assert_eq!(keeps(&restored, 9, old), Some(KeptBy::RemoveAfterDays), "its age is that of its restoration");
        let by_creation = RetentionRule { order: RetentionOrder::Created, ..rule() };
        assert_eq!(by_creation.keeps(&restored, 9, &[], old), None);
    }

    #[test]
    fn the_name_of_a_plan_tells_all_that_it_depends_on() {
        let plan = |revision| {
            let mut plan = CleanupPlan::default();
            plan.doom(&Candidate { revision, ..candidate("1") }, 2, 3);
            plan
        };
        let name = plan(1).name(&rule(), 5);
        assert_eq!(plan(1).name(&rule(), 5), name);
        assert_eq!(CleanupPlan::made_at(&name), Some(5));
        for other in [
            plan(2).name(&rule(), 5),
            plan(1).name(&RetentionRule { keep_last: 3, ..rule() }, 5),
            plan(1).name(&rule(), 6),
            CleanupPlan::default().name(&rule(), 5),
        ] {
            assert_ne!(other, name);
        }
        for bad in ["", "x-1", "7"] {
            assert_eq!(CleanupPlan::made_at(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_plan_has_so_many_deletions_and_says_that_more_would_go() {
        let mut plan = CleanupPlan::default();
        for _ in 0..=MAX_PLANNED {
            plan.doom(&candidate("1"), 0, 0);
            plan.keep(&candidate("1"), KeptBy::Pin);
        }
        assert_eq!((plan.doomed.len(), plan.kept.len(), plan.is_cut), (MAX_PLANNED, MAX_PLANNED, true));
        assert_eq!((plan.doomed_bytes, plan.kept_count), (7 * MAX_PLANNED as u64, MAX_PLANNED as u64 + 1));
    }
}
