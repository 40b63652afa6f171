//! `linkgate policy`: what is right passes, what is wrong is named with its line and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use support::{Sandbox, good_policy, sha256_hex};

const DEPLOY: [&str; 5] = ["policy", "deploy", "policy.yaml", "--to", "envoy"];

#[test]
fn a_good_policy_is_counted() {
    let outcome = Sandbox::new().run(&["policy", "check", "policy.yaml"]);
    assert_eq!(outcome.out, "policy.yaml: ok (3 prefixes, 1 grants, 1 clients, 1 users, 2 allowed hosts)\n");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
}

#[test]
fn limits_for_several_envoys_are_said_and_none_is_no_number_of_them() {
    let sandbox = Sandbox::new();
    let with = |limits: &str| good_policy().replace("uri_bytes: 8192", &format!("uri_bytes: 8192, {limits}"));
    sandbox.write("policy.yaml", &with("instances: 3, requests: { per_second: 2 }"));
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    let counted = "3 prefixes, 1 grants, 1 clients, 1 users, 2 allowed hosts, limits for 3 Envoys";
    assert_eq!(outcome.out, format!("policy.yaml: ok ({counted})\n"));
    let want = "warning: policy.yaml:5:61: limits.requests: is less than limits.instances: no Envoy's share is below 1, \
        so 3 pass at once, not 2\n";
    assert_eq!((outcome.code, outcome.err.as_str()), (0, want));
    for wrong in ["instances: 0", "instances: 1001"] {
        sandbox.write("policy.yaml", &with(wrong));
        let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
        let want =
            "policy.yaml:5:47: limits.instances: must be from 1 to 1000, the number of Envoys under this policy\n";
        assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (1, "", want), "{wrong}");
    }
    for wrong in ["instances: -1", "instances: 1.5", "instances: two"] {
        sandbox.write("policy.yaml", &with(wrong));
        let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
        assert!(outcome.code == 1 && outcome.err.contains("limits.instances: invalid "), "{wrong}: {}", outcome.err);
    }
}

#[test]
fn what_is_said_in_vain_is_warned_about_and_fails_only_where_it_should() {
    let sandbox = Sandbox::new();
    let until = "{ name: over, callers: [ci], targets: [shop], until: \"2020-01-01T00:00:00Z\" }";
    let policy = good_policy().replace(&sha256_hex("s3cret"), &"0".repeat(64)) + "  - " + until + "\n";
    sandbox.write("policy.yaml", &policy);
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    assert_eq!(outcome.out, "policy.yaml: ok (3 prefixes, 2 grants, 1 clients, 1 users, 2 allowed hosts)\n");
    let want = "warning: policy.yaml:9:21: clients[0].secret_sha256[0]: is the placeholder, the digest of no secret: make one with `linkgate secret hash`\n\
        warning: policy.yaml:16:51: grants[1].until: has passed, so the grant allows nothing any more: remove it\n";
    assert_eq!((outcome.code, outcome.err.as_str()), (0, want));
    let outcome = sandbox.run(&["policy", "check", "policy.yaml", "--strict"]);
    assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (1, "", want));
    sandbox.write("policy.yaml", &good_policy());
    let outcome = sandbox.run(&["policy", "check", "policy.yaml", "--strict"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
}

#[test]
fn old_names_of_keys_are_refused_with_the_new_ones() {
    let sandbox = Sandbox::new();
    let old =
        good_policy().replace("clients:", "apps:").replace("callers:", "apps:").replace("targets:", "applications:");
    sandbox.write("policy.yaml", &old);
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    let lines: Vec<_> = outcome.err.lines().collect();
    let want = [
        "policy.yaml:7:1: apps: is now called `clients`",
        "policy.yaml:15:18: grants[0].apps: is now called `callers`",
        "policy.yaml:15:31: grants[0].applications: is now called `targets`",
    ];
    assert_eq!((outcome.code, outcome.out.as_str(), lines), (1, "", want.to_vec()));
}

#[test]
fn two_policies_are_compared_in_words() {
    let sandbox = Sandbox::new();
    let other = good_policy()
        .replace("8192", "4096")
        .replace("\"example.com\"", "\"example.org\"")
        .replace(&sha256_hex("t1cket"), &sha256_hex("other"));
    sandbox.write("new.yaml", &other);
    let outcome = sandbox.run(&["policy", "diff", "policy.yaml", "new.yaml"]);
    let want = "gains:\n  links to `example.org`\nloses:\n  paths with their query may have 4096 bytes instead of 8192\n  \
        links to `example.com`\nchanges:\n  the logins of user `admin` changed\n";
    assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (0, want, ""));
    sandbox.write("new.yaml", &good_policy().replace("[\"\", \"/stag\", \"/prod\"]", "[\"/prod\", \"/stag\", \"\"]"));
    let outcome = sandbox.run(&["policy", "diff", "policy.yaml", "new.yaml"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "no difference\n"));
    sandbox.write("new.yaml", &good_policy().replace("version: 1", "version: 9"));
    for files in [["policy.yaml", "new.yaml"], ["new.yaml", "policy.yaml"]] {
        let outcome = sandbox.run(&["policy", "diff", files[0], files[1]]);
        assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
        assert_eq!(outcome.err, "new.yaml:2:1: version: this version of linkgate reads version 1\n");
    }
}

