//! Uploads that are not waited for: how they begin, and how one asks for them and cancels them, through a real Envoy. The
//! store's place is taken by a recorder.

use std::time::Duration;

use linkgate_tests::gateway::{APP, Gateway, GatewayPlan, USER};
use linkgate_tests::signature::signed_target_of;
use linkgate_tests::token::now_s;
use linkgate_tests::wait::WITHIN;
use linkgate_tests::{Identity, LinkRequestBuilder, Reply, ServiceBehaviour};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::platform::{ANNA, CI, UPLOAD};
use crate::recorder::{REPLY_HEADERS, Recorded, Recorder};
use crate::replies::{assert_envelope, assert_not_authenticated, authorized, stranger};

const JOB: &str = "0198c3a4-5f00-7abc-8def-0123456789ab";
const LINK: &str = "https://example.com/a.tgz";

/// A gateway before a recorder.
struct Post {
    gateway: Gateway,
    recorder: Recorder,
}

impl Post {
    async fn new() -> Self {
        Self::under(GatewayPlan::new(), |_| ()).await
    }

    async fn under(plan: GatewayPlan, change: impl FnOnce(&mut Value)) -> Self {
        let recorder = Recorder::start().await;
        let mut policy = plan.credentials().policy(&["example.com".to_owned()]);
        change(&mut policy);
        plan.deploy(&policy);
        Self { gateway: plan.start(recorder.address()).await, recorder }
    }

    /// A good one for the job.
    fn about(&self, method: Method) -> LinkRequestBuilder {
        authorized(nobody_about(method), self.gateway.credentials())
    }

    async fn send(&self, request: LinkRequestBuilder) -> Reply {
        request.send(self.gateway.base()).await
    }

    /// Sends what must pass; gives what the store would get.
    async fn pass(&self, request: LinkRequestBuilder) -> (Recorded, Reply) {
        let reply = self.send(request).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let mut seen = self.recorder.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        (seen.remove(0), reply)
    }

    /// Sends what must get no further than the gate.
    async fn refuse(&self, request: LinkRequestBuilder) -> Reply {
        let reply = self.send(request).await;
        assert!(self.recorder.take().is_empty(), "{reply:?}");
        reply
    }

    /// Asks for events, which go on for as long as the recorder says some.
    async fn listen(&self, method: Method, path: &str) -> reqwest::Response {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method.clone(), format!("{}/stag{path}", self.gateway.base()));
        let request = request.header("accept", "text/event-stream");
        let request = request.header("x-bkapi-authorization", self.gateway.credentials().header());
        let upload = json!({"package_url": LINK, "version": "1"}).to_string();
        let request = match method {
            Method::POST => request.header("content-type", "application/json").body(upload),
            _ => request,
        };
        request.send().await.unwrap()
    }
}

fn job() -> String {
    format!("{UPLOAD}{JOB}/")
}

fn nobody_about(method: Method) -> LinkRequestBuilder {
    stranger(LINK).method(method).path(format!("/stag{}", job())).raw_body("").content_type(None)
}

