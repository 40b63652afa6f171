//! An S3 that keeps nothing of a package: it reads each part to its end, so that what is measured is its client.
//!
//! Small objects are kept, for a store tries at start whether a bucket gives back what it took.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use linkgate_tests::http1::Message;
use linkgate_tests::weed::BUCKET;

/// What is kept whole.
const SMALL: usize = 64 << 10;
/// What is read at a time: as little of the time as can be is to be that of this server.
const READ: usize = 256 << 10;
const ETAG: &str = "\"0123456789abcdef0123456789abcdef\"";

/// An object: how long it is, and as much of it as is kept.
#[derive(Clone, Default)]
struct Object {
    size: u64,
    kept: Bytes,
}

impl Object {
    fn is_kept(&self) -> bool {
        self.kept.len() as u64 == self.size
    }
}

#[derive(Default)]
struct Contents {
    objects: HashMap<String, Object>,
    /// Open uploads: their keys and their parts.
    uploads: HashMap<String, (String, HashMap<String, Object>)>,
    begun: u64,
}

/// The server, for as long as it is held.
pub struct Sink {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Sink {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let contents = Arc::new(Mutex::new(Contents::default()));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Its client may go away at any time.
                tokio::spawn(serve(stream, Arc::clone(&contents)));
            }
        });
        Self { address, serving }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(stream: TcpStream, contents: Arc<Mutex<Contents>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(READ, stream);
    while let Some(head) = Message::read_head(&mut stream).await? {
        if head.headers.contains_key("expect") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let sent = swallow(&mut stream, head.body_length()?).await?;
        let mut words = head.first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let key = path.trim_start_matches('/').trim_start_matches(BUCKET).trim_start_matches('/');
        let reply = contents.lock().unwrap().answer(method, key, &query, range_of(&head.headers), sent);
        stream.write_all(&in_bytes(&reply, method == "HEAD")).await?;
    }
    Ok(())
}

async fn swallow(stream: &mut BufReader<TcpStream>, length: usize) -> io::Result<Object> {
    let (mut left, mut kept) = (length, BytesMut::new());
    while left > 0 {
        let piece = stream.fill_buf().await?;
        let piece = &piece[..piece.len().min(left)];
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if length <= SMALL {
            kept.extend_from_slice(piece);
        }
        left -= piece.len();
        let taken = piece.len();
        stream.consume(taken);
    }
    Ok(Object { size: length as u64, kept: kept.freeze() })
}

fn range_of(headers: &HeaderMap) -> Option<&str> {
    headers.get("range")?.to_str().ok()
}

/// A reply as it is sent. One without a length of its own has that of its body.
fn in_bytes(reply: &Response<Bytes>, is_head: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {}\r\n", reply.status());
    if !reply.headers().contains_key("content-length") && reply.status() != StatusCode::NO_CONTENT {
        text += &format!("content-length: {}\r\n", reply.body().len());
    }
    for (name, value) in reply.headers() {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let body = if is_head { &[] } else { &reply.body()[..] };
    [text.as_bytes(), b"\r\n", body].concat()
}

impl Contents {
    fn answer(
        &mut self,
        method: &str,
        key: &str,
        query: &HashMap<String, String>,
        range: Option<&str>,
        sent: Object,
    ) -> Response<Bytes> {
        let upload = query.get("uploadId");
        match (method, upload) {
            ("POST", None) if query.contains_key("uploads") => {
                self.begun += 1;
                let id = self.begun.to_string();
                self.uploads.insert(id.clone(), (key.to_owned(), HashMap::new()));
                xml(&format!(
                    "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            ("POST", Some(id)) => {
                let Some((key, parts)) = self.uploads.remove(id) else { return status(StatusCode::NOT_FOUND) };
                let whole = Object {
                    size: parts.values().map(|part| part.size).sum(),
                    kept: if parts.len() == 1 { parts.into_values().next().unwrap().kept } else { Bytes::new() },
                };
                let text = format!(
                    "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><ETag>{ETAG}</ETag></CompleteMultipartUploadResult>"
                );
                self.objects.insert(key, whole);
                xml(&text)
            }
            ("PUT", Some(id)) => {
                let number = query.get("partNumber").cloned().unwrap_or_default();
                self.uploads.get_mut(id).map_or_else(
                    || status(StatusCode::NOT_FOUND),
                    |(_, parts)| {
                        parts.insert(number, sent);
                        status(StatusCode::OK)
                    },
                )
            }
            ("PUT", None) => {
                self.objects.insert(key.to_owned(), sent);
                status(StatusCode::OK)
            }
            ("DELETE", Some(id)) => {
                self.uploads.remove(id);
                status(StatusCode::NO_CONTENT)
            }
            ("DELETE", None) => {
                self.objects.remove(key);
                status(StatusCode::NO_CONTENT)
            }
            ("GET", None) if query.contains_key("uploads") => {
                let prefix = query.get("prefix").cloned().unwrap_or_default();
                let open = self.uploads.iter().filter(|(_, (key, _))| key.starts_with(&prefix));
                let open: String = open
                    .map(|(id, (key, _))| {
                        format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2026-01-01T00:00:00Z</Initiated></Upload>")
                    })
                    .collect();
                xml(&format!(
                    "<ListMultipartUploadsResult><Bucket>{BUCKET}</Bucket><IsTruncated>false</IsTruncated>{open}</ListMultipartUploadsResult>"
                ))
            }
            _ => self.find(method, key, range),
        }
    }

    fn find(&self, method: &str, key: &str, range: Option<&str>) -> Response<Bytes> {
        match self.objects.get(key) {
            Some(object) if method == "HEAD" || object.is_kept() => tell(object, range),
            _ => status(StatusCode::NOT_FOUND),
        }
    }
}

/// The object, or a range of it; the length alone counts where it is not kept.
fn tell(object: &Object, range: Option<&str>) -> Response<Bytes> {
    let asked = range.and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?.min(object.kept.len().saturating_sub(1))))
    });
    let reply = Response::builder().header("etag", ETAG).header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
    let reply = match asked {
        Some((first, last)) if first <= last && last < object.kept.len() => reply
            .status(206)
            .header("content-range", format!("bytes {first}-{last}/{}", object.size))
            .header("content-length", last + 1 - first)
            .body(object.kept.slice(first..=last)),
        _ => reply.header("content-length", object.size).body(object.kept.clone()),
    };
    reply.unwrap()
}

fn xml(text: &str) -> Response<Bytes> {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{text}");
    Response::builder().header("content-type", "application/xml").body(text.into()).unwrap()
}

fn status(status: StatusCode) -> Response<Bytes> {
    Response::builder().status(status).header("etag", ETAG).body(Bytes::new()).unwrap()
}
