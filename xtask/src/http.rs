//! An HTTP client for what runs on this machine: one request per connection, no proxy, no redirect followed.

mod tls;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use crate::error::{Failure, Outcome};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For each read: a demo's origin may hold back half of a package for a while.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What came back.
pub struct Response {
    /// The status.
    pub status: u16,
    /// The body as text.
    pub body: String,
    /// The same, byte for byte.
    pub bytes: Vec<u8>,
}

impl Response {
    fn new(status: u16, bytes: Vec<u8>) -> Self {
        Self { status, body: String::from_utf8_lossy(&bytes).into_owned(), bytes }
    }
}

/// Who is asked: a port of this machine.
#[derive(Clone)]
pub struct Server {
    port: u16,
    /// Who vouches for it, as PEM; without one it speaks plain HTTP.
    authority: Option<Arc<str>>,
}

impl Server {
    /// One that speaks TLS, if somebody vouches for it.
    pub fn new(port: u16, authority: Option<String>) -> Self {
        Self { port, authority: authority.map(Arc::from) }
    }
}

impl From<u16> for Server {
    fn from(port: u16) -> Self {
        Self::new(port, None)
    }
}

/// Whether anything takes connections at a port.
pub fn is_listening(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT_TIMEOUT).is_ok()
}

/// Fetches a page.
pub fn get(server: impl Into<Server>, path: &str) -> Outcome<Response> {
    let Server { port, authority } = server.into();
    if let Some(authority) = authority {
        return tls::exchange(port, &authority, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"));
    }
    let reply = local_agent().get(local_url(port, path)).call();
    reply.and_then(read_response).map_err(|error| explain(port, &error))
}

/// Fetches a page with these headers, over plain HTTP.
pub fn get_with(port: u16, path: &str, headers: &[(&str, &str)]) -> Outcome<Response> {
    let request = local_agent().get(local_url(port, path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.call().and_then(read_response).map_err(|error| explain(port, &error))
}

/// Posts JSON.
pub fn post(server: impl Into<Server>, path: &str, headers: &[(&str, &str)], json: &str) -> Outcome<Response> {
    let Server { port, authority } = server.into();
    if let Some(authority) = authority {
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}");
        return tls::exchange(port, &authority, &format!("{head}Content-Length: {}\r\n\r\n{json}", json.len()));
    }
    let request = local_agent().post(local_url(port, path)).content_type("application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send(json).and_then(read_response).map_err(|error| explain(port, &error))
}

/// The status that a `host:port` answers with; each step may take so long.
pub fn get_status(authority: &str, path: &str, timeout: Duration) -> Outcome<u16> {
    let agent: Agent = one_request().timeout_connect(Some(timeout)).timeout_per_read(Some(timeout)).build().into();
    let reply = agent.get(format!("http://{authority}{path}")).call();
    reply.map(|reply| reply.status().as_u16()).map_err(|error| Failure::new(format!("cannot ask {authority}: {error}")))
}

fn local_agent() -> Agent {
    one_request().timeout_connect(Some(CONNECT_TIMEOUT)).timeout_per_read(Some(READ_TIMEOUT)).build().into()
}

/// Every status is an answer, and nothing of the environment changes where a request goes.
fn one_request() -> ConfigBuilder<AgentScope> {
    Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).max_idle_connections(0)
}

fn local_url(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}")
}

fn read_response(reply: ureq::http::Response<ureq::Body>) -> Result<Response, ureq::Error> {
    let status = reply.status().as_u16();
    Ok(Response::new(status, reply.into_body().read_to_vec()?))
}

fn explain(port: u16, error: &ureq::Error) -> Failure {
    let is_transport = match error {
        ureq::Error::Io(error) => error.kind() != ErrorKind::UnexpectedEof,
        ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => true,
        _ => false,
    };
    if is_transport {
        return Failure::new(format!("cannot talk to port {port}: {error}"));
    }
    Failure::new(format!("port {port} did not answer in HTTP: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A port at which one request is answered with these bytes, then closed.
    fn answer_with(bytes: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The head comes in one piece, as small as it is.
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(bytes).unwrap();
        });
        port
    }

    #[test]
    fn bodies_of_every_framing_are_read() {
        for (bytes, status, body) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"[..], 200, "hi"),
            (
                b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\n\r\n2;x=y\r\ncd\r\n0\r\n\r\n",
                403,
                "ab\ncd",
            ),
            (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n\xff", 302, "\u{fffd}"),
        ] {
            let response = get(answer_with(bytes), "/").unwrap();
            assert_eq!((response.status, response.body.as_str()), (status, body));
        }
    }

    #[test]
    fn what_is_no_whole_answer_is_refused() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        ] {
            let port = answer_with(bytes);
            let failure = get(port, "/").map(|response| response.status).unwrap_err().to_string();
            assert!(failure.starts_with(&format!("port {port} did not answer in HTTP")), "{failure}");
        }
    }

    #[test]
    fn a_closed_port_is_named() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let failure = get(port, "/").map(|response| response.status).unwrap_err().to_string();
        assert!(failure.starts_with(&format!("cannot talk to port {port}: ")), "{failure}");
        assert!(!is_listening(port));
        let failure = get_status(&format!("127.0.0.1:{port}"), "/", CONNECT_TIMEOUT).unwrap_err().to_string();
        assert!(failure.starts_with(&format!("cannot ask 127.0.0.1:{port}: ")), "{failure}");
    }
}
