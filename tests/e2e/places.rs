//! Where credentials may stand, and that none of them gets to the store: the store's place is taken by a recorder.

use std::time::Duration;

use linkgate_tests::gateway::{Gateway, GatewayPlan};
use linkgate_tests::signature::signed_target;
use linkgate_tests::token::now_s;
use linkgate_tests::{Identity, LinkRequestBuilder, ServiceBehaviour, random};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::platform::{ANNA, CI, UPLOAD};
use crate::recorder::{Recorded, Recorder};
use crate::replies::{NO_USER, assert_envelope, assert_not_authenticated, assert_problem, stranger};

const LINK: &str = "https://example.com/a+b%20c.tgz?x=1&y=2";
const NO_APP: &str = "app code cannot be empty";
const IN_QUERY: &str = "app code cannot be empty, credentials were found in the query, which is not allowed here, please use request header X-Bkapi-Authorization";
const IN_BODY: &str = "app code cannot be empty, credentials were found in the request body, which is not allowed here, please use request header X-Bkapi-Authorization";

/// Each stage takes credentials from its own places; only services know the caller.
struct RecordedGateway {
    identity: Identity,
    gateway: Gateway,
    recorder: Recorder,
    secret: String,
    token: String,
}

impl RecordedGateway {
    async fn open() -> Self {
        let (identity, recorder) = (Identity::start().await, Recorder::start().await);
        let plan = GatewayPlan::new().asking(&identity);
        let mut policy = plan.credentials().policy(&["example.com".to_owned()]);
        policy["identity"] = json!({"bkauth": {"cluster": "bkauth"}, "login": {"cluster": "bklogin"}});
        let stage = |name: &str, places: Value| json!({"name": name, "prefixes": [format!("/{name}")], "authentication": {"credentials_from": places}});
        policy["routes"]["stages"] = json!([
            stage("query", json!(["header", "query"])),
            stage("body", json!(["header", "body"])),
            stage("both", json!(["header", "query", "body"])),
        ]);
        plan.deploy(&policy);
        let (secret, token) = (identity.add_app(CI), identity.add_token(ANNA));
        let gateway = plan.start(recorder.address()).await;
        Self { identity, gateway, recorder, secret, token }
    }

    /// Without a header, on a stage and with a query.
    fn request(&self, stage: &str, query: &str) -> LinkRequestBuilder {
        stranger(LINK).path(format!("/{stage}{UPLOAD}?{query}")).raw_body(link().to_string())
    }

    fn query(&self) -> String {
        let (secret, token) = (&self.secret, &self.token);
        format!("bk_app_code={CI}&bk_app_secret={secret}&bk_token={token}")
    }

    fn credentials(&self) -> Value {
        json!({"bk_app_code": CI, "bk_app_secret": self.secret, "bk_token": self.token})
    }

