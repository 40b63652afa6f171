//! A platform with tenants: what is judged, what the store records, and what a caller reads.

use linkgate_tests::{Question, Reply, Service, ServiceBehaviour};
use serde_json::json;

use crate::platform::{ANNA, CI, Caller, Platform, inner};
use crate::replies::{assert_envelope, assert_not_authenticated};

async fn with_tenants() -> Platform {
    Platform::with(|policy| policy["identity"]["login"]["multi_tenant"] = true.into()).await
}

/// [`CI`], for somebody who shows a token of the login service.
fn caller(platform: &Platform) -> Caller {
    let (secret, token) = (platform.identity.add_app(CI), platform.identity.add_token(ANNA));
    let mut caller = platform.user("bk_token", &token).with("bk_app_code", CI).with("bk_app_secret", secret.clone());
    caller.secrets.push(secret);
    caller
}

async fn send(platform: &Platform, caller: &Caller, tenant: &str) -> Reply {
    platform.stack.send(platform.request(caller).header("X-Bk-Tenant-Id", tenant)).await
}

async fn refuse(platform: &Platform, caller: &Caller, tenant: &str, reason: &str) {
    let request = platform.request(caller).header("X-Bk-Tenant-Id", tenant);
    let reply = platform.stack.refuse_at_gate(request).await;
    let message = format!("Cross tenant forbidden [reason=\"Cross-tenant calls are not allowed: {reason}\"]");
    assert_envelope(&reply, 403, 1_640_302, "CROSS_TENANT_FORBIDDEN", &message);
    let line = platform.stack.gateway().access_line(&reply).await;
    assert_eq!(line["gate"]["rule"], "identity.login.multi_tenant", "{line}");
}

#[tokio::test]
async fn the_store_records_for_which_tenant_a_package_is() {
    let platform = with_tenants().await;
    let single = caller(&platform);
    platform.serve(&single).await;
    assert_eq!(send(&platform, &single, "system").await.status, 200);
    platform.identity.move_app("all", "");
    let secret = platform.identity.add_app("all");
    let global = caller(&platform).with("bk_app_code", "all").with("bk_app_secret", secret);
    let package = send(&platform, &global, "t-1").await;
    assert_eq!((package.status, package.json().as_object().unwrap().len()), (200, 9), "{package:?}");
    let request = platform.request(&global).header("x-bk-tenant-id", "t-2").header("prefer", "respond-async");
    let accepted = platform.stack.send(request).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    // The catalog knows it while the job is under way, and at its end.
    let tenants = |names: [&str; 4]| names.map(|name| Some(name.to_owned())).to_vec();
    let all = tenants(["system", "system", "t-1", "t-2"]);
    assert_eq!(platform.stack.directory().tenants().await.0, all);
    linkgate_tests::wait::wait_until_holds("the end of the job", async || {
        platform.stack.directory().tenants().await.1.len() == all.len()
    })
    .await;
    assert_eq!(platform.stack.directory().tenants().await, (all.clone(), all));
    assert_eq!(platform.identity.count(Question::AppTenant), 2, "each app is asked about once");
}

#[tokio::test]
async fn whoever_asks_for_another_tenant_is_refused_in_the_words_of_the_gateway() {
    let platform = with_tenants().await;
    let single = caller(&platform);
    let foreign =
        format!("current header X-Bk-Tenant-Id=other, app {CI} belongs to tenant system(tenant_mode=single). [AH2]");
    refuse(&platform, &single, "other", &foreign).await;
    platform.serve(&single).await;
    refuse(&platform, &single, "other", &foreign).await;
    platform.identity.move_user("bert", "other");
    let token = platform.identity.add_token("bert");
    let stranger = single.clone().with("bk_token", token);
    let reason = format!("app {CI} belongs to tenant system, user bert belongs to tenant other. [AU]");
    refuse(&platform, &stranger, "system", &reason).await;
    platform.identity.move_app("all", "");
    let secret = platform.identity.add_app("all");
    let global = single.clone().with("bk_app_code", "all").with("bk_app_secret", secret);
    let reason = "header X-Bk-Tenant-Id is required and should not be empty. the app all tenant_mode=global. [AH1]";
    refuse(&platform, &global, "", reason).await;
    let odd = platform.stack.refuse_at_gate(platform.request(&single).header("x-bk-tenant-id", "a b")).await;
    let reason = "request header X-Bk-Tenant-Id must be given once, with 1 to 64 letters, digits, '-', '_' and '.'";
    assert_not_authenticated(&odd, reason);
}

#[tokio::test]
async fn a_tenant_that_nobody_can_name_lets_nobody_in() {
    let platform = with_tenants().await;
    let single = caller(&platform);
    // The secret is known by a call of a moment ago; where the app belongs is asked by itself.
    platform.identity.set(Service::Bkauth, ServiceBehaviour::Status(500)).await;
    let reply = platform.stack.refuse_at_gate(platform.request(&single)).await;
    assert_eq!(reply.status, 500, "{reply:?}");
    let mut claims = crate::platform::claims();
    claims["user"]["tenant_id"] = json!("other");
    let jwt = platform.other.sign(&claims);
    let reason = format!("app {CI} belongs to tenant system, user {ANNA} belongs to tenant other. [AU]");
    refuse(&platform, &inner(&jwt), "system", &reason).await;
}

#[tokio::test]
async fn without_tenants_a_callers_header_means_nothing() {
    let platform = Platform::new().await;
    for tenant in ["other", "a b", ""] {
        assert_eq!(send(&platform, &caller(&platform), tenant).await.status, 200);
    }
    assert_eq!(platform.identity.count(Question::AppTenant), 0);
    assert_eq!(platform.stack.directory().tenants().await, (vec![None; 3], vec![None; 3]));
}
