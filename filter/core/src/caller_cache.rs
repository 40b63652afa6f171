//! The cache of callers who were authenticated a moment ago, by the fingerprint of their credentials.
//!
//! Most requests present the credentials of an earlier one, byte for byte. Parsing them again, hashing secrets and looking
//! up what is known of them costs more than all the rest. Promises: credentials are not stored, only a hash of them under a
//! key that the VM made for itself and that nobody else has; nobody is cached for longer than the answers by which it was
//! authenticated are fresh. Ends with its policy.

use std::cell::RefCell;
use std::hash::Hasher;
use std::num::NonZeroUsize;
use std::rc::Rc;

use linkgate_contract::{Action, AppClaim, ModuleRef, UserClaim, feed_parts};
use lru::LruCache;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::time::Time;

/// How long an entry is fresh. Nobody is cached by an answer older than 540 seconds, and answers are fresh for 600.
const TTL_S: i64 = 30;
/// Most callers at a time; about 300 bytes each.
const MAX_ENTRIES: usize = 1024;

/// An authenticated caller.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) app: AppClaim,
    pub(crate) user: UserClaim,
    /// Whether the policy itself knows it, without any service.
    pub(crate) is_listed: bool,
    /// The kinds of credentials that were good, to be counted again for each request.
    pub(crate) kinds: Vec<&'static str>,
    /// Its last token for the store, where that depends on nothing but the caller and what the token is good for.
    pub(crate) token: RefCell<Option<LastToken>>,
}

/// A caller's token, and what it is good for: most callers do the same thing to the same module again and again.
#[derive(Debug)]
pub(crate) struct LastToken {
    pub(crate) target: ModuleRef,
    pub(crate) action: Action,
    pub(crate) text: Rc<str>,
    /// When to ask for another one.
    pub(crate) until: i64,
}

/// A hash of presented credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CredentialFingerprint(u128);

/// The callers of one policy.
pub(crate) struct CallerCache {
    key: Option<[u8; 16]>,
    callers: RefCell<LruCache<CredentialFingerprint, (Rc<Caller>, i64)>>,
}

impl CallerCache {
    /// Without a random key nobody is cached: a key that can be guessed is none.
    pub(crate) fn new(key: Option<[u8; 16]>) -> Self {
        Self { key, callers: RefCell::new(LruCache::new(NonZeroUsize::new(MAX_ENTRIES).unwrap_or(NonZeroUsize::MIN))) }
    }

    /// The fingerprint of a header with credentials on a stage.
    pub(crate) fn fingerprint(&self, stage: &str, header: &[u8]) -> Option<CredentialFingerprint> {
        let mut hasher = SipHasher24::new_with_key(self.key.as_ref()?);
        feed_parts([stage.as_bytes(), header], |bytes| hasher.write(bytes));
        Some(CredentialFingerprint(hasher.finish128().as_u128()))
    }

    pub(crate) fn get_caller(&self, fingerprint: CredentialFingerprint, now: Time) -> Option<Rc<Caller>> {
        let mut callers = self.callers.try_borrow_mut().ok()?;
        let (caller, since) = callers.get(&fingerprint)?;
        (0..TTL_S).contains(&(now.seconds() - since)).then(|| Rc::clone(caller))
    }

    pub(crate) fn insert_caller(&self, fingerprint: CredentialFingerprint, caller: &Rc<Caller>, now: Time) {
        if let Ok(mut callers) = self.callers.try_borrow_mut() {
            callers.put(fingerprint, (Rc::clone(caller), now.seconds()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Rc<Caller> {
        let (app, user) = (AppClaim::verified("ci"), UserClaim::verified("anna"));
        Rc::new(Caller { app, user, is_listed: true, kinds: Vec::new(), token: RefCell::default() })
    }

    #[test]
    fn a_caller_is_cached_for_a_moment_and_on_its_stage() {
        let cache = CallerCache::new(Some([7; 16]));
        let fingerprint = cache.fingerprint("prod", b"{}").unwrap();
        cache.insert_caller(fingerprint, &caller(), Time::from_seconds(100));
        assert!(cache.get_caller(fingerprint, Time::from_seconds(129)).is_some());
        assert!(cache.get_caller(fingerprint, Time::from_seconds(130)).is_none());
        assert!(cache.get_caller(fingerprint, Time::from_seconds(99)).is_none(), "the clock was set back");
        for (stage, header) in [("stag", &b"{}"[..]), ("prod", b"{ }"), ("prod{", b"}"), ("", b"prod{}")] {
            assert!(cache.get_caller(cache.fingerprint(stage, header).unwrap(), Time::from_seconds(100)).is_none());
        }
        assert_ne!(CallerCache::new(Some([8; 16])).fingerprint("prod", b"{}").unwrap(), fingerprint);
    }

    #[test]
    fn without_a_random_key_nobody_is_cached() {
        assert!(CallerCache::new(None).fingerprint("prod", b"{}").is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = CallerCache::new(Some([7; 16]));
        for n in 0..MAX_ENTRIES + 10 {
            let fingerprint = cache.fingerprint("prod", n.to_string().as_bytes()).unwrap();
            cache.insert_caller(fingerprint, &caller(), Time::default());
        }
        assert_eq!(cache.callers.borrow().len(), MAX_ENTRIES);
    }
}
