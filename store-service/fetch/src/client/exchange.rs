//! One request and its reply, over a connection of their own.
//!
//! Promises: the target goes out byte for byte, also where the HTTP library's type for it would refuse a character; at most
//! [`MAX_INTERIM`] interim replies come before the reply, and they and its head have [`MAX_HEAD_BYTES`] together. The
//! connection ends with its reply.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter, ReadBuf};
use tokio::task::JoinHandle;

use super::stream::Stream;
use crate::source::Cause;

/// What this client calls itself.
pub(super) const USER_AGENT: &str = concat!("linkgate-store/", env!("CARGO_PKG_VERSION"));
/// Interim replies (RFC 9110, 15.2) before a reply.
const MAX_INTERIM: usize = 16;
/// Bytes until a reply's body begins. The library bounds each single head by less.
const MAX_HEAD_BYTES: usize = 1 << 20;
/// What is read at a time at the most, and how long a head may be. By itself the library takes three times that for each download.
const READ_BYTES: usize = 128 << 10;
/// Space for the headers of a request, so that they leave together with its first line.
const REQUEST_BYTES: usize = 4 << 10;

/// A source goes on and on before its reply.
#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_INTERIM} interim replies or {MAX_HEAD_BYTES} bytes came before the reply")]
pub(super) struct EndlessHead;

/// A reply whose body is being read.
pub(super) struct Response {
    head: http::response::Parts,
    body: Incoming,
    _connection: Connection,
}

/// Ends when dropped.
struct Connection {
    driver: JoinHandle<()>,
    _sender: SendRequest<Empty<Bytes>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Response {
    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn version(&self) -> Version {
        self.head.version
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// How long the body is, if that is known before its end.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next bytes of the body; trailers are passed over.
    pub(super) async fn chunk(&mut self) -> hyper::Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// What a proxy answers to a request for a tunnel.
pub(super) enum Tunnel {
    /// It leads to the host.
    Open(Stream),
    /// There is none.
    Refused(StatusCode, HeaderMap),
}

/// Asks a source, or a proxy that passes it on, and waits for the head of the reply.
pub(super) async fn get(stream: Stream, target: &str, headers: HeaderMap) -> Result<Response, Cause> {
    let (reply, connection) = exchange(stream, Method::GET, target, headers).await?;
    let (head, body) = reply.into_parts();
    Ok(Response { head, body, _connection: connection })
}

/// Asks a proxy for a tunnel to `host:port`.
pub(super) async fn connect(stream: Stream, target: &str, headers: HeaderMap) -> Result<Tunnel, Cause> {
    let (reply, _connection) = exchange(stream, Method::CONNECT, target, headers).await?;
    if reply.status().is_success() {
        Ok(Tunnel::Open(Stream::new(TokioIo::new(hyper::upgrade::on(reply).await?))))
    } else {
        let (head, _) = reply.into_parts();
        Ok(Tunnel::Refused(head.status, head.headers))
    }
}

async fn exchange(
    stream: Stream,
    method: Method,
    target: &str,
    headers: HeaderMap,
) -> Result<(http::Response<Incoming>, Connection), Cause> {
    let head = Arc::new(HeadCount::default());
    let stream = with_first_line(stream, &method, target, &head).await?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(READ_BYTES).handshake(TokioIo::new(stream)).await?;
    // Its error comes as that of the reply.
    let driver = tokio::spawn(async move { drop(connection.with_upgrades().await) });
    let reply = sender.send_request(request(method, headers, &head));
    let connection = Connection { driver, _sender: sender };
    let reply = reply.await?;
    if head.is_over() {
        return Err(EndlessHead.into());
    }
    head.end();
    Ok((reply, connection))
}

/// What the library is asked to send; its first line is replaced.
const PLACEHOLDER: &str = "/";

fn request(method: Method, headers: HeaderMap, head: &Arc<HeadCount>) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) =
        (method, Uri::from_static(PLACEHOLDER), headers);
    let head = Arc::clone(head);
    hyper::ext::on_informational(&mut request, move |_| head.count_interim());
    request
}

async fn with_first_line(
    stream: Stream,
    method: &Method,
    target: &str,
    head: &Arc<HeadCount>,
) -> std::io::Result<OneRequest> {
    let line_of = |target: &str| format!("{method} {target} HTTP/1.1\r\n");
    let line = line_of(target);
    let mut stream = BufWriter::with_capacity(line.len() + REQUEST_BYTES, stream);
    // It fits in, so nothing is sent yet.
    stream.write_all(line.as_bytes()).await?;
    Ok(OneRequest { stream, replaced: line_of(PLACEHOLDER).len(), head: Arc::clone(head), head_bytes: 0 })
}

/// What came before the body of a reply.
#[derive(Default)]
struct HeadCount {
    interim: AtomicUsize,
    has_ended: AtomicBool,
}

impl HeadCount {
    fn count_interim(&self) {
        self.interim.fetch_add(1, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.interim.load(Ordering::Relaxed) > MAX_INTERIM
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }
}

/// A connection for one request, whose first line was written already.
struct OneRequest {
    stream: BufWriter<Stream>,
    /// Bytes of the library's own first line that are still to be passed over.
    replaced: usize,
    head: Arc<HeadCount>,
    head_bytes: usize,
}

impl AsyncRead for OneRequest {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let is_head = !self.head.has_ended();
        if is_head && (self.head.is_over() || self.head_bytes > MAX_HEAD_BYTES) {
            return Poll::Ready(Err(std::io::Error::other(EndlessHead)));
        }
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        if is_head {
            self.head_bytes += into.filled().len() - before;
        }
        polled
    }
}

impl AsyncWrite for OneRequest {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let replaced = self.replaced.min(bytes.len());
        if replaced > 0 {
            self.replaced -= replaced;
            return Poll::Ready(Ok(replaced));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
