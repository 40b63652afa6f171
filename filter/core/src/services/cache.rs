//! The cache of identity services' answers, and which of them could not be asked for again.
//!
//! Promises: a secret is never a key, only a digest over it is; negative entries, which strangers can cause, cannot push out
//! positive ones, because the two are stored apart; both are bounded. A token is believed no longer than it lives. A stale entry
//! serves only while the call about its own credential fails, by the service's fault: no stranger can bring that about.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use linkgate_contract::Sha256;
use lru::LruCache;

use super::ServiceKind;
use super::answer::{Answer, FailureKind};

/// How long a positive entry is fresh, in seconds.
const FRESH_S: i64 = 600;
/// When a positive entry that is in use is refreshed, so that nobody has to wait when it ends.
const REFRESH_AFTER_S: i64 = 540;
/// How long a negative entry is fresh.
const NEGATIVE_S: i64 = 60;
/// How long a stale entry serves while its service does not answer (stale-if-error).
const STALE_IF_ERROR_S: i64 = 24 * 3600;
/// How long a stale entry serves without another call, after the one about it failed.
const UNASKED_S: i64 = 5;
/// How many different credentials have to fail in a way that may be their own doing, without a success between, before the
/// service is to blame.
const BLAMED_AFTER: usize = 3;
/// Most positive entries; about 300 bytes each.
const MAX_POSITIVE: usize = 4096;
/// Most negative entries.
const MAX_NEGATIVE: usize = 2048;

/// What an answer is cached under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(Sha256);

impl CacheKey {
    /// A digest over where a question is asked and what it says.
    pub(crate) fn of_parts(place: &[&str], parts: &[&str]) -> Self {
        Self(Sha256::digest_parts(place.iter().chain(parts).map(|part| part.as_bytes())))
    }
}

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheKey(..)")
    }
}

/// What the cache has for a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CacheLookup {
    Fresh(Answer),
    /// Fresh, but not for long: ask again between requests.
    RefreshDue(Answer),
    /// Fresh once; it serves only if the call about it fails by the service's fault.
    Stale(Answer),
    /// The same, and that call has failed a moment ago.
    StaleUnasked(Answer),
    Miss,
}

struct CacheEntry {
    answer: Answer,
    since: i64,
    /// When the latest call about it failed by the service's fault.
    failed_at: Option<i64>,
}

/// The answers that one worker has cached.
pub(crate) struct IdentityCache {
    positive: RefCell<LruCache<CacheKey, CacheEntry>>,
    negative: RefCell<LruCache<CacheKey, CacheEntry>>,
    /// By service: credentials whose calls failed since one succeeded, a few.
    failing: RefCell<BTreeMap<ServiceKind, Vec<CacheKey>>>,
}

impl Default for IdentityCache {
    fn default() -> Self {
        let cache = |size| RefCell::new(LruCache::new(NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN)));
        Self { positive: cache(MAX_POSITIVE), negative: cache(MAX_NEGATIVE), failing: RefCell::default() }
    }
}

impl IdentityCache {
    /// What is cached by now. A clock that was set back makes everything stale, not fresh for longer.
    pub(crate) fn look_up(&self, key: &CacheKey, now: i64) -> CacheLookup {
        let Ok(mut negative) = self.negative.try_borrow_mut() else { return CacheLookup::Miss };
        if let Some(entry) = negative.get(key).filter(|entry| (0..NEGATIVE_S).contains(&(now - entry.since))) {
            return CacheLookup::Fresh(entry.answer.clone());
        }
        let Ok(mut positive) = self.positive.try_borrow_mut() else { return CacheLookup::Miss };
        let Some(entry) = positive.get(key) else { return CacheLookup::Miss };
        if entry.answer.expires_at().is_some_and(|at| now >= at) {
            positive.pop(key);
            return CacheLookup::Miss;
        }
        match now - entry.since {
            0..REFRESH_AFTER_S => CacheLookup::Fresh(entry.answer.clone()),
            REFRESH_AFTER_S..FRESH_S => CacheLookup::RefreshDue(entry.answer.clone()),
            ..STALE_IF_ERROR_S if entry.has_just_failed(now) => CacheLookup::StaleUnasked(entry.answer.clone()),
            ..STALE_IF_ERROR_S => CacheLookup::Stale(entry.answer.clone()),
            _ => CacheLookup::Miss,
        }
    }

