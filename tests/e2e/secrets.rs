//! No secret comes out: not in a log, a metric or a reply, whoever calls and however the identity services are.
//!
//! Every secret is random and stands nowhere else, so that finding it is a leak: those of callers, good and forged, in
//! every place where callers put them, and those of the gateway itself.

use std::ops::Range;
use std::time::Duration;

use aho_corasick::AhoCorasick;
use futures_util::future::join_all;
use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::{LinkRequestBuilder, Reply, ServiceBehaviour, WholeStack, random, wait_until, wait_until_holds};
use serde_json::json;

use crate::platform::{Caller, Platform, Proof, UPLOAD};
use crate::replies::stranger;

const BEHAVIOURS: [ServiceBehaviour; 11] = [
    ServiceBehaviour::Well,
    ServiceBehaviour::Echo,
    ServiceBehaviour::Down,
    ServiceBehaviour::Hangup,
    ServiceBehaviour::Slow(Duration::from_secs(60)),
    ServiceBehaviour::Html,
    ServiceBehaviour::Truncated,
    ServiceBehaviour::CutShort,
    ServiceBehaviour::Huge,
    ServiceBehaviour::Status(500),
    ServiceBehaviour::Status(401),
];

/// Behaviours in which the filter does something of its own.
const FEW_BEHAVIOURS: [ServiceBehaviour; 4] =
    [ServiceBehaviour::Well, ServiceBehaviour::Echo, ServiceBehaviour::Down, ServiceBehaviour::Html];

/// Secrets that were presented, requests that show them, and what came back.
#[derive(Default)]
struct Plant {
    secrets: Vec<String>,
    requests: Vec<LinkRequestBuilder>,
    replies: Vec<Reply>,
}

impl Plant {
    /// A secret of nobody, to be put anywhere.
    fn seed(&mut self) -> String {
        self.secrets.push(random());
        self.secrets.last().unwrap().clone()
    }

    /// Sends what was prepared, all at once.
    async fn send(&mut self, platform: &Platform) {
        let sent = self.requests.drain(..).map(|request| platform.stack.send(request));
        self.replies.extend(join_all(sent).await);
    }

    /// A caller's request, with more secrets where they do not belong.
    fn call(&mut self, platform: &Platform, caller: &Caller) {
        self.secrets.extend(caller.secrets.iter().cloned());
        let mut request = platform.request(caller);
        for (name, form) in [("authorization", "Bearer "), ("cookie", "bk_uid="), ("x-bkapi-jwt", "eyJ0.eyJ1.")] {
            request = request.header(name, &format!("{form}{}", self.seed()));
        }
        if caller.signs_with.is_none() {
            let link = format!("{}?sign={}", platform.stack.source().url(), self.seed());
            let version = self.secrets.len().to_string();
            let body = json!({"package_url": link, "version": version, "bk_app_secret": self.seed()}).to_string();
            let path = format!("{}{}", caller.prefix, UPLOAD);
            let query = format!("bk_app_secret={}&access_token={}", self.seed(), self.seed());
            request = request.raw_body(body).path(format!("{path}?{query}"));
        }
        self.requests.push(request);
    }

    /// Requests that come to nothing before anybody is asked.
    fn stumble(&mut self, platform: &Platform) {
        let listed = platform.user("bk_ticket", &platform.stack.gateway().credentials().ticket.clone());
        let request = || platform.request(&listed);
        let (word, seed) = (format!("{{\"bk_app_secret\": {}", self.seed()), self.seed());
        self.requests.extend([
            request().header("x-bkapi-authorization", &word),
            request().path(format!("/elsewhere?bk_token={seed}")),
            request().raw_body(format!("{{\"package_url\": {seed}")),
            request()
                .raw_body(json!({"package_url": format!("http://u:{seed}@example.com/"), "version": seed}).to_string()),
            request().raw_body(json!({"package_url": [seed], "version": {"a": seed}, "sha256": seed}).to_string()),
            request().content_type(Some("text/plain")).raw_body(seed.clone()),
            stranger("").header("x-bkapi-authorization", &seed),
            stranger("").header("x-bkapi-authorization", &json!({"bk_app_code": "a", "bk_token": seed}).to_string()),
        ]);
    }
}

