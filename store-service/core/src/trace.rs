//! The spans of a trace: a request, the upload that it began, the stages of that upload.
//!
//! - `POST /bkapps/…/link/` (the caller's, or none): one request, with the pattern of its path:
//!   `http.request.method`, `http.route`, `http.response.status_code`, `url.path`, `url.scheme`; `error.type` from
//!   500 on.
//! - `upload` (the request that began it): `request.id`, `job.id`, `app.code`, `module.name`, `package.url`,
//!   `package.size_bytes`, `upload.result`; `error.type` if nothing was stored.
//! - `queue`, `open`, `copy`, `finish`, `inspect`, `lock`, `commit`, `record` (the upload): its stages, without
//!   attributes.
//!
//! Promises: while nothing exports traces, a span costs a look at one atomic number. What a span says of an upload the log
//! says too, and under the same names: links without their query, no tokens, no other headers, no bodies. What is passed on
//! to sources is nothing: this file is the only one that knows of trace ids, and it reads them only.

use std::fmt::Display;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
pub use opentelemetry::trace::SpanContext as Place;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of all spans made here, by which an exporter picks them and the log leaves them out.
pub const TARGET: &str = module_path!();

/// The header that names the trace of a request and the span that it came from.
pub const TRACEPARENT: &str = "traceparent";

/// The one header that is believed, if it was there once. Any other `tracestate` than our own means nothing to us, and
/// could hold anything.
struct Parent<'a>(Option<&'a str>);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.filter(|_| key == TRACEPARENT)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// A request, in the trace that its one header [`TRACEPARENT`] names. `route` is the pattern of its path, if it has one.
pub fn request(method: &str, path: &str, route: Option<&'static str>, traceparent: Option<&str>) -> Span {
    let verb = verb(method);
    let span = info_span!(
        parent: None,
        "request",
        otel.name = %format_args!("{verb} {}", route.unwrap_or_default()).to_string().trim_end(),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = verb,
        http.route = route,
        http.response.status_code = Empty,
        url.path = path,
        url.scheme = "http",
        "error.type" = Empty,
    );
    if !span.is_disabled() {
        begin_in(&span, TraceContextPropagator::new().extract_with_context(&Context::new(), &Parent(traceparent)));
    }
    span
}

/// How a request was answered.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    // That a caller asked for what cannot be is no error of this server.
    if status >= 500 {
        span.record("error.type", status).record("otel.status_code", "ERROR");
    }
}

/// An upload, in the trace of the request that began it, or in one of its own. It may outlive the request's span: a parent by
/// `tracing`'s own means would be held open, and not be exported, until then.
pub fn upload(job: &dyn Display, request_id: &str, app: &str, module: &str, url: &dyn Display) -> Span {
    let span = info_span!(
        parent: None,
        "upload",
        otel.status_code = Empty,
        request.id = request_id,
        job.id = %job,
        app.code = app,
        module.name = module,
        package.url = %url,
        package.size_bytes = Empty,
        upload.result = Empty,
        "error.type" = Empty,
    );
    if !span.is_disabled() {
        begin_in(&span, Span::current().context());
    }
    span
}

/// How the upload of this task ended, in the words of the metrics; `Err` if nothing was stored.
pub fn ended(result: Result<i64, &'static str>) {
    let span = Span::current();
    match result {
        Ok(size_bytes) => span.record("upload.result", "stored").record("package.size_bytes", size_bytes),
        Err(kind) => span.record("upload.result", kind).record("error.type", kind).record("otel.status_code", "ERROR"),
    };
}

/// A stage of the upload of this task.
pub fn stage(name: &'static str) -> Span {
    info_span!("stage", otel.name = name)
}

/// Where a span stands among all others.
pub fn place(span: &Span) -> Place {
    span.context().span().span_context().clone()
}

/// Says in the span of this task that it also has to do with another, which may be of another trace.
pub fn link(other: &Place) {
    Span::current().add_link(other.clone());
}

/// The id of the trace of a span, as logs show it.
pub fn id(span: &Span) -> Option<String> {
    let place = place(span);
    place.is_valid().then(|| place.trace_id().to_string())
}

fn begin_in(span: &Span, parent: Context) {
    // Fails only for a span that has begun or that nobody exports.
    let _set_or_not_exported = span.set_parent(parent);
}

/// Methods are words of callers; only those of the standard become part of names.
fn verb(method: &str) -> &str {
    match method {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH") => known,
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parent(value: Option<&str>) -> Place {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Parent(value));
        context.span().span_context().clone()
    }

    #[test]
    fn a_traceparent_is_read_and_nothing_else() {
        let good = parent(Some(GOOD));
        assert_eq!(good.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(good.span_id().to_string(), "b7ad6b7169203331");
        assert!(good.is_remote() && good.is_sampled());
        assert_eq!(good.trace_state().header(), "");
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace_of_its_own() {
        for bad in [None, Some("no"), Some("00-00000000000000000000000000000000-b7ad6b7169203331-01")] {
            assert!(!parent(bad).is_valid(), "{bad:?}");
        }
    }

    #[test]
    fn without_an_exporter_there_are_no_spans_and_no_ids() {
        let span = request("GET", "/", None, None);
        assert!(span.is_disabled() && stage("copy").is_disabled());
        assert_eq!(id(&span), None);
    }
}
