//! `linkgate policy explain`: the gate's own verdict on a described request, and no secret of it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::Value;
use support::{Outcome, Sandbox, good_policy};

const EXPLAIN: [&str; 5] = ["policy", "explain", "policy.yaml", "--request", "request.yaml"];

const REQUEST: &str = r#"
path: /stag/bkapps/applications/shop/modules/web/source_package/link/?bk_token=in-the-query
at: 2026-07-01T00:00:00Z
headers:
  x-bkapi-authorization: { bk_app_code: apigw-api-test, bk_app_secret: s3cret, bk_ticket: t1cket }
  cookie: bk_token=in-a-cookie
body:
  package_url: https://example.com/a.tar.gz
  version: "1"
"#;

fn explain(policy: &str, request: &str, more: &[&str]) -> Outcome {
    let sandbox = Sandbox::new();
    sandbox.write("policy.yaml", policy);
    sandbox.write("request.yaml", request);
    let before = sandbox.read_files();
    let outcome = sandbox.run(&[&EXPLAIN, more].concat());
    assert_eq!(sandbox.read_files(), before);
    for secret in ["s3cret", "t1cket", "in-the-query", "in-a-cookie", "t0ken", "k3y"] {
        assert!(!outcome.out.contains(secret) && !outcome.err.contains(secret), "{}{}", outcome.out, outcome.err);
    }
    outcome
}

fn with_services(policy: &str) -> String {
    policy.to_owned()
        + "identity:\n  bkauth: { cluster: bkauth }\n  login: { cluster: bklogin }\n  ticket: { cluster: bkticket, path: /t/ }\n"
}

/// A request by an app and a user that the policy does not list.
fn asking(credentials: &str, services: &str) -> String {
    let listed = "{ bk_app_code: apigw-api-test, bk_app_secret: s3cret, bk_ticket: t1cket }";
    REQUEST.replace(listed, credentials) + &format!("services: {services}\n")
}

#[test]
fn a_request_that_passes_is_shown_as_it_goes_on() {
    let outcome = explain(&good_policy(), REQUEST, &[]);
    let want = r#"verdict: allowed
app: apigw-api-test
user: admin
application: shop
module: web
operation: upload_source_package_via_link
stage: default
decision: OK
reason: -
rule: grants.all
identity: listed
reported: -
removed: cookie, x-bkapi-authorization
set: :path = /bkapps/applications/shop/modules/web/source_package/link/
set: x-bkapi-jwt, a token that says {"app":{"app_code":"apigw-api-test","valid_error_message":"","verified":true,"version":1},"exp":1782864900,"iss":"APIGW","linkgate":{"action":"upload","target":"shop/web"},"nbf":1782863700,"user":{"username":"admin","valid_error_message":"","verified":true,"version":1}}
set: x-bkapi-request-id = explained
"#;
    assert_eq!((outcome.out.as_str(), outcome.err.as_str(), outcome.code), (want, "", 0));
}

#[test]
fn a_refusal_is_shown_with_its_rule_and_the_very_reply() {
    let policy = good_policy().replace("callers: [\"*\"]", "callers: [ci]");
    let outcome = explain(&policy, REQUEST, &[]);
    let want = r#"verdict: denied
app: apigw-api-test
user: admin
application: shop
module: web
operation: upload_source_package_via_link
stage: default
decision: APP_NO_PERMISSION
reason: -
rule: grants
identity: listed
reported: -
status: 403
reply: {"code":1640301,"code_name":"APP_NO_PERMISSION","message":"App has no permission to the resource [reason=\"no permission, bk_app_code=apigw-api-test\"]","result":false,"data":null,"detail":"App has no permission to the resource [reason=\"no permission, bk_app_code=apigw-api-test\"]"}
"#;
    assert_eq!((outcome.out.as_str(), outcome.err.as_str(), outcome.code), (want, "", 1));
}

