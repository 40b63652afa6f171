//! What every adapter of the ports must do: one suite of tests, generic over them. An adapter is named to it with
//! [`conformance_tests!`].
//!
//! No test here waits for a time to pass on a clock: leases that must hold are long, and whoever waits for one to run out
//! waits as long as that takes.

mod blobs;
mod jobs;
mod lists;
mod nonces;
mod packages;

use std::time::Duration;

use linkgate_archive::{Format, Package};
use linkgate_contract::{CallerApp, CredentialName, JobId, Operator, PackageVersion, Sha256, TenantId};

use crate::budget::Bounds;
use crate::conditions::Conditions;
use crate::ingest::ports::{
    BlobStore, BytesFrom, Changes, Claim, Enqueued, Failure, Fetched, HolderId, JobEnd, JobQueue, JobRecord,
    JobRequest, NewJob, NewPackage, Provenance, UploadKey, UsedNonces,
};
use crate::ingest::{Allowance, now_ms};
use crate::sealing::Sealed;
use crate::settings::{QueueLimits, Quota};
use crate::testing::{example_target, queued_view};

pub use blobs::*;
pub use jobs::*;
pub use lists::*;
pub use nonces::*;
pub use packages::*;

/// Adapters over storage of their own, empty at first.
#[allow(async_fn_in_trait, reason = "tests await them where they call them")]
pub trait Adapters: Sized {
    /// The blobs.
    type Blobs: BlobStore;
    /// Packages and jobs.
    type Catalog: Changes + JobQueue + UsedNonces;

    /// What is not here that they need, if something is not.
    fn missing() -> Option<&'static str> {
        None
    }
    /// Makes them.
    async fn create(limits: QueueLimits) -> Self;
    /// As another process would find them after this one has died.
    async fn reopen(self, limits: QueueLimits) -> Self;
    /// The blobs.
    fn blobs(&self) -> Self::Blobs;
    /// Packages and jobs.
    fn catalog(&self) -> Self::Catalog;
}

/// Few of everything, and leases that hold.
pub const LIMITS: QueueLimits = QueueLimits {
    running: 3,
    per_host: 2,
    per_app: 2,
    queued: 2,
    queued_per_app: 2,
    resumed: 9,
    ended: Bounds { per_owner: 100, in_sum: 1_000 },
    nonces: Bounds { per_owner: 100, in_sum: 1_000 },
    queue_timeout: Duration::from_secs(10),
    lease: Duration::from_secs(3_600),
};

/// A job like no other one, unless its key says so. All are for one application, whoever calls.
#[must_use]
pub fn job(number: u8, host: &str, caller: &str) -> NewJob {
    let id = JobId::from_uuid(uuid::Uuid::now_v7());
    let view = queued_view(id, example_target());
    let request = JobRequest {
        body: format!("{{\"number\":{number}}}"),
        allowance: Allowance { credentials: vec![CredentialName::new("nexus").unwrap()], ..Allowance::default() },
        source_url: format!("https://{host}/{number}"),
        caller_app: Some(CallerApp::new(caller).unwrap()),
        operator: Operator::new("admin").unwrap(),
        tenant: Some(TenantId::new("system").unwrap()),
        request_id: String::new(),
        client_address: "192.0.2.7".to_owned(),
        sealed: Some(Sealed::from_bytes(vec![number, 0, 255])),
    };
    NewJob {
        record: JobRecord { view, request, keys: Vec::new(), lives: 0, upload_key: None, is_queued: true },
        key: UploadKey(Sha256::from_bytes([number; 32])),
        host: host.to_owned(),
        is_resumed: false,
    }
}

fn id(job: &NewJob) -> JobId {
    job.record.view.id
}

/// A job has failed.
#[must_use]
pub fn failed() -> JobEnd {
    JobEnd::Failed(Failure::from_problem(&linkgate_contract::Problem::new(linkgate_contract::ErrorCode::Internal)))
}

async fn enqueue(queue: &impl JobQueue, job: &NewJob) {
    assert_eq!(queue.enqueue(job.clone()).await.unwrap(), Enqueued::Queued);
}

/// A claim of a job that may run now.
async fn claim(queue: &impl JobQueue, holder: HolderId) -> Claim {
    queue.claim(holder).await.unwrap()
}

/// Whether nothing can be claimed now: whoever asks still waits when everything else that can happen has happened.
async fn nothing_to_claim(queue: &impl JobQueue) -> bool {
    let waiting = queue.clone();
    let task = tokio::spawn(async move { waiting.claim(HolderId::random()).await.unwrap() });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let waits = !task.is_finished();
    task.abort();
    let _aborted_or_claimed = task.await;
    waits
}

