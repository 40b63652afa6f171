//! Settings of the log.

use tracing_subscriber::EnvFilter;

use super::vars::{Reader, Vars};

pub(super) const FILTER: &str = "LINKGATE_LOG";
pub(super) const FORMAT: &str = "LINKGATE_LOG_FORMAT";

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `LINKGATE_LOG`: what the store logs, on standard error: a level, or directives like `info,linkgate=debug`.
    /// Default `info`.
    pub filter: String,
    /// `LINKGATE_LOG_FORMAT`: `text` for people, `json` for machines. Default `text`.
    pub format: LogFormat,
}

impl LogConfig {
    pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> Self {
        let filter = reader.read_text(FILTER).unwrap_or_else(|| "info".to_owned());
        if let Err(e) = EnvFilter::try_new(&filter) {
            reader.fault(FILTER, format!("is `{filter}`, which is no log filter: {e}"));
        }
        let format = match reader.read_text(FORMAT).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                reader.fault(FORMAT, format!("is `{other}`, not `text` or `json`"));
                LogFormat::Text
            }
        };
        Self { filter, format }
    }
}
