//! What a statement says.

use jiff::Timestamp;
use linkgate_contract::{CallerApp, JobId, ModuleRef, Operator, PackageUrl, PackageVersion, Sha256};
use serde_json::{Value, json};

/// Where the bytes came from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A download.
    Fetched {
        /// The link that gave them in the end, without its query.
        final_url: &'a str,
        /// Of the reply that gave them.
        etag: Option<&'a str>,
        /// The same.
        last_modified: Option<&'a str>,
        /// How often the source was asked.
        attempts: u32,
    },
    /// The module had these very bytes already, and nobody asked the upload's link: it is what the caller claims.
    Reused {
        /// The upload that downloaded them.
        job_id: JobId,
        /// The link that it asked for, without its query.
        url: &'a str,
        /// The link that gave them in the end, without its query.
        final_url: &'a str,
        /// Of the reply that gave them.
        etag: Option<&'a str>,
        /// The same.
        last_modified: Option<&'a str>,
    },
}

/// A package that was taken in.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are those of the statement, docs/OPERATIONS.md explains them")]
pub struct Intake<'a> {
    pub package_name: &'a str,
    pub sha256: Sha256,
    pub size_bytes: u64,
    pub target: &'a ModuleRef,
    pub version: &'a PackageVersion,
    pub source_url: &'a PackageUrl,
    pub source: Source<'a>,
    pub caller_app: Option<&'a CallerApp>,
    pub operator: &'a Operator,
    pub request_id: &'a str,
    pub job_id: JobId,
    pub started_ms: Option<i64>,
    pub ended_ms: i64,
}

impl Intake<'_> {
    pub(super) fn statement(&self) -> Value {
        let source = match self.source {
            Source::Fetched { final_url, etag, last_modified, attempts } => json!({
                "url": self.source_url.to_string(),
                "final_url": final_url,
                "etag": etag,
                "last_modified": last_modified,
                "attempts": attempts,
            }),
            Source::Reused { job_id, url, final_url, etag, last_modified } => json!({
                "url": url,
                "final_url": final_url,
                "etag": etag,
                "last_modified": last_modified,
                "reused": true,
                "job_id": job_id.to_string(),
                "claimed_url": self.source_url.to_string(),
            }),
        };
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": self.package_name, "digest": {"sha256": self.sha256}}],
            "predicateType": "urn:linkgate:intake:v1",
            "predicate": {
                "app_code": self.target.app.as_str(),
                "module": self.target.module.as_str(),
                "version": self.version,
                "size_bytes": self.size_bytes,
                "source": source,
                "caller": {
                    "app_code": self.caller_app.map_or("", CallerApp::as_str),
                    "operator": self.operator,
                    "request_id": self.request_id,
                },
                "job_id": self.job_id.to_string(),
                "started": self.started_ms.map(show),
                "ended": show(self.ended_ms),
                "store": {"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")},
            },
        })
    }
}

/// RFC 3339, in UTC.
fn show(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
