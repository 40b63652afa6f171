//! HTTP/1.1 on a kept connection, as little of it as a bench needs, so that both ends cost next to nothing.
//!
//! Refuses bodies without a `Content-Length`: nothing here sends one.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Bytes both ways, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where callers connect to, and how.
#[derive(Clone)]
pub struct Entrance {
    pub address: SocketAddr,
    pub tls: Option<TlsConnector>,
}

/// One end of a connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    held: Vec<u8>,
    /// How much of `held` was handed out.
    taken: usize,
}

impl Wire {
    /// Takes a connection over.
    pub async fn accept(stream: TcpStream, tls: Option<&TlsAcceptor>) -> io::Result<Self> {
        let stream = prepared(stream);
        Ok(match tls {
            None => Self::new(Box::new(stream)),
            Some(tls) => Self::new(Box::new(tls.accept(stream).await?)),
        })
    }

    /// Opens one.
    pub async fn open(entrance: &Entrance) -> Self {
        let stream = prepared(TcpStream::connect(entrance.address).await.unwrap());
        let Some(tls) = &entrance.tls else { return Self::new(Box::new(stream)) };
        let name = ServerName::try_from("localhost").unwrap();
        Self::new(Box::new(tls.connect(name, stream).await.expect("Envoy shakes hands")))
    }

    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, held: Vec::with_capacity(8192), taken: 0 }
    }

    /// Sends a whole message.
    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(message).await?;
        self.stream.flush().await
    }

    /// The head of the next message, once its body was read too; the connection's end is an error.
    pub async fn receive(&mut self) -> io::Result<&[u8]> {
        self.held.drain(..self.taken);
        self.taken = 0;
        let head = loop {
            if let Some(at) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let end = head + content_length(&self.held[..head]);
        while self.held.len() < end {
            self.more().await?;
        }
        self.taken = end;
        Ok(&self.held[..head])
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.held).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    // Nothing is lost, for every reply is read to its end; ports would run out while closed connections linger.
    stream.set_zero_linger().unwrap();
    stream
}

fn content_length(head: &[u8]) -> usize {
    let value = header(head, "content-length");
    let value = value.unwrap_or_else(|| panic!("no content-length: {}", String::from_utf8_lossy(head)));
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// A header's value, by its name in lower case.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":").filter(|_| found.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(value.trim_ascii())
    })
}
