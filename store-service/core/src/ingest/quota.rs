//! How an upload is held to its quota: by what it announces, before anything is fetched, and again by what the source says. The
//! last word is the catalog's, in the transaction that records.

use tracing::warn;

use super::job::Job;
use super::ports::{Actor, Catalog as _, Changes as _, QuotaClaim, QuotaReservation as _, Services};
use super::request::PackageRequest;
use super::steps::Reservation;
use super::{Ingest, IngestError, Upload, chain};
use crate::settings::{Demand, QuotaExceeded, UsageOfTarget};

impl<V: Services> Ingest<V> {
    /// Announces a package whose version is known. One whose version the package itself says is judged when that is known.
    pub(super) async fn reserve<R: PackageRequest>(
        &self,
        job: &Job<R>,
        bytes: u64,
    ) -> Result<Option<Reservation<V>>, IngestError> {
        let Upload { target, request, .. } = &job.upload;
        let quota = self.rules.quotas.of_module(target);
        let Some(version) = request.version().cloned() else {
            let alone = Demand { package_bytes: bytes, ..Demand::default() };
            quota.judge(UsageOfTarget::default(), alone).map_err(IngestError::QuotaExceeded)?;
            return Ok(None);
        };
        let claim = QuotaClaim { job: job.id(), target: target.clone(), version, bytes, quota };
        Ok(Some(self.catalog.reserve(claim).await?))
    }

    /// Judges what the source says of the size, if the caller has said nothing.
    pub(super) async fn judge_total(
        &self,
        job: &Job,
        reservation: &mut Option<Reservation<V>>,
    ) -> Result<(), IngestError> {
        match (job.upload.request.size, job.progress.total(), reservation) {
            (None, Some(total), Some(reservation)) => Ok(reservation.grow(total).await?),
            (None, Some(total), None) => {
                let quota = self.rules.quotas.of_module(&job.upload.target);
                let alone = Demand { package_bytes: total, ..Demand::default() };
                quota.judge(UsageOfTarget::default(), alone).map_err(IngestError::QuotaExceeded)
            }
            _ => Ok(()),
        }
    }

    /// Leaves an event of an upload that its quota refused.
    pub(super) async fn note_refusal<R: PackageRequest>(&self, job: &Job<R>, exceeded: QuotaExceeded) {
        let Upload { target, request, caller_app, operator, request_id, client_address, .. } = &job.upload;
        let actor = Actor {
            app: caller_app.clone(),
            operator: Some(operator.clone()),
            request_id: request_id.clone(),
            client_address: client_address.clone(),
        };
        let noted = self.catalog.note_refusal(target, request.version(), &actor, exceeded.scope).await;
        if let Err(e) = noted {
            warn!(job.id = %job.id(), error = chain(&e), "Cannot record that job `{}` was refused by a quota", job.id());
        }
    }
}
