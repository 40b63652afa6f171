//! As much of an HTTP/1.1 client as a demo needs: one request per connection, to this machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Failure, Outcome, Trying};

const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(60);

/// What came back.
pub struct Response {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Whether anything takes connections at a port.
pub fn listens(port: u16) -> bool {
    connect(port).is_ok()
}

/// Fetches a page.
pub fn get(port: u16, path: &str) -> Outcome<Response> {
    exchange(port, &format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n"))
}

/// Posts JSON.
pub fn post(port: u16, path: &str, headers: &[(&str, &str)], json: &str) -> Outcome<Response> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = json.len();
    exchange(
        port,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
        ),
    )
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT)
}

fn exchange(port: u16, request: &str) -> Outcome<Response> {
    let mut bytes = Vec::new();
    let talk = |bytes: &mut Vec<u8>| {
        let mut stream = connect(port)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(request.as_bytes())?;
        stream.read_to_end(bytes)
    };
    talk(&mut bytes).trying(|| format!("talk to port {port}"))?;
    parse(&bytes).ok_or_else(|| Failure::new(format!("port {port} did not answer in HTTP")))
}

fn parse(bytes: &[u8]) -> Option<Response> {
    // A package is no text; nobody here looks into one.
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let chunked = head.lines().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let body = if chunked { unchunk(body)? } else { body.to_owned() };
    Some(Response { status, body })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_bodies_are_read() {
        let plain = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        assert_eq!((plain.status, plain.body.as_str()), (200, "hi"));
        let chunked = b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\n\r\n2;x=y\r\ncd\r\n0\r\n\r\n";
        let chunked = parse(chunked).unwrap();
        assert_eq!((chunked.status, chunked.body.as_str()), (403, "ab\ncd"));
    }

    #[test]
    fn what_is_no_whole_answer_is_refused() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        ] {
            assert!(parse(bytes).is_none());
        }
    }
}