#[test]
fn an_upload_that_has_begun_is_asked_for_without_a_body() {
    let request = r#"
method: GET
path: /stag/bkapps/applications/shop/modules/web/source_package/link/0198c3a4-5f00-7abc-8def-0123456789ab/
headers:
  x-bkapi-authorization: { bk_app_code: apigw-api-test, bk_app_secret: s3cret, bk_ticket: t1cket }
"#;
    let outcome = explain(&good_policy(), request, &[]);
    let set = "set: :path = /bkapps/applications/shop/modules/web/source_package/link/0198c3a4-5f00-7abc-8def-0123456789ab/\n";
    assert!(outcome.out.starts_with("verdict: allowed\n") && outcome.out.contains(set), "{}", outcome.out);
    for (from, to, want) in [
        ("method: GET", "method: POST", "\nrule: routes\n"),
        ("-0123456789ab/", "/", "\nrule: routes\n"),
        ("headers:", "body: {}\nheaders:", "\nrule: limits.body_bytes\n"),
    ] {
        let outcome = explain(&good_policy(), &request.replace(from, to), &[]);
        assert!(outcome.code == 1 && outcome.out.contains(want), "{to}: {}", outcome.out);
    }
}

#[test]
fn a_forced_deletion_needs_another_action_than_a_plain_one() {
    let request = r#"
method: DELETE
path: /stag/bkapps/applications/shop/modules/web/source_package/7/
headers:
  x-bkapi-authorization: { bk_app_code: apigw-api-test, bk_app_secret: s3cret, bk_ticket: t1cket }
"#;
    let granting = |actions: &str| {
        let more = format!("targets: [\"*\"], actions: [{actions}]");
        good_policy().replace("targets: [\"*\"]", &more)
    };
    let forced = request.replace("/7/", "/7/?force=true");
    let allowed = "\nrule: grants.all\n";
    let denied = "\nrule: grants\n";
    for (actions, request, code, rule) in [
        ("delete", request, 0, allowed),
        ("delete", &forced, 1, denied),
        ("force_delete", &forced, 1, denied),
        ("delete, force_delete", &forced, 0, allowed),
        ("upload, read", request, 1, denied),
    ] {
        let outcome = explain(&granting(actions), request, &[]);
        assert!(outcome.code == code && outcome.out.contains(rule), "{actions}: {request}{}", outcome.out);
    }
}

