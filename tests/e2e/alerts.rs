//! The alerts that operators get: a real Prometheus with our rules, and faults put into the real gateway and store.
//!
//! Rules look back for minutes and wait for minutes; here they look back for seconds and do not wait, and nothing else of them is
//! changed. `deploy/prometheus/alerts_test.yml` tries their times. Where Prometheus is not installed, the tests say so and pass.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use linkgate_catalog::testing::free_port;
use linkgate_tests::gateway::{Gateway, GatewayPlan, path_from};
use linkgate_tests::{
    Authority, Behaviour, FakeSource, Service, ServiceBehaviour, package_of, sha256_hex, wait_until_holds,
};
use serde_json::{Value, json};

use crate::disk::Disk;
use crate::downloads::{granting, upload};
use crate::killable::KillableStack;
use crate::platform::{Platform, Proof};
use crate::replies::{WholeStack, authorized, package};

/// How far the rules look back.
const WINDOW: &str = "[6s]";

/// A Prometheus that watches a gateway and a store.
struct Watch {
    server: Child,
    base: String,
    _dir: tempfile::TempDir,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _killed = self.server.kill();
        let _ended = self.server.wait();
    }
}

/// The rules with short times.
fn hurried_rules() -> String {
    let rules = std::fs::read_to_string(path_from("LINKGATE_ROOT").join("deploy/prometheus/alerts.yml")).unwrap();
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
    let hurried: Vec<_> = lines.map(shorten).collect();
    hurried.join("\n") + "\n"
}

/// Each `[5m]` and the like becomes [`WINDOW`].
fn shorten(line: &str) -> String {
    let mut short = String::new();
    for (at, part) in line.split('[').enumerate() {
        let window = part.split_once(']').filter(|(inside, _)| at > 0 && inside.ends_with(['m', 'h', 'd']));
        match window {
            Some((_, rest)) => short.extend([WINDOW, rest]),
            None if at > 0 => short.extend(["[", part]),
            None => short.push_str(part),
        }
    }
    short
}