fn digest(bytes: &[u8]) -> Sha256 {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    Sha256::from_bytes(digest)
}

fn fetched() -> Fetched {
    Fetched {
        final_url: "https://mirror.example/a.tgz".to_owned(),
        etag: Some("\"v1\"".to_owned()),
        last_modified: None,
        has_marked_end: true,
    }
}

/// A package with these bytes.
#[must_use]
pub fn package(bytes: &[u8], version: &str) -> NewPackage {
    NewPackage {
        target: example_target(),
        registers_module: true,
        version: PackageVersion::new(version).unwrap(),
        package_name: format!("package:{version}"),
        size_bytes: bytes.len() as u64,
        sha256: digest(bytes),
        package: Package {
            format: Format::Opaque,
            relative_path: "./".to_owned(),
            meta_info: None,
            version: None,
            entries: 0,
            members: Vec::new(),
            unpacked_bytes: 0,
            proves_whole: true,
            version_fault: None,
        },
        provenance: Provenance { bytes: BytesFrom::Source(fetched()), ended_ms: now_ms(), statement: "{}".to_owned() },
        operator: Operator::new("admin").unwrap(),
        allow_overwrite: false,
        conditions: Conditions::default(),
        quota: Quota::default(),
    }
}

/// Names adapters to the suite: one test for each of its functions. With `of one process`, whose locks keep all others
/// apart, also what holds of blobs that get a name again, and of jobs that nobody else can claim; adapters of several processes need
/// blobs that never do.
#[macro_export]
macro_rules! conformance_tests {
    ($adapters:ty, of one process) => {
        $crate::conformance_tests! { $adapters }
        $crate::conformance_tests! { $adapters:
            publishing_and_collecting_lose_nothing, accepted_jobs_are_claimed_again,
            accepted_jobs_that_were_withdrawn_are_queued_again, accepted_jobs_in_hand_are_queued_when_they_are_given_up,
            accepted_jobs_are_known_by_what_they_were_queued_with
        }
    };
    ($adapters:ty) => {
        $crate::conformance_tests! { $adapters:
            limits_hold, turns_are_kept, callers_have_shares, accepted_jobs_count_for_their_caller,
            resumed_jobs_begin_a_few_at_a_time, so_many_ended_jobs_are_remembered, withdrawn_jobs_are_gone, equal_uploads_are_one_job, old_claims_are_fenced,
            heartbeats_tell_progress_and_cancellation, accepted_jobs_outlive_their_process,
            blobs_are_committed_by_digest, abandoned_writers_leave_nothing, packages_are_recorded, a_key_goes_to_the_first_that_is_recorded, what_is_recorded_counts_once,
            conditions_are_judged_where_a_package_is_recorded,
            stored_bytes_have_their_origin, a_package_is_read_in_its_own_module_alone, packages_are_listed_in_order, walks_by_id_stay_where_they_are,
            packages_are_found_by_what_they_are, details_and_sums_are_of_the_module, modules_are_listed_by_name,
            pinned_packages_are_told, jobs_are_listed_by_module, a_nonce_serves_once, a_late_nonce_is_refused,
            nonces_are_bounded
        }
    };
    ($adapters:ty: $($test:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                match <$adapters as $crate::testing::conformance::Adapters>::missing() {
                    Some(missing) => println!("{missing}: nothing was tried"),
                    None => $crate::testing::conformance::$test::<$adapters>().await,
                }
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    /// One that is forgotten there would be compiled, and never run.
    #[test]
    fn every_test_of_the_suite_is_named_to_the_adapters() {
        let (_, named) = include_str!("conformance.rs").split_once("macro_rules! conformance_tests").unwrap();
        let suite = [
            include_str!("conformance/blobs.rs"),
            include_str!("conformance/jobs.rs"),
            include_str!("conformance/lists.rs"),
            include_str!("conformance/nonces.rs"),
            include_str!("conformance/packages.rs"),
        ];
        let tests = suite.iter().flat_map(|text| text.split("pub async fn ").skip(1));
        let tests: Vec<_> = tests.filter_map(|rest| rest.split_once("<A: Adapters>()")).map(|(name, _)| name).collect();
        assert!(tests.len() > 30, "{tests:?}");
        let is_named = |test: &str| named.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == test);
        let forgotten: Vec<_> = tests.into_iter().filter(|test| !is_named(test)).collect();
        assert!(forgotten.is_empty(), "{forgotten:?}");
    }
}
