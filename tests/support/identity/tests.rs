//! The stand-in against a client that none of its authors wrote.

use std::time::Instant;

use serde_json::json;

use super::*;

struct Answer {
    status: u16,
    body: Value,
}

/// A connection of its own each time, so that none is reused after a service went down.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap()
}

async fn text(request: reqwest::RequestBuilder) -> Result<(u16, String), reqwest::Error> {
    let reply = request.send().await?;
    Ok((reply.status().as_u16(), reply.text().await?))
}

async fn ask(request: reqwest::RequestBuilder) -> Answer {
    let (status, body) = text(request).await.unwrap();
    Answer { status, body: serde_json::from_str(&body).unwrap() }
}

/// A request to bkauth with the gateway's own credentials.
fn to_bkauth(identity: &Identity, path: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
    let url = format!("{}{path}", identity.base(Service::Bkauth));
    let [(_, code), (_, secret), _] = identity.environment();
    let request = match body {
        Some(body) => client().post(url).header("content-type", "application/json").body(body.to_string()),
        None => client().get(url),
    };
    request.header("X-Bk-App-Code", code).header("X-Bk-App-Secret", secret)
}

fn is_login(identity: &Identity, token: &str) -> reqwest::RequestBuilder {
    client().get(format!("{}/login/api/v2/is_login/?bk_token={token}", identity.base(Service::Login)))
}

#[tokio::test]
async fn bkauth_knows_apps_by_any_of_their_secrets() {
    let identity = Identity::start().await;
    let (first, second) = (identity.add_app("my-app"), identity.add_app("my-app"));
    let path = "/api/v1/apps/my-app/access-keys/verify";
    let verify = async |secret: &str| {
        let body = json!({"bk_app_secret": secret});
        let answer = ask(to_bkauth(&identity, path, Some(&body))).await;
        assert_eq!(answer.status, 200);
        answer.body
    };
    let matches = |is: bool| json!({"code": 0, "data": {"is_match": is}, "message": "OK"});
    assert_eq!(verify(&first).await, matches(true));
    assert_eq!(verify(&second).await, matches(true));
    assert_eq!(verify("wrong").await, matches(false));
    let answer = ask(to_bkauth(&identity, "/api/v1/apps/my-app/access-keys", None)).await;
    assert_eq!((answer.status, &answer.body["code"]), (200, &json!(0)));
    assert_eq!(answer.body["data"][0]["bk_app_secret"], json!(first));
    assert_eq!(answer.body["data"][1]["bk_app_secret"], json!(second));

    identity.remove_secret("my-app", &first);
    assert_eq!(verify(&first).await, matches(false));
    identity.remove_app("my-app");
    for (path, body) in [(path, Some(&json!({"bk_app_secret": "x"}))), ("/api/v1/apps/my-app/access-keys", None)] {
        let answer = ask(to_bkauth(&identity, path, body)).await;
        assert_eq!((answer.status, &answer.body["data"]), (404, &json!(null)));
        assert_ne!(answer.body["code"], json!(0));
    }
    assert_eq!((identity.count(Question::VerifySecret), identity.count(Question::ListSecrets)), (5, 2));
}

#[tokio::test]
async fn bkauth_wants_the_gateways_own_credentials() {
    let identity = Identity::start().await;
    let secret = identity.add_app("my-app");
    let body = json!({"bk_app_secret": secret});
    let request = to_bkauth(&identity, "/api/v1/apps/my-app/access-keys/verify", Some(&body));
    identity.rotate_gateway_secret();
    let answer = ask(request).await;
    assert_eq!((answer.status, &answer.body["data"]), (401, &json!(null)));
    let request = to_bkauth(&identity, "/api/v1/apps/my-app/access-keys/verify", Some(&body));
    assert_eq!(ask(request).await.status, 200);
}

#[tokio::test]
async fn an_access_token_speaks_for_an_app_and_perhaps_a_user() {
    let identity = Identity::start().await;
    let both = identity.add_access_token("my-app", Some("admin"));
    let app_only = identity.add_access_token("my-app", None);
    let verify = async |token: &str| {
        let body = json!({"access_token": token});
        ask(to_bkauth(&identity, "/api/v1/auth/access-tokens/verify", Some(&body))).await
    };
    for (token, user) in [(&both, "admin"), (&app_only, "")] {
        let data = json!({"bk_app_code": "my-app", "identity": {"username": user}, "expires_in": 3600});
        assert_eq!(verify(token).await.body, json!({"code": 0, "data": data, "message": "OK"}));
    }
    identity.remove_access_token(&both);
    for status in [400, 200] {
        identity.answer_unknown_access_tokens_with(status);
        let answer = verify(&both).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.body, json!({"code": 1_901_403, "message": "access_token is invalid", "data": null}));
    }
}

