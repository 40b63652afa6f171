//! The handlers of the endpoints, each in a file of its own, and the one place that chooses among them.
//!
//! A new endpoint is a row in `contract/src/endpoint.rs`, a file here and an arm below, for which the compiler asks.

mod cancel_job;
pub(super) mod cleanup;
mod create_download_url;
mod delete_package;
mod download;
mod get_attestation;
pub(super) mod get_job;
pub(super) mod get_package;
pub(super) mod get_usage;
pub(super) mod list_events;
pub(super) mod list_jobs;
pub(super) mod list_members;
pub(super) mod list_modules;
pub(super) mod list_packages;
mod pin_package;
mod restore_package;
#[cfg(feature = "test-endpoint")]
mod show_test_query;
mod upload_by_link;
mod upload_file;

use linkgate_contract::{Operation, Problem};
use linkgate_store_core::ingest::ports::Services;

use super::Api;
use super::reply::Reply;
use super::request::Request;

/// Answers a request of a caller who is known.
pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    match request.route.endpoint.operation {
        Operation::UploadSourcePackageViaLink => upload_by_link::answer(api, request).await,
        Operation::GetSourcePackageJob => get_job::answer(api, request).await,
        Operation::UploadSourcePackage | Operation::PutSourcePackage => upload_file::answer(api, request).await,
        Operation::CancelSourcePackageJob => cancel_job::answer(api, request).await,
        Operation::DownloadSourcePackage => download::answer(api, request).await,
        Operation::GetSourcePackageAttestation => get_attestation::answer(api, request).await,
        Operation::CreateSourcePackageDownloadUrl => create_download_url::answer(api, request).await,
        Operation::DeleteSourcePackage => delete_package::answer(api, request).await,
        Operation::RestoreSourcePackage => restore_package::answer(api, request).await,
        Operation::PinSourcePackage => pin_package::answer(api, request).await,
        Operation::UnpinSourcePackage => pin_package::take_away(api, request).await,
        Operation::ExplainSourcePackageCleanup => cleanup::explain(api, request).await,
        Operation::RunSourcePackageCleanup => cleanup::run(api, request).await,
        Operation::ListSourcePackages => list_packages::answer(api, request).await,
        Operation::GetSourcePackage => get_package::answer(api, request).await,
        Operation::GetSourcePackageUsage => get_usage::answer(api, request).await,
        Operation::ListSourcePackageEvents => list_events::answer(api, request).await,
        Operation::ListSourcePackageJobs => list_jobs::answer(api, request).await,
        Operation::ListSourcePackageMembers => list_members::answer(api, request).await,
        Operation::ListModules => list_modules::answer(api, request).await,
        #[cfg(feature = "test-endpoint")]
        Operation::ShowTestQuery => Ok(show_test_query::answer(&request)),
    }
}
