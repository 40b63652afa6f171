//! The export of spans: OTLP over HTTP, as protobuf, from a thread of its own.
//!
//! Promises: an upload never waits for a collector. Spans wait in a bounded queue; what does not fit, and what a collector
//! did not take in time, is lost, and the log says so, at most once a minute. The end of the store waits for at most
//! [`FLUSH_WITHIN`].

use std::sync::Mutex;
use std::time::{Duration, Instant};

use linkgate_store_core::trace::TARGET;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter, SpanLimits,
};
use reqwest::redirect::Policy;
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TraceConfig;

/// Spans that wait; some 2 KiB each, and an upload has a dozen.
const QUEUED_SPANS: usize = 2_048;
const SPANS_IN_AN_EXPORT: usize = 512;
const EXPORT_EVERY: Duration = Duration::from_secs(5);
/// For what is left at the end.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client, for example when this machine has no root certificates.
    #[error("the HTTP client for traces cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// The rest.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// The way of spans to a collector.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Makes it ready. Whether the collector can be reached shows with the first export. Not to be called, nor the value to
    /// be dropped, by an asynchronous task: the client brings a runtime of its own.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn open(config: &TraceConfig) -> Result<Self, TracesError> {
        let client = reqwest::blocking::Client::builder()
            // The headers may hold a secret that is meant for this collector only.
            .redirect(Policy::none())
            .timeout(config.timeout)
            .build()?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(config.endpoint.as_str())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(config.timeout)
            .with_headers(config.headers.iter().cloned().collect())
            .build()?;
        // All of it is said here and below, so that nothing that the SDK finds in the environment counts.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUED_SPANS)
            .with_max_export_batch_size(SPANS_IN_AN_EXPORT)
            .with_scheduled_delay(EXPORT_EVERY)
            .build();
        let processor =
            BatchSpanProcessor::builder(Told { exporter, losses: Mutex::default() }).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(config.sampler.clone())
            .with_span_limits(SpanLimits::default())
            .with_resource(resource(config))
            .build();
        Ok(Self(provider))
    }

    /// What a subscriber needs to hand over our spans. Of anything else, such as log lines, which may say more than a
    /// collector is to know, nothing is handed over.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(|of| of.target() == TARGET).with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what is left.
    pub fn finish(self) {
        if let Err(e) = self.0.shutdown_with_timeout(FLUSH_WITHIN) {
            warn!(error = %e, "The last spans were not exported");
        }
    }
}

fn resource(config: &TraceConfig) -> Resource {
    let attributes = config.attributes.iter().cloned().map(|(name, value)| KeyValue::new(name, value));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(attributes)
        .with_service_name(config.service_name.clone())
        .build()
}

/// Says of failures what an operator needs, and not each time.
#[derive(Debug)]
struct Told<E> {
    exporter: E,
    losses: Mutex<Losses>,
}

/// What was lost and not yet said.
#[derive(Debug, Default)]
struct Losses {
    spans: usize,
    warned: Option<Instant>,
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        let mut losses = self.losses.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                if losses.warned.take().is_some() {
                    info!(traces.lost_spans = losses.spans, "Spans are exported again");
                    losses.spans = 0;
                }
            }
            Err(e) => {
                losses.spans += spans;
                if losses.warned.is_none_or(|when| when.elapsed() >= WARN_EVERY) {
                    warn!(traces.lost_spans = losses.spans, error = %e, "Spans were not exported");
                    *losses = Losses { spans: 0, warned: Some(Instant::now()) };
                }
            }
        }
        // The SDK would log every failure again.
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
