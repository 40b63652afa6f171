//! Jobs: what is known and recorded of an upload.

pub use linkgate_contract::JobState;
use linkgate_contract::{CallerApp, JobId, Language, ModuleRef, Operator, Problem, Sha256, TenantId};
use serde::{Deserialize, Serialize};

use super::{PackageRow, UploadKey};
use crate::budget::Owner;
use crate::ingest::Allowance;
use crate::sealing::Sealed;

/// Why an upload failed, in the words of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The name of the code.
    pub code: String,
    zh: String,
    en: String,
    /// What programs do something with, if there is anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

impl Failure {
    /// Takes what a caller would have been answered.
    #[must_use]
    pub fn from_problem(problem: &Problem) -> Self {
        let [zh, en] = [Language::Chinese, Language::English].map(|language| problem.detail(language));
        Self { code: problem.code().name().to_owned(), zh, en, data: problem.data().cloned() }
    }

    /// What is wrong.
    #[must_use]
    pub fn detail(&self, language: Language) -> &str {
        match language {
            Language::Chinese => &self.zh,
            Language::English => &self.en,
        }
    }
}

/// How an upload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// With a package, as it was recorded then.
    Done(PackageRow),
    /// Without one.
    Failed(Failure),
    /// Without one, for somebody cancelled it.
    Cancelled(Failure),
}

impl JobEnd {
    /// The state of one that ended so.
    #[must_use]
    pub fn state(&self) -> JobState {
        match self {
            Self::Done(_) => JobState::Done,
            Self::Failed(_) => JobState::Failed,
            Self::Cancelled(_) => JobState::Cancelled,
        }
    }
}

/// What whoever asks for a job reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Its name.
    pub id: JobId,
    /// Where its package goes.
    pub target: ModuleRef,
    /// How far it is.
    pub state: JobState,
    /// Bytes that have come.
    pub received_bytes: u64,
    /// Bytes that will come, if the source said.
    pub total_bytes: Option<u64>,
    /// How often the source was asked.
    pub attempts: u32,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// When its download began.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// How it ended, if it has.
    pub end: Option<JobEnd>,
}

/// A caller's key for a request, and the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobKey {
    /// Of the caller and the key.
    pub key: Sha256,
    /// Of the request.
    pub fingerprint: Sha256,
}

/// What it takes to run an upload again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// The body of the request, in the API's form or as it was sealed: a record outlives the program that wrote it, and whoever takes the job up
    /// judges the request anew.
    pub body: String,
    /// What the gate's policy allowed it.
    pub allowance: Allowance,
    /// The link as it is shown, without its query; it cannot be fetched.
    pub source_url: String,
    /// Which application asked, if one was verified.
    pub caller_app: Option<CallerApp>,
    /// On whose behalf.
    pub operator: Operator,
    /// The tenant that it is for, where there are tenants.
    pub tenant: Option<TenantId>,
    /// The gateway's id of the request.
    pub request_id: String,
    /// Where the request came from, as the gate saw it. May be empty.
    pub client_address: String,
    /// The caller's own credential for the source, if it sent one and there is a key.
    pub sealed: Option<Sealed>,
}

impl JobRequest {
    /// On whose account the job is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::of(self.caller_app.as_ref(), &self.operator)
    }
}

/// A job as it is recorded.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// What is known of it. Its state and end are not looked at: the statement says them.
    pub view: JobView,
    /// What it takes to run it.
    pub request: JobRequest,
    /// The keys under which it was asked for.
    pub keys: Vec<JobKey>,
    /// How often a process began to work on it and did not give it back in good order.
    pub lives: u32,
    /// What makes it the same as another one; `None` if that is to be left as it was recorded.
    pub upload_key: Option<UploadKey>,
    /// Whether the queue keeps it apart from others with the same keys.
    pub is_queued: bool,
}
