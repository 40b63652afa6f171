//! The log: a sentence a person can read, and fields that a query can find. And the export of traces, which is off unless
//! the operator names a collector.

mod traces;

use linkgate_store_core::trace::TARGET;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

pub use traces::{Traces, TracesError};

use crate::config::{LogConfig, LogFormat};

/// Starts the log, on standard error, and sends spans to these traces. A second call in one process changes nothing.
pub fn start(config: &LogConfig, traces: Option<&Traces>) {
    // Spans are none of the log's: its lines stand for themselves. The filter was checked when the settings were read; one
    // that cannot be parsed must not silence the store.
    let filter =
        EnvFilter::try_new(format!("{},{TARGET}=off", config.filter)).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = fmt::layer().with_writer(std::io::stderr);
    let log = match config.format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => log.json().boxed(),
    };
    drop(registry().with(log.with_filter(filter)).with(traces.map(Traces::layer)).try_init());
}
