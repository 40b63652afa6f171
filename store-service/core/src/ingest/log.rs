//! What the log says of uploads.

use std::time::Duration;

use linkgate_archive::ArchiveError;
use tracing::{Span, error, info};

use super::job::Job;
use super::ports::PackageRow;
use super::{IngestError, PackageRequest, chain};
use crate::trace;

/// The closing line of an upload. A link is shown without its query, where signed links carry their secrets.
pub(super) fn log_end<R: PackageRequest>(job: &Job<R>, took: Duration, outcome: &Result<PackageRow, IngestError>) {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (asked, job) = (&job.upload, job.id());
    let (app, name) = (asked.target.app.as_str(), asked.target.module.as_str());
    let trace = trace::id(&Span::current());
    let (id, url) = (asked.request_id.as_str(), asked.request.source());
    /// One line, at its level; what every line says stands here.
    macro_rules! line {
        ($level:ident, $($own:tt)*) => {
            $level!(
                request.id = id,
                job.id = %job,
                trace_id = trace,
                app.code = app,
                module.name = name,
                package.url = %url,
                upload.duration_ms = ms,
                $($own)*
            )
        };
    }
    match outcome {
        Ok(row) => line!(
            info,
            package.size_bytes = row.size_bytes,
            package.sha256 = %row.sha256,
            "Stored `{}` for `{app}`/`{name}`",
            row.version
        ),
        Err(
            e @ (IngestError::Blob(_)
            | IngestError::Archive(ArchiveError::Io(_))
            | IngestError::Catalog(_)
            | IngestError::Queue(_)),
        ) => {
            line!(error, error = chain(e), "Failed to store a package for `{app}`/`{name}`");
        }
        Err(e) => line!(info, error = chain(e), "Refused a package for `{app}`/`{name}`"),
    }
}