#[test]
fn every_fault_is_named_with_its_place() {
    let sandbox = Sandbox::new();
    let policy = good_policy().replace("\"/stag\"", "stag").replace(&sha256_hex("s3cret"), "12").replace("8192", "1");
    sandbox.write("policy.yaml", &policy);
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    let lines: Vec<_> = outcome.err.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("policy.yaml:4:26: routes.prefixes[1]: "), "{}", lines[0]);
    assert!(lines[1].starts_with("policy.yaml:5:30: limits.uri_bytes: "), "{}", lines[1]);
    assert!(lines[2].starts_with("policy.yaml:9:21: clients[0].secret_sha256[0]: "), "{}", lines[2]);
}

#[test]
fn an_unknown_key_is_named_at_its_own_line() {
    let sandbox = Sandbox::new();
    let policy = good_policy().replace("    bk_token_sha256: []\n", "    bk_token_sha256: []\n    colour: blue\n");
    sandbox.write("policy.yaml", &policy);
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.starts_with("policy.yaml:13:5: users[0].colour: unknown key"), "{}", outcome.err);
}

#[test]
fn a_missing_key_is_named_at_its_nearest_parent() {
    let sandbox = Sandbox::new();
    sandbox.write("policy.yaml", &good_policy().replace("  - app_code: apigw-api-test\n    secret", "  - secret"));
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.starts_with("policy.yaml:8:5: clients[0]: missing field `app_code`"), "{}", outcome.err);
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
        let sandbox = Sandbox::new();
        sandbox.write("policy.yaml", text);
        let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
        assert_eq!(outcome.code, 1, "{text:?}");
        assert!(outcome.err.starts_with(want), "{text:?}: {}", outcome.err);
    }
}

#[test]
fn the_size_limit_is_exact() {
    let sandbox = Sandbox::new();
    let padded = |len: usize| {
        let policy = good_policy();
        format!("{policy}#{}\n", "x".repeat(len - policy.len() - 2))
    };
    sandbox.write("policy.yaml", &padded(1 << 20));
    assert_eq!(sandbox.run(&["policy", "check", "policy.yaml"]).code, 0);
    sandbox.write("policy.yaml", &padded((1 << 20) + 1));
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (1, "policy.yaml: is over 1048576 bytes\n"));
}

#[test]
fn a_file_that_cannot_be_read_and_wrong_usage_end_with_2() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["policy", "check", "none.yaml"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.starts_with("cannot read none.yaml: "), "{}", outcome.err);
    assert_eq!(sandbox.run(&["policy", "chekc"]).code, 2);
}

