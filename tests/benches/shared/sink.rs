//! An S3 that keeps nothing of a package: it reads each part to its end, so that what is measured is its client.
//!
//! Small objects are kept, for a store tries at start whether a bucket gives back what it took.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use http::{Method, StatusCode};
use tokio::task::JoinHandle;
use warp::Filter as _;
use warp::path::FullPath;
use warp::reply::Response;

use linkgate_tests::weed::BUCKET;

/// What is kept whole.
const SMALL: usize = 64 << 10;
const ETAG: &str = "\"0123456789abcdef0123456789abcdef\"";

/// An object: how long it is, and as much of it as is kept.
#[derive(Clone, Default)]
struct Object {
    size: u64,
    kept: Bytes,
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
        let contents = Arc::new(Mutex::new(Contents::default()));
        let query = warp::query::raw().or_else(|_| async { Ok::<_, warp::Rejection>((String::new(),)) });
        let serve = warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::optional::<String>("range"))
            .and(warp::body::stream())
            .then(move |method, path: FullPath, query: String, range: Option<String>, body| {
                let contents = Arc::clone(&contents);
                async move {
                    let sent = swallow(body).await;
                    let query: HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
                    let key = path.as_str().trim_start_matches('/').trim_start_matches(BUCKET).trim_start_matches('/');
                    contents.lock().unwrap().answer(&method, key, &query, range.as_deref(), sent)
                }
            });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(warp::serve(serve).incoming(listener).run());
        Self { address, serving }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn swallow<B: Buf>(body: impl futures_util::Stream<Item = Result<B, warp::Error>>) -> Object {
    let (mut size, mut kept, mut body) = (0, BytesMut::new(), Box::pin(body));
    while let Ok(Some(mut piece)) = body.try_next().await {
        size += piece.remaining() as u64;
        if size <= SMALL as u64 {
            kept.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
    }
    Object { size, kept: kept.freeze() }
}

impl Contents {
    fn answer(
        &mut self,
        method: &Method,
        key: &str,
        query: &HashMap<String, String>,
        range: Option<&str>,
        sent: Object,
    ) -> Response {
        let upload = query.get("uploadId");
        match (method.as_str(), upload) {
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
            _ => self.objects.get(key).map_or_else(|| status(StatusCode::NOT_FOUND), |object| tell(object, range)),
        }
    }
}

/// The object, or a range of it; the length alone counts where it is not kept.
fn tell(object: &Object, range: Option<&str>) -> Response {
    let asked = range.and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?.min(object.kept.len().saturating_sub(1))))
    });
    let reply = http::Response::builder().header("etag", ETAG).header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
    let reply = match asked {
        Some((first, last)) if first <= last => reply
            .status(206)
            .header("content-range", format!("bytes {first}-{last}/{}", object.size))
            .header("content-length", last + 1 - first)
            .body(object.kept.slice(first..=last)),
        _ => reply.header("content-length", object.size).body(object.kept.clone()),
    };
    reply.unwrap().map(Into::into)
}

fn xml(text: &str) -> Response {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{text}");
    http::Response::builder().header("content-type", "application/xml").body(text.into()).unwrap()
}

fn status(status: StatusCode) -> Response {
    http::Response::builder().status(status).header("etag", ETAG).body(Bytes::new().into()).unwrap()
}
