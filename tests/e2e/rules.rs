//! What the policy allows, in front of the real store: grants, restrictions, conditions of packages, report-only rules.

use linkgate_tests::gateway::{APP, GatewayPlan, USER};
use linkgate_tests::{Behaviour, LinkRequestBuilder, Reply, bytes, random, sha256_hex};
use serde_json::{Value, json};

use crate::replies::{WholeStack, assert_envelope, assert_problem, package, stranger};

fn changed(policy: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut policy = policy.clone();
    change(&mut policy);
    policy
}

/// The good request for another application and module.
fn for_module(stack: &WholeStack, application: &str, module: &str) -> LinkRequestBuilder {
    let path = format!("/stag/bkapps/applications/{application}/modules/{module}/source_package/link/");
    stack.request(stack.source().url()).path(path).version(&random())
}

async fn refuse(stack: &WholeStack, request: LinkRequestBuilder, code: (u16, u32, &str), message: &str) -> Reply {
    let reply = stack.refuse_at_gate(request).await;
    assert_envelope(&reply, code.0, code.1, code.2, message);
    reply
}

const NO_PERMISSION: (u16, u32, &str) = (403, 1_640_301, "APP_NO_PERMISSION");
const IP_NOT_ALLOWED: (u16, u32, &str) = (403, 1_640_302, "IP_NOT_ALLOWED");
const USER_NOT_ALLOWED: (u16, u32, &str) = (403, 1_640_303, "BK_USER_NOT_ALLOWED");

#[tokio::test]
async fn grants_and_restrictions_refuse_in_the_words_of_the_gateway() {
    let stack = WholeStack::new().await;
    let eve = random();
    let narrow = changed(stack.policy(), |policy| {
        policy["users"]
            .as_array_mut()
            .unwrap()
            .push(json!({"username": "eve", "bk_ticket_sha256": [sha256_hex(eve.as_bytes())]}));
        policy["grants"] = json!([
            {"name": "narrow", "callers": [APP], "users": [USER, "eve"], "targets": ["app_*"], "modules": ["default"]},
            {"name": "over", "callers": [APP], "targets": ["old"], "until": "2020-01-01T00:00:00Z"},
            {"name": "others", "callers": ["ci-*"], "targets": ["*"]},
            {"name": "readers", "callers": [APP], "targets": ["read_only"], "actions": ["read", "delete"]},
        ]);
        policy["restrictions"] = json!({"users": {"deny": ["eve"]}, "client_ips": {"allow": ["127.0.0.0/8"]}});
    });
    stack.gateway().enforce(&narrow).await;
    assert_eq!(stack.send(for_module(&stack, "app_code", "default")).await.status, 200);
    let message = |what: &str| format!("App has no permission to the resource [reason=\"{what}, bk_app_code={APP}\"]");
    let others = [("other", "default"), ("app_code", "web"), ("App_code", "default"), ("read_only", "default")];
    for (application, module) in others {
        refuse(&stack, for_module(&stack, application, module), NO_PERMISSION, &message("no permission")).await;
    }
    refuse(&stack, for_module(&stack, "old", "default"), NO_PERMISSION, &message("permission has expired")).await;
    let of_eve = json!({"bk_app_code": APP, "bk_app_secret": stack.gateway().credentials().secret, "bk_ticket": eve});
    let of_eve = stranger(stack.source().url()).header("x-bkapi-authorization", &of_eve.to_string());
    refuse(&stack, of_eve, USER_NOT_ALLOWED, "Request rejected by bk-user restriction").await;

    let good = || for_module(&stack, "app_code", "default");
    for sources in [json!({"deny": ["127.0.0.1"]}), json!({"allow": ["10.0.0.0/8", "::1"]})] {
        stack.gateway().enforce(&changed(&narrow, |policy| policy["restrictions"]["client_ips"] = sources)).await;
        // Also to those who show nothing, and who claim to come from elsewhere.
        let elsewhere = good().header("x-forwarded-for", "10.0.0.1").header("x-real-ip", "10.0.0.1");
        for request in [good(), elsewhere, stranger(stack.source().url())] {
            refuse(&stack, request, IP_NOT_ALLOWED, "Request rejected by ip restriction").await;
        }
    }
    stack.gateway().enforce(&changed(&narrow, |policy| policy["grants"] = json!([]))).await;
    refuse(&stack, good(), NO_PERMISSION, &message("no permission")).await;
}

