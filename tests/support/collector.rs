//! A collector of traces on this machine, which keeps what it is sent.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use warp::Filter as _;
use warp::http::{HeaderMap, StatusCode};
use warp::hyper::body::Bytes;

use crate::wait::Record;

/// A collector. Stops when dropped.
pub struct Collector {
    address: SocketAddr,
    exports: Record<Export>,
    task: JoinHandle<()>,
}

/// What was sent at once.
#[derive(Clone, Debug)]
pub struct Export {
    /// With these headers.
    pub headers: HeaderMap,
    /// Whatever it is.
    pub body: Vec<u8>,
}

/// A span as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// The number of its kind: 1 is internal, 2 is a server's.
    pub kind: i32,
    /// Its trace, in hex.
    pub trace: String,
    /// Its id, in hex.
    pub id: String,
    /// The id of its parent, in hex; empty: it has none.
    pub parent: String,
    /// Its attributes; numbers as text.
    pub attributes: BTreeMap<String, String>,
    /// Traces and ids of the spans that it points at.
    pub links: Vec<(String, String)>,
    /// Whether its status is an error.
    pub is_error: bool,
    /// When it began and ended, in nanoseconds since the epoch.
    pub times: (u64, u64),
    /// How many events it holds.
    pub events: usize,
    /// What is said of its service.
    pub resource: BTreeMap<String, String>,
}

impl Collector {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::answering(StatusCode::OK).await
    }

    /// One that answers with this status.
    pub async fn answering(status: StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let exports = Record::default();
        let record = exports.clone();
        let routes = warp::post()
            .and(warp::path!("v1" / "traces"))
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .and_then(move |headers: HeaderMap, body: Bytes| {
                record.push(Export { headers, body: body.to_vec() });
                async move { Ok::<_, Infallible>(status) }
            });
        let task = tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self { address, exports, task }
    }

    /// `http://host:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that came.
    #[must_use]
    pub fn exports(&self) -> Vec<Export> {
        self.exports.all()
    }

    /// Every span that came.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.exports.all().iter().flat_map(|export| read(&export.body)).collect()
    }

    /// The spans of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// Waits until that many spans of this name have come, and gives them.
    pub async fn wait_for(&self, name: &str, count: usize) -> Vec<Span> {
        let has_all = |all: &[Export]| {
            all.iter().flat_map(|export| read(&export.body)).filter(|span| span.name == name).count() >= count
        };
        self.exports.wait_for("the spans", has_all).await;
        self.named(name)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn read(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("it is an export of traces");
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(&of_resource.resource.unwrap_or_default().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            spans.push(Span {
                kind: span.kind,
                trace: hex::encode(&span.trace_id),
                id: hex::encode(&span.span_id),
                parent: hex::encode(&span.parent_span_id),
                attributes: attributes(&span.attributes),
                links: span.links.iter().map(|to| (hex::encode(&to.trace_id), hex::encode(&to.span_id))).collect(),
                is_error: span.status.is_some_and(|status| status.code == 2),
                times: (span.start_time_unix_nano, span.end_time_unix_nano),
                events: span.events.len(),
                name: span.name,
                resource: resource.clone(),
            });
        }
    }
    spans
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        other => format!("{other:?}"),
    };
    let value = |of: &KeyValue| of.value.as_ref().and_then(|any| any.value.as_ref()).map(text).unwrap_or_default();
    all.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect()
}
