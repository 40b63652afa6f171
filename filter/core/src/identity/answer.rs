//! Answers of identity services, and how long they are believed.
//!
//! Promises: a secret is never a key, only a digest over it is; what strangers get refused for cannot push out what is
//! good, because the two are kept apart; both are bounded. A token is believed no longer than it lives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::jwt::JwtFacts;
use super::service::ServiceKind;
use crate::credentials::Reason;
use crate::secret::Secret;

/// How long a good answer counts, in seconds.
const GOOD_S: i64 = 600;
/// When a good answer that is in use is asked for again, so that nobody has to wait when it ends.
const AGEING_S: i64 = 540;
/// How long a refusal counts.
const REFUSED_S: i64 = 60;
/// How long a good answer is taken while its service does not answer.
const STALE_S: i64 = 24 * 3600;
/// How long a service that failed is not asked by those who have such an answer.
const REST_S: i64 = 5;
/// Good answers kept; about 300 bytes each.
const GOOD_KEPT: usize = 4096;
/// Refusals kept.
const REFUSED_KEPT: usize = 2048;

/// What an answer is kept under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// A digest over where it was asked and what. Lengths go in, so that no two lists of parts are the same bytes.
    pub(crate) fn of(place: &[&str], parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in place.iter().chain(parts) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What an access token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenFacts {
    pub(crate) app_code: String,
    /// Empty: the token is the app's own.
    pub(crate) username: String,
    pub(crate) expires_at: i64,
}

/// What a service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    AppVerified,
    Keys(Rc<[Secret]>),
    Token(TokenFacts),
    User(String),
    Jwt(Rc<JwtFacts>),
    Refused(Reason),
}

impl Answer {
    /// The second from which it is void, whoever kept it.
    fn expires_at(&self) -> Option<i64> {
        match self {
            Self::Token(facts) => Some(facts.expires_at),
            Self::Jwt(facts) => Some(facts.expires_at),
            _ => None,
        }
    }
}

/// What is kept on a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Fresh(Answer),
    /// Fresh, but not for long.
    Ageing(Answer),
    /// Good once; to be taken only while the service does not answer.
    Stale(Answer),
    Nothing,
}

struct Kept {
    answer: Answer,
    since: i64,
}

/// The answers that one worker keeps.
pub(crate) struct Answers {
    good: RefCell<LruCache<Key, Kept>>,
    refused: RefCell<LruCache<Key, Kept>>,
    resting: RefCell<BTreeMap<ServiceKind, i64>>,
}

impl Default for Answers {
    fn default() -> Self {
        let cache = |size| RefCell::new(LruCache::new(NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN)));
        Self { good: cache(GOOD_KEPT), refused: cache(REFUSED_KEPT), resting: RefCell::default() }
    }
}

impl Answers {
    /// What is known by now. A clock that was set back makes everything stale, not good for longer.
    pub(crate) fn find(&self, key: &Key, now: i64) -> Found {
        let Ok(mut refused) = self.refused.try_borrow_mut() else { return Found::Nothing };
        if let Some(kept) = refused.get(key).filter(|kept| (0..REFUSED_S).contains(&(now - kept.since))) {
            return Found::Fresh(kept.answer.clone());
        }
        let Ok(mut good) = self.good.try_borrow_mut() else { return Found::Nothing };
        let Some(kept) = good.get(key) else { return Found::Nothing };
        if kept.answer.expires_at().is_some_and(|at| now >= at) {
            good.pop(key);
            return Found::Nothing;
        }
        match now - kept.since {
            0..AGEING_S => Found::Fresh(kept.answer.clone()),
            AGEING_S..GOOD_S => Found::Ageing(kept.answer.clone()),
            ..STALE_S => Found::Stale(kept.answer.clone()),
            _ => Found::Nothing,
        }
    }

    /// Keeps an answer in the place of any earlier one.
    pub(crate) fn keep(&self, key: Key, answer: &Answer, now: i64) {
        let (Ok(mut good), Ok(mut refused)) = (self.good.try_borrow_mut(), self.refused.try_borrow_mut()) else {
            return;
        };
        let kept = Kept { answer: answer.clone(), since: now };
        match answer {
            Answer::Refused(_) => {
                good.pop(&key);
                refused.put(key, kept);
            }
            _ => {
                refused.pop(&key);
                good.put(key, kept);
            }
        }
    }

