//! Retention rules: what they delete, what they spare, and who runs them.

use linkgate_tests::process::{command, command_with};
use linkgate_tests::{FakeSource, Reply, StoreProcess, package_of, wait_until_holds};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A store whose rules are in a file, and the file.
struct Ruled {
    store: StoreProcess,
    source: FakeSource,
    file: PathBuf,
    dir: tempfile::TempDir,
}

impl Ruled {
    async fn new(rules: &str, interval_s: &str) -> Self {
        let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
        let file = dir.path().join("retention.toml");
        std::fs::write(&file, rules).unwrap();
        let name = file.to_str().unwrap().to_owned();
        let settings = [("LINKGATE_RETENTION_FILE", name.as_str()), ("LINKGATE_RETENTION_INTERVAL_S", interval_s)];
        let store = StoreProcess::trusting(&source, &dir.path().join("data"), &settings);
        Self { store, source, file, dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    async fn upload(&self, versions: &[&str]) {
        for version in versions {
            let request = self.store.request(self.source.url()).version(version);
            assert_eq!(request.send(self.store.base()).await.status, 200);
        }
    }

    async fn send(&self, method: Method, path: &str) -> Reply {
        self.store.below(method, path).in_english().send(self.store.base()).await
    }

    async fn plan(&self) -> Value {
        let reply = self.send(Method::GET, "cleanup/").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    async fn run(&self, plan: &Value) -> Reply {
        let request = self.store.below(Method::POST, "cleanup/").json(&json!({"plan": plan}));
        request.in_english().send(self.store.base()).await
    }

    async fn live(&self) -> Vec<String> {
        let rows = self.store.rows().await;
        rows.into_iter().filter(|row| !row.is_deleted).map(|row| row.version).collect()
    }
}

fn rule(more: &str) -> String {
    format!("[[rules]]\nname = \"nightly\"\ntargets = [\"app_*\"]\nkeep_last = 2\n{more}\n")
}

fn versions(entries: &Value) -> Vec<(&str, &str)> {
    let entries = entries.as_array().unwrap().iter();
    entries.map(|entry| (entry["version"].as_str().unwrap(), entry["reason"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_plan_says_what_would_go_and_why_the_rest_stays_and_is_run_by_its_name() {
    let ruled = Ruled::new(&rule("remove_after_days = 1\nkeep_versions = [\"release-*\"]"), "0").await;
    ruled.upload(&["1", "2", "release-1", "3", "4", "5"]).await;
    ruled.store.directory().execute("update source_package set updated_ms = id where version <> '3'").await;
    assert_eq!(ruled.send(Method::PUT, "2/pins/a/").await.status, 200);
    let plan = ruled.plan().await;
    assert_eq!((&plan["rule"], &plan["mode"], &plan["is_done"]), (&json!("nightly"), &json!("report"), &json!(false)));
    let gone: Vec<_> = versions(&plan["would_delete"]).into_iter().map(|(version, _)| version).collect();
    assert_eq!(gone, ["4", "1"]);
    let kept = versions(&plan["kept"]);
    assert_eq!(kept, [("3", "keep_last"), ("5", "keep_last"), ("release-1", "keep_versions"), ("2", "pinned")]);
    assert_eq!((&plan["bytes"], &plan["kept_count"]), (&json!(2 * package_of("x").len()), &json!(4)));

    let done = ruled.run(&plan["plan"]).await;
    assert_eq!(
        (done.status, &done.json()["is_done"], &done.json()["would_delete"]),
        (200, &json!(true), &plan["would_delete"])
    );
    assert_eq!(ruled.live().await, ["2", "release-1", "3", "5"]);
    let events = ruled.store.directory().events().await;
    let by_rule: Vec<_> = events.iter().filter(|event| event.action == "cleanup").collect();
    assert!(by_rule.iter().all(|event| event.reason == "nightly" && event.operator == "admin"), "{by_rule:?}");
    assert_eq!(by_rule.len(), 2);
    assert_eq!(ruled.send(Method::POST, "5/restore/").await.status, 200, "it can be taken back");
    let next = ruled.plan().await;
    let next: Vec<_> = versions(&next["would_delete"]).into_iter().map(|(version, _)| version).collect();
    assert_eq!(next, ["5"], "and is one of the newest then");
    ruled.store.stop();
}

#[tokio::test]
async fn the_newest_may_be_those_of_the_greatest_version() {
    let ruled = Ruled::new(&rule("order = \"version\""), "0").await;
    ruled.upload(&["1.10", "1.9", "1.10-rc1", "1.2"]).await;
    let plan = ruled.plan().await;
    let gone: Vec<_> = versions(&plan["would_delete"]).into_iter().map(|(version, _)| version).collect();
    assert_eq!(gone, ["1.9", "1.2"]);
    assert_eq!(versions(&plan["kept"]), [("1.10", "keep_last"), ("1.10-rc1", "keep_last")]);
    ruled.store.stop();
}

#[tokio::test]
async fn a_plan_that_would_be_another_does_nothing() {
    let ruled = Ruled::new(&rule(""), "0").await;
    ruled.upload(&["1", "2", "3", "4"]).await;
    let plan = ruled.plan().await["plan"].clone();
    assert_eq!(ruled.send(Method::PUT, "1/pins/a/").await.status, 200);
    let refused = ruled.run(&plan).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("PLAN_CHANGED")));
    for bad in ["", "1-00", "9999999999999-00", "x"] {
        assert_eq!(ruled.run(&json!(bad)).await.status, 409, "{bad}");
    }
    assert_eq!(ruled.run(&json!(7)).await.status, 400);
    assert_eq!(ruled.live().await.len(), 4);
    let plan = ruled.plan().await["plan"].clone();
    assert_eq!(ruled.run(&plan).await.status, 200);
    assert_eq!(ruled.live().await, ["1", "3", "4"]);
    assert_eq!(ruled.run(&plan).await.status, 409, "it is done");
    ruled.store.stop();
}

#[tokio::test]
async fn a_module_for_which_no_rule_is_keeps_all() {
    let ruled = Ruled::new("", "0").await;
    ruled.upload(&["1", "2", "3"]).await;
    let plan = ruled.plan().await;
    assert_eq!((&plan["rule"], &plan["would_delete"]), (&Value::Null, &json!([])));
    assert_eq!(ruled.run(&plan["plan"]).await.status, 409);
    ruled.store.stop();
}

#[tokio::test]
async fn the_clock_deletes_by_rules_that_are_enforced_and_reports_others() {
    let rules = rule("modules = [\"default\"]\nmode = \"enforce\"") + &rule("").replace("nightly", "quiet");
    let ruled = Ruled::new(&rules, "1").await;
    ruled.upload(&["1", "2", "3", "4"]).await;
    for version in ["1", "2", "3"] {
        let request = ruled.store.request(ruled.source.url()).module("app_code", "other").version(version);
        assert_eq!(request.send(ruled.store.base()).await.status, 200);
    }
    wait_until_holds("the clean-up", async || {
        ruled.store.rows().await.iter().filter(|row| row.is_deleted).count() == 2
    })
    .await;
    ruled.store.log_with("by the rule `quiet`, which only reports").await;
    let events = ruled.store.directory().events().await;
    let by_rule: Vec<_> = events.iter().filter(|event| event.action == "cleanup").collect();
    assert!(
        by_rule.iter().all(|e| e.reason == "nightly" && e.module == "default" && e.operator.is_empty()),
        "{by_rule:?}"
    );
    let counted = "linkgate_store_cleaned_up_packages_total{mode=\"enforce\"} 2\n";
    wait_until_holds(counted, async || ruled.store.get("/metrics").await.body.contains(counted)).await;
    ruled.store.stop();
}

#[tokio::test]
async fn rules_are_read_again_and_wrong_ones_leave_those_that_were() {
    let ruled = Ruled::new(&rule(""), "0").await;
    ruled.upload(&["1", "2", "3"]).await;
    assert_eq!(ruled.plan().await["would_delete_count"], 1);
    std::fs::write(&ruled.file, rule("").replace("keep_last = 2", "keep_last = 0")).unwrap();
    ruled.store.hang_up();
    let said = ruled.store.log_with("The quotas and retention rules stay as they were").await;
    assert!(said.contains("line 4"), "{said}");
    assert_eq!(ruled.plan().await["would_delete_count"], 1);
    std::fs::write(&ruled.file, rule("").replace("keep_last = 2", "keep_last = 1")).unwrap();
    ruled.store.hang_up();
    ruled.store.log_with("there are 0 quotas and 1 retention rules").await;
    assert_eq!(ruled.plan().await["would_delete_count"], 2);
    ruled.store.stop();
}

fn retention(data: &Path, file: &Path, what: &str) -> linkgate_tests::process::Finished {
    command_with(data, &["retention", what], &[("LINKGATE_RETENTION_FILE", file.to_str().unwrap())])
}

#[tokio::test]
async fn the_command_explains_beside_a_store_and_deletes_without_one() {
    if linkgate_tests::engine::is_about_directories("the command deletes beside stores that share") {
        return;
    }
    let ruled = Ruled::new(&rule("mode = \"enforce\""), "0").await;
    ruled.upload(&["1", "2", "3"]).await;
    let (data, file) = (ruled.data(), ruled.file.clone());
    let explained = retention(&data, &file, "explain");
    assert_eq!(explained.code(), 0);
    assert!(
        explained.out.starts_with("app_code/default: the rule `nightly` (enforce) would delete 1 packages"),
        "{}",
        explained.out
    );
    assert!(explained.out.contains("  1 1: 2 newer, 0 days old"), "{}", explained.out);
    assert_eq!(retention(&data, &file, "run").code(), 2, "a store runs");
    let Ruled { store, dir: _dir, .. } = ruled;
    store.stop();
    let done = retention(&data, &file, "run");
    assert_eq!(done.code(), 0);
    assert!(done.out.starts_with("Deleted 1 packages"), "{}", done.out);
    assert!(retention(&data, &file, "run").out.starts_with("Deleted 0 packages"));

    let events = command(&data, &["events"]);
    assert_eq!(events.code(), 0);
    let lines: Vec<_> = events.out.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[3].ends_with("cleanup app_code/default 1 by the store (nightly)"), "{lines:?}");
    let json = command(&data, &["events", "--json", "--after", "3", "--app", "app_code", "--module", "default"]);
    let event: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&event["action"], &event["version"], &event["sha256_after"]),
        (&json!("cleanup"), &json!("1"), &Value::Null)
    );
    assert_eq!(command(&data, &["events", "--app", "another"]).out, "");
}
