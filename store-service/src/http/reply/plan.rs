//! A plan to clean up, as callers read it.

use linkgate_contract::{CleanupEntry, CleanupPlan};
use linkgate_store_core::retention;

/// The plan, and whether it was run.
pub(in crate::http) fn cleanup_plan(plan: &retention::CleanupPlan, is_done: bool) -> CleanupPlan {
    let would_delete = plan.doomed.iter().map(|doomed| CleanupEntry {
        id: doomed.id,
        version: doomed.version.clone(),
        bytes: Some(doomed.size_bytes),
        reason: format!("{} newer, {} days old", doomed.newer, doomed.age_days),
    });
    let kept = plan.kept.iter();
    let kept = kept.map(|kept| CleanupEntry {
        id: kept.id,
        version: kept.version.clone(),
        bytes: None,
        reason: kept.reason.name().to_owned(),
    });
    CleanupPlan {
        rule: plan.rule.clone(),
        mode: plan.mode.name().to_owned(),
        plan: plan.id.clone(),
        is_done,
        would_delete: would_delete.collect(),
        kept: kept.collect(),
        bytes: plan.doomed_bytes,
        would_delete_count: plan.doomed.len() as u64,
        kept_count: plan.kept_count,
        has_more: plan.is_cut,
    }
}
