//! What is recorded of a package, and what is said of where it came from.

use linkgate_archive::{ArchiveError, Package};
use linkgate_contract::Sha256;

use super::job::Job;
use super::ports::{BytesFrom, Fetched, NewPackage, Origin, Provenance, Services};
use super::{Ingest, IngestError, PackageRequest, Upload, now_ms};
use crate::attest::{Intake, Source};

/// Bytes that are here, and what is known of them.
pub(super) struct Arrived {
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
    pub(super) package: Package,
    pub(super) from: BytesFrom,
}

impl<V: Services> Ingest<V> {
    /// The request's version wins over the package's.
    pub(super) fn describe_package<R: PackageRequest>(
        &self,
        job: &Job<R>,
        registers_module: bool,
        arrived: Arrived,
    ) -> Result<NewPackage, IngestError> {
        let Upload { target, request, operator, .. } = &job.upload;
        let Arrived { sha256, size_bytes, package, from } = arrived;
        let version = request.version().cloned().or_else(|| package.version.clone());
        let version = version.ok_or_else(|| missing_version(&package))?;
        let package_name = request.package_name(&version)?;
        let ended_ms = now_ms();
        let view = job.view();
        let statement = self.signer.attest(&Intake {
            package_name: &package_name,
            sha256,
            size_bytes,
            target,
            version: &version,
            asked_for: &request.asked_for(),
            source: source(&from, view.attempts),
            caller_app: job.upload.caller_app.as_ref(),
            operator,
            request_id: &job.upload.request_id,
            job_id: view.id,
            started_ms: view.started_ms,
            ended_ms,
        });
        Ok(NewPackage {
            target: target.clone(),
            registers_module,
            package_name,
            version,
            size_bytes,
            sha256,
            package,
            provenance: Provenance { bytes: from, ended_ms, statement },
            operator: operator.clone(),
            allow_overwrite: request.allow_overwrite(),
            conditions: request.conditions(),
            quota: self.rules.quotas.of_module(target),
        })
    }
}

fn source(from: &BytesFrom, attempts: u32) -> Source<'_> {
    match from {
        BytesFrom::Source(Fetched { final_url, etag, last_modified, .. }) => {
            Source::Fetched { final_url, etag: etag.as_deref(), last_modified: last_modified.as_deref(), attempts }
        }
        BytesFrom::Stored(Origin { job_id, url, final_url, etag, last_modified }) => Source::Reused {
            job_id: *job_id,
            url,
            final_url,
            etag: etag.as_deref(),
            last_modified: last_modified.as_deref(),
        },
        BytesFrom::Caller => Source::Sent,
    }
}

/// Nobody gave a version that can be used.
fn missing_version(package: &Package) -> IngestError {
    match &package.version_fault {
        Some(fault) => ArchiveError::clone(fault).into(),
        None => IngestError::VersionMissing { format: package.format },
    }
}