#[test]
fn what_is_allowed_can_be_had_as_json() {
    let outcome = explain(&good_policy(), REQUEST, &["--json"]);
    let explained: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(outcome.code, 0);
    insta::assert_json_snapshot!(explained, @r#"
    {
      "body_bytes": null,
      "identity_calls": [],
      "record": {
        "app": "apigw-api-test",
        "application": "shop",
        "decision": "OK",
        "identity": "listed",
        "module": "web",
        "operation": "upload_source_package_via_link",
        "reason": "",
        "reported": "",
        "rule": "grants.all",
        "stage": "default",
        "user": "admin"
      },
      "removed": [
        "cookie",
        "x-bkapi-authorization"
      ],
      "set": {
        ":path": "/bkapps/applications/shop/modules/web/source_package/link/",
        "x-bkapi-request-id": "explained"
      },
      "token": {
        "app": {
          "app_code": "apigw-api-test",
          "valid_error_message": "",
          "verified": true,
          "version": 1
        },
        "exp": 1782864900,
        "iss": "APIGW",
        "linkgate": {
          "action": "upload",
          "target": "shop/web"
        },
        "nbf": 1782863700,
        "user": {
          "username": "admin",
          "valid_error_message": "",
          "verified": true,
          "version": 1
        }
      },
      "verdict": "allowed"
    }
    "#);
}

#[test]
fn what_is_denied_can_be_had_as_json() {
    let outcome = explain(&good_policy(), &REQUEST.replace("example.com", "example.org"), &["--json"]);
    let mut explained: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(outcome.code, 1);
    let reply = explained["reply"].take();
    assert!(reply.as_str().unwrap().contains("example.org"), "{reply}");
    insta::assert_json_snapshot!(explained, @r#"
    {
      "identity_calls": [],
      "record": {
        "app": "apigw-api-test",
        "application": "shop",
        "decision": "VALIDATION_ERROR",
        "identity": "listed",
        "module": "web",
        "operation": "upload_source_package_via_link",
        "reason": "",
        "reported": "",
        "rule": "request",
        "stage": "default",
        "user": "admin"
      },
      "reply": null,
      "status": 400,
      "verdict": "denied"
    }
    "#);
}

#[test]
fn identity_services_say_what_the_file_says() {
    let policy = with_services(&good_policy());
    let plain = "{ bk_app_code: ci, bk_app_secret: s3cret, bk_token: t0ken }";
    let cases = [
        (plain, "{ app_secret: match, bk_token: { username: anna } }", "user: anna"),
        (
            plain,
            "{ app_secret: match, bk_token: { username: anna } }",
            "identity call: login, bk_token, answer: user `anna`",
        ),
        (plain, "{ app_secret: match, bk_token: refused }", "bk_token is not valid"),
        (plain, "{ app_secret: match, bk_token: { refused: log in again } }", "[reason=\\\"log in again\\\"]"),
        (plain, "{ app_secret: match, bk_token: down }", "status: 500"),
        (plain, "{ app_secret: mismatch }", "bk_app_code or bk_app_secret is incorrect"),
        (plain, "{ app_secret: unknown }", "app not found"),
        (plain, "{ app_secret: down }", "identity call: bkauth, app_secret, answer: nothing, it is down"),
        (
            "{ bk_app_code: ci, bk_app_secret: s3cret, bk_ticket: t0ken }",
            "{ app_secret: match, bk_ticket: { username: bob } }",
            "user: bob",
        ),
        (
            "{ bk_app_code: ci, bk_app_secret: s3cret, bk_ticket: t0ken }",
            "{ app_secret: match, bk_ticket: refused }",
            "bk_ticket is not valid",
        ),
        ("{ access_token: t0ken }", "{ access_token: { app_code: ci, username: eve, expires_in: 60 } }", "user: eve"),
        ("{ access_token: t0ken }", "{ access_token: { app_code: ci, username: eve, expires_in: 0 } }", "has expired"),
        ("{ access_token: t0ken }", "{ access_token: { refused: it is void } }", "bkauth error message: it is void"),
    ];
    for (credentials, services, want) in cases {
        let outcome = explain(&policy, &asking(credentials, services), &[]);
        assert!(outcome.out.contains(want), "{services}: {want}\n{}{}", outcome.out, outcome.err);
        assert_eq!(outcome.code, i32::from(outcome.out.starts_with("verdict: denied")), "{services}");
    }
}

#[test]
fn where_there_are_tenants_the_file_says_who_belongs_where() {
    let tenants = with_services(&good_policy()).replace("cluster: bklogin", "cluster: bklogin, multi_tenant: true");
    let plain = "{ bk_app_code: ci, bk_app_secret: s3cret, bk_token: t0ken }";
    let single = "app_tenant: { tenant_mode: single, tenant_id: a }";
    let all = [
        (format!("{{ app_secret: match, {single}, bk_token: refused }}"), "bk_token is not valid\\\"]"),
        (
            format!("{{ app_secret: match, {single}, bk_token: {{ username: anna, tenant_id: a }} }}"),
            "set: x-bk-tenant-id = a",
        ),
        (
            format!("{{ app_secret: match, {single}, bk_token: {{ username: anna, tenant_id: b }} }}"),
            "app ci belongs to tenant a, user anna belongs to tenant b. [AU]",
        ),
        (
            "{ app_secret: match, app_tenant: { tenant_mode: global }, bk_token: { username: anna } }".to_owned(),
            "identity call: bkauth, app_tenant, answer: all tenants",
        ),
        ("{ app_secret: match, app_tenant: unknown, bk_token: { username: anna } }".to_owned(), "verdict: allowed"),
    ];
    for (services, want) in all {
        let outcome = explain(&tenants, &asking(plain, &services), &[]);
        assert!(outcome.out.contains(want), "{services}: {want}\n{}{}", outcome.out, outcome.err);
    }
    for bad in ["single", "{ tenant_mode: single }", "{ tenant_mode: global, tenant_id: a }"] {
        let outcome = explain(&tenants, &asking(plain, &format!("{{ app_secret: match, app_tenant: {bad} }}")), &[]);
        assert_eq!(outcome.code, 1);
        assert!(outcome.err.contains("services.app_tenant: must be {tenant_mode: single"), "{}", outcome.err);
    }
}

#[test]
fn a_question_without_an_answer_is_named() {
    let policy = with_services(&good_policy());
    let cases = [
        ("{ bk_app_code: ci, bk_app_secret: s3cret }", "{}", "bkauth", "app_secret"),
        ("{ bk_app_code: ci, bk_app_secret: s3cret, bk_token: t0ken }", "{ app_secret: match }", "login", "bk_token"),
        ("{ bk_app_code: ci, bk_app_secret: s3cret, bk_ticket: t }", "{ app_secret: match }", "ticket", "bk_ticket"),
        ("{ access_token: t0ken }", "{}", "bkauth", "access_token"),
    ];
    for (credentials, services, service, about) in cases {
        let outcome = explain(&policy, &asking(credentials, services), &[]);
        let want = format!("the gate would ask {service} about {about}; say in services.{about} what it answers\n");
        assert_eq!((outcome.code, outcome.out.as_str(), outcome.err), (1, "", want));
    }
    let signed = asking("{ bk_app_code: ci }", "{}")
        .replace("bk_token=in-the-query", "bk_signature=x&bk_nonce=1&bk_timestamp=1782864000");
    let want = "the gate would ask bkauth about app_keys; say in services.app_keys what it answers\n";
    assert_eq!(explain(&policy, &signed, &[]).err, want);
    let signed = signed.replace("services: {}", "services: { app_keys: [k3y] }");
    let outcome = explain(&policy, &signed, &[]);
    assert!(
        outcome.out.contains("answer: the app's secrets, 1 in number") && outcome.out.contains("verification failed"),
        "{}",
        outcome.out
    );
}

#[test]
fn client_address_and_time_count() {
    let policy = good_policy().replace("targets: [\"*\"]", "targets: [\"*\"], until: \"2026-07-01T00:00:01Z\"")
        + "restrictions: { client_ips: { allow: [10.0.0.0/8] } }\n";
    let outcome = explain(&policy, REQUEST, &[]);
    let want = "request.yaml:2:1: client_ip: is needed, because the policy has restrictions.client_ips\n";
    assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (1, "", want));
    let outcome = explain(&policy, &format!("{REQUEST}client_ip: 10.1.2.3\nsource: 10.1.2.3\n"), &[]);
    assert!(outcome.err.ends_with(": source: is now called `client_ip`\n"), "{}", outcome.err);
    let from = |address: &str| format!("{REQUEST}client_ip: {address}\n");
    assert_eq!(explain(&policy, &from("10.1.2.3"), &[]).code, 0);
    let outcome = explain(&policy, &from("\"2001:db8::1\""), &[]);
    assert!(outcome.out.contains("\nrule: restrictions.client_ips\n"), "{}", outcome.out);
    let outcome = explain(&policy, &from("10.1.2.3").replace("00:00:00Z", "00:00:01Z"), &[]);
    assert!(outcome.out.contains("permission has expired"), "{}", outcome.out);
}

#[test]
fn what_is_wrong_with_the_description_is_named_without_its_values() {
    let request = r#"
method: [s3cret]
headers:
  x-bkapi-authorization: 12
  ":path": s3cret
body: [s3cret]
client_ip: s3cret
at: s3cret
secret: s3cret
services: { app_secret: s3cret, app_keys: s3cret, bk_token: { username: [s3cret] }, bk_ticket: 1, access_token: { app_code: 1 }, other: down }
"#;
    let outcome = explain(&good_policy(), request, &[]);
    let places: Vec<_> =
        outcome.err.lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    let want = [
        "request.yaml:2:1 method",
        "request.yaml:2:1 path",
        "request.yaml:4:3 headers.x-bkapi-authorization",
        "request.yaml:5:3 headers.:path",
        "request.yaml:6:1 body",
        "request.yaml:7:1 client_ip",
        "request.yaml:8:1 at",
        "request.yaml:9:1 secret",
        "request.yaml:10:13 services.app_secret",
        "request.yaml:10:33 services.app_keys",
        "request.yaml:10:51 services.bk_token",
        "request.yaml:10:85 services.bk_ticket",
        "request.yaml:10:99 services.access_token",
        "request.yaml:10:130 services.other",
    ];
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    assert_eq!(places, want, "{}", outcome.err);
    assert_eq!(explain(&good_policy(), "- 1\n", &[]).err, "request.yaml:1:1: must be a table of keys\n");
}

#[test]
fn a_wrong_policy_and_a_missing_file_are_refused_before_anything() {
    let outcome = explain(&good_policy().replace("version: 1", "version: 9"), REQUEST, &[]);
    assert_eq!(outcome.err, "policy.yaml:2:1: version: this version of linkgate reads version 1\n");
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    let outcome = Sandbox::new().run(&EXPLAIN);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.starts_with("cannot read request.yaml: "), "{}", outcome.err);
}