#[test]
fn a_policy_is_deployed_as_envoy_reads_it() {
    let sandbox = Sandbox::new();
    sandbox.create_folder("envoy");
    sandbox.write("envoy/linkgate_filter.wasm", "");
    let outcome = sandbox.run(&DEPLOY);
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    let text = sandbox.read("envoy/linkgate.ecds.json");
    let response: Value = serde_json::from_str(&text).unwrap();
    let (version, rest) = response["version_info"].as_str().unwrap().split_once('-').unwrap();
    assert_eq!((version.len(), rest.len()), (12, 8));
    assert!(outcome.out.ends_with(&format!("envoy/linkgate.ecds.json: version {version}\n")), "{}", outcome.out);
    let config = &response["resources"][0]["typed_config"]["config"];
    let policy: Value = serde_json::from_str(config["configuration"]["value"].as_str().unwrap()).unwrap();
    assert_eq!(policy["clients"][0]["app_code"], "apigw-api-test");
    let filename = config["vm_config"]["code"]["local"]["filename"].as_str().unwrap();
    assert_eq!(filename, sandbox.path("envoy/linkgate_filter.wasm").to_str().unwrap());
    assert_eq!(config["failure_policy"], json!("FAIL_RELOAD"));
    let readable = &config["vm_config"]["environment_variables"]["host_env_keys"];
    let bkauth = ["LINKGATE_BKAUTH_APP_CODE", "LINKGATE_BKAUTH_APP_SECRET"];
    assert_eq!(readable, &json!(["LINKGATE_JWT_PRIVATE_KEY", bkauth[0], bkauth[1], "LINKGATE_LOGIN_BEARER_TOKEN"]));
    let mode = std::fs::metadata(sandbox.path("envoy/linkgate.ecds.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(
        sandbox.read_files().len(),
        3,
        "only the policy, the filter and the resource: {:?}",
        sandbox.read_files().keys()
    );
}

#[test]
fn the_version_follows_the_meaning_not_the_layout() {
    let version = |policy: &str| {
        let sandbox = Sandbox::new();
        sandbox.create_folder("envoy");
        sandbox.write("policy.yaml", policy);
        let outcome = sandbox.run(&["policy", "deploy", "policy.yaml", "--to", "envoy", "--wasm", "/f.wasm"]);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        outcome.out.rsplit_once(' ').unwrap().1.trim().to_owned()
    };
    let first = version(&good_policy());
    assert_eq!(first.len(), 12);
    assert_eq!(first, version(&good_policy().replace("# The policy of a test.", "# Another comment.")));
    assert_ne!(first, version(&good_policy().replace("8192", "8191")));
}

#[test]
fn a_filter_with_other_bytes_makes_another_resource_of_the_same_version() {
    let sandbox = Sandbox::new();
    sandbox.create_folder("envoy");
    let deploy = |filter: &str| {
        sandbox.write("envoy/linkgate_filter.wasm", filter);
        let outcome = sandbox.run(&DEPLOY);
        let response: Value = serde_json::from_str(&sandbox.read("envoy/linkgate.ecds.json")).unwrap();
        (outcome.out, response["version_info"].clone(), response["resources"].clone())
    };
    let (one, two) = (deploy("one"), deploy("two"));
    assert!(one.0 == two.0 && one.1 != two.1 && one.2 != two.2, "{one:?} {two:?}");
    assert_eq!(deploy("one"), one);
}

#[test]
fn a_rollback_puts_the_resource_before_back_and_a_second_one_returns() {
    let sandbox = Sandbox::new();
    sandbox.create_folder("envoy");
    sandbox.write("envoy/linkgate_filter.wasm", "");
    let (resource, previous) = ("envoy/linkgate.ecds.json", "envoy/linkgate.ecds.previous.json");
    let rollback = || sandbox.run(&["policy", "rollback", "--to", "envoy"]);
    assert_eq!(sandbox.run(&DEPLOY).code, 0);
    let first = sandbox.read(resource);
    let outcome = rollback();
    let want = format!(
        "{previous} is not there: nothing was deployed over another policy here yet, so there is none to go back to\n"
    );
    assert_eq!((outcome.code, outcome.out.as_str(), outcome.err), (2, "", want));
    sandbox.write("policy.yaml", &good_policy().replace("8192", "8191"));
    for _ in 0..2 {
        // The same once more does not push out the one before.
        assert_eq!(sandbox.run(&DEPLOY).code, 0);
    }
    let second = sandbox.read(resource);
    assert_eq!(sandbox.read(previous), first);
    for (now, before) in [(&first, &second), (&second, &first), (&first, &second)] {
        let outcome = rollback();
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
        let version = serde_json::from_str::<Value>(now).unwrap()["version_info"].as_str().unwrap()[..12].to_owned();
        assert_eq!(outcome.out, format!("{resource}: version {version}\n"));
        assert_eq!((&sandbox.read(resource), &sandbox.read(previous)), (now, before));
    }
    let there: Vec<_> = sandbox.read_files().into_keys().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(there, ["linkgate.ecds.json", "linkgate.ecds.previous.json", "linkgate_filter.wasm", "policy.yaml"]);
}

#[test]
fn what_is_no_resource_is_not_put_back() {
    let sandbox = Sandbox::new();
    sandbox.create_folder("envoy");
    sandbox.write("envoy/linkgate.ecds.previous.json", "{}");
    let before = sandbox.read_files();
    let outcome = sandbox.run(&["policy", "rollback", "--to", "envoy"]);
    let want = "envoy/linkgate.ecds.previous.json is no resource that `linkgate policy deploy` wrote: deploy a policy instead\n";
    assert_eq!((outcome.code, outcome.err.as_str()), (2, want));
    let outcome = sandbox.run(&["policy", "rollback", "--to", "nowhere"]);
    let want = "nowhere is no folder: make it first, or choose another with --to\n";
    assert_eq!((outcome.code, outcome.err.as_str()), (2, want));
    assert_eq!(sandbox.read_files(), before);
}

#[test]
fn a_wrong_policy_is_not_deployed_and_the_old_one_stays() {
    let sandbox = Sandbox::new();
    sandbox.create_folder("envoy");
    sandbox.write("envoy/linkgate_filter.wasm", "");
    assert_eq!(sandbox.run(&DEPLOY).code, 0);
    sandbox.write("policy.yaml", &good_policy().replace("version: 1", "version: 9"));
    let before = sandbox.read_files();
    let outcome = sandbox.run(&DEPLOY);
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.starts_with("policy.yaml:2:1: version: "), "{}", outcome.err);
    assert_eq!(sandbox.read_files(), before);
}

