//! `linkgate policy`: what is right passes, what is wrong is named with its line and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use support::{Desk, good_policy};

const DEPLOY: [&str; 5] = ["policy", "deploy", "policy.yaml", "--to", "envoy"];

#[test]
fn a_good_policy_is_counted() {
    let outcome = Desk::new().run(&["policy", "check", "policy.yaml"]);
    assert_eq!(outcome.out, "policy.yaml: ok (3 prefixes, 0 grants, 1 apps, 1 users, 2 allowed hosts)\n");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
}

#[test]
fn every_fault_is_named_with_its_place() {
    let desk = Desk::new();
    let policy = good_policy().replace("\"/stag\"", "stag").replace(&"1".repeat(64), "12").replace("8192", "1");
    desk.write("policy.yaml", &policy);
    let outcome = desk.run(&["policy", "check", "policy.yaml"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    let lines: Vec<_> = outcome.err.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("policy.yaml:4:26: routes.prefixes[1]: "), "{}", lines[0]);
    assert!(lines[1].starts_with("policy.yaml:5:30: limits.uri_bytes: "), "{}", lines[1]);
    assert!(lines[2].starts_with("policy.yaml:9:21: apps[0].secret_sha256[0]: "), "{}", lines[2]);
}

#[test]
fn an_unknown_key_is_named_at_its_own_line() {
    let desk = Desk::new();
    let policy = good_policy().replace("    bk_token_sha256: []\n", "    bk_token_sha256: []\n    colour: blue\n");
    desk.write("policy.yaml", &policy);
    let outcome = desk.run(&["policy", "check", "policy.yaml"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.starts_with("policy.yaml:13:5: users[0].colour: unknown key"), "{}", outcome.err);
}

#[test]
fn a_missing_key_is_named_at_its_nearest_parent() {
    let desk = Desk::new();
    desk.write("policy.yaml", &good_policy().replace("  - app_code: apigw-api-test\n    secret", "  - secret"));
    let outcome = desk.run(&["policy", "check", "policy.yaml"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.starts_with("policy.yaml:8:5: apps[0]: missing field `app_code`"), "{}", outcome.err);
}

#[test]
fn what_is_no_policy_at_all_is_refused_by_its_place() {
    let cases = [
        ("", "policy.yaml:1:1: the file is empty"),
        ("a: [1\nb: 2\n", "policy.yaml:2:2: "),
        ("version: 1\nversion: 1\n", "policy.yaml:2:1: `version` is already given on line 1"),
        ("- 1\n", "policy.yaml:1:1: invalid type: sequence"),
        ("a: &x [1]\nb: [*x, *x]\n", "policy.yaml:1:4: anchors"),
    ];
    for (text, want) in cases {
        let desk = Desk::new();
        desk.write("policy.yaml", text);
        let outcome = desk.run(&["policy", "check", "policy.yaml"]);
        assert_eq!(outcome.code, 1, "{text:?}");
        assert!(outcome.err.starts_with(want), "{text:?}: {}", outcome.err);
    }
}

#[test]
fn the_size_limit_is_exact() {
    let desk = Desk::new();
    let padded = |len: usize| {
        let policy = good_policy();
        format!("{policy}#{}\n", "x".repeat(len - policy.len() - 2))
    };
    desk.write("policy.yaml", &padded(1 << 20));
    assert_eq!(desk.run(&["policy", "check", "policy.yaml"]).code, 0);
    desk.write("policy.yaml", &padded((1 << 20) + 1));
    let outcome = desk.run(&["policy", "check", "policy.yaml"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (1, "policy.yaml: is over 1048576 bytes\n"));
}

#[test]
fn a_file_that_cannot_be_read_and_wrong_usage_end_with_2() {
    let desk = Desk::new();
    let outcome = desk.run(&["policy", "check", "none.yaml"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.starts_with("cannot read none.yaml: "), "{}", outcome.err);
    assert_eq!(desk.run(&["policy", "chekc"]).code, 2);
}

#[test]
fn a_policy_is_deployed_as_envoy_reads_it() {
    let desk = Desk::new();
    desk.folder("envoy");
    desk.write("envoy/linkgate_filter.wasm", "");
    let outcome = desk.run(&DEPLOY);
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    let text = desk.read("envoy/linkgate.ecds.json");
    let response: Value = serde_json::from_str(&text).unwrap();
    let version = response["version_info"].as_str().unwrap();
    assert!(outcome.out.ends_with(&format!("envoy/linkgate.ecds.json: version {version}\n")), "{}", outcome.out);
    let config = &response["resources"][0]["typed_config"]["config"];
    let policy: Value = serde_json::from_str(config["configuration"]["value"].as_str().unwrap()).unwrap();
    assert_eq!(policy["apps"][0]["app_code"], "apigw-api-test");
    let filename = config["vm_config"]["code"]["local"]["filename"].as_str().unwrap();
    assert_eq!(filename, desk.path("envoy/linkgate_filter.wasm").to_str().unwrap());
    assert_eq!(config["failure_policy"], json!("FAIL_RELOAD"));
    let readable = &config["vm_config"]["environment_variables"]["host_env_keys"];
    let bkauth = ["LINKGATE_BKAUTH_APP_CODE", "LINKGATE_BKAUTH_APP_SECRET"];
    assert_eq!(readable, &json!(["LINKGATE_JWT_PRIVATE_KEY", bkauth[0], bkauth[1], "LINKGATE_LOGIN_BEARER_TOKEN"]));
    let mode = std::fs::metadata(desk.path("envoy/linkgate.ecds.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(desk.files().len(), 3, "only the policy, the filter and the resource: {:?}", desk.files().keys());
}

#[test]
fn the_version_follows_the_meaning_not_the_layout() {
    let version = |policy: &str| {
        let desk = Desk::new();
        desk.folder("envoy");
        desk.write("policy.yaml", policy);
        let outcome = desk.run(&["policy", "deploy", "policy.yaml", "--to", "envoy", "--wasm", "/f.wasm"]);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        outcome.out.rsplit_once(' ').unwrap().1.trim().to_owned()
    };
    let first = version(&good_policy());
    assert_eq!(first.len(), 12);
    assert_eq!(first, version(&good_policy().replace("# The policy of a test.", "# Another comment.")));
    assert_ne!(first, version(&good_policy().replace("8192", "8191")));
}

#[test]
fn a_wrong_policy_is_not_deployed_and_the_old_one_stays() {
    let desk = Desk::new();
    desk.folder("envoy");
    desk.write("envoy/linkgate_filter.wasm", "");
    assert_eq!(desk.run(&DEPLOY).code, 0);
    desk.write("policy.yaml", &good_policy().replace("version: 1", "version: 9"));
    let before = desk.files();
    let outcome = desk.run(&DEPLOY);
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.starts_with("policy.yaml:2:1: version: "), "{}", outcome.err);
    assert_eq!(desk.files(), before);
}

#[test]
fn a_missing_filter_or_folder_is_refused_with_what_to_do_and_nothing_is_written() {
    let desk = Desk::new();
    let before = desk.files();
    let outcome = desk.run(&DEPLOY);
    assert_eq!(
        (outcome.code, outcome.err.as_str()),
        (2, "envoy is no folder: make it first, or choose another with --to\n")
    );
    desk.folder("envoy");
    let outcome = desk.run(&DEPLOY);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("linkgate_filter.wasm is not there: copy the filter"), "{}", outcome.err);
    assert!(outcome.err.contains("--wasm PATH"), "{}", outcome.err);
    assert_eq!(desk.files(), before);
}
