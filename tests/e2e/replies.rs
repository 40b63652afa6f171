//! What replies look like that came through the gateway.

use linkgate_tests::Reply;
pub use linkgate_tests::WholeStack;
pub use linkgate_tests::whole::{assert_named, authorized, package, stranger};
use serde_json::Value;

/// The gateway's words where no user credential was presented.
pub const NO_USER: &str =
    "user authentication failed, please provide a valid user identity, such as bk_username, bk_token, access_token";

/// The refusal of who could not be authenticated, with this reason.
pub fn assert_not_authenticated(reply: &Reply, reason: &str) {
    let message = format!("Parameters error [reason=\"{reason}\"]");
    assert_envelope(reply, 400, 1_640_001, "INVALID_ARGS", &message);
}

/// The store's form: status, headers, whole body.
pub fn assert_problem(reply: &Reply, status: u16, code: &str, number: Option<&str>, body: &str) {
    assert_eq!((reply.status, reply.body.as_str()), (status, body), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("bkapi-error-code"), Some(code));
    assert_eq!(reply.header("bkapi-error-code-num"), number);
}

/// The gateway's envelope: status, headers, whole body.
pub fn assert_envelope(reply: &Reply, status: u16, code: u32, name: &str, message: &str) {
    let quoted = Value::from(message).to_string();
    let body = format!(
        r#"{{"code":{code},"code_name":"{name}","message":{quoted},"result":false,"data":null,"detail":{quoted}}}"#
    );
    assert_eq!((reply.status, reply.body.as_str()), (status, body.as_str()), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(reply.header("x-bkapi-error-code"), Some(code.to_string().as_str()));
    assert_eq!(reply.header("x-bkapi-error-message"), Some(message));
    assert_named(reply);
}
