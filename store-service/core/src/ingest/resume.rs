//! Takes up what a store before this one had promised.
//!
//! Promises: every upload that was accepted and has not ended begins again, under its old name; what has come of it before
//! is not used. One that may not be done any more ends with the reason.

use std::sync::Arc;

use linkgate_contract::{AllowList, HostRule, LinkRequest, MediaType, Problem};
use tracing::{info, warn};

use super::job::{Job, Standing};
use super::ports::{BlobStore, Catalog, CatalogError, Failure, JobEnd, JobRecord, JobRequest, Source};
use super::{Allowance, Ingest, Upload};

impl<S: Source, B: BlobStore, L: Catalog> Ingest<S, B, L> {
    /// Begins them again. Called once, before anybody can ask for more.
    ///
    /// # Errors
    /// If the books fail.
    pub async fn resume(self: &Arc<Self>) -> Result<(), CatalogError> {
        for record in self.catalog.unfinished().await? {
            let (id, created_ms) = (record.view.id, record.view.created_ms);
            match self.read(&record) {
                Ok(upload) => {
                    info!(job.id = %id, request.id = upload.request_id, "Beginning an upload again that was accepted before");
                    let job = Job::new(id, upload, created_ms, Standing::Accepted);
                    // Its keys lead to it through the books.
                    if self.jobs.join(job, None, |job, listed| self.spawn(job, listed)).is_err() {
                        warn!(job.id = %id, "An upload that was accepted before waits for the next start");
                    }
                }
                Err(problem) => {
                    let failure = Failure::of(&problem);
                    warn!(job.id = %id, error = failure.code, "An upload that was accepted before may not be done any more");
                    self.catalog.give_up(record, JobEnd::Failed(failure)).await?;
                }
            }
        }
        Ok(())
    }

    /// Judged like any request, for the operator may have changed what is allowed.
    fn read(&self, record: &JobRecord) -> Result<Upload, Problem> {
        let JobRequest { body, private_hosts, opaque, caller_app, operator, request_id, .. } = &record.request;
        // They were written from a list of such.
        let private_hosts = AllowList::new(private_hosts.iter().filter_map(|host| HostRule::new(host).ok()).collect());
        Ok(Upload {
            target: record.view.target.clone(),
            request: LinkRequest::read(MediaType::Json, body.as_bytes(), &self.allowed_hosts)?,
            caller_app: caller_app.clone(),
            operator: operator.clone(),
            allowance: Allowance { private_hosts, opaque: *opaque },
            request_id: request_id.clone(),
        })
    }
}
