//! What every judgement has at hand: the policy in force, the gateway's keys, and what the worker remembers.

use std::rc::Rc;

use crate::caller_cache::CallerCache;
use crate::keys::SigningKey;
use crate::limit::{Lease, release_lease};
use crate::policy::Policy;
use crate::services::question::OwnCredentials;
use crate::shared::Slots;
use crate::worker::Worker;

/// What the gate itself knows of secrets, from the proxy's environment.
pub struct Keys {
    /// What tokens for the store are signed with.
    pub signing: SigningKey,
    /// What the gate presents to the identity services.
    pub own: OwnCredentials,
}

/// The policy in force, with all that its requests are judged by.
pub(crate) struct Context {
    pub(crate) policy: Policy,
    pub(crate) keys: Keys,
    pub(crate) worker: Rc<Worker>,
    pub(crate) caller_cache: CallerCache,
    /// What callers cannot know and all workers have in common.
    salt: u64,
}

impl Context {
    pub(crate) fn new(policy: Policy, keys: Keys, worker: Rc<Worker>) -> Self {
        let (salt, caller_cache) = (keys.signing.salt(), CallerCache::new(worker.random_key()));
        Self { policy, keys, worker, caller_cache, salt }
    }

    pub(crate) fn slots(&self) -> Slots<'_> {
        Slots { data: self.worker.shared.as_ref(), salt: self.salt }
    }

    /// Releases the lease of an upload that is over.
    pub(crate) fn release_lease(&self, lease: &Lease) {
        // A lease that could not be released ends by itself.
        let _ = release_lease(self.slots(), lease);
    }
}