    /// Stores an answer in the place of any earlier one.
    pub(crate) fn insert(&self, key: CacheKey, answer: &Answer, now: i64) {
        let (Ok(mut positive), Ok(mut negative)) = (self.positive.try_borrow_mut(), self.negative.try_borrow_mut())
        else {
            return;
        };
        let entry = CacheEntry { answer: answer.clone(), since: now, failed_at: None };
        match answer {
            Answer::Refused(_) => {
                positive.pop(&key);
                negative.put(key, entry);
            }
            _ => {
                negative.pop(&key);
                positive.put(key, entry);
            }
        }
    }

    /// A service has answered: whoever failed before failed by itself.
    pub(crate) fn record_success(&self, service: ServiceKind) {
        if let Ok(mut failing) = self.failing.try_borrow_mut() {
            failing.remove(&service);
        }
    }

    /// A call about a credential has failed. Gives whether that is the service's fault, so that a stale entry may serve.
    pub(crate) fn record_failure(&self, service: ServiceKind, key: CacheKey, kind: FailureKind, now: i64) -> bool {
        let is_down = match kind {
            FailureKind::Refused => false,
            FailureKind::Down => true,
            FailureKind::Unclear => self.is_blamed(service, key),
        };
        if is_down
            && let Ok(mut positive) = self.positive.try_borrow_mut()
            && let Some(entry) = positive.peek_mut(&key)
        {
            entry.failed_at = Some(now);
        }
        is_down
    }

    /// Whether so many different credentials have failed that none of them is the cause.
    fn is_blamed(&self, service: ServiceKind, key: CacheKey) -> bool {
        let Ok(mut failing) = self.failing.try_borrow_mut() else { return false };
        let keys = failing.entry(service).or_default();
        if keys.len() < BLAMED_AFTER && !keys.contains(&key) {
            keys.push(key);
        }
        keys.len() >= BLAMED_AFTER
    }
}