#[tokio::test]
async fn the_store_reads_a_private_source_on_the_policys_word_alone() {
    let plan = GatewayPlan::new();
    let stack = WholeStack::planned(plan, &[("LINKGATE_FETCH_PRIVATE_HOSTS", "")], &[]).await;
    let reply = stack.refuse(stack.request(stack.source().url())).await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("VALIDATION_ERROR")), "{reply:?}");
    assert!(
        reply.json()["fields_detail"]["package_url"].is_array() && stack.source().requests().is_empty(),
        "{reply:?}"
    );
    let host = stack.source().host();
    let private = |applications: &str| {
        changed(stack.policy(), |policy| {
            policy["packages"] =
                json!({"hosts": [{"host": host, "allow_private_addresses": true, "targets": [applications]}]});
        })
    };
    stack.gateway().enforce(&private("another")).await;
    let reply = stack.refuse_at_gate(stack.request(stack.source().url())).await;
    assert!(reply.body.contains("no host is allowed"), "{reply:?}");
    stack.gateway().enforce(&private("app_*")).await;
    let reply = stack.send(stack.request(stack.source().url())).await;
    assert_eq!((reply.status, stack.source().requests().len()), (200, 1), "{reply:?}");
}

#[tokio::test]
async fn the_store_takes_a_file_that_is_no_archive_on_the_policys_word_alone() {
    let stack = WholeStack::new().await;
    let url = stack.link_to("/tool.bin", Behaviour::Bytes(bytes(1_000)));
    let reply = stack.refuse(stack.request(&url)).await;
    assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("PACKAGE_FORMAT_UNSUPPORTED")), "{reply:?}");
    let allowed = changed(stack.policy(), |policy| policy["packages"]["allow_unknown_formats"] = json!(["app_*"]));
    stack.gateway().enforce(&allowed).await;
    let reply = stack.send(stack.request(&url)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn a_checksum_that_is_required_is_required_and_holds() {
    let stack =
        WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| policy["packages"]["sha256"] = json!("required"))
            .await;
    let good = || stack.request(stack.source().url());
    let missing = stack.refuse_at_gate(good()).await;
    let body = r#"{"code":"VALIDATION_ERROR","detail":"sha256: This field is required.","fields_detail":{"sha256":["This field is required."]}}"#;
    assert_problem(&missing, 400, "VALIDATION_ERROR", None, body);
    let wrong = stack.refuse(good().field("sha256", "0".repeat(64))).await;
    assert_eq!(wrong.json()["code"], "CHECKSUM_MISMATCH", "{wrong:?}");
    let reply = stack.send(good().field("sha256", sha256_hex(&package()))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn a_report_only_rule_lets_pass_and_tells_log_and_metrics() {
    let stack = WholeStack::under(GatewayPlan::new(), &[], &[], |policy, source| {
        policy["grants"][0]["mode"] = json!("report");
        policy["restrictions"] = json!({
            "client_ips": {"deny": ["127.0.0.1"], "mode": "report"}, "users": {"deny": [USER], "mode": "report"},
        });
        policy["limits"]["requests"] = json!({"per_second": 0.001, "burst": 1, "mode": "report"});
        policy["packages"] = json!({"hosts": [{"host": source.host(), "mode": "report"}], "sha256": "report"});
    })
    .await;
    for n in ["1", "2"] {
        let reply = stack.send(stack.request(stack.source().url()).version(n)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let line = &stack.gateway().access_line(&reply).await["gate"];
        let limit = if n == "1" { "" } else { "limits.requests," };
        let rules =
            format!("restrictions.client_ips,restrictions.users,grants.test,{limit}packages.hosts,packages.sha256");
        assert_eq!((&line["reported"], &line["decision"], &line["rule"]), (&json!(rules), &json!("OK"), &Value::Null));
    }
    let page = "/stats/prometheus?filter=wasmcustom";
    let counted = |rule: &str, times: u32| format!("linkgate_reported{{rule=\"{rule}\"}} {times}\n");
    let rules = ["restrictions-client_ips", "restrictions-users", "grants-test", "packages-hosts", "packages-sha256"];
    let all = |text: &str| rules.iter().all(|rule| text.contains(&counted(rule, 2)));
    let wanted = |text: &str| all(text) && text.contains(&counted("limits-requests", 1));
    let text = stack.gateway().wait_for_page(page, "every rule is counted", wanted).await;
    assert!(!text.contains("linkgate_limited{"), "{text}");
}
