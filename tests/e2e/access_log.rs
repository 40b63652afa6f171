//! What the access log says of a request, for each way that one can end.

use linkgate_tests::gateway::{APP, USER};
use linkgate_tests::{LinkRequestBuilder, Service, ServiceBehaviour, random};
use serde_json::{Value, json};

use crate::platform::{ANNA, CI, Caller, EXEMPT, Platform, Proof, UPLOAD};
use crate::replies::stranger;

/// Everything of a line that the gate noted.
const FIELDS: [&str; 10] =
    ["decision", "reason", "app", "user", "application", "module", "stage", "rule", "identity", "reported"];

/// Status, details, and the fields: `-` for what says nothing, and the last ones say nothing if they are left out.
fn line(text: &str) -> (Value, Value, Value) {
    let mut words = text.split(' ').map(|word| if word == "-" { "" } else { word });
    let status = words.next().unwrap().parse::<u16>().unwrap();
    let details = words.next().unwrap();
    let noted = FIELDS.iter().zip(words).filter(|(_, word)| !word.is_empty());
    let mut noted: serde_json::Map<_, _> = noted.map(|(field, word)| ((*field).to_owned(), json!(word))).collect();
    // What has a target has an endpoint, and here it is this one.
    if noted.contains_key("application") {
        noted.insert("operation".to_owned(), json!("upload_source_package_via_link"));
    }
    (json!(status), json!(details), Value::Object(noted))
}

async fn assert_logged(platform: &Platform, request: LinkRequestBuilder, want: &str) {
    let reply = platform.stack.send(request.in_english()).await;
    let mut logged = platform.stack.gateway().access_line(&reply).await;
    // One word here.
    if let Some(reason) = logged["gate"].get_mut("reason") {
        *reason = json!(reason.as_str().unwrap().replace(' ', "_"));
    }
    // All of it, and nothing else.
    let found = (logged["status"].clone(), logged["details"].clone(), logged["gate"].clone());
    assert_eq!(found, line(want), "{logged}");
}

#[tokio::test]
async fn each_end_of_a_request_has_its_line() {
    let platform = Platform::with(|policy| {
        policy["grants"] = json!([
            {"name": "ours", "callers": [CI, APP], "targets": ["app_code"], "modules": ["default"]},
            {"name": "trial", "callers": [CI], "targets": ["app_code"], "modules": ["web"], "mode": "report"},
        ]);
        policy["restrictions"] = json!({"users": {"deny": ["e*"]}});
    })
    .await;
    let stack = &platform.stack;
    let secret = platform.identity.add_app(CI);
    let ci = platform.app(&secret).with("bk_token", platform.identity.add_token(ANNA));
    let of = |caller: &Caller| platform.request(caller);
    let on = |caller: &Caller, module: &str| of(caller).path(UPLOAD.replace("default", module));
    let eve = platform.user("bk_token", &platform.identity.add_token("eve"));
    let ok = "200 via_upstream OK -";
    let refused = "400 - INVALID_ARGS";

    // Sent on.
    assert_logged(&platform, of(&ci), &format!("{ok} ci anna app_code default default grants.ours fresh")).await;
    assert_logged(&platform, of(&ci), &format!("{ok} ci anna app_code default default grants.ours cached")).await;
    let listed = stack.request(stack.source().url()).version("listed");
    assert_logged(&platform, listed, &format!("{ok} {APP} {USER} app_code default default grants.ours listed")).await;
    let alone = Caller { prefix: EXEMPT, operator: CI, ..ci.clone() }.with("bk_token", "");
    let alone = alone.with("bk_ticket", "");
    assert_logged(&platform, of(&alone), &format!("{ok} ci - app_code default exempt grants.ours cached")).await;
    let trial = on(&ci, "web").version("trial");
    assert_logged(&platform, trial, &format!("{ok} ci anna app_code web default - cached grants.trial")).await;

    // Not known. An app that is not verified is named if its code is one, and so is nobody else.
    let route = "app_code default default identity";
    let wrong = "bk_app_code_or_bk_app_secret_is_incorrect";
    assert_logged(&platform, of(&platform.app(&random())), &format!("{refused} {wrong} ci - {route}")).await;
    let odd = platform.app(&random()).with("bk_app_code", "no app");
    assert_logged(&platform, of(&odd), &format!("{refused} app_code_contains_invalid_characters - - {route}")).await;
    assert_logged(&platform, stranger(""), &format!("{refused} app_code_cannot_be_empty - - {route}")).await;
    let unknown = ci.clone().with("bk_token", random());
    assert_logged(&platform, of(&unknown), &format!("{refused} - ci - {route} fresh")).await;
    let forged = platform.caller(Proof::InnerEdDsa).forged();
    assert_logged(&platform, of(&forged), &format!("{refused} - - - {route}")).await;
    platform.identity.set(Service::Login, ServiceBehaviour::Down).await;
    let down = "500 - INTERNAL_SERVER_ERROR - ci - app_code default default identity fresh";
    assert_logged(&platform, of(&ci.clone().with("bk_token", random())), &down.replace("fresh", "cached")).await;
    platform.identity.set(Service::Login, ServiceBehaviour::Well).await;

    // Known, and not allowed.
    let grant = "403 - APP_NO_PERMISSION - ci anna app_code other default grants cached";
    assert_logged(&platform, on(&ci, "other"), grant).await;
    let user = "403 - BK_USER_NOT_ALLOWED -";
    let rest = "app_code default default restrictions.users fresh";
    assert_logged(&platform, of(&eve), &format!("{user} {APP} eve {rest}")).await;

    // Allowed, and wrong. The grant is known by then, but it is not what decided.
    let problem = "400 - VALIDATION_ERROR - ci anna app_code default default request cached";
    assert_logged(&platform, of(&ci).raw_body("{}"), problem).await;
    let unread = "400 - ERROR - ci anna app_code default default request cached";
    assert_logged(&platform, of(&ci).raw_body("{"), unread).await;
    let large = "413 - BODY_SIZE_LIMIT_EXCEED - ci anna app_code default default \
                 limits.body_bytes cached";
    assert_logged(&platform, of(&ci).raw_body("x".repeat(70_000)), large).await;
    assert_logged(&platform, of(&ci).raw_body("x".repeat(70_000)).chunked(), large).await;

    // No route of ours.
    let nowhere = "404 - API_NOT_FOUND - - - - - - routes";
    assert_logged(&platform, of(&ci).path("/elsewhere"), nowhere).await;
    let long = "414 - URI_SIZE_LIMIT_EXCEED - - - - - - limits.uri_bytes";
    assert_logged(&platform, of(&ci).path(format!("{UPLOAD}?{}", "a".repeat(1_024))), long).await;
}