#[test]
fn what_pages_of_other_sites_are_told_is_shown() {
    let cors = r#"routes: { cors: { allow_origins: ["https://page.example"] }, "#;
    let policy = good_policy().replace("routes: { ", cors);
    let asking = |method: &str, origin: &str| {
        format!(
            "method: {method}\npath: /bkapps/applications/shop/modules/web/source_package/link/\n\
             headers: {{ origin: \"{origin}\", access-control-request-method: POST }}\n"
        )
    };
    let answered = explain(&policy, &asking("OPTIONS", "https://page.example"), &[]);
    assert_eq!(answered.code, 0, "{}{}", answered.out, answered.err);
    for line in [
        "verdict: answered\n",
        "decision: PREFLIGHT\n",
        "status: 204\n",
        "reply header: access-control-allow-origin = https://page.example\n",
        "reply header: access-control-allow-methods = POST, GET, HEAD\n",
    ] {
        assert!(answered.out.contains(line), "{line}{}", answered.out);
    }
    let denied = explain(&policy, &asking("OPTIONS", "https://evil.example"), &[]);
    assert!(denied.code == 1 && !denied.out.contains("access-control"), "{}", denied.out);
    let refused = explain(&policy, &asking("POST", "https://page.example"), &["--json"]);
    let refused: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!(refused["reply_headers"]["access-control-allow-origin"], "https://page.example");
    assert_eq!((&refused["verdict"], &refused["status"]), (&"denied".into(), &400.into()));
}

