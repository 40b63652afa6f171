//! An answer that is older than ten minutes stands in while its service fails, and is asked for again as soon as it is
//! well. The filter's clock runs a hundred times as fast here; its tokens would be from the future for the store, whose
//! place a recorder takes. `tests/wasm/remembering.rs` has the exact moments, and the day after which it ends.

use std::time::Duration;

use linkgate_tests::gateway::{APP, Gateway, GatewayPlan, path_from};
use linkgate_tests::{Identity, ServiceBehaviour, random};
use serde_json::{Value, json};

use crate::platform::{ANNA, CI};
use crate::recorder::Recorder;
use crate::replies::stranger;
use crate::rewired::fast;

/// Ten minutes, and a little more, for the filter.
const TEN_MINUTES: Duration = Duration::from_millis(6_200);

/// What each caller shows; everything that a service is asked about comes up.
fn callers(identity: &Identity, gateway: &Gateway) -> Vec<Value> {
    let listed = |name: &str, value: String| json!({"bk_app_code": APP, "bk_app_secret": gateway.credentials().secret, name: value});
    let ticket = &gateway.credentials().ticket;
    let token = random();
    identity.know_access_token(&token, CI, Some(ANNA), 86_400);
    vec![
        json!({"bk_app_code": CI, "bk_app_secret": identity.add_app(CI), "bk_ticket": ticket}),
        listed("bk_token", identity.add_token(ANNA)),
        listed("bk_ticket", identity.add_ticket(ANNA)),
        json!({"access_token": token}),
    ]
}

/// Status of a request of this caller, and how it was known who calls.
async fn ask(gateway: &Gateway, caller: &Value) -> (u16, String) {
    let request = stranger("https://example.com/a.tgz").header("x-bkapi-authorization", &caller.to_string());
    let reply = request.send(gateway.base()).await;
    let line = &gateway.access_line(&reply).await["gate"];
    (reply.status, line["identity"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_old_answer_stands_in_while_its_service_fails() {
    let (identity, recorder) = (Identity::start().await, Recorder::start().await);
    let dir = tempfile::tempdir().unwrap();
    let filter = dir.path().join("fast.wasm");
    std::fs::write(&filter, fast(&std::fs::read(path_from("LINKGATE_WASM")).unwrap(), 100)).unwrap();
    let plan = GatewayPlan::new().workers(1).asking(&identity).wasm(filter);
    let mut policy = plan.credentials().policy(&["example.com".to_owned()]);
    policy["identity"] = json!({
        "bkauth": {"cluster": "bkauth"}, "login": {"cluster": "bklogin"},
        "ticket": {"cluster": "bkticket", "path": "/user/is_login/"}, "timeout_ms": 2_000,
    });
    plan.deploy(&policy);
    let gateway = plan.start(recorder.address()).await;
    let callers = callers(&identity, &gateway);
    for caller in &callers {
        assert_eq!(ask(&gateway, caller).await, (200, "fresh".to_owned()), "{caller}");
    }
    tokio::time::sleep(TEN_MINUTES).await;
    for behaviour in [
        ServiceBehaviour::Down,
        ServiceBehaviour::Hangup,
        ServiceBehaviour::Slow(Duration::from_secs(60)),
        ServiceBehaviour::Html,
        ServiceBehaviour::Huge,
        ServiceBehaviour::Status(500),
    ] {
        identity.set_all(behaviour).await;
        // An error that a credential may have brought about counts once several have met it.
        if matches!(behaviour, ServiceBehaviour::Html | ServiceBehaviour::Status(_)) {
            for caller in (0..3).flat_map(|_| self::callers(&identity, &gateway)) {
                assert_eq!(ask(&gateway, &caller).await.0, 500, "{behaviour:?} {caller}");
            }
        }
        for caller in &callers {
            assert_eq!(ask(&gateway, caller).await, (200, "stale".to_owned()), "{behaviour:?} {caller}");
        }
    }
    // That lets nobody else in.
    for caller in self::callers(&identity, &gateway) {
        assert_eq!(ask(&gateway, &caller).await.0, 500, "{caller}");
    }
    identity.set_all(ServiceBehaviour::Well).await;
    for caller in &callers {
        assert_eq!(ask(&gateway, caller).await, (200, "fresh".to_owned()), "{caller}");
    }
    // What the service takes back while it is well is over, also for those who were known.
    for caller in &callers {
        for secret in ["bk_token", "bk_ticket", "access_token"].iter().filter_map(|name| caller[name].as_str()) {
            identity.remove_token(secret);
            identity.remove_ticket(secret);
            identity.remove_access_token(secret);
        }
    }
    tokio::time::sleep(TEN_MINUTES).await;
    for caller in &callers[1..] {
        assert_eq!(ask(&gateway, caller).await.0, 400, "{caller}");
    }
}
