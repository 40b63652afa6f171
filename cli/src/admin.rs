//! A client of Envoy's admin interface.
//!
//! Promises: one request takes at most [`WITHIN`] and [`MAX_BYTES`], whatever answers. Speaks plain HTTP/1.1, as Envoy's
//! admin interface does; nothing that is secret goes there.

use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Envoy answers in milliseconds unless its main thread is stuck.
const WITHIN: Duration = Duration::from_secs(3);
/// A handful of counters was asked for.
const MAX_BYTES: u64 = 1 << 20;

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
        self.ask("GET", target)
    }

    /// Has Envoy do something; the error says what happened in a few words.
    pub fn post(&self, target: &str) -> Result<(), String> {
        self.ask("POST", target).map(drop)
    }

    fn ask(&self, method: &str, target: &str) -> Result<String, String> {
        let fail = |error: &dyn fmt::Display| format!("{self}: {error}");
        let raw = self.exchange(method, target).map_err(|error| fail(&error))?;
        read_reply(&raw).map_err(|error| fail(&error))
    }

    fn exchange(&self, method: &str, target: &str) -> std::io::Result<Vec<u8>> {
        let deadline = Instant::now() + WITHIN;
        // A time-out of zero is an error of its own.
        let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut connected = Err(std::io::Error::other("the name has no address"));
        for address in self.authority.to_socket_addrs()? {
            connected = TcpStream::connect_timeout(&address, left());
            if connected.is_ok() {
                break;
            }
        }
        let mut stream = connected?;
        stream.set_write_timeout(Some(left()))?;
        let host = &self.authority;
        let request =
            format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let (mut raw, mut part) = (Vec::new(), [0; 4096]);
        loop {
            stream.set_read_timeout(Some(left()))?;
            let read = stream.read(&mut part)?;
            raw.extend_from_slice(part.get(..read).unwrap_or_default());
            if read == 0 {
                return Ok(raw);
            }
            if raw.len() as u64 > MAX_BYTES || Instant::now() >= deadline {
                return Err(std::io::Error::other("the answer does not end"));
            }
        }
    }
}

/// The body of a good reply.
fn read_reply(raw: &[u8]) -> Result<String, String> {
    let odd = || "the answer is not HTTP/1.1".to_owned();
    let text = String::from_utf8_lossy(raw);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(odd)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or_else(odd)?;
    if !status.starts_with("200") {
        return Err(format!("the answer is {status}"));
    }
    let is_chunked = lines.any(|line| {
        let line = line.to_ascii_lowercase();
        line.split_once(':').is_some_and(|(name, value)| name == "transfer-encoding" && value.trim() == "chunked")
    });
    if is_chunked { unchunk(body).ok_or_else(odd) } else { Ok(body.to_owned()) }
}

fn unchunk(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole += rest.get(..size)?;
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_reply_is_read_whole_or_in_chunks() {
        assert_eq!(read_reply(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nx: 1\n").as_deref(), Ok("x: 1\n"));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nx: \r\n2;q\r\n1\n\r\n0\r\n\r\n";
        assert_eq!(read_reply(chunked).as_deref(), Ok("x: 1\n"));
    }

    #[test]
    fn anything_else_is_an_error() {
        let odd = Err("the answer is not HTTP/1.1".to_owned());
        let cut = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let broken =
            ["zz\r\n", "5\r\nx", "1\r\nxy\r\n0\r\n\r\n", "ffffffffffffffff\r\nx\r\n", ""].map(|b| format!("{cut}{b}"));
        for reply in broken.iter().map(String::as_str).chain(["", "SSH-2.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"]) {
            assert_eq!(read_reply(reply.as_bytes()), odd, "{reply:?}");
        }
        assert_eq!(read_reply(b"HTTP/1.1 404 Not Found\r\n\r\n"), Err("the answer is 404 Not Found".to_owned()));
    }
}