#[test]
fn a_missing_filter_or_folder_is_refused_with_what_to_do_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    let before = sandbox.read_files();
    let outcome = sandbox.run(&DEPLOY);
    assert_eq!(
        (outcome.code, outcome.err.as_str()),
        (2, "envoy is no folder: make it first, or choose another with --to\n")
    );
    sandbox.create_folder("envoy");
    let outcome = sandbox.run(&DEPLOY);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("linkgate_filter.wasm is not there: copy the filter"), "{}", outcome.err);
    assert!(outcome.err.contains("--wasm PATH"), "{}", outcome.err);
    assert_eq!(sandbox.read_files(), before);
}

/// The policy to start from, as shipped.
fn shipped() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../policy.yaml")).unwrap()
}

/// Examples begin with `#` and no space.
fn with_examples(policy: &str) -> (String, usize) {
    let mut examples = 0;
    let lines = policy.lines().map(|line| match line.trim_start().strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => {
            examples += 1;
            line.replacen('#', "", 1) + "\n"
        }
        _ => line.to_owned() + "\n",
    });
    (lines.collect(), examples)
}

#[test]
fn the_shipped_policy_is_good_with_its_examples_and_without() {
    let sandbox = Sandbox::new();
    sandbox.write("policy.yaml", &shipped());
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    assert_eq!(outcome.out, "policy.yaml: ok (5 prefixes, 1 grants, 1 clients, 1 users, 2 allowed hosts)\n");
    let (policy, examples) = with_examples(&shipped());
    sandbox.write("policy.yaml", &policy);
    let outcome = sandbox.run(&["policy", "check", "policy.yaml"]);
    assert_eq!(
        outcome.out,
        "policy.yaml: ok (7 prefixes, 3 grants, 1 clients, 1 users, 3 allowed hosts, limits for 2 Envoys)\n",
        "{}",
        outcome.err
    );
    assert_eq!(examples, 15);
}