    /// Notes that a service is down, or that it answers again.
    pub(crate) fn note(&self, service: ServiceKind, is_down: bool, now: i64) {
        let Ok(mut resting) = self.resting.try_borrow_mut() else { return };
        if is_down {
            resting.insert(service, now + REST_S);
        } else {
            resting.remove(&service);
        }
    }

    /// Whether a service failed a moment ago, so that nobody who has an old answer should wait for it.
    pub(crate) fn is_resting(&self, service: ServiceKind, now: i64) -> bool {
        let until = self.resting.try_borrow().ok().and_then(|resting| resting.get(&service).copied());
        until.is_some_and(|until| (now..=now + REST_S).contains(&until) && until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::of(&["kind"], &[name])
    }

    #[test]
    fn a_good_answer_is_fresh_then_stale_then_gone() {
        let answers = Answers::default();
        answers.keep(key("a"), &Answer::AppVerified, 1_000);
        assert_eq!(answers.find(&key("a"), 1_539), Found::Fresh(Answer::AppVerified));
        assert_eq!(answers.find(&key("a"), 1_540), Found::Ageing(Answer::AppVerified));
        assert_eq!(answers.find(&key("a"), 1_599), Found::Ageing(Answer::AppVerified));
        assert_eq!(answers.find(&key("a"), 1_600), Found::Stale(Answer::AppVerified));
        assert_eq!(answers.find(&key("a"), 1_000 + STALE_S - 1), Found::Stale(Answer::AppVerified));
        assert_eq!(answers.find(&key("a"), 1_000 + STALE_S), Found::Nothing);
        assert_eq!(answers.find(&key("a"), 900), Found::Stale(Answer::AppVerified), "the clock was set back");
        assert_eq!(answers.find(&key("b"), 1_000), Found::Nothing);
    }

    #[test]
    fn a_refusal_counts_for_a_minute_and_ends_what_was_good() {
        let answers = Answers::default();
        let refused = Answer::Refused(Reason::WRONG_SECRET);
        answers.keep(key("a"), &Answer::AppVerified, 1_000);
        answers.keep(key("a"), &refused, 1_700);
        assert_eq!(answers.find(&key("a"), 1_759), Found::Fresh(refused));
        assert_eq!(answers.find(&key("a"), 1_760), Found::Nothing, "never the good one again");
        answers.keep(key("a"), &Answer::AppVerified, 1_761);
        assert_eq!(answers.find(&key("a"), 1_761), Found::Fresh(Answer::AppVerified));
    }

    #[test]
    fn a_token_is_believed_no_longer_than_it_lives() {
        let answers = Answers::default();
        let facts = TokenFacts { app_code: "a".into(), username: String::new(), expires_at: 1_030 };
        answers.keep(key("t"), &Answer::Token(facts.clone()), 1_000);
        assert_eq!(answers.find(&key("t"), 1_029), Found::Fresh(Answer::Token(facts)));
        assert_eq!(answers.find(&key("t"), 1_030), Found::Nothing);
    }

    #[test]
    fn strangers_cannot_push_out_what_is_good() {
        let answers = Answers::default();
        answers.keep(key("good"), &Answer::AppVerified, 0);
        for n in 0..100_000 {
            answers.keep(key(&n.to_string()), &Answer::Refused(Reason::APP_NOT_FOUND), 0);
        }
        assert_eq!(answers.find(&key("good"), 1), Found::Fresh(Answer::AppVerified));
        assert_eq!(answers.refused.borrow().len(), REFUSED_KEPT);
    }

    #[test]
    fn a_service_that_failed_rests_for_a_moment() {
        let answers = Answers::default();
        answers.note(ServiceKind::Login, true, 100);
        assert!(answers.is_resting(ServiceKind::Login, 104) && !answers.is_resting(ServiceKind::Bkauth, 104));
        assert!(!answers.is_resting(ServiceKind::Login, 105));
        answers.note(ServiceKind::Login, true, 200);
        answers.note(ServiceKind::Login, false, 201);
        assert!(!answers.is_resting(ServiceKind::Login, 201));
    }

    #[test]
    fn parts_cannot_run_into_each_other() {
        assert_ne!(Key::of(&["k"], &["ab", "c"]), Key::of(&["k"], &["a", "bc"]));
        assert_eq!(format!("{:?}", key("secret")), "Key(..)");
    }
}