#[test]
fn what_the_source_is_to_be_shown_is_named_and_a_caller_s_own_credential_hidden() {
    let hosts = "packages: { hosts: [{ host: example.com, targets: [shop], credential: nexus, allow_caller_credential: true }] }";
    let policy = good_policy().replace(r#"packages: { allowed_hosts: ["example.com", "127.0.0.1:8090"] }"#, hosts);
    assert!(policy.contains(hosts), "{policy}");
    let outcome = explain(&policy, REQUEST, &[]);
    assert!(
        outcome.out.contains(r#""linkgate":{"action":"upload","credentials":["nexus"],"target":"shop/web"}"#),
        "{}",
        outcome.out
    );
    let own = "  cookie: bk_token=in-a-cookie\n  x-linkgate-source-authorization: Bearer k3y";
    let request = REQUEST.replace("  cookie: bk_token=in-a-cookie", own);
    let outcome = explain(&policy, &request, &[]);
    assert!(
        outcome.out.contains("set: x-bkapi-source-authorization, the caller's own credential\n"),
        "{}",
        outcome.out
    );
    assert!(
        outcome.out.contains(r#""linkgate":{"action":"upload","caller_credential":true,"target":"shop/web"}"#),
        "{}",
        outcome.out
    );
    let json: Value = serde_json::from_str(&explain(&policy, &request, &["--json"]).out).unwrap();
    assert_eq!(json["set"]["x-bkapi-source-authorization"], "the caller's own credential");
}

#[test]
fn several_envoys_share_the_limits_and_it_is_said() {
    let policy = good_policy().replace("uri_bytes: 8192", "uri_bytes: 8192, instances: 3");
    let line = "limits: for 3 Envoys, of which this one keeps to its share\n";
    assert!(explain(&policy, REQUEST, &[]).out.contains(line));
    assert!(!explain(&good_policy(), REQUEST, &[]).out.contains("limits:"));
    let explained: Value = serde_json::from_str(&explain(&policy, REQUEST, &["--json"]).out).unwrap();
    assert_eq!(explained["instances"], 3);
    let alone: Value = serde_json::from_str(&explain(&good_policy(), REQUEST, &["--json"]).out).unwrap();
    assert!(alone["instances"].is_null());
}
