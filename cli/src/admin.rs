//! A client of Envoy's admin interface.
//!
//! Promises: one request takes at most [`TIMEOUT`] and [`MAX_BYTES`], whatever answers. Speaks plain HTTP/1.1, as Envoy's
//! admin interface does; nothing that is secret goes there.

use std::fmt;
use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use ureq::http::{Response, StatusCode, Version};
use ureq::{Agent, Body, Error, Timeout};

/// Envoy answers in milliseconds unless its main thread is stuck.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A policy, written as JSON within JSON, at the most.
const MAX_BYTES: u64 = 16 << 20;
const NOT_HTTP: &str = "the answer is not HTTP/1.1";

/// Where Envoy's admin interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `host:port`.
    authority: String,
}

impl FromStr for Admin {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let authority = url.strip_prefix("http://").ok_or("must begin with http://")?.trim_end_matches('/');
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let plain = authority.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
        if port.is_none() || !plain {
            return Err("must be http://host:port, without a path");
        }
        Ok(Self { authority: authority.to_owned() })
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl Admin {
    /// Reads a page; the error says what happened in a few words.
    pub fn get(&self, target: &str) -> Result<String, String> {
        self.finish(self.agent().get(self.url(target)).call())
    }

    /// Reads a page of JSON.
    pub fn get_json(&self, target: &str) -> Result<serde_json::Value, String> {
        let page = self.get(target)?;
        serde_json::from_str(&page).map_err(|_| format!("{self}: the answer to {target} is no JSON"))
    }

    /// Has Envoy do something; the error says what happened in a few words.
    pub fn post(&self, target: &str) -> Result<(), String> {
        self.finish(self.agent().post(self.url(target)).send_empty()).map(drop)
    }

    /// The statistics that a filter of Envoy's admin interface lets through.
    pub fn get_stats(&self, filter: &str) -> Result<Stats, String> {
        self.get(&format!("/stats?filter={filter}")).map(Stats)
    }

    /// Every status is an answer, and nothing of the environment changes where a request goes.
    fn agent(&self) -> Agent {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
        config.max_idle_connections(0).timeout_global(Some(TIMEOUT)).build().into()
    }

    fn url(&self, target: &str) -> String {
        format!("{self}{target}")
    }

    fn finish(&self, reply: Result<Response<Body>, Error>) -> Result<String, String> {
        let body = reply.map_err(|error| explain(&error)).and_then(read_body);
        body.map_err(|message| format!("{self}: {message}"))
    }
}

/// The body of a good reply.
fn read_body(reply: Response<Body>) -> Result<String, String> {
    if reply.version() != Version::HTTP_11 {
        return Err(NOT_HTTP.to_owned());
    }
    if reply.status() != StatusCode::OK {
        return Err(format!("the answer is {}", reply.status()));
    }
    let body = reply.into_body().into_with_config().limit(MAX_BYTES).read_to_vec();
    body.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|error| explain(&error))
}

fn explain(error: &Error) -> String {
    match error {
        Error::Io(error) if error.kind() != ErrorKind::UnexpectedEof => error.to_string(),
        Error::HostNotFound => "the name has no address".to_owned(),
        Error::Timeout(Timeout::RecvBody) | Error::BodyExceedsLimit(_) => "the answer does not end".to_owned(),
        Error::Timeout(_) => format!("no whole answer within {} s", TIMEOUT.as_secs()),
        _ => NOT_HTTP.to_owned(),
    }
}

/// A page of Envoy's statistics, one `name: value` a line.
pub struct Stats(String);

impl Stats {
    /// The value of a name, as it is written.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    }

    /// The value of a counter or gauge.
    pub fn get_number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The value of a text, without its quotes.
    pub fn get_text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default().trim_matches('"')
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for good in ["http://127.0.0.1:9901", "http://[::1]:9901/", "http://envoy-1.internal:1"] {
            assert_eq!(good.parse::<Admin>().unwrap().to_string(), good.trim_end_matches('/'));
        }
        for bad in ["127.0.0.1:9901", "https://a:1", "http://a", "http://a:1/stats", "http://a:x", "http://a b:1"] {
            assert!(bad.parse::<Admin>().is_err(), "{bad}");
        }
    }

    /// What comes of asking somebody who answers with these bytes and closes.
    fn ask(bytes: &[u8]) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin: Admin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let answer = thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                // The head comes in one piece, as small as it is.
                let _ = stream.read(&mut [0; 4096]).unwrap();
                // Who has read enough may be gone.
                let _ = stream.write_all(bytes);
            });
            admin.get("/stats")
        });
        answer.map_err(|message| message.strip_prefix(&format!("{admin}: ")).unwrap().to_owned())
    }

    #[test]
    fn a_reply_is_read_whole_or_in_chunks() {
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nx: 1\n\xff").as_deref(), Ok("x: 1\n\u{fffd}"));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nx: \r\n2;q\r\n1\n\r\n0\r\n\r\n";
        assert_eq!(ask(chunked).as_deref(), Ok("x: 1\n"));
    }

    #[test]
    fn anything_else_is_an_error() {
        let cut = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let broken =
            ["zz\r\n", "5\r\nx", "1\r\nxy\r\n0\r\n\r\n", "ffffffffffffffff\r\nx\r\n", ""].map(|b| format!("{cut}{b}"));
        let others = ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n\r\nx: 1\n"];
        for reply in broken.iter().map(String::as_str).chain(others) {
            assert_eq!(ask(reply.as_bytes()), Err(NOT_HTTP.to_owned()), "{reply:?}");
        }
        assert_eq!(ask(b"HTTP/1.1 404 Not Found\r\n\r\n"), Err("the answer is 404 Not Found".to_owned()));
    }

    #[test]
    fn the_limit_of_an_answer_is_exact() {
        let limit = usize::try_from(MAX_BYTES).unwrap();
        let reply = |len: usize| ["HTTP/1.1 200 OK\r\n\r\n".as_bytes(), &vec![b'x'; len]].concat();
        assert_eq!(ask(&reply(limit)).map(|body| body.len()), Ok(limit));
        assert_eq!(ask(&reply(limit + 1)), Err("the answer does not end".to_owned()));
    }

    #[test]
    fn a_closed_port_is_said_in_the_words_of_the_system() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let admin: Admin = format!("http://127.0.0.1:{port}").parse().unwrap();
        let message = admin.get("/ready").unwrap_err();
        assert!(message.starts_with(&format!("{admin}: Connection refused")), "{message}");
    }

    #[test]
    fn statistics_are_found_by_their_whole_name() {
        let stats = Stats("a.b: 1\na: 2\ntext: \"x\"\n".to_owned());
        assert_eq!((stats.get_number("a"), stats.get_number("b"), stats.get_text("text")), (Some(2), None, "x"));
    }
}
