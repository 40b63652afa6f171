//! What a running gateway shows of itself: Envoy's own pages and the access log.

use serde_json::Value;

use super::Gateway;
use crate::Reply;
use crate::request::get;
use crate::wait::wait_until;

impl Gateway {
    /// Deploys a policy and waits until every worker serves by it, and none by another.
    pub async fn enforce(&self, policy: &Value) {
        self.deploy(policy).await.unwrap();
        let version = self.policy_version();
        // The main thread counts as well, though it serves nobody.
        let threads = self.workers + 1;
        let all = format!("policy_workers.version.{version}: {threads}\n");
        let total = |page: &str| -> usize {
            page.lines()
                .filter_map(|line| line.rsplit_once(": "))
                .map(|(_, count)| count.parse::<usize>().unwrap())
                .sum()
        };
        let served = |page: &str| page.contains(&all) && total(page) == threads;
        self.wait_for_page("/stats?filter=policy_workers", "every worker serves", served).await;
    }

    /// The version of the policy that is deployed now.
    #[must_use]
    pub fn policy_version(&self) -> String {
        let resource = self.resource();
        // Behind the policy's own version stands that of all the rest.
        let whole = resource["version_info"].as_str().unwrap();
        whole.split('-').next().unwrap_or_default().to_owned()
    }

    /// What Envoy counts under this name.
    pub async fn stat(&self, name: &str) -> u64 {
        let page = self.admin_page(&format!("/stats?filter=^{name}$")).await;
        page.trim().rsplit_once(": ").map_or(0, |(_, value)| value.parse().unwrap())
    }

    /// The line of the access log on the request that got this reply.
    pub async fn access_line(&self, reply: &Reply) -> Value {
        let id = reply.header("x-request-id").expect("every reply names its request");
        self.access_line_with(id).await
    }

    /// The first line of the access log that has this text, with what the gate noted as an object.
    pub async fn access_line_with(&self, text: &str) -> Value {
        wait_until(async || {
            let log = self.log();
            let mut lines = log.lines().filter(|line| line.starts_with('{') && line.contains(text));
            lines
                .find_map(|line| serde_json::from_str::<Value>(line).ok())
                .map(with_gate_as_object)
                .ok_or_else(|| format!("{text} is not in:\n{log}"))
        })
        .await
    }

    /// One of Envoy's own pages.
    pub async fn admin_page(&self, path: &str) -> String {
        get(&self.admin, path).await.body
    }

    /// Sum of the counters of the filter's configuration whose names end so.
    pub(super) async fn counter(&self, name: &str) -> u64 {
        let text = self.admin_page("/stats?filter=extension_config_discovery").await;
        let values = text.lines().filter_map(|line| line.split_once(": ")).filter(|(key, _)| key.ends_with(name));
        values.map(|(_, value)| value.trim().parse::<u64>().unwrap()).sum()
    }

    pub(super) async fn wait_for_counter(&self, name: &str, at_least: u64) {
        wait_until(async || {
            let is_counted = self.counter(name).await >= at_least;
            if is_counted { Ok(()) } else { Err(format!("Envoy did not count {name}:\n{}", self.log())) }
        })
        .await;
    }

    /// Asks for one of Envoy's own pages until it is as wanted, and gives it.
    pub async fn wait_for_page(&self, path: &str, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        wait_until(async || {
            let page = self.admin_page(path).await;
            if wanted(&page) { Ok(page) } else { Err(format!("{what}: not so in\n{page}")) }
        })
        .await
    }
}

/// The gate's part is the text of an object, for Envoy puts only texts into its log.
fn with_gate_as_object(mut line: Value) -> Value {
    if let Some(text) = line["gate"].as_str() {
        line["gate"] = serde_json::from_str(text).unwrap();
    }
    line
}