impl CacheEntry {
    /// A clock that was set back makes it long ago.
    fn has_just_failed(&self, now: i64) -> bool {
        self.failed_at.is_some_and(|at| (0..UNASKED_S).contains(&(now - at)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::TokenFacts;
    use super::*;
    use crate::reason::Reason;

    fn key(name: &str) -> CacheKey {
        CacheKey::of_parts(&["kind"], &[name])
    }

    #[test]
    fn a_positive_entry_is_fresh_then_stale_then_gone() {
        let cache = IdentityCache::default();
        cache.insert(key("a"), &Answer::AppVerified, 1_000);
        assert_eq!(cache.look_up(&key("a"), 1_539), CacheLookup::Fresh(Answer::AppVerified));
        assert_eq!(cache.look_up(&key("a"), 1_540), CacheLookup::RefreshDue(Answer::AppVerified));
        assert_eq!(cache.look_up(&key("a"), 1_599), CacheLookup::RefreshDue(Answer::AppVerified));
        assert_eq!(cache.look_up(&key("a"), 1_600), CacheLookup::Stale(Answer::AppVerified));
        assert_eq!(cache.look_up(&key("a"), 1_000 + STALE_IF_ERROR_S - 1), CacheLookup::Stale(Answer::AppVerified));
        assert_eq!(cache.look_up(&key("a"), 1_000 + STALE_IF_ERROR_S), CacheLookup::Miss);
        assert_eq!(cache.look_up(&key("a"), 900), CacheLookup::Stale(Answer::AppVerified), "the clock was set back");
        assert_eq!(cache.look_up(&key("b"), 1_000), CacheLookup::Miss);
    }

    #[test]
    fn a_negative_entry_counts_for_a_minute_and_ends_the_positive_one() {
        let cache = IdentityCache::default();
        let refused = Answer::Refused(Reason::WRONG_SECRET);
        cache.insert(key("a"), &Answer::AppVerified, 1_000);
        cache.insert(key("a"), &refused, 1_700);
        assert_eq!(cache.look_up(&key("a"), 1_759), CacheLookup::Fresh(refused));
        assert_eq!(cache.look_up(&key("a"), 1_760), CacheLookup::Miss, "never the good one again");
        cache.insert(key("a"), &Answer::AppVerified, 1_761);
        assert_eq!(cache.look_up(&key("a"), 1_761), CacheLookup::Fresh(Answer::AppVerified));
    }

    #[test]
    fn a_token_is_believed_no_longer_than_it_lives() {
        let cache = IdentityCache::default();
        let facts = TokenFacts { app_code: "a".into(), username: String::new(), expires_at: 1_030 };
        cache.insert(key("t"), &Answer::Token(facts.clone()), 1_000);
        assert_eq!(cache.look_up(&key("t"), 1_029), CacheLookup::Fresh(Answer::Token(facts)));
        assert_eq!(cache.look_up(&key("t"), 1_030), CacheLookup::Miss);
    }

    #[test]
    fn negative_entries_cannot_push_out_positive_ones() {
        let cache = IdentityCache::default();
        cache.insert(key("good"), &Answer::AppVerified, 0);
        for n in 0..100_000 {
            cache.insert(key(&n.to_string()), &Answer::Refused(Reason::APP_NOT_FOUND), 0);
        }
        assert_eq!(cache.look_up(&key("good"), 1), CacheLookup::Fresh(Answer::AppVerified));
        assert_eq!(cache.negative.borrow().len(), MAX_NEGATIVE);
    }

    #[test]
    fn a_stale_entry_serves_unasked_for_a_moment_after_its_own_call_failed() {
        let cache = IdentityCache::default();
        let stale = |name: &str, now| match cache.look_up(&key(name), now) {
            CacheLookup::StaleUnasked(_) => "unasked",
            CacheLookup::Stale(_) => "ask",
            _ => "other",
        };
        for name in ["a", "b"] {
            cache.insert(key(name), &Answer::AppVerified, 0);
        }
        assert!(cache.record_failure(ServiceKind::Login, key("a"), FailureKind::Down, 1_000));
        assert_eq!((stale("a", 1_004), stale("a", 1_005), stale("a", 999)), ("unasked", "ask", "ask"));
        assert_eq!(stale("b", 1_000), "ask", "the failure of another credential says nothing of this one");
        cache.insert(key("a"), &Answer::AppVerified, 1_001);
        assert_eq!(stale("a", 1_601), "ask");
    }

    #[test]
    fn a_service_is_blamed_for_errors_once_several_credentials_meet_them() {
        let cache = IdentityCache::default();
        let fail = |name: &str| cache.record_failure(ServiceKind::Login, key(name), FailureKind::Unclear, 100);
        for _ in 0..10 {
            assert!(!fail("odd"), "one credential may be the cause");
        }
        assert!(!fail("second") && fail("third") && fail("odd"));
        assert!(!cache.record_failure(ServiceKind::Bkauth, key("odd"), FailureKind::Unclear, 100), "another service");
        assert!(!cache.record_failure(ServiceKind::Login, key("odd"), FailureKind::Refused, 100), "it may be well");
        cache.record_success(ServiceKind::Login);
        assert!(!fail("odd") && !fail("second") && fail("third"));
    }

    #[test]
    fn parts_cannot_run_into_each_other() {
        assert_ne!(CacheKey::of_parts(&["k"], &["ab", "c"]), CacheKey::of_parts(&["k"], &["a", "bc"]));
        assert_eq!(format!("{:?}", key("secret")), "CacheKey(..)");
    }
}
