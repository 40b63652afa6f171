//! For tests, of this crate and of adapters: examples, and the suite that every adapter must pass.

pub mod blob_keys;
pub mod conformance;

use linkgate_archive::{Limits, Opaque};
use linkgate_contract::{
    AllowList, AppCode, CallerApp, ErrorCode, JobId, ModuleName, ModuleRef, Operator, PackageUrl, PackageVersion,
    Problem, UploadByLinkRequest,
};

use crate::ingest::ports::{JobState, JobView};
use crate::ingest::{Allowance, Rules, Upload, now_ms};
use crate::sealing::{Sealer, SealingKeys};
use crate::settings::{FileRules, InspectionRules, ModuleRules, QueueLimits, QuotaRules};

/// An upload that may overwrite.
#[must_use]
pub fn example_upload(link: &str, version: &str) -> Upload {
    Upload {
        target: example_target(),
        request: UploadByLinkRequest {
            package_url: PackageUrl::new(link).expect("a good link"),
            version: Some(PackageVersion::new(version).expect("a good version")),
            allow_overwrite: true,
            sha256: None,
            size: None,
        },
        caller_app: Some(CallerApp::new("ci").unwrap()),
        operator: Operator::new("admin").unwrap(),
        tenant: None,
        allowance: Allowance::default(),
        callers_own: None,
        request_id: String::new(),
        client_address: String::new(),
    }
}

/// A job that waits for its turn.
#[must_use]
pub fn queued_view(id: JobId, target: ModuleRef) -> JobView {
    JobView {
        id,
        target,
        state: JobState::Queued,
        received_bytes: 0,
        total_bytes: None,
        attempts: 0,
        created_ms: now_ms(),
        started_ms: None,
        ended_ms: None,
        end: None,
    }
}

/// Whose package the examples are.
#[must_use]
pub fn example_target() -> ModuleRef {
    ModuleRef {
        app: AppCode::new("app").expect("a good code"),
        module: ModuleName::new("default").expect("a good name"),
    }
}

/// Everything is allowed.
#[must_use]
pub fn lenient_rules() -> Rules {
    Rules {
        modules: ModuleRules::default(),
        packages: Limits { opaque: Opaque::Allow, ..Limits::default() },
        quotas: QuotaRules::default(),
        inspection: InspectionRules::default(),
        files: FileRules::default(),
        queue: QueueLimits::default(),
        max_lives: 3,
        allowed_hosts: AllowList::default(),
        sealer: Sealer::new(&SealingKeys::default()).unwrap(),
        explain: |_| Problem::new(ErrorCode::Internal),
    }
}
