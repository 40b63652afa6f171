//! What a statement says.

use jiff::Timestamp;
use linkgate_contract::{CallerApp, JobId, ModuleRef, Operator, PackageVersion, Sha256};
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
    /// The caller sent them.
    Sent,
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
    pub asked_for: &'a str,
    pub source: Source<'a>,
    pub caller_app: Option<&'a CallerApp>,
    pub operator: &'a Operator,
    pub request_id: &'a str,
    pub job_id: JobId,
    pub started_ms: Option<i64>,
    pub ended_ms: i64,
}

/// What the parameters below are, for those who check statements by policy.
const BUILD_BY_LINK: &str = "urn:linkgate:upload-via-link:v1";
const BUILD_BY_FILE: &str = "urn:linkgate:upload-by-file:v1";
/// Who signs.
const BUILDER: &str = "urn:linkgate:store";

impl Intake<'_> {
    /// The statement, in the form of SLSA's provenance: what was asked for, which bytes it came to, who did it and when.
    pub(super) fn statement(&self) -> Value {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": self.package_name, "digest": {"sha256": self.sha256}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": self.build_type(),
                    "externalParameters": self.external_parameters(),
                    "internalParameters": self.internal_parameters(),
                    "resolvedDependencies": [self.resolved_source()],
                },
                "runDetails": {
                    "builder": {"id": BUILDER, "version": {"linkgate-store": env!("CARGO_PKG_VERSION")}},
                    "metadata": without_nulls(json!({
                        "invocationId": self.job_id.to_string(),
                        "startedOn": self.started_ms.map(show),
                        "finishedOn": show(self.ended_ms),
                    })),
                },
            },
        })
    }

    fn build_type(&self) -> &'static str {
        match self.source {
            Source::Sent => BUILD_BY_FILE,
            Source::Fetched { .. } | Source::Reused { .. } => BUILD_BY_LINK,
        }
    }

    /// What the caller asked for. A link that nobody asked is a claim.
    fn external_parameters(&self) -> Value {
        let what = match self.source {
            Source::Fetched { .. } => "package_url",
            Source::Reused { .. } => "claimed_url",
            Source::Sent => "file_name",
        };
        json!({
            what: self.asked_for,
            "app_code": self.target.app.as_str(),
            "module": self.target.module.as_str(),
            "version": self.version,
        })
    }

    fn internal_parameters(&self) -> Value {
        let (attempts, reused) = match self.source {
            Source::Fetched { attempts, .. } => (json!(attempts), Value::Null),
            Source::Reused { job_id, url, .. } => {
                (Value::Null, json!({"job_id": job_id.to_string(), "package_url": url}))
            }
            Source::Sent => (Value::Null, Value::Null),
        };
        without_nulls(json!({
            "caller": {
                "app_code": self.caller_app.map_or("", CallerApp::as_str),
                "operator": self.operator,
                "request_id": self.request_id,
            },
            "size_bytes": self.size_bytes,
            "attempts": attempts,
            "reused": reused,
        }))
    }

    /// The file that the bytes are.
    fn resolved_source(&self) -> Value {
        let (Source::Fetched { final_url, etag, last_modified, .. }
        | Source::Reused { final_url, etag, last_modified, .. }) = self.source
        else {
            return json!({"name": self.asked_for, "digest": {"sha256": self.sha256}});
        };
        json!({
            "uri": final_url,
            "digest": {"sha256": self.sha256},
            "annotations": without_nulls(json!({"etag": etag, "last_modified": last_modified})),
        })
    }
}

/// The form knows no null.
fn without_nulls(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

/// RFC 3339, in UTC.
fn show(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
