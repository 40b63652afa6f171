//! A plan to clean up, as callers read it.

use linkgate_contract::{PackageId, PackageVersion};
use linkgate_store_core::retention::CleanupPlan;
use serde::Serialize;
use serde_json::json;

use super::{Reply, json};

/// A plan, or what it did.
#[derive(Debug, Serialize)]
struct Plan<'a> {
    rule: Option<&'a str>,
    mode: &'static str,
    plan: &'a str,
    is_done: bool,
    would_delete: Vec<Entry<'a>>,
    kept: Vec<Entry<'a>>,
    bytes: u64,
    would_delete_count: usize,
    kept_count: u64,
    has_more: bool,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    id: PackageId,
    version: &'a PackageVersion,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    reason: String,
}

/// The plan, and whether it was run.
pub(in crate::http) fn cleanup_plan(plan: &CleanupPlan, is_done: bool) -> Reply {
    let would_delete = plan.doomed.iter().map(|doomed| Entry {
        id: doomed.id,
        version: &doomed.version,
        bytes: Some(doomed.size_bytes),
        reason: format!("{} newer, {} days old", doomed.newer, doomed.age_days),
    });
    let kept = plan.kept.iter();
    let kept = kept.map(|kept| Entry {
        id: kept.id,
        version: &kept.version,
        bytes: None,
        reason: kept.reason.name().to_owned(),
    });
    let document = Plan {
        rule: plan.rule.as_deref(),
        mode: plan.mode.name(),
        plan: &plan.id,
        is_done,
        would_delete: would_delete.collect(),
        kept: kept.collect(),
        bytes: plan.doomed_bytes,
        would_delete_count: plan.doomed.len(),
        kept_count: plan.kept_count,
        has_more: plan.is_cut,
    };
    json(json!(document).to_string())
}