#[test]
fn several_policies_are_checked_each_by_itself() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.yaml", &good_policy().replace("clients:", "apps:"));
    sandbox.write("broken.yaml", "version: [");
    let outcome = sandbox.run(&["policy", "check", "policy.yaml", "bad.yaml", "broken.yaml"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.starts_with("policy.yaml: ok (") && outcome.out.lines().count() == 1, "{}", outcome.out);
    assert!(outcome.err.contains("bad.yaml:7:1: apps: is now called `clients`"), "{}", outcome.err);
    assert!(outcome.err.contains("broken.yaml:2:1: "), "{}", outcome.err);

    let outcome = sandbox.run(&["policy", "check", "--json", "policy.yaml", "bad.yaml", "broken.yaml"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (1, ""));
    let verdicts: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(verdicts[0]["accepted"], true);
    assert_eq!(verdicts[0]["version"].as_str().unwrap().len(), 12);
    assert_eq!((&verdicts[0]["faults"], &verdicts[0]["warnings"]), (&json!([]), &json!([])));
    let fault = json!({"line": 7, "column": 1, "path": "apps", "message": "is now called `clients`"});
    assert_eq!((&verdicts[1]["accepted"], &verdicts[1]["faults"][0]), (&json!(false), &fault));
    assert_eq!((&verdicts[2]["accepted"], &verdicts[2]["file"]), (&json!(false), &json!("broken.yaml")));
}

#[test]
fn a_policy_is_read_from_standard_input_and_out_of_what_was_deployed() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run_with(&["policy", "check", "-"], &[], good_policy().as_bytes());
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    assert!(outcome.out.starts_with("-: ok ("), "{}", outcome.out);
    let outcome = sandbox.run_with(&["policy", "check", "-"], &[], b"version: 2\n");
    assert!(outcome.code == 1 && outcome.err.starts_with("-:1:"), "{}", outcome.err);

    sandbox.create_folder("envoy");
    sandbox.write("envoy/linkgate_filter.wasm", "filter");
    assert_eq!(sandbox.run(&DEPLOY).code, 0);
    let deployed = "envoy/linkgate.ecds.json";
    for arguments in [["policy", "diff", "policy.yaml", deployed], ["policy", "diff", deployed, "policy.yaml"]] {
        let outcome = sandbox.run(&arguments);
        assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (0, "no difference\n", ""));
    }
    assert_eq!(sandbox.run(&["policy", "check", deployed]).code, 0);
    for from in ["envoy", deployed, "policy.yaml"] {
        let shown = sandbox.run(&["policy", "show", "--from", from]);
        assert_eq!(shown.code, 0, "{}", shown.err);
        assert!(shown.err.contains(": version "), "{}", shown.err);
        let same = sandbox.run_with(&["policy", "diff", "policy.yaml", "-"], &[], shown.out.as_bytes());
        assert_eq!(same.out, "no difference\n", "{}", same.err);
    }
    let other = sandbox.run(&["policy", "show", "--from", "nowhere"]);
    assert!(other.code == 2 && other.err.contains("nowhere"), "{}", other.err);
    sandbox.write("envoy/linkgate.ecds.json", "{}");
    let other = sandbox.run(&["policy", "show", "--from", "envoy"]);
    assert!(other.code == 2 && other.out.is_empty(), "{} {}", other.code, other.err);
}

#[test]
fn the_file_of_a_rate_limit_service_is_written_from_the_policy() {
    let sandbox = Sandbox::new();
    let with = |limits: &str| good_policy().replace("uri_bytes: 8192", &format!("uri_bytes: 8192, {limits}"));
    sandbox.write("policy.yaml", &with("upload_rates: service, requests_per_app: { per_second: 0.5, burst: 10 }"));
    let outcome = sandbox.run(&["policy", "limits", "policy.yaml", "--format", "limitador"]);
    let want = "# Written by `linkgate policy limits`, from the rates of a policy.\n\
        # limits.requests_per_app: 0.5 a second and 10 at once; here 10 in 20 s\n\
        - namespace: linkgate\n  name: requests_per_app\n  max_value: 10\n  seconds: 20\n  conditions: []\n  \
        variables: [\"descriptors[0]['app']\"]\n";
    assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (0, want, ""));
    sandbox.write("policy.yaml", &with("requests: { per_second: 3 }"));
    let outcome = sandbox.run(&["policy", "limits", "policy.yaml", "--format", "envoyproxy"]);
    let want = "# Written by `linkgate policy limits`, from the rates of a policy.\ndomain: linkgate\ndescriptors:\n  \
        # limits.requests: 3 a second and 3 at once; here 3 in 1 s\n  - key: uploads\n    value: all\n    rate_limit:\n      \
        unit: second\n      requests_per_unit: 3\n";
    let warning = "warning: limits.upload_rates is not `service`: under this policy each Envoy counts uploads itself\n";
    assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (0, want, warning));
    sandbox.write("policy.yaml", &with("instances: 0"));
    let outcome = sandbox.run(&["policy", "limits", "policy.yaml", "--format", "limitador"]);
    assert!(outcome.code == 1 && outcome.out.is_empty() && outcome.err.contains("limits.instances"), "{}", outcome.err);
    assert_eq!(sandbox.run(&["policy", "limits", "policy.yaml"]).code, 2, "which service is to be said");
}
