//! `--wait`: what Envoy says decides how a deploy or rollback ends.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::{Outcome, Sandbox, good_policy};

/// What an admin interface shows by and by; the last page stays.
fn admin(pages: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let targets = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&targets);
    std::thread::spawn(move || {
        for n in 0.. {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 2048];
            let length = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            seen.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
            let page = pages.get(n).or(pages.last()).unwrap();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
        }
    });
    (url, targets)
}

/// A page of counters, as Envoy writes them.
fn page(accepted: &str, refused: u64, version: &str, serving: u64) -> String {
    let discovery = "extension_config_discovery.http_filter.linkgate";
    format!(
        "{discovery}.version_text: \"{accepted}\"\n{discovery}.update_failure: 0\n{discovery}.update_rejected: {refused}\n\
         server.concurrency: 2\nwasmcustom.linkgate.policy_workers.version.{version}: {serving}\n"
    )
}

/// A sandbox where the policy was deployed once, and what Envoy will call it.
fn deployed() -> (Sandbox, String, String) {
    let sandbox = Sandbox::new();
    sandbox.create_folder("envoy");
    sandbox.write("envoy/linkgate_filter.wasm", "");
    assert_eq!(sandbox.run(&["policy", "deploy", "policy.yaml", "--to", "envoy"]).code, 0);
    let response: Value = serde_json::from_str(&sandbox.read("envoy/linkgate.ecds.json")).unwrap();
    let info = response["version_info"].as_str().unwrap().to_owned();
    let version = info[..12].to_owned();
    (sandbox, info, version)
}

fn deploy(sandbox: &Sandbox, url: &str, wait: &str) -> Outcome {
    sandbox.run(&["policy", "deploy", "policy.yaml", "--to", "envoy", "--wait", wait, "--admin", url])
}

#[test]
fn a_deploy_ends_well_when_every_thread_serves_it() {
    let (sandbox, info, version) = deployed();
    let pages = [("old", 0), (&info, 0), (&info, 2), (&info, 3)].map(|(accepted, n)| page(accepted, 7, &version, n));
    let (url, targets) = admin(pages.to_vec());
    let outcome = deploy(&sandbox, &url, "30s");
    let summary = "policy.yaml: ok (3 prefixes, 1 grants, 1 clients, 1 users, 2 allowed hosts)";
    let want =
        format!("{summary}\nenvoy/linkgate.ecds.json: version {version}\nEnvoy: every worker serves it now (2 of 2)\n");
    assert_eq!((outcome.code, outcome.out, outcome.err.as_str()), (0, want, ""));
    let targets = targets.lock().unwrap();
    assert_eq!((targets.len(), targets[4].as_str()), (5, "/config_dump?resource=ecds_filters"));
    let discovery = "extension_config_discovery.http_filter.linkgate";
    let gauge = format!("wasmcustom.linkgate.policy_workers.version.{version}");
    assert_eq!(targets[0], format!("/stats?filter=server.concurrency%7C{discovery}%7C{gauge}"));
}

#[test]
fn what_is_served_already_is_not_waited_for() {
    let (sandbox, info, version) = deployed();
    let (url, targets) = admin(vec![page(&info, 0, &version, 3)]);
    let outcome = deploy(&sandbox, &url, "30s");
    assert_eq!(outcome.code, 0);
    assert!(outcome.out.ends_with("Envoy: every worker serves it already (2 of 2)\n"), "{}", outcome.out);
    assert_eq!(targets.lock().unwrap().len(), 1);
}

#[test]
fn what_envoy_refuses_is_said_with_what_to_do() {
    let (sandbox, _, version) = deployed();
    for (in_force, goes_on) in [("0123456789ab-01234567", "goes on with 0123456789ab"), ("", "has no policy in force")]
    {
        let (url, _) = admin(vec![page(in_force, 4, &version, 0), page(in_force, 5, &version, 0)]);
        let outcome = deploy(&sandbox, &url, "30s");
        let want = format!(
            "Envoy refused version {version} and {goes_on}. Its log says why: look for `policy refused` and `config \
             update`. envoy/linkgate.ecds.json holds the refused one, with which Envoy must not start again: `linkgate \
             policy rollback --to envoy` puts back the one before\n"
        );
        assert_eq!((outcome.code, outcome.out.as_str(), outcome.err), (1, "", want));
    }
}

#[test]
fn what_is_not_confirmed_in_time_ends_with_3() {
    let (sandbox, info, version) = deployed();
    let cases = [
        (page("0123456789ab", 0, &version, 0), "Envoy goes on with 0123456789ab"),
        (page("", 0, &version, 0), "Envoy goes on with no policy"),
        (page(&info, 0, &version, 1), "1 of Envoy's 3 threads, its main one among them, serve it"),
    ];
    for (last, why) in cases {
        let (url, _) = admin(vec![page("", 0, &version, 0), last]);
        let outcome = deploy(&sandbox, &url, "300ms");
        let want =
            format!("envoy/linkgate.ecds.json holds version {version}, but it was not confirmed within 300ms: {why}");
        assert_eq!((outcome.code, outcome.out.as_str()), (3, ""));
        assert!(outcome.err.starts_with(&want), "{}", outcome.err);
    }
}

#[test]
fn without_an_envoy_to_ask_nothing_is_written() {
    let (sandbox, ..) = deployed();
    sandbox.write("policy.yaml", &good_policy().replace("8192", "8191"));
    let before = sandbox.read_files();
    let (odd, _) = admin(vec!["hello\n".to_owned()]);
    let closed = "http://127.0.0.1:1".to_owned();
    for (url, why) in [(odd, "the answer has no server.concurrency, so it is not Envoy's"), (closed, "")] {
        let outcome = deploy(&sandbox, &url, "1s");
        let want = format!("Envoy's admin interface cannot be asked, so nothing was written: {url}: {why}");
        assert!(outcome.err.starts_with(&want), "{}", outcome.err);
        assert!(outcome.err.ends_with("; see --admin, or leave out --wait\n"), "{}", outcome.err);
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""));
        assert_eq!(sandbox.read_files(), before);
    }
}

#[test]
fn a_rollback_waits_for_the_policy_that_comes_back() {
    let (sandbox, info, version) = deployed();
    sandbox.write("policy.yaml", &good_policy().replace("8192", "8191"));
    assert_eq!(sandbox.run(&["policy", "deploy", "policy.yaml", "--to", "envoy"]).code, 0);
    let (url, _) = admin(vec![page("other", 0, &version, 0), page(&info, 0, &version, 3)]);
    let outcome = sandbox.run(&["policy", "rollback", "--to", "envoy", "--wait", "30s", "--admin", &url]);
    let want = format!("envoy/linkgate.ecds.json: version {version}\nEnvoy: every worker serves it now (2 of 2)\n");
    assert_eq!((outcome.code, outcome.out, outcome.err.as_str()), (0, want, ""));
}

#[test]
fn odd_durations_and_addresses_are_wrong_usage() {
    let (sandbox, ..) = deployed();
    for (wait, url) in [("soon", "http://127.0.0.1:1"), ("1s", "127.0.0.1:1"), ("1s", "https://127.0.0.1:1")] {
        assert_eq!(deploy(&sandbox, url, wait).code, 2, "{wait} {url}");
    }
}
