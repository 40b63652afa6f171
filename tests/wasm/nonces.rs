//! Signed requests: what the store hears of their nonces, whichever worker or proxy they came by.

use linkgate_tests::signature::{signed_target, signed_target_of};
use serde_json::{Value, json};

use crate::asking::asking;
use crate::fixture::{NOW_S, SECRETS, read_token};
use crate::request::{BODY, End, PATH, Request};
use crate::vm::Vm;

const SECRET: &str = "s3cret-of-signer";
const USED: &str = "Parameters error [reason=\"parameter bk_nonce has been used before\"]";

fn timestamp() -> i64 {
    i64::try_from(NOW_S).unwrap() - 100
}

fn upload(nonce: u64) -> Request {
    let presented = json!({"bk_app_code": "signer", "bk_ticket": SECRETS[2]}).to_string();
    Request::good()
        .with("x-bkapi-authorization", presented)
        .with(":path", signed_target(PATH, nonce, timestamp(), BODY, SECRET))
}

/// About a job, without a body.
fn about_job(method: &str, nonce: u64) -> Request {
    let job = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/");
    let target = signed_target_of(method, &job, nonce, timestamp(), SECRET);
    let none: [&str; 0] = [];
    upload(nonce)
        .without("content-type")
        .with(":method", method)
        .with(":path", target)
        .chunks(none)
        .ending_with(End::Headers)
}

impl Vm {
    /// Lets the worker learn the secrets of the app.
    fn learn_secrets(&mut self) {
        let context = self.hold(&upload(1_000));
        self.answer(&json!({"code": 0, "message": "OK", "data": [{"bk_app_secret": SECRET}]}).to_string());
        assert_eq!(self.resumed_by(context), "fresh");
    }

    /// What the token of a request says of its nonce.
    #[track_caller]
    fn nonce_of(&mut self, request: &Request) -> Value {
        let seen = self.send(request);
        let (_, claims) = read_token(seen.header("x-bkapi-jwt"));
        claims["linkgate"]["nonce"].clone()
    }
}

#[test]
fn a_nonce_goes_into_the_token_of_what_may_change_something() {
    let [mut one, mut two] = [asking(), asking()];
    one.learn_secrets();
    two.learn_secrets();
    for request in [upload(1), about_job("DELETE", 2)] {
        let nonce = one.nonce_of(&request);
        assert_eq!(nonce["until"], json!(timestamp() + 300));
        assert_eq!(nonce["digest"].as_str().map(str::len), Some(64));
        let again = one.send(&request);
        assert_eq!((again.status(), again.refused().body.contains("has been used before")), (400, true));
        assert_eq!(two.nonce_of(&request), nonce, "another proxy says the same, and the store judges it");
    }
    assert_ne!(one.nonce_of(&upload(3))["digest"], one.nonce_of(&upload(4))["digest"]);
    assert_eq!(one.nonce_of(&about_job("GET", 5)), Value::Null);
    let again = one.send(&about_job("GET", 5));
    let body: Value = serde_json::from_str(&again.refused().body).unwrap();
    assert_eq!(body["message"], USED);
}
