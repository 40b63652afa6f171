//! What one worker has from request to request and from policy to policy: caches, tokens, counts, and how much of
//! requests it holds.

use std::cell::Cell;

use crate::held::HeldRequests;
use crate::metrics::{Counts, Metrics};
use crate::services::cache::IdentityCache;
use crate::services::singleflight::RefreshQueue;
use crate::shared::SharedData;
use crate::signature_budget::SignatureBudget;
use crate::token::Tokens;

/// The memory of one worker; policies come and go, this stays.
pub struct Worker {
    pub(crate) identity_cache: IdentityCache,
    pub(crate) refreshes: RefreshQueue,
    pub(crate) tokens: Tokens,
    pub(crate) metrics: Metrics,
    pub(crate) held: HeldRequests,
    pub(crate) token_signatures: SignatureBudget,
    pub(crate) url_signatures: SignatureBudget,
    pub(crate) shared: Box<dyn SharedData>,
    sequence: Cell<u64>,
    /// Random, and nobody else's; zeros if the host has no randomness.
    entropy: [u8; 16],
}

impl Worker {
    /// An empty memory; `shared` is what all workers see, `entropy` are random bytes of this one.
    #[must_use]
    pub fn new(shared: Box<dyn SharedData>, entropy: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = entropy;
        Self {
            identity_cache: IdentityCache::default(),
            refreshes: RefreshQueue::default(),
            tokens: Tokens::default(),
            metrics: Metrics::default(),
            held: HeldRequests::default(),
            token_signatures: SignatureBudget::default(),
            url_signatures: SignatureBudget::default(),
            shared,
            sequence: Cell::new(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            entropy,
        }
    }

    /// What was counted since the last time.
    #[must_use]
    pub fn take_counts(&self) -> Counts {
        self.metrics.take()
    }

    /// A key that only this worker has; `None` without randomness.
    pub(crate) fn random_key(&self) -> Option<[u8; 16]> {
        (self.entropy != [0; 16]).then_some(self.entropy)
    }

    /// A number that no other lease of now has.
    pub(crate) fn next_lease_id(&self) -> u64 {
        let next = self.sequence.get().wrapping_add(1);
        self.sequence.set(next);
        next
    }
}