    /// Sends what must pass; gives what the store would get, in which there is no credential.
    async fn pass(&self, request: LinkRequestBuilder) -> Recorded {
        let reply = request.send(self.gateway.base()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let mut seen = self.recorder.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        let seen = seen.remove(0);
        assert!(seen.head.starts_with(&format!("POST {UPLOAD} HTTP/1.1\r\n")), "{seen:?}");
        let whole = format!("{}{}", seen.head, seen.body);
        for absent in
            [&self.secret, &self.token, "bk_app", "bk_token", "app_secret", "signature", "cookie", "x-bkapi-auth"]
        {
            assert!(!whole.contains(absent), "{absent} in {whole}");
        }
        let line = &self.gateway.access_line(&reply).await["gate"];
        assert_eq!((&line["app"], &line["user"]), (&json!(CI), &json!(ANNA)), "{line}");
        seen
    }

    async fn refuse(&self, request: LinkRequestBuilder, reason: &str) {
        assert_not_authenticated(&request.send(self.gateway.base()).await, reason);
        assert!(self.recorder.take().is_empty());
    }
}

/// What is asked for, without credentials.
fn link() -> Value {
    json!({"package_url": LINK, "version": "1"})
}

fn with(mut fields: Value, more: &Value) -> Value {
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

fn form(fields: &Value) -> String {
    let mut form = Serializer::new(String::new());
    for (name, value) in fields.as_object().unwrap() {
        form.append_pair(name, value.as_str().unwrap());
    }
    form.finish()
}

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[tokio::test]
async fn a_query_is_read_where_the_policy_says_so() {
    let recorded = RecordedGateway::open().await;
    for stage in ["query", "both"] {
        let seen = recorded.pass(recorded.request(stage, &recorded.query())).await;
        assert_eq!(seen.body, link().to_string(), "the body is not touched");
    }
    for stage in ["stag", "body"] {
        recorded.refuse(recorded.request(stage, &recorded.query()), IN_QUERY).await;
    }
    // One who signs, all in the query.
    let app = "signer";
    let secret = recorded.identity.add_app(app);
    let target = format!("/query{UPLOAD}?bk_app_code={app}&bk_token={}&z=1%202%2B&a=", recorded.token);
    let target = signed_target(&target, 7, now_s(), &link().to_string(), &secret);
    let reply = recorded.request("query", "").path(target).send(recorded.gateway.base()).await;
    assert_eq!((reply.status, recorded.recorder.take().len()), (200, 1), "{reply:?}");
}

#[tokio::test]
async fn a_body_is_read_where_the_policy_says_so_and_goes_on_without_credentials() {
    let recorded = RecordedGateway::open().await;
    let fields = with(with(link(), &json!({"odd": [1, {"a": null}]})), &recorded.credentials());
    let json_body = |request: LinkRequestBuilder, fields: &Value| request.raw_body(fields.to_string());
    for request in [recorded.request("body", ""), recorded.request("both", ""), recorded.request("body", "").chunked()]
    {
        let seen = recorded.recorder_body(json_body(request, &fields)).await;
        assert_eq!(seen, with(link(), &json!({"odd": [1, {"a": null}]})));
    }
    for stage in ["stag", "query"] {
        recorded.refuse(json_body(recorded.request(stage, ""), &fields), IN_BODY).await;
    }
    // Half of it in the query, the other half in the body; the body goes first.
    let query = format!("bk_app_code=nobody&bk_app_secret={}", recorded.secret);
    let half = with(link(), &json!({"bk_app_code": CI, "bk_token": recorded.token}));
    recorded.pass(json_body(recorded.request("both", &query), &half)).await;
    // A cookie counts only beside a header, which no foreign page can have a browser send.
    let app = with(link(), &json!({"app_code": CI, "app_secret": recorded.secret}));
    let cookie = format!("bk_token={}", recorded.token);
    recorded.refuse(json_body(recorded.request("body", ""), &app).header("cookie", &cookie), NO_USER).await;
    // A body that cannot be read shows nobody; what is wrong with it is for those who are known.
    recorded.refuse(recorded.request("body", "").raw_body("{"), NO_APP).await;
    recorded.refuse(recorded.request("body", "").raw_body(""), NO_APP).await;
    let known =
        recorded.request("both", &recorded.query()).raw_body("{").in_english().send(recorded.gateway.base()).await;
    assert_eq!((known.status, known.json()["code"].as_str()), (400, Some("ERROR")), "{known:?}");
    let huge = with(fields, &json!({"padding": "x".repeat(70_000)}));
    for request in
        [json_body(recorded.request("body", ""), &huge), json_body(recorded.request("body", ""), &huge).chunked()]
    {
        let reply = request.send(recorded.gateway.base()).await;
        assert_envelope(&reply, 413, 1_641_301, "BODY_SIZE_LIMIT_EXCEED", "Request body size too large.");
    }
    assert!(recorded.recorder.take().is_empty());
}

impl RecordedGateway {
    /// The body that the store would get, whose length and type are right.
    async fn recorder_body(&self, request: LinkRequestBuilder) -> Value {
        let seen = self.pass(request).await;
        assert_eq!(seen.headers("content-length"), [seen.body.len().to_string()], "{seen:?}");
        assert_eq!(seen.headers("content-type"), ["application/json"], "{seen:?}");
        assert!(seen.headers("transfer-encoding").is_empty(), "{seen:?}");
        serde_json::from_str(&seen.body).unwrap()
    }
}

#[tokio::test]
async fn a_form_becomes_json_however_long_the_services_take() {
    let recorded = RecordedGateway::open().await;
    let fields = form(&with(link(), &recorded.credentials()));
    let request = || recorded.request("body", "").content_type(Some(FORM)).raw_body(fields.clone());
    for behaviour in [ServiceBehaviour::Slow(Duration::from_millis(300)), ServiceBehaviour::Well] {
        recorded.identity.set_all(behaviour).await;
        for request in [request(), request().chunked()] {
            assert_eq!(recorded.recorder_body(request).await, link());
        }
    }
    // A header says who it is, and the form still becomes JSON.
    let presented = recorded.credentials().to_string();
    let plain = form(&link());
    let by_header = recorded.request("body", "").content_type(Some(FORM)).raw_body(plain.clone());
    assert_eq!(recorded.recorder_body(by_header.header("x-bkapi-authorization", &presented)).await, link());
    // Also where no credentials are taken from bodies.
    let elsewhere = recorded.request("stag", "").content_type(Some(FORM)).raw_body(plain.clone());
    assert_eq!(recorded.recorder_body(elsewhere.header("x-bkapi-authorization", &presented)).await, link());
    let other =
        recorded.request("stag", "").content_type(Some("multipart/mixed; boundary=B")).raw_body(plain).in_english();
    let reply = other.header("x-bkapi-authorization", &presented).send(recorded.gateway.base()).await;
    let media = r#"{"code":"ERROR","detail":"Unsupported media type, use application/json"}"#;
    assert_problem(&reply, 415, "ERROR", None, media);
    assert!(recorded.recorder.take().is_empty());
}

#[tokio::test]
async fn a_header_shuts_out_every_other_place() {
    let recorded = RecordedGateway::open().await;
    let everywhere =
        || recorded.request("both", &recorded.query()).raw_body(with(link(), &recorded.credentials()).to_string());
    for (header, reason) in [
        ("", NO_APP),
        ("{}", NO_APP),
        ("nonsense", "request header X-Bkapi-Authorization is not a valid JSON"),
        (r#"{"bk_app_code":"ci"}"#, "please provide bk_app_secret or bk_signature to verify app"),
    ] {
        recorded.refuse(everywhere().header("x-bkapi-authorization", header), reason).await;
    }
    let wrong = json!({"bk_app_code": CI, "bk_app_secret": random()}).to_string();
    let reason = "bk_app_code or bk_app_secret is incorrect";
    recorded.refuse(everywhere().header("x-bkapi-authorization", &wrong), reason).await;
    // A good one counts, and what stands elsewhere goes to nobody.
    let presented = recorded.credentials().to_string();
    let query = format!("bk_app_code=nobody&bk_app_secret={}", random());
    let body = with(link(), &json!({"bk_app_code": "nobody", "bk_app_secret": random(), "access_token": random()}));
    for stage in ["stag", "query", "body", "both"] {
        let request = recorded.request(stage, &query).raw_body(body.to_string()).header("cookie", "bk_token=other");
        assert_eq!(recorded.recorder_body(request.header("x-bkapi-authorization", &presented)).await, link());
    }
}
