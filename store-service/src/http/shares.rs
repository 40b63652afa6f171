//! What requests hold: a connection while they wait for an upload, watch it or download a package, memory while their body
//! comes or their page goes.
//!
//! Promises: whoever is known has a share of each, and so has each upload of those who wait for it; nobody else's requests
//! are held up by one caller's. Whoever has neither to wait nor to watch takes nothing from either.

use linkgate_contract::JobId;
use linkgate_store_core::budget::{Bounds, Budget, Exhausted, Owner, Permit};

use crate::config::{SeatBounds, ServerConfig};

/// Bodies of the largest size that one caller may have in memory, and all of them.
const BODIES_PER_CALLER: usize = 16;
const BODIES: usize = 64;
/// Bytes of pages that one caller may have in memory, and all of them.
const PAGES: Bounds = Bounds { per_owner: 8 << 20, in_sum: 16 << 20 };

/// All of it.
pub struct Shares {
    /// Requests that wait for the end of an upload.
    pub(super) waiters: Seats,
    /// Event streams, and requests that wait for an upload to be cancelled.
    pub(super) watchers: Seats,
    downloads: Budget,
    bodies: Budget,
    pages: Budget,
}

/// Requests that are held open.
pub(super) struct Seats {
    kind: Kind,
    by_caller: Budget,
    by_upload: Budget<JobId>,
}

/// What holds a request open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Waiter,
    Watcher,
    Download,
}

/// Whose share is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Caller,
    Upload,
    Everybody,
}

/// As many requests are held open as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many requests are held open as may be, {bound} ({kind:?}, {whose:?})")]
pub(super) struct TooMany {
    pub(super) kind: Kind,
    pub(super) whose: Whose,
    pub(super) bound: usize,
}

impl Shares {
    /// Nobody holds anything.
    #[must_use]
    pub fn new(config: &ServerConfig) -> Self {
        let bodies = |count: usize| config.max_body_bytes.saturating_mul(count);
        Self {
            waiters: Seats::new(Kind::Waiter, config.waiters),
            watchers: Seats::new(Kind::Watcher, config.watchers),
            downloads: Budget::new(config.downloads),
            bodies: Budget::new(Bounds { per_owner: bodies(BODIES_PER_CALLER), in_sum: bodies(BODIES) }),
            pages: Budget::new(PAGES),
        }
    }

    /// A place for the download of a package.
    pub(super) fn download(&self, owner: Owner) -> Result<Permit, TooMany> {
        self.downloads.take(owner, 1).map_err(|exhausted| TooMany::new(Kind::Download, exhausted, Whose::Caller))
    }

    /// What a body grows in.
    pub(super) fn body(&self, owner: Owner) -> Result<Permit, Exhausted> {
        self.bodies.take(owner, 0)
    }

    /// What a page takes until it is sent.
    pub(super) fn page(&self, owner: Owner, bytes: usize) -> Result<Permit, Exhausted> {
        self.pages.take(owner, bytes)
    }
}

impl Seats {
    fn new(kind: Kind, bounds: SeatBounds) -> Self {
        let per_upload = Bounds { per_owner: bounds.per_upload, in_sum: usize::MAX };
        Self { kind, by_caller: Budget::new(bounds.by_caller), by_upload: Budget::new(per_upload) }
    }

    /// A seat of this caller.
    pub(super) fn of_caller(&self, owner: Owner) -> Result<Permit, TooMany> {
        self.by_caller.take(owner, 1).map_err(|exhausted| self.too_many(exhausted, Whose::Caller))
    }

    /// A seat at this upload. Whoever takes it has one of its caller.
    pub(super) fn at_upload(&self, job: JobId) -> Result<Permit<JobId>, TooMany> {
        self.by_upload.take(job, 1).map_err(|exhausted| self.too_many(exhausted, Whose::Upload))
    }

    fn too_many(&self, exhausted: Exhausted, owner: Whose) -> TooMany {
        TooMany::new(self.kind, exhausted, owner)
    }
}

impl TooMany {
    fn new(kind: Kind, exhausted: Exhausted, owner: Whose) -> Self {
        let (whose, bound) = match exhausted {
            Exhausted::Owner { bound } => (owner, bound),
            Exhausted::Sum { bound } => (Whose::Everybody, bound),
        };
        Self { kind, whose, bound }
    }
}
