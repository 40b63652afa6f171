//! What happens in a round.

use std::time::Duration;

use fastrand::Rng;
use linkgate_store_core::failpoint::Step;
use linkgate_tests::Cut;

use super::{LEASE, STORES};

/// Something happens so long after the first call, at most.
const MOMENT_MS: u64 = 1_000;
/// Longer than a lease.
const PAUSE: Duration = Duration::from_secs(LEASE.as_secs() + 2);

/// What happens, and to which store.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// `kill -9`, so long after the first call.
    Kill { store: usize, after: Duration },
    /// The same at a step, when it is reached for the n-th time.
    KillAt { store: usize, step: Step, times: usize },
    /// It stands still for longer than its lease.
    Pause { store: usize, after: Duration },
    /// The same from a step on.
    PauseAt { store: usize, step: Step, times: usize },
    /// It is stopped in good order.
    Terminate { store: usize, after: Duration },
    /// The same, and this program is started instead.
    Replace { store: usize, program: String, after: Duration },
    /// The database crashes and is started again.
    DatabaseRestart { after: Duration },
    /// The database stands still.
    DatabasePause { after: Duration, time: Duration },
    /// So many commits get no reply, or are lost.
    CutCommits { cut: Cut, after: usize, times: usize },
    /// So many of a hundred requests to the bucket are answered so.
    StorageFails { status: u16, percent: u8 },
    /// So many of a hundred requests to the bucket take so much longer.
    StorageSlow { time: Duration, percent: u8 },
    /// So many of a hundred requests to the bucket get no reply, or are lost.
    StorageLoses { replies: bool, percent: u8 },
    /// The bucket stands still.
    StoragePause { after: Duration, time: Duration },
    /// The bucket's server crashes and is started again.
    StorageRestart { after: Duration },
}

impl Trouble {
    pub(super) fn choose(rng: &mut Rng) -> Self {
        let store = rng.usize(..STORES);
        let after = Duration::from_millis(rng.u64(..MOMENT_MS));
        let time = Duration::from_millis(rng.u64(500..4_000));
        let percent = rng.u8(5..40);
        let (step, times) = choose_step(rng);
        match rng.u8(..100) {
            0..14 => Self::Kill { store, after },
            14..34 => Self::KillAt { store, step, times },
            34..42 => Self::Pause { store, after },
            42..54 => Self::PauseAt { store, step, times },
            54..60 => Self::Terminate { store, after },
            60..66 => Self::DatabaseRestart { after },
            66..71 => Self::DatabasePause { after, time },
            71..81 => {
                let cut = if rng.bool() { Cut::BeforeCommit } else { Cut::AfterCommit };
                Self::CutCommits { cut, after: rng.usize(..20), times: rng.usize(1..6) }
            }
            81..86 => Self::StorageFails { status: if rng.bool() { 500 } else { 503 }, percent },
            86..90 => Self::StorageSlow { time: time / 4, percent },
            90..95 => Self::StorageLoses { replies: rng.bool(), percent: percent / 2 },
            95..98 => Self::StoragePause { after, time },
            _ => Self::StorageRestart { after },
        }
    }

    /// What it is called in reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "a store is killed at a random moment",
            Self::KillAt { .. } => "a store is killed at a step",
            Self::Pause { .. } => "a store stands still from a random moment on",
            Self::PauseAt { .. } => "a store stands still from a step on",
            Self::Terminate { .. } => "a store is stopped in good order",
            Self::Replace { .. } => "a store is replaced by one of another release",
            Self::DatabaseRestart { .. } => "the database crashes and is started again",
            Self::DatabasePause { .. } => "the database stands still",
            Self::CutCommits { .. } => "commits get no reply",
            Self::StorageFails { .. } => "the storage fails",
            Self::StorageSlow { .. } => "the storage is slow",
            Self::StorageLoses { .. } => "the storage's requests or replies get lost",
            Self::StoragePause { .. } => "the storage stands still",
            Self::StorageRestart { .. } => "the storage crashes and is started again",
        }
    }

    /// Where a store must be armed for it, and how.
    pub(super) fn failpoint(&self) -> Option<(usize, String)> {
        match self {
            Self::KillAt { store, step, times } => Some((*store, format!("{}:{times}", step.name()))),
            Self::PauseAt { store, step, times } => Some((*store, format!("{}:{times}:stop", step.name()))),
            _ => None,
        }
    }

    /// How long a store stands still.
    pub(super) fn pause() -> Duration {
        PAUSE
    }
}

/// A step that stores over a bucket reach while callers call.
fn choose_step(rng: &mut Rng) -> (Step, usize) {
    const STEPS: [(Step, usize); 15] = [
        (Step::AcceptDue, 5),
        (Step::Accepted, 5),
        (Step::BlockWritten, 30),
        (Step::BlobWritten, 10),
        (Step::BlobSynced, 10),
        (Step::RenameDue, 10),
        (Step::BlobCommitted, 10),
        (Step::CommitDue, 10),
        (Step::Committed, 10),
        (Step::ReplacedFound, 4),
        (Step::ReplacedRemoved, 4),
        (Step::ReplyDue, 10),
        (Step::DeleteDue, 4),
        (Step::Deleted, 4),
        (Step::RestoreDue, 1),
    ];
    let (step, most) = STEPS[rng.usize(..STEPS.len())];
    (step, 1 + rng.usize(..most))
}
