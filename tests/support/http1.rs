//! HTTP/1.1 by hand, cheap enough for thousands of requests in a second: kept connections and bodies with a
//! `Content-Length`.
//!
//! Promises: a message is read whole and bounded, and everything it has is kept as it came. Refuses chunked bodies.

use std::io::{Error, ErrorKind, Result};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

/// No head that a test sends or gets comes near this.
const MAX_HEAD: u64 = 64 << 10;
/// Nor a body.
const MAX_BODY: usize = 2 << 20;

/// A request or a reply.
#[derive(Debug)]
pub struct Message {
    /// The request line or the status line.
    pub first: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// Reads the next message of a connection; `None` if it was closed before one began.
    ///
    /// # Errors
    /// A connection that breaks off, or a message that is not as above.
    pub async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
        let Some(mut message) = Self::read_head(stream).await? else { return Ok(None) };
        let length = message.body_length()?;
        if length > MAX_BODY {
            return Err(ErrorKind::InvalidData.into());
        }
        message.body = vec![0; length];
        stream.read_exact(&mut message.body).await?;
        Ok(Some(message))
    }

    /// Reads the next message of a connection but for its body, which is still to come.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_head(stream: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
        let mut head = stream.take(MAX_HEAD);
        let Some(first) = line(&mut head).await? else { return Ok(None) };
        let mut headers = HeaderMap::new();
        loop {
            let line = line(&mut head).await?.ok_or(ErrorKind::UnexpectedEof)?;
            let Some((name, value)) = line.split_once(':') else { break };
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(Error::other)?;
            headers.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).map_err(Error::other)?);
        }
        Ok(Some(Self { first, headers, body: Vec::new() }))
    }

    /// How many bytes of body it has.
    ///
    /// # Errors
    /// A body in chunks.
    pub fn body_length(&self) -> Result<usize> {
        if self.headers.contains_key("transfer-encoding") {
            return Err(ErrorKind::InvalidData.into());
        }
        let length = self.headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(length.unwrap_or_default())
    }

    /// The status, if it is a reply.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// Whether the other side closes the connection behind it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
    }
}

async fn line(head: &mut tokio::io::Take<&mut BufReader<TcpStream>>) -> Result<Option<String>> {
    let mut line = Vec::new();
    match head.read_until(b'\n', &mut line).await? {
        0 => Ok(None),
        _ if line.ends_with(b"\r\n") => Ok(Some(String::from_utf8_lossy(&line[..line.len() - 2]).into_owned())),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}