/// The next bytes of a stream, as they come; `None` at its end.
async fn next(reply: &mut reqwest::Response) -> Result<Option<String>, reqwest::Error> {
    let chunk = tokio::time::timeout(WITHIN, reply.chunk()).await.expect("the stream moves");
    Ok(chunk?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[tokio::test]
async fn who_may_upload_asks_and_cancels_and_the_store_is_told_who_it_is() {
    let post = Post::new().await;
    let operations = [
        (Method::GET, "", "get_source_package_job"),
        (Method::GET, "/api/bkpaas3/prod", "get_source_package_job"),
        (Method::HEAD, "/stag", "get_source_package_job"),
        (Method::DELETE, "/stag", "cancel_source_package_job"),
    ];
    for (method, prefix, operation) in operations {
        let request = post.about(method.clone()).path(format!("{prefix}{}?bk_token=in-the-query", job()));
        let request = request.header("accept", "application/json").header("cookie", "bk_token=in-a-cookie");
        let request = request.header("x-bkapi-app", "forged").header("x-bkapi-client-address", "forged");
        let (seen, reply) = post.pass(request).await;
        assert_eq!(seen.headers("x-bkapi-client-address"), ["127.0.0.1"], "{seen:?}");
        assert!(seen.head.starts_with(&format!("{method} {} HTTP/1.1\r\n", job())), "{seen:?}");
        assert_eq!((seen.headers("accept"), seen.body.as_str()), (vec!["application/json"], ""));
        assert_eq!(seen.headers("x-bkapi-jwt").len(), 1, "{seen:?}");
        let secrets = [post.gateway.credentials().secret.as_str(), &post.gateway.credentials().ticket];
        for absent in secrets.into_iter().chain(["in-the-query", "in-a-cookie", "x-bkapi-auth", "forged"]) {
            assert!(!seen.head.contains(absent), "{absent} in {seen:?}");
        }
        for (name, value) in REPLY_HEADERS {
            assert_eq!(reply.header(name), Some(value), "{reply:?}");
        }
        let line = post.gateway.access_line(&reply).await;
        let sent = ["method", "path"].map(|key| &line[key]);
        let noted = ["app", "user", "application", "module", "operation", "decision", "rule"];
        let said = sent.into_iter().chain(noted.map(|key| &line["gate"][key]));
        let want = [method.as_str(), &job(), APP, USER, "app_code", "default", operation, "OK", "grants.test"];
        assert_eq!(said.map(|value| value.as_str().unwrap()).collect::<Vec<_>>(), want);
    }
}

#[tokio::test]
async fn the_preference_not_to_wait_reaches_the_store_and_its_answer_the_caller() {
    let post = Post::new().await;
    let preferences =
        [("prefer", "respond-async, wait=5"), ("idempotency-key", "\"a-1\""), ("accept", "application/json")];
    let request = authorized(stranger(LINK), post.gateway.credentials());
    let (seen, reply) =
        post.pass(preferences.iter().fold(request, |request, (name, value)| request.header(name, value))).await;
    assert!(seen.head.starts_with(&format!("POST {UPLOAD} HTTP/1.1\r\n")), "{seen:?}");
    for (name, value) in preferences {
        assert_eq!(seen.headers(name), [value]);
    }
    for (name, value) in REPLY_HEADERS {
        assert_eq!(reply.header(name), Some(value), "{reply:?}");
    }
}

#[tokio::test]
async fn what_is_no_route_is_not_found() {
    let post = Post::new().await;
    let not_found = |reply: &Reply| assert_envelope(reply, 404, 1_640_401, "API_NOT_FOUND", "API not found");
    for method in ["POST", "PUT", "PATCH", "OPTIONS"] {
        not_found(&post.refuse(post.about(Method::from_bytes(method.as_bytes()).unwrap())).await);
    }
    let reply = post.refuse(post.about(Method::HEAD).path(format!("/stag{UPLOAD}{JOB}"))).await;
    assert_eq!((reply.status, reply.header("x-bkapi-error-code")), (404, Some("1640401")));
    not_found(&post.refuse(post.about(Method::DELETE).path(format!("/stag{UPLOAD}"))).await);
    for method in [Method::GET, Method::DELETE] {
        for bad in [
            format!("/stag{UPLOAD}{JOB}"),
            format!("/stag{UPLOAD}{JOB}//"),
            format!("/stag{UPLOAD}{}/", JOB.to_uppercase()),
            format!("/stag{UPLOAD}{}/", JOB.replace('-', "")),
            format!("/stag{UPLOAD}%30{}/", &JOB[1..]),
            format!("/stag{UPLOAD}7/"),
            format!("/other{UPLOAD}{JOB}/"),
        ] {
            not_found(&post.refuse(post.about(method.clone()).path(bad)).await);
        }
    }
}

#[tokio::test]
async fn who_may_not_upload_may_not_ask_either() {
    let post = Post::under(GatewayPlan::new(), |policy| {
        policy["grants"][0]["targets"] = json!(["app_code"]);
    })
    .await;
    for method in [Method::GET, Method::DELETE] {
        assert_not_authenticated(&post.refuse(nobody_about(method.clone())).await, "app code cannot be empty");
        let twice = post.about(method.clone()).header("x-bkapi-authorization", &post.gateway.credentials().header());
        let reason = "request header X-Bkapi-Authorization must not be repeated";
        assert_not_authenticated(&post.refuse(twice).await, reason);
        let other = job().replace("app_code", "other");
        let reply = post.refuse(post.about(method.clone()).path(format!("/stag{other}"))).await;
        let message = format!("App has no permission to the resource [reason=\"no permission, bk_app_code={APP}\"]");
        assert_envelope(&reply, 403, 1_640_301, "APP_NO_PERMISSION", &message);
    }
    let post = Post::under(GatewayPlan::new(), |policy| {
        policy["restrictions"] = json!({"users": {"deny": [USER]}});
    })
    .await;
    for method in [Method::GET, Method::DELETE] {
        let message = "Request rejected by bk-user restriction";
        assert_envelope(&post.refuse(post.about(method)).await, 403, 1_640_303, "BK_USER_NOT_ALLOWED", message);
    }
}

#[tokio::test]
async fn a_body_that_comes_all_the_same_is_refused() {
    let post = Post::new().await;
    for method in [Method::GET, Method::DELETE] {
        // With the header the client sends a body of a GET as well.
        let chunked =
            |body: &str| post.about(method.clone()).raw_body(body).chunked().header("transfer-encoding", "chunked");
        for request in [post.about(method.clone()).raw_body("{}"), chunked("{}")] {
            let reply = post.refuse(request).await;
            assert_envelope(&reply, 413, 1_641_301, "BODY_SIZE_LIMIT_EXCEED", "Request body size too large.");
        }
        let (seen, _) = post.pass(chunked("")).await;
        assert!(seen.head.starts_with(method.as_str()), "{seen:?}");
    }
}

#[tokio::test]
async fn rates_count_and_places_that_are_taken_do_not() {
    let post = Post::under(GatewayPlan::new(), |policy| {
        policy["limits"]["uploads_per_app"] = json!({"concurrent": 1});
        policy["limits"]["requests_per_app"] = json!({"per_second": 0.001, "burst": 4});
    })
    .await;
    let upload = post.listen(Method::POST, UPLOAD).await;
    assert_eq!((upload.status().as_u16(), post.recorder.take().len()), (200, 1));
    let reply = post.refuse(authorized(stranger(LINK), post.gateway.credentials())).await;
    assert_envelope(&reply, 429, 1_642_904, "CONCURRENCY_LIMIT_RESTRICTION", "Request concurrency exceeds");
    post.pass(post.about(Method::GET)).await;
    post.pass(post.about(Method::DELETE)).await;
    let reply = post.refuse(post.about(Method::GET)).await;
    let message = "API rate limit exceeded by stage strategy";
    assert_envelope(&reply, 429, 1_642_902, "RATE_LIMIT_RESTRICTION", message);
    post.recorder.say("");
}

#[tokio::test]
async fn events_arrive_one_by_one_for_longer_than_a_reply_may_take() {
    let plan =
        GatewayPlan::new().editing("timeout: 630s", "timeout: 1s").editing("idle_timeout: 60s", "idle_timeout: 8s");
    let post = Post::under(plan, |_| ()).await;
    let mut events = post.listen(Method::GET, &job()).await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    assert!(events.headers().contains_key("x-request-id"));
    // Longer in all than the stream may be silent, and each pause far shorter than that.
    for n in 0..30 {
        let event = format!(": {n}\n\n");
        // Each is said only after the one before it has arrived: nothing on the way waits for more.
        post.recorder.say(&event);
        assert_eq!(next(&mut events).await.unwrap().unwrap(), event);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    post.recorder.say("");
    assert_eq!(next(&mut events).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_falls_silent_is_given_up() {
    let plan = || GatewayPlan::new().editing("idle_timeout: 60s", "idle_timeout: 15s");
    let post = Post::under(plan(), |_| ()).await;
    let mut events = post.listen(Method::GET, &job()).await;
    post.recorder.say(": 1\n\n");
    assert_eq!(next(&mut events).await.unwrap().unwrap(), ": 1\n\n");
    assert!(next(&mut events).await.is_err(), "the stream ended as if it were whole");
    // One that does not answer at all.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plan = plan();
    plan.deploy(&plan.credentials().policy(&[]));
    let gateway = plan.start(silent.local_addr().unwrap()).await;
    let reply = authorized(nobody_about(Method::GET), gateway.credentials()).send(gateway.base()).await;
    let message = "Request backend service timeout";
    assert_envelope(&reply, 504, 1_650_401, "REQUEST_BACKEND_TIMEOUT", message);
}

#[tokio::test]
async fn who_looks_on_takes_no_connection_from_uploads() {
    let plan = GatewayPlan::new().editing(
        "{ priority: HIGH, max_connections: 576, max_pending_requests: 512, max_requests: 512,",
        "{ priority: HIGH, max_connections: 4, max_pending_requests: 1, max_requests: 1,",
    );
    let post = Post::under(plan, |_| ()).await;
    let events = post.listen(Method::GET, &job()).await;
    assert_eq!((events.status().as_u16(), post.recorder.take().len()), (200, 1));
    let reply = post.refuse(post.about(Method::GET)).await;
    assert_envelope(&reply, 503, 1_650_300, "SERVICE_UNAVAILABLE", "Service Unavailable");
    post.pass(authorized(stranger(LINK), post.gateway.credentials())).await;
    post.pass(post.about(Method::DELETE)).await;
    post.recorder.say("");
}

#[tokio::test]
async fn services_are_asked_while_a_request_without_a_body_is_held() {
    let identity = Identity::start().await;
    let post = Post::under(GatewayPlan::new().asking(&identity), |policy| {
        policy["identity"] = json!({"bkauth": {"cluster": "bkauth"}, "login": {"cluster": "bklogin"}});
        let places = json!({"credentials_from": ["header", "query", "body"]});
        policy["routes"]["stages"] = json!([{"name": "all", "prefixes": ["/all"], "authentication": places}]);
    })
    .await;
    let (secret, token) = (identity.add_app(CI), identity.add_token(ANNA));
    let query = format!("bk_app_code={CI}&bk_app_secret={secret}&bk_token={token}");
    identity.set_all(ServiceBehaviour::Slow(Duration::from_millis(300))).await;
    for method in [Method::GET, Method::DELETE] {
        let (seen, reply) = post.pass(nobody_about(method).path(format!("/all{}?{query}", job()))).await;
        assert!(!seen.head.contains(&secret) && !seen.head.contains(&token), "{seen:?}");
        let line = &post.gateway.access_line(&reply).await["gate"];
        assert_eq!((&line["app"], &line["user"]), (&json!(CI), &json!(ANNA)));
    }
    // One who signs: method, path and query, and nothing in the place of a body.
    let signer = "signer";
    let secret = identity.add_app(signer);
    let target = |nonce, signed: &str| {
        let target = format!("/all{}?bk_app_code={signer}&bk_token={token}", job());
        signed_target_of(signed, &target, nonce, now_s(), &secret)
    };
    post.pass(nobody_about(Method::GET).path(target(1, "GET"))).await;
    post.pass(nobody_about(Method::DELETE).path(target(2, "DELETE"))).await;
    let bad = "signature [bk_signature] verification failed, please provide valid bk_signature";
    assert_not_authenticated(&post.refuse(nobody_about(Method::DELETE).path(target(3, "GET"))).await, bad);
    // Where only the body may hold credentials beside the header, there is no such place here.
    let reply = post.refuse(nobody_about(Method::GET).path(format!("/all{}", job()))).await;
    assert_not_authenticated(&reply, "app code cannot be empty");
}
