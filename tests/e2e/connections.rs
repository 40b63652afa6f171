//! What becomes of a caller's HTTP/1.1 connection when a request is refused, and when `100 Continue` is said. By raw sockets:
//! clients hide both.

use std::time::Duration;

use linkgate_tests::http1::Message;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::replies::WholeStack;

const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
/// A body without a link.
const BAD_BODY: &str = r#"{"version": "1"}"#;
const EXPECT: &str = "expect: 100-continue\r\n";

struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(stack: &WholeStack) -> Self {
        Self(BufReader::new(TcpStream::connect(stack.gateway().address()).await.unwrap()))
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next reply; none if the connection ends.
    async fn read(&mut self) -> Option<Message> {
        let read = tokio::time::timeout(Duration::from_secs(30), Message::read(&mut self.0)).await;
        read.expect("an answer, or the end").unwrap_or(None)
    }

    /// Whether nothing comes for a moment, though the connection is there.
    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(1), Message::read(&mut self.0)).await.is_err()
    }
}

fn head(method: &str, more: &[&str]) -> String {
    format!("{method} {PATH} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n{}\r\n", more.concat())
}

fn length(body: &str) -> String {
    format!("content-length: {}\r\n", body.len())
}

fn credentials(stack: &WholeStack) -> String {
    format!("x-bkapi-authorization: {}\r\n", stack.gateway().credentials().header())
}

/// Refused, and whether the connection ends.
fn assert_refused(reply: Option<&Message>, status: u16, is_last: bool, case: &str) {
    let reply = reply.unwrap_or_else(|| panic!("{case}: no reply"));
    assert_eq!((reply.status(), reply.is_last()), (status, is_last), "{case}: {reply:?}");
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_open_if_the_request_was_read_whole() {
    let stack = WholeStack::new().await;
    let good = credentials(&stack);
    let big = format!(r#"{{"version": "{}"}}"#, "1".repeat(40_000));
    let chunked = format!("{:x}\r\n{BAD_BODY}\r\n0\r\n\r\n", BAD_BODY.len());
    let chunks = "transfer-encoding: chunked\r\n".to_owned();
    let cases = [
        ("a bad body", head("POST", &[&good, &length(BAD_BODY)]), BAD_BODY, 400),
        ("a large bad body", head("POST", &[&good, &length(&big)]), &big, 400),
        ("a bad body in chunks", head("POST", &[&good, &chunks]), &chunked, 400),
        ("a body that was looked into for credentials", head("POST", &[&length(BAD_BODY)]), BAD_BODY, 400),
        ("no body and no credentials", head("POST", &["content-length: 0\r\n"]), "", 400),
        ("no body and no route", head("DELETE", &[]), "", 404),
    ];
    let mut connection = Connection::open(&stack).await;
    for (case, head, body, status) in &cases {
        connection.send(&format!("{head}{body}")).await;
        assert_refused(connection.read().await.as_ref(), *status, false, case);
        connection.send(head).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        connection.send(body).await;
        assert_refused(connection.read().await.as_ref(), *status, false, case);
    }
    // The same connection still serves.
    let body = format!(r#"{{"package_url": "{}", "version": "1"}}"#, stack.source().url());
    connection.send(&format!("{}{body}", head("POST", &[&good, &length(&body)]))).await;
    assert_refused(connection.read().await.as_ref(), 200, false, "a good request");
}

#[tokio::test]
async fn a_refusal_by_the_head_alone_ends_the_connection() {
    let stack = WholeStack::new().await;
    let bad = "x-bkapi-authorization: {}\r\n";
    let good = credentials(&stack);
    let big = "1".repeat(40_000);
    let cases = [
        ("bad credentials", head("POST", &[bad, &length(BAD_BODY)]), 400),
        ("no credentials before a large body", head("POST", &[&length(&big)]), 400),
        ("no route", head("PUT", &[&good, &length(BAD_BODY)]), 404),
        ("too large a body", head("POST", &[&good, "content-length: 1000000\r\n"]), 413),
    ];
    for (case, head, status) in &cases {
        let mut connection = Connection::open(&stack).await;
        connection.send(head).await;
        assert_refused(connection.read().await.as_ref(), *status, true, case);
        assert!(connection.read().await.is_none(), "{case}: the connection goes on");
    }
}

#[tokio::test]
async fn what_breaks_the_framing_of_a_connection_ends_it() {
    let stack = WholeStack::new().await;
    let good = credentials(&stack);
    let both = head("POST", &[&good, "content-length: 3\r\ntransfer-encoding: chunked\r\n"]);
    let cases = [
        "no request\r\n\r\n".to_owned(),
        format!("{both}0\r\n\r\n"),
        head("POST", &[&good, "content-length: 3\r\ncontent-length: 4\r\n"]),
        format!("{}zz\r\n", head("POST", &[&good, "transfer-encoding: chunked\r\n"])),
    ];
    for case in cases {
        let mut connection = Connection::open(&stack).await;
        connection.send(&case).await;
        let reply = connection.read().await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status() == 400), "{case:?}: {reply:?}");
        assert!(connection.read().await.is_none(), "{case:?}: the connection goes on");
    }
    assert_eq!(stack.sent_to_store().await, 0);
}

/// Nobody but the store says it, and the store sees no request whose body the gate needs first: clients go on by themselves after
/// a moment, as the standard has it. A head that is refused is refused before a byte of the body.
#[tokio::test]
async fn a_body_that_the_gate_needs_is_told_nothing_and_comes_by_itself() {
    let stack = WholeStack::new().await;
    let mut connection = Connection::open(&stack).await;
    connection.send(&head("POST", &["x-bkapi-authorization: {}\r\n", &length(BAD_BODY), EXPECT])).await;
    assert_refused(connection.read().await.as_ref(), 400, true, "a head that is refused");
    let body = format!(r#"{{"package_url": "{}", "version": "1"}}"#, stack.source().url());
    let mut connection = Connection::open(&stack).await;
    connection.send(&head("POST", &[&credentials(&stack), &length(&body), EXPECT])).await;
    assert!(connection.is_silent().await, "somebody said that the body may come");
    connection.send(&body).await;
    assert_refused(connection.read().await.as_ref(), 200, false, "the body was there when the store got it");
}
