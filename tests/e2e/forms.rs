//! Uploads whose whole request stands in a form, credentials among it, byte for byte as clients write them.

use std::path::{Path, PathBuf};

use linkgate_tests::gateway::{APP, GatewayPlan};
use serde_json::{Value, json};

use crate::proxy::raw;
use crate::replies::WholeStack;

const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
const BOUNDARY: &str = "--------------------------271828182845904523536028";

/// A stack whose stage `/stag` takes credentials from bodies, or does not.
async fn stack(places: Value) -> WholeStack {
    let change = |policy: &mut Value, _: &_| policy["routes"]["authentication"] = json!({"credentials_from": places});
    WholeStack::under(GatewayPlan::new(), &[], &[], change).await
}

fn part(name: &str, value: &str) -> String {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// The fields of a caller who has no header for its credentials.
fn fields(stack: &WholeStack, login: (&'static str, &str)) -> Vec<(&'static str, String)> {
    vec![
        ("package_url", stack.source().url()),
        ("version", "0.0.5".to_owned()),
        ("allow_overwrite", "true".to_owned()),
        ("bk_app_code", APP.to_owned()),
        ("bk_app_secret", stack.gateway().credentials().secret.clone()),
        (login.0, login.1.to_owned()),
    ]
}

fn multipart(fields: &[(&str, String)]) -> String {
    let parts: String = fields.iter().map(|(name, value)| part(name, value)).collect();
    format!("{parts}--{BOUNDARY}--\r\n")
}

async fn send(stack: &WholeStack, content_type: &str, body: &[u8]) -> (u16, Value) {
    let length = body.len();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: gateway\r\nblueking-language: en\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    let reply = raw(stack.gateway().address(), &[head.as_bytes(), body].concat()).await;
    let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{reply:?}"));
    (status, serde_json::from_str(&reply[reply.find("\r\n\r\n{").expect(&reply) + 4..]).expect(&reply))
}

fn multipart_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// All files of the store, the database among them.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match std::fs::read(&path) {
        Ok(bytes) => vec![(path, bytes)],
        Err(_) => files_below(&path),
    };
    entries.flat_map(read).collect()
}

/// No credential stands in a log, a metric or a file.
async fn assert_kept_secret(stack: &WholeStack) {
    let listed = stack.gateway().credentials();
    let mut places = vec![("Envoy's log".to_owned(), stack.gateway().log().into_bytes())];
    places.push(("store's log".to_owned(), stack.store().log().join("\n").into_bytes()));
    places.push(("metrics".to_owned(), stack.gateway().admin_page("/stats").await.into_bytes()));
    let files = files_below(stack.directory().path());
    assert!(files.iter().any(|(path, _)| path.ends_with("catalog.sqlite3")), "{files:?}");
    places.extend(files.into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)));
    for secret in [&listed.secret, &listed.token, &listed.ticket] {
        for (place, bytes) in &places {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} in {place}");
        }
    }
}

#[tokio::test]
async fn a_form_with_everything_in_it_uploads_and_its_credentials_stay_at_the_gate() {
    let stack = stack(json!(["header", "body"])).await;
    let listed = stack.gateway().credentials().clone();
    for login in [("bk_token", listed.token.as_str()), ("bk_ticket", listed.ticket.as_str())] {
        let (status, reply) = send(&stack, &multipart_type(), multipart(&fields(&stack, login)).as_bytes()).await;
        assert_eq!((status, &reply["version"], &reply["operator"]), (200, &json!("0.0.5"), &json!("admin")), "{reply}");
    }
    let pairs = fields(&stack, ("bk_token", &listed.token));
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let (status, reply) = send(&stack, "application/x-www-form-urlencoded", form.as_bytes()).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(stack.rows().await.len(), 1);
    stack.gateway().access_line_with("\"POST\"").await;
    assert_kept_secret(&stack).await;
}