/// All that anybody but the two ends of a request can read, by where it stands.
async fn output(platform: &Platform, replies: &[Reply]) -> Vec<(String, String)> {
    let stack = &platform.stack;
    // The store writes its last lines, and the gate hands over its counts, a moment after the reply.
    wait_until_holds("the access log", async || {
        stack.gateway().log().lines().filter(|line| line.starts_with('{')).count() >= replies.len()
    })
    .await;
    let store = all_that_the_store_says(stack, replies).await;
    let page = "/stats/prometheus?filter=wasmcustom";
    stack.gateway().wait_for_page(page, "decisions are counted", |text| text.contains("linkgate_decisions{")).await;
    let mut all = vec![("Envoy's log".to_owned(), stack.gateway().log()), ("store".to_owned(), store)];
    for page in ["/stats", "/stats/prometheus", "/clusters", "/config_dump", "/server_info"] {
        all.push((page.to_owned(), stack.gateway().admin_page(page).await));
    }
    all.push(("replies".to_owned(), format!("{replies:?}")));
    all
}

/// The store's log up to what it says about the last upload.
async fn all_that_the_store_says(stack: &WholeStack, replies: &[Reply]) -> String {
    let stored = replies.iter().filter(|reply| reply.status == 200).count();
    let mut log = String::new();
    wait_until(async || {
        log += &stack.store().log().join("\n");
        log.push('\n');
        let said = log.matches("Stored `").count();
        if said >= stored { Ok(log.clone()) } else { Err(format!("{said} of {stored} uploads are in the log: {log}")) }
    })
    .await
}

async fn nothing_comes_out_of(plan: GatewayPlan, behaviours: &[ServiceBehaviour]) {
    let key = plan.private_key();
    let mut plant = Plant::default();
    plant.secrets.extend(key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    let platform = Platform::planned(plan.workers(1), |policy| policy["identity"]["timeout_ms"] = json!(2_000)).await;
    plant.secrets.extend(platform.identity.environment().into_iter().skip(1).map(|(_, secret)| secret));
    let listed = platform.stack.gateway().credentials().clone();
    plant.secrets.extend([listed.secret, listed.token, listed.ticket]);
    for behaviour in behaviours {
        platform.identity.set_all(*behaviour).await;
        for proof in Proof::ALL {
            let good = platform.caller(proof);
            plant.call(&platform, &good);
            plant.call(&platform, &good.forged());
        }
        plant.send(&platform).await;
    }
    plant.stumble(&platform);
    plant.send(&platform).await;

    let output = output(&platform, &plant.replies).await;
    let count = |status: u16| plant.replies.iter().filter(|reply| reply.status == status).count();
    let counts = (count(200), count(400), count(500));
    assert!(counts.0 > 10 && counts.1 > 30 && counts.2 > 10, "not all kinds of replies came: {counts:?}");
    let whole: String = output.iter().map(|(_, text)| text.as_str()).collect();
    assert!(
        whole.contains("linkgate_decisions{") && whole.contains("Uploading for") && whole.contains(r#"\"identity\":"#)
    );
    // Parts of a token tell as much as the whole.
    let parts = plant.secrets.iter().flat_map(|secret| secret.split('.')).filter(|part| part.len() > 16);
    let words = ["PRIVATE KEY", "eyJ", "bk_signature=", "Bearer "];
    // All in one pass: some output has megabytes, and there are a thousand secrets.
    let secrets = AhoCorasick::new(parts.chain(words)).unwrap();
    for (place, text) in &output {
        let found = secrets.find(text).map(|found| line_around(text, found.range()));
        assert_eq!(found, None, "in {place}");
    }
}

/// The line of a text that these bytes stand in.
fn line_around(text: &str, bytes: Range<usize>) -> &str {
    let begin = text[..bytes.start].rfind('\n').map_or(0, |at| at + 1);
    text[begin..].lines().next().unwrap_or_default()
}

#[tokio::test]
async fn no_secret_comes_out() {
    nothing_comes_out_of(GatewayPlan::new(), &BEHAVIOURS).await;
}

#[tokio::test]
async fn no_secret_comes_out_when_the_filter_is_traced() {
    let plan = GatewayPlan::new().arg("--component-log-level").arg("wasm:trace,http:info");
    nothing_comes_out_of(plan, &FEW_BEHAVIOURS).await;
}