impl Watch {
    /// `None`, and says so, where there is no Prometheus.
    async fn of(gateway: &Gateway, store: &str) -> Option<Self> {
        if Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            println!("not tried: prometheus is not installed");
            return None;
        }
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let target = |base: &str| base.trim_start_matches("http://").to_owned();
        let config = json!({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [
                {"job_name": "linkgate-gateway", "metrics_path": "/stats/prometheus",
                 "static_configs": [{"targets": [target(gateway.admin())]}]},
                {"job_name": "linkgate-store", "static_configs": [{"targets": [target(store)]}]},
            ],
        });
        write(dir.path(), "prometheus.yml", &config.to_string());
        write(dir.path(), "alerts.yml", &hurried_rules());
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).stdout(Stdio::null()).stderr(log);
        let server = command.spawn().unwrap();
        let watch = Self { server, base: format!("http://127.0.0.1:{port}"), _dir: dir };
        wait_until_holds("both are watched", async || watch.count("up == 1").await == 2).await;
        Some(watch)
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let reply = client.get(format!("{}/api/v1/{path}", self.base)).send().await.ok()?;
        serde_json::from_str(&reply.text().await.ok()?).ok()
    }

    /// How many series the answer to a query has.
    async fn count(&self, query: &str) -> usize {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = self.ask(&format!("query?query={query}")).await.unwrap_or_default();
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }

    async fn firing(&self) -> BTreeSet<String> {
        let answer = self.ask("alerts").await.unwrap_or_default();
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
    }

    /// Waits for the alert while something goes on.
    async fn fires(&self, alert: &str, meanwhile: impl AsyncFn()) {
        wait_until_holds(alert, async || {
            meanwhile().await;
            self.firing().await.contains(alert)
        })
        .await;
    }

    async fn clears(&self, alert: &str, meanwhile: impl AsyncFn()) {
        wait_until_holds(&format!("the end of {alert}"), async || {
            meanwhile().await;
            !self.firing().await.contains(alert)
        })
        .await;
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

async fn nothing() {}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_is_told_and_forgotten_when_it_is_back() {
    let source = FakeSource::serving(package_of("x")).await;
    let mut stack = KillableStack::start(&source).await;
    let Some(watch) = Watch::of(&stack.gateway, stack.store.base()).await else { return };
    watch.clears("LinkgateStoreDown", nothing).await;
    stack.store.kill_9();
    watch.fires("LinkgateStoreDown", nothing).await;
    stack.start_store_again();
    watch.clears("LinkgateStoreDown", nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_and_a_policy_that_is_refused_are_told() {
    let stack = granting(json!(["upload", "download"])).await;
    let Some(watch) = Watch::of(stack.gateway(), stack.store().base()).await else { return };
    let id = upload(&stack, &stack.source().url()).await;
    let stored = stack.store().directory().blob(&sha256_hex(&package()));
    let bytes = std::fs::read(&stored).unwrap();
    std::fs::remove_file(&stored).unwrap();
    watch.fires("LinkgateDamageFound", async || assert_eq!(stack.download(id, &[]).await.status, 500)).await;
    std::fs::write(&stored, bytes).unwrap();
    watch.clears("LinkgateDamageFound", nothing).await;

    let mut resource = stack.gateway().resource();
    resource["resources"][0]["typed_config"] = json!({});
    resource["version_info"] = json!("broken");
    stack.gateway().place_and_see_it_refused(&resource).await;
    watch.fires("LinkgatePolicyRefused", nothing).await;
    watch.clears("LinkgatePolicyRefused", nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_service_that_is_down_is_told() {
    let platform = Platform::new().await;
    let Some(watch) = Watch::of(platform.stack.gateway(), platform.stack.store().base()).await else { return };
    let ask = async || {
        let caller = platform.caller(Proof::Secret);
        let _refused_or_served = platform.stack.send(platform.request(&caller)).await;
    };
    watch
        .fires("LinkgateIdentityServiceFailing", async || {
            platform.identity.set(Service::Bkauth, ServiceBehaviour::Status(500)).await;
            ask().await;
        })
        .await;
    platform.identity.set(Service::Bkauth, ServiceBehaviour::Well).await;
    watch.clears("LinkgateIdentityServiceFailing", ask).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_is_told() {
    let one =
        ["LINKGATE_STORE_MAX_UPLOADS", "LINKGATE_STORE_MAX_UPLOADS_PER_HOST", "LINKGATE_STORE_MAX_UPLOADS_PER_APP"];
    let queued = ["LINKGATE_STORE_MAX_QUEUED_UPLOADS", "LINKGATE_STORE_MAX_QUEUED_UPLOADS_PER_APP"];
    let settings: Vec<_> = one.iter().chain(&queued).map(|name| (*name, "1")).collect();
    let stack = WholeStack::with(&settings).await;
    let Some(watch) = Watch::of(stack.gateway(), stack.store().base()).await else { return };
    let begin = |version: &str, link: String| {
        let request = stack.store().request(link).version(version).token(None).header("prefer", "respond-async");
        stack.send(authorized(request, stack.gateway().credentials()))
    };
    let held = |name: &str| stack.link_to(name, Behaviour::Held(package_of(name)));
    assert_eq!(begin("1", held("/1.tgz")).await.status, 202);
    assert_eq!(begin("2", held("/2.tgz")).await.status, 202);
    watch.fires("LinkgateUploadsWait", async || assert_eq!(begin("3", held("/3.tgz")).await.status, 429)).await;
    stack.source().release();
    watch.clears("LinkgateUploadsWait", nothing).await;
}

/// The rule's own limit, so the disk is larger; uploads are refused when the space for the catalog is all that there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_is_told_until_there_is_space_again() {
    const SIZE: u64 = 8 << 30;
    const LEFT: u64 = 32 << 20;
    let disk = match Disk::mount(SIZE) {
        Ok(disk) => disk,
        Err(why) => return println!("NOT TESTED, for it takes a disk of its own: {why}"),
    };
    let data = disk.path().join("data").display().to_string();
    let stack = WholeStack::with(&[("LINKGATE_DATA_DIR", &data)]).await;
    let Some(watch) = Watch::of(stack.gateway(), stack.store().base()).await else { return };
    let upload = async |version: &str| stack.send(stack.request(stack.source().url()).version(version)).await.status;
    assert_eq!(upload("1").await, 200);
    wait_until_holds("the free space", async || watch.count("linkgate_store_disk_free_bytes").await == 1).await;
    watch.clears("LinkgateDiskNearlyFull", nothing).await;

    disk.fill(LEFT);
    watch.fires("LinkgateDiskNearlyFull", nothing).await;
    watch.fires("LinkgateUploadsFail", async || assert_eq!(upload("2").await, 507)).await;

    disk.free_up();
    watch.clears("LinkgateDiskNearlyFull", nothing).await;
    watch.clears("LinkgateUploadsFail", nothing).await;
    assert_eq!(upload("2").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_near_its_end_is_told_until_it_is_renewed() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.renew_for(folder.path(), &["localhost"], 5);
    let plan = GatewayPlan::new().wire("LINKGATE_GATEWAY_TLS_DIR", folder.path().to_str().unwrap());
    let stack = WholeStack::planned(plan, &[], &[]).await;
    let Some(watch) = Watch::of(stack.gateway(), stack.store().base()).await else { return };
    watch.fires("LinkgateCertificateExpires", nothing).await;
    authority.renew(folder.path(), &["localhost"]);
    watch.clears("LinkgateCertificateExpires", nothing).await;
}