#[tokio::test]
async fn parts_may_be_written_in_any_way_of_the_standard() {
    let stack = stack(json!(["header", "body"])).await;
    let token = stack.gateway().credentials().token.clone();
    let mut fields = fields(&stack, ("bk_token", &token));
    fields.reverse();
    fields.push(("version", "9".to_owned()));
    let body = multipart(&fields)
        .replace("; name=\"version\"", ";name=version\r\nContent-Type: text/plain; charset=utf-8")
        .replace(
            "Content-Disposition: form-data; name=\"bk_token\"",
            "content-disposition: form-data; name=\"bk_token\"",
        )
        .replacen("\r\nContent-Disposition", " \t\r\nContent-Disposition", 2);
    let file = "Content-Disposition: form-data; name=\"package_url\"; filename=\"a\"\r\nContent-Type: application/octet-stream";
    let body = [
        b"preamble\r\n--",
        BOUNDARY.as_bytes(),
        b"\r\n",
        file.as_bytes(),
        b"\r\n\r\n\xff\0\r\n",
        body.as_bytes(),
        b"epilogue",
    ]
    .concat();
    let content_type = format!("Multipart/Form-Data; charset=utf-8; boundary=\"{BOUNDARY}\"");
    let (status, reply) = send(&stack, &content_type, &body).await;
    assert_eq!((status, &reply["version"]), (200, &json!("0.0.5")), "{reply}");
}

#[tokio::test]
async fn a_form_that_cannot_be_read_says_what_to_do_and_leaves_nothing() {
    let stack = stack(json!(["header", "body"])).await;
    let token = stack.gateway().credentials().token.clone();
    let whole = multipart(&fields(&stack, ("bk_token", &token)));
    let nested = whole.replacen("\r\n\r\n", "\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n", 1);
    let many: Vec<_> = (0..65).map(|_| ("note", String::new())).collect();
    let cases = [
        (multipart_type(), whole.trim_end_matches("--\r\n").to_owned(), "ends before its last boundary"),
        (multipart_type(), nested, "part 1 is multipart itself"),
        (multipart_type(), multipart(&many), "more than 64 parts"),
        ("multipart/form-data".to_owned(), whole.clone(), "no valid boundary"),
        ("multipart/form-data; boundary=other".to_owned(), whole.clone(), "no line with the boundary"),
        (multipart_type(), whole.replacen("form-data; name", "form-data; game", 1), "part 1 does not have"),
        (multipart_type(), whole.replacen("Content-Disposition:", "Content-Disposition", 1), "headers of part 1"),
        ("application/x-www-form-urlencoded".to_owned(), "bk_token=%ff".to_owned(), "part 1 is not UTF-8"),
    ];
    for (content_type, body, words) in cases {
        let (status, reply) = send(&stack, &content_type, body.as_bytes()).await;
        let detail = reply["detail"].as_str().unwrap_or_default();
        assert_eq!((status, &reply["code"]), (400, &json!("ERROR")), "{reply}");
        assert!(detail.starts_with("Form parse error - ") && detail.contains(words), "{words}: {detail}");
    }
    let (status, reply) = send(&stack, &multipart_type(), whole.replace("0.0.5", &"5".repeat(70_000)).as_bytes()).await;
    assert_eq!((status, &reply["code_name"]), (413, &json!("BODY_SIZE_LIMIT_EXCEED")), "{reply}");
    let (status, reply) = send(&stack, "text/plain", whole.as_bytes()).await;
    assert_eq!(status, 400, "who is not known learns nothing of media types: {reply}");
    assert_eq!(stack.sent_to_store().await, 0);
    stack.directory().assert_empty().await;
}

#[tokio::test]
async fn credentials_in_a_body_that_does_not_count_are_said_to_be_there() {
    let stack = stack(json!(["header"])).await;
    let token = stack.gateway().credentials().token.clone();
    let fields = fields(&stack, ("bk_token", &token));
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.clone()).finish();
    let json_body: serde_json::Map<_, _> = fields.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
    for (content_type, body) in [
        (multipart_type(), multipart(&fields)),
        ("application/x-www-form-urlencoded".to_owned(), form),
        ("application/json".to_owned(), Value::Object(json_body).to_string()),
    ] {
        let (status, reply) = send(&stack, &content_type, body.as_bytes()).await;
        let message = reply["message"].as_str().unwrap_or_default();
        assert_eq!((status, &reply["code_name"]), (400, &json!("INVALID_ARGS")), "{reply}");
        assert!(message.contains("credentials were found in the request body, which is not allowed here"), "{message}");
        assert!(!message.contains(&token));
    }
    assert_eq!(stack.sent_to_store().await, 0);
    assert_kept_secret(&stack).await;
}
