//! What the access log says of a request, for each way that one can end.

use linkgate_tests::gateway::{APP, USER};
use linkgate_tests::{LinkRequestBuilder, Mood, Service, random};
use serde_json::{Value, json};

use crate::bed::stranger;
use crate::platform::{ANNA, CI, Caller, EXEMPT, Platform, Proof, UPLOAD};

/// Everything of a line that the gate noted, and its end.
const FIELDS: [&str; 11] =
    ["status", "details", "app", "user", "application", "module", "stage", "decision", "rule", "identity", "reported"];

/// A line's fields: `-` for null, and the last ones are null if they are left out.
fn line(text: &str) -> Vec<Value> {
    let value =
        |word: &str| if word == "-" { Value::Null } else { word.parse::<u16>().map_or(json!(word), |n| json!(n)) };
    let mut values: Vec<_> = text.split(' ').map(value).collect();
    values.resize(FIELDS.len(), Value::Null);
    values
}

async fn assert_logged(platform: &Platform, request: LinkRequestBuilder, want: &str) {
    let reply = platform.bed.send(request.in_english()).await;
    let logged = platform.bed.gateway.access_line(&reply).await;
    let found: Vec<_> = FIELDS.iter().map(|field| logged[field].clone()).collect();
    assert_eq!(found, line(want), "{FIELDS:?}: {logged}");
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
    let bed = &platform.bed;
    let secret = platform.identity.add_app(CI);
    let ci = platform.app(&secret).with("bk_token", platform.identity.add_token(ANNA));
    let of = |caller: &Caller| platform.request(caller);
    let on = |caller: &Caller, module: &str| of(caller).path(UPLOAD.replace("default", module));
    let eve = platform.user("bk_token", &platform.identity.add_token("eve"));
    let ok = "200 via_upstream";
    let refused = "400 linkgate.INVALID_ARGS";

    // Sent on.
    assert_logged(&platform, of(&ci), &format!("{ok} ci anna app_code default default OK grants.ours fresh")).await;
    assert_logged(&platform, of(&ci), &format!("{ok} ci anna app_code default default OK grants.ours cached")).await;
    let listed = bed.request(bed.source.url()).version("listed");
    assert_logged(&platform, listed, &format!("{ok} {APP} {USER} app_code default default OK grants.ours listed"))
        .await;
    let alone = Caller { prefix: EXEMPT, operator: CI, ..ci.clone() }.with("bk_token", "");
    let alone = alone.with("bk_ticket", "");
    assert_logged(&platform, of(&alone), &format!("{ok} ci - app_code default exempt OK grants.ours cached")).await;
    let trial = on(&ci, "web").version("trial");
    assert_logged(&platform, trial, &format!("{ok} ci anna app_code web default OK - cached grants.trial")).await;

    // Not known. An app that is not verified is named if its code is one, and so is nobody else.
    let route = "app_code default default INVALID_ARGS identity";
    let wrong = "bk_app_code_or_bk_app_secret_is_incorrect";
    assert_logged(&platform, of(&platform.app(&random())), &format!("{refused}:{wrong} ci - {route}")).await;
    let odd = platform.app(&random()).with("bk_app_code", "no app");
    assert_logged(&platform, of(&odd), &format!("{refused}:app_code_contains_invalid_characters - - {route}")).await;
    assert_logged(&platform, stranger(""), &format!("{refused}:app_code_cannot_be_empty - - {route}")).await;
    let unknown = ci.clone().with("bk_token", random());
    assert_logged(&platform, of(&unknown), &format!("{refused} ci - {route} fresh")).await;
    let forged = platform.caller(Proof::InnerEdDsa).forged();
    assert_logged(&platform, of(&forged), &format!("{refused} - - {route}")).await;
    platform.identity.set(Service::Login, Mood::Down).await;
    let down = "500 linkgate.INTERNAL_SERVER_ERROR ci - app_code default default INTERNAL_SERVER_ERROR identity fresh";
    assert_logged(&platform, of(&ci.clone().with("bk_token", random())), &down.replace("fresh", "cached")).await;
    platform.identity.set(Service::Login, Mood::Well).await;

    // Known, and not allowed.
    let grant = "403 linkgate.APP_NO_PERMISSION ci anna app_code other default APP_NO_PERMISSION grants cached";
    assert_logged(&platform, on(&ci, "other"), grant).await;
    let user = "403 linkgate.BK_USER_NOT_ALLOWED";
    let rest = "app_code default default BK_USER_NOT_ALLOWED restrictions.users fresh";
    assert_logged(&platform, of(&eve), &format!("{user} {APP} eve {rest}")).await;

    // Allowed, and wrong. The grant is known by then, but it is not what decided.
    let problem = "400 linkgate.VALIDATION_ERROR ci anna app_code default default VALIDATION_ERROR request cached";
    assert_logged(&platform, of(&ci).raw_body("{}"), problem).await;
    let unread = "400 linkgate.ERROR ci anna app_code default default ERROR request cached";
    assert_logged(&platform, of(&ci).raw_body("{"), unread).await;
    let large = "413 linkgate.BODY_SIZE_LIMIT_EXCEED ci anna app_code default default BODY_SIZE_LIMIT_EXCEED \
                 limits.body_bytes cached";
    assert_logged(&platform, of(&ci).raw_body("x".repeat(70_000)), large).await;
    assert_logged(&platform, of(&ci).raw_body("x".repeat(70_000)).chunked(), large).await;

    // No route of ours.
    let nowhere = "404 linkgate.API_NOT_FOUND - - - - - API_NOT_FOUND routes";
    assert_logged(&platform, of(&ci).path("/elsewhere"), nowhere).await;
    let long = "414 linkgate.URI_SIZE_LIMIT_EXCEED - - - - - URI_SIZE_LIMIT_EXCEED limits.uri_bytes";
    assert_logged(&platform, of(&ci).path(format!("{UPLOAD}?{}", "a".repeat(1_024))), long).await;
}
