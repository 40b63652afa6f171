//! Steps at which the store can be made to kill itself, to prove that a crash there loses nothing, or to stand still, to prove
//! that what it does when it goes on harms nothing that others have done meanwhile.
//!
//! Promises: without the feature `failpoints` reaching a step does nothing, and the setting that arms one is refused like
//! any other that the store does not know. Nothing that is shipped has the feature on; `cargo xtask chaos` builds a store
//! of its own with it.

/// A step after which a crash must leave everything whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// An upload that goes on without its caller is written into the catalog, not committed.
    AcceptDue,
    /// It is committed, the caller does not know.
    Accepted,
    /// A temporary file is there, empty.
    WriterOpened,
    /// Some bytes are written.
    BlockWritten,
    /// All bytes are written, none is durable.
    BlobWritten,
    /// All bytes are durable, under no name.
    BlobSynced,
    /// The folder of a package is made, not durable.
    FolderMade,
    /// A package is about to get its name.
    RenameDue,
    /// It has its name, not durable.
    Renamed,
    /// Its name is durable, no row points at it.
    BlobCommitted,
    /// Its row is written, not committed.
    CommitDue,
    /// Its row is committed, the caller does not know.
    Committed,
    /// What it replaced is in no row and about to be removed.
    ReplacedFound,
    /// What it replaced is removed.
    ReplacedRemoved,
    /// A package is unlinked, not durable.
    Unlinked,
    /// All is done but the reply.
    ReplyDue,
    /// Garbage collection found an orphaned blob and is about to delete it.
    GcFound,
    /// Garbage collection has deleted it.
    GcRemoved,
    /// A package is marked as deleted, not committed.
    DeleteDue,
    /// That is committed, the caller does not know.
    Deleted,
    /// A deleted package is live again, not committed.
    RestoreDue,
    /// That is committed, the caller does not know.
    Restored,
    /// Deleted packages have given up their bytes, not committed.
    PurgeDue,
    /// That is committed, and the bytes are there still.
    Purged,
    /// A pin is written or taken away, not committed.
    PinDue,
    /// That is committed, the caller does not know.
    Pinned,
    /// What a plan names is marked as deleted, not committed.
    CleanupDue,
    /// That is committed.
    CleanedUp,
}

impl Step {
    /// All of them: those of an upload in its order, then those of what is done to stored packages.
    pub const ALL: [Self; 28] = [
        Self::AcceptDue,
        Self::Accepted,
        Self::WriterOpened,
        Self::BlockWritten,
        Self::BlobWritten,
        Self::BlobSynced,
        Self::FolderMade,
        Self::RenameDue,
        Self::Renamed,
        Self::BlobCommitted,
        Self::CommitDue,
        Self::Committed,
        Self::ReplacedFound,
        Self::ReplacedRemoved,
        Self::Unlinked,
        Self::ReplyDue,
        Self::GcFound,
        Self::GcRemoved,
        Self::DeleteDue,
        Self::Deleted,
        Self::RestoreDue,
        Self::Restored,
        Self::PurgeDue,
        Self::Purged,
        Self::PinDue,
        Self::Pinned,
        Self::CleanupDue,
        Self::CleanedUp,
    ];

    /// What it is called in the setting and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptDue => "accept-due",
            Self::Accepted => "accepted",
            Self::WriterOpened => "writer-opened",
            Self::BlockWritten => "block-written",
            Self::BlobWritten => "blob-written",
            Self::BlobSynced => "blob-synced",
            Self::FolderMade => "folder-made",
            Self::RenameDue => "rename-due",
            Self::Renamed => "renamed",
            Self::BlobCommitted => "blob-committed",
            Self::CommitDue => "commit-due",
            Self::Committed => "committed",
            Self::ReplacedFound => "replaced-found",
            Self::ReplacedRemoved => "replaced-removed",
            Self::Unlinked => "unlinked",
            Self::ReplyDue => "reply-due",
            Self::GcFound => "gc-found",
            Self::GcRemoved => "gc-removed",
            Self::DeleteDue => "delete-due",
            Self::Deleted => "deleted",
            Self::RestoreDue => "restore-due",
            Self::Restored => "restored",
            Self::PurgeDue => "purge-due",
            Self::Purged => "purged",
            Self::PinDue => "pin-due",
            Self::Pinned => "pinned",
            Self::CleanupDue => "cleanup-due",
            Self::CleanedUp => "cleaned-up",
        }
    }
}

/// Says that a step is reached.
#[inline]
pub fn reached(step: Step) {
    #[cfg(feature = "failpoints")]
    armed::reached(step);
    #[cfg(not(feature = "failpoints"))]
    let _nobody_asked = step;
}

#[cfg(feature = "failpoints")]
pub use armed::arm;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use crate::failpoint::Step;

    static ARMED: OnceLock<Armed> = OnceLock::new();

    struct Armed {
        step: Step,
        left: AtomicU32,
        /// Instead of being killed.
        stands_still: bool,
    }

    /// Arms `step:n`: the process is killed, as by `kill -9`, when the step is reached for the n-th time. With `step:n:stop` it
    /// stands still there until somebody lets it go on (`SIGCONT`). The first one that is armed stays.
    ///
    /// # Errors
    /// If there is no such step or number.
    pub fn arm(text: &str) -> Result<(), &'static str> {
        let (name, rest) = text.split_once(':').ok_or("must be `step:n` or `step:n:stop`")?;
        let (times, stands_still) = rest.strip_suffix(":stop").map_or((rest, false), |times| (times, true));
        let step = Step::ALL.into_iter().find(|step| step.name() == name).ok_or("names no step")?;
        let left = times.parse().map(AtomicU32::new).map_err(|_| "must end in a number, or in a number and `:stop`")?;
        ARMED.get_or_init(|| Armed { step, left, stands_still });
        Ok(())
    }

    pub(super) fn reached(step: Step) {
        let Some(armed) = ARMED.get().filter(|armed| armed.step == step) else { return };
        if armed.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        if armed.stands_still {
            let _sent = kill_process(getpid(), Signal::STOP);
            return;
        }
        // The signal cannot be caught, so nothing below runs for longer than the kernel takes to deliver it.
        let _sent = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