#[tokio::test]
async fn the_login_service_knows_users_by_their_token_in_both_forms() {
    let identity = Identity::start().await;
    let token = identity.add_token("admin");
    let answer = ask(is_login(&identity, &token)).await;
    assert_eq!(answer.body, json!({"result": true, "code": 0, "message": "", "data": {"bk_username": "admin"}}));
    let answer = ask(is_login(&identity, "unknown")).await;
    assert_eq!((answer.status, &answer.body["result"]), (200, &json!(false)));
    assert_eq!(answer.body["bk_error_msg"], json!("登录态已过期"));

    let [_, _, (_, bearer)] = identity.environment();
    let verify = async |token: &str, bearer: &str| {
        let url = format!("{}/login/api/v3/apigw/bk-tokens/verify/?bk_token={token}", identity.base(Service::Login));
        ask(client().get(url).header("Authorization", format!("Bearer {bearer}"))).await
    };
    let answer = verify(&token, &bearer).await;
    assert_eq!(answer.body, json!({"data": {"bk_username": "admin", "tenant_id": "system"}}));
    assert_eq!(verify("unknown", &bearer).await.status, 400);
    assert_eq!(verify(&token, "wrong").await.status, 401);
    identity.remove_token(&token);
    assert_eq!(verify(&token, &bearer).await.status, 400);
    assert_eq!((identity.count(Question::IsLogin), identity.count(Question::VerifyToken)), (2, 4));
}

#[tokio::test]
async fn the_ticket_service_listens_on_any_path() {
    let identity = Identity::start().await;
    let ticket = identity.add_ticket("admin");
    let verify = async |ticket: &str| {
        ask(client().get(format!("{}/any/path/?bk_ticket={ticket}", identity.base(Service::Ticket)))).await.body
    };
    assert_eq!(verify(&ticket).await, json!({"ret": 0, "msg": "", "data": {"username": "admin"}}));
    identity.remove_ticket(&ticket);
    assert_eq!(verify(&ticket).await, json!({"ret": 1, "msg": "ticket is invalid"}));
}

#[tokio::test]
async fn a_request_is_on_record_as_it_came() {
    let identity = Identity::start().await;
    identity.know_token("a+b&c", "admin");
    assert_eq!(ask(is_login(&identity, "a%2Bb%26c&x=1").header("X-Odd", "1")).await.body["result"], json!(true));
    let url = format!("{}/api/v1/nothing", identity.base(Service::Bkauth));
    assert_eq!(ask(client().put(url).body("{\"a\":1}")).await.status, 404);
    let asked = identity.asked();
    assert_eq!((asked[0].service, asked[0].question), (Service::Login, Question::IsLogin));
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("GET", "/login/api/v2/is_login/"));
    assert_eq!(asked[0].query, "bk_token=a%2Bb%26c&x=1");
    assert_eq!((asked[0].queried("bk_token").as_deref(), asked[0].header("x-odd")), (Some("a+b&c"), Some("1")));
    assert_eq!((asked[1].question, asked[1].method.as_str()), (Question::Unknown, "PUT"));
    assert_eq!(asked[1].json(), json!({"a": 1}));
    identity.forget();
    assert_eq!(identity.asked().len(), 0);
}

#[tokio::test]
async fn a_service_that_is_down_refuses_and_comes_back_on_its_port() {
    let identity = Identity::start().await;
    let (token, address) = (identity.add_token("admin"), identity.address(Service::Login));
    for _ in 0..3 {
        identity.set(Service::Login, ServiceBehaviour::Down).await;
        assert!(text(is_login(&identity, &token)).await.unwrap_err().is_connect());
        let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(ask(to_bkauth(&identity, "/api/v1/apps/x/access-keys", None)).await.status, 404, "only that one");
        identity.set(Service::Login, ServiceBehaviour::Well).await;
        assert_eq!(ask(is_login(&identity, &token)).await.body["result"], json!(true));
    }
    assert_eq!(identity.address(Service::Login), address);
}

#[tokio::test]
async fn going_down_closes_what_is_under_way() {
    let identity = Identity::start().await;
    identity.set(Service::Login, ServiceBehaviour::Slow(Duration::from_secs(600))).await;
    let waiting = tokio::spawn(text(is_login(&identity, "x")));
    identity.wait_for(Question::IsLogin, 1).await;
    identity.set_all(ServiceBehaviour::Down).await;
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn every_behaviour_is_what_it_says() {
    let identity = Identity::start().await;
    let token = identity.add_token("admin");
    let ask_in = async |behaviour| {
        identity.set(Service::Login, behaviour).await;
        text(is_login(&identity, &token)).await
    };
    let (_, well) = ask_in(ServiceBehaviour::Well).await.unwrap();

    let start = Instant::now();
    assert_eq!(ask_in(ServiceBehaviour::Slow(Duration::from_millis(200))).await.unwrap(), (200, well.clone()));
    assert!(start.elapsed() >= Duration::from_millis(200));

    let (status, page) = ask_in(ServiceBehaviour::Html).await.unwrap();
    assert!(status == 200 && page.starts_with("<!DOCTYPE html>"), "{page}");

    let (status, half) = ask_in(ServiceBehaviour::Truncated).await.unwrap();
    assert_eq!((status, half.as_str()), (200, &well[..well.len() / 2]));
    assert!(ask_in(ServiceBehaviour::CutShort).await.unwrap_err().is_decode());

    let (status, huge) = ask_in(ServiceBehaviour::Huge).await.unwrap();
    let huge_json: Value = serde_json::from_str(&huge).unwrap();
    assert_eq!((status, &huge_json["data"]["bk_username"]), (200, &json!("admin")));
    assert!(huge.len() > HUGE);

    let (status, body) = ask_in(ServiceBehaviour::Status(500)).await.unwrap();
    assert!(status == 500 && serde_json::from_str::<Value>(&body).is_ok(), "{body}");

    assert!(ask_in(ServiceBehaviour::Hangup).await.is_err());
    assert_eq!(ask_in(ServiceBehaviour::Well).await.unwrap(), (200, well));
    assert_eq!(identity.count(Question::IsLogin), 9, "those of bad behaviours are on record too");
}
