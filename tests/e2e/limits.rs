//! How much may come at a time: exact over all workers together.

use std::time::{Duration, Instant};

use linkgate_tests::gateway::{Gateway, GatewayPlan};
use linkgate_tests::{Behaviour, Reply, package_of_size, wait_until};
use serde_json::{Value, json};

use crate::platform::UPLOAD;
use crate::replies::{WholeStack, assert_envelope, assert_problem};

/// The refusal of one too many.
fn assert_limited(reply: &Reply, most_s: u64) {
    let message = "API rate limit exceeded by stage strategy";
    assert_envelope(reply, 429, 1_642_902, "RATE_LIMIT_RESTRICTION", message);
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=most_s).contains(&wait), "{reply:?}");
}

async fn limited(limits: Value) -> WholeStack {
    WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| {
        policy["limits"] = limits;
        policy["routes"]["stages"] = json!([{"name": "prod", "prefixes": ["/prod"]}]);
    })
    .await
}

/// How many connections each worker took.
async fn taken_by_workers(gateway: &Gateway) -> Vec<u64> {
    let page = gateway.admin_page("/stats?filter=worker_[01].downstream_cx_total").await;
    page.lines().filter_map(|line| line.rsplit_once(": ")).map(|(_, count)| count.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_rate_says_when_to_come_back_and_is_one_for_all_workers() {
    let rate = |burst: u64| json!({"per_second": 0.005, "burst": burst});
    let stack = limited(json!({"requests_per_app": rate(4), "requests_per_stage": rate(6), "requests": rate(7)})).await;
    let body = r#"{"code":"VALIDATION_ERROR","detail":"package_url: This field is required.","fields_detail":{"package_url":["This field is required."]}}"#;
    // Counted is every request of who is known, whatever becomes of it.
    let ask = || stack.request("").without("package_url");
    for _ in 0..4 {
        assert_problem(&stack.refuse_at_gate(ask()).await, 400, "VALIDATION_ERROR", None, body);
    }
    for _ in 0..20 {
        assert_limited(&stack.refuse_at_gate(ask()).await, 200);
    }
    assert_limited(&stack.refuse_at_gate(ask().path(format!("/prod{UPLOAD}"))).await, 200);
    let taken = taken_by_workers(stack.gateway()).await;
    assert!(taken.len() == 2 && taken.iter().all(|count| *count > 0), "both workers served: {taken:?}");
    let page = "/stats/prometheus?filter=linkgate_limited|linkgate.limited";
    let counted = "linkgate_limited{rule=\"limits-requests_per_app\"} 21\n";
    stack.gateway().wait_for_page(page, "the limit is counted", |text| text.contains(counted)).await;
}

/// Asks over many connections for a while; gives for each request when the gateway began with it, and whether it passed.
async fn drive(stack: &WholeStack, connections: usize, length: Duration) -> Vec<(Duration, bool)> {
    let url = format!("{}/stag{UPLOAD}", stack.gateway().base());
    let presented = stack.gateway().credentials().header();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let begin = Instant::now();
    let callers = (0..connections).map(|_| {
        let (client, url, presented) = (client.clone(), url.clone(), presented.clone());
        tokio::spawn(async move {
            let mut answers = 0;
            while begin.elapsed() < length {
                let request = client.post(&url).header("x-bkapi-authorization", &presented).body("{}");
                let reply = request.header("content-type", "application/json").send().await.unwrap();
                // What passes the limit has no package in it.
                let status = reply.status().as_u16();
                assert!(status == 400 || status == 429, "{reply:?}");
                answers += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answers
        })
    });
    let mut answers = 0;
    for caller in callers.collect::<Vec<_>>() {
        answers += caller.await.unwrap();
    }
    // By the gateway's own clock: on a busy machine replies come late, and in heaps.
    wait_until(async || {
        let logged = logged(&stack.gateway().log());
        if logged.len() == answers { Ok(logged) } else { Err(format!("{} of {answers} are logged", logged.len())) }
    })
    .await
}

/// When each request of the access log began, after the first of them, and whether it passed.
fn logged(log: &str) -> Vec<(Duration, bool)> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let began = |line: &Value| line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let mut all: Vec<_> = lines.map(|line| (began(&line), line["status"] == 400)).collect();
    all.sort_unstable();
    let Some((first, _)) = all.first().copied() else { return Vec::new() };
    all.into_iter().map(|(at, passed)| (at.duration_since(first).unsigned_abs(), passed)).collect()
}

/// How many of these a leaky bucket of 100 in a second and 10 at once lets pass.
fn ideal(answers: &[(Duration, bool)]) -> usize {
    let (mut empty_at, between) = (0.0_f64, 0.01);
    let passes = |at: &Duration| {
        let next = empty_at.max(at.as_secs_f64()) + between;
        let is_free = next <= at.as_secs_f64() + 10.0 * between + 1e-9;
        empty_at = if is_free { next } else { empty_at };
        is_free
    };
    answers.iter().map(|(at, _)| *at).filter(passes).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_is_exact_within_a_twentieth_under_two_workers() {
    let stack = limited(json!({"requests_per_app": {"per_second": 100, "burst": 10}})).await;
    let answers = drive(&stack, 24, Duration::from_secs(5)).await;
    let passed = answers.iter().filter(|(_, passed)| *passed).count();
    let (seconds, ideal) = (answers.last().unwrap().0.as_secs_f64(), ideal(&answers));
    let longest_pause = answers.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    let count = |n: usize| f64::from(u32::try_from(n).unwrap());
    let most = 100.0_f64.mul_add(seconds, 10.0);
    let taken = taken_by_workers(stack.gateway()).await;
    println!(
        "{} asked, {passed} passed in {seconds:.2} s; 10 + 100 t: {most:.0}, off by {:+.1} %; an ideal bucket at these \
         moments: {ideal}, off by {:+.1} %; longest pause {longest_pause:.0?}; connections by worker {taken:?}",
        answers.len(),
        (count(passed) / most - 1.0) * 100.0,
        (count(passed) / count(ideal) - 1.0) * 100.0
    );
    assert!(taken.len() == 2 && taken.iter().all(|count| *count > 0), "both workers served");
    // A machine that is busy with other things may not ask often enough to use the rate up.
    assert!(count(passed) <= most + 1.0 && count(passed) >= count(ideal) * 0.95, "not within 5 %");
}

#[tokio::test]
async fn uploads_of_an_app_are_counted_over_all_workers_and_their_places_come_back() {
    let stack = limited(json!({"uploads_per_app": {"concurrent": 3}})).await;
    let url = stack.link_to("/held.tgz", Behaviour::Held(package_of_size(100_000)));
    let begin =
        |n: usize| tokio::spawn(stack.request(&url).version(&n.to_string()).try_send_owned(stack.gateway().base()));
    let mut uploads: Vec<_> = (0..12).map(begin).collect();
    stack.source().wait_for_requests(3).await;
    // Nine are refused while three are held.
    let mut refused = 0;
    while refused < 9 {
        let (reply, _, rest) = futures_util::future::select_all(uploads).await;
        let reply = reply.unwrap().unwrap();
        let message = "Request concurrency exceeds";
        assert_envelope(&reply, 429, 1_642_904, "CONCURRENCY_LIMIT_RESTRICTION", message);
        assert_eq!(reply.header("retry-after"), Some("5"));
        (refused, uploads) = (refused + 1, rest);
    }
    assert_eq!((stack.source().requests().len(), uploads.len()), (3, 3));

    // Who hangs up keeps the place, for the store goes on.
    uploads.remove(0).abort();
    for n in 50..55 {
        let reply = begin(n).await.unwrap().unwrap();
        assert_eq!(reply.status, 429, "{reply:?}");
    }
    stack.source().release();
    for upload in uploads {
        assert_eq!(upload.await.unwrap().unwrap().status, 200);
    }
    // Who was answered gives it back: two of the three are free, on whatever worker.
    for n in 0..20 {
        let reply = stack.send(stack.request(stack.source().url()).version(&format!("after-{n}"))).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let taken = taken_by_workers(stack.gateway()).await;
    assert!(taken.len() == 2 && taken.iter().all(|count| *count > 0), "both workers served: {taken:?}");
}
