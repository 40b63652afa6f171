//! Callers who were established a moment ago, by what they showed.
//!
//! Most requests show what an earlier one showed, byte for byte. Reading it again, hashing secrets and looking up what is
//! known of them costs more than all the rest. Promises: what was shown is not kept, only a hash of it under a key that the
//! VM made for itself and that nobody else has; nobody is believed for longer than the answers by which it was established
//! are good. Ends with its policy.

use std::cell::RefCell;
use std::hash::Hasher;
use std::num::NonZeroUsize;
use std::rc::Rc;

use linkgate_contract::{AppClaim, UserClaim};
use lru::LruCache;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::time::Time;

/// How long a caller is believed without another look. Nobody is kept by an answer older than 540 seconds, and answers
/// are good for 600.
const BELIEVED_S: i64 = 30;
/// Callers kept; about 300 bytes each.
const KEPT: usize = 1024;

/// Who calls, established.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) app: AppClaim,
    pub(crate) user: UserClaim,
    /// Whether the policy itself knows it, without any service.
    pub(crate) is_listed: bool,
    /// What was counted when it was established, to be counted again for each request.
    pub(crate) kinds: Vec<&'static str>,
    /// A token for it and until when it is handed out, where it depends on nothing else.
    pub(crate) token: RefCell<Option<(Rc<str>, i64)>>,
}

/// What was shown, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shown(u128);

/// The callers of one policy.
pub(crate) struct Recent {
    key: Option<[u8; 16]>,
    callers: RefCell<LruCache<Shown, (Rc<Caller>, i64)>>,
}

impl Recent {
    /// Without a random key nobody is remembered: a key that can be guessed is none.
    pub(crate) fn new(key: Option<[u8; 16]>) -> Self {
        Self { key, callers: RefCell::new(LruCache::new(NonZeroUsize::new(KEPT).unwrap_or(NonZeroUsize::MIN))) }
    }

    /// The hash of what was shown on a stage.
    pub(crate) fn shown(&self, stage: &str, header: &[u8]) -> Option<Shown> {
        let mut hasher = SipHasher24::new_with_key(self.key.as_ref()?);
        hasher.write(&(stage.len() as u64).to_le_bytes());
        hasher.write(stage.as_bytes());
        hasher.write(header);
        Some(Shown(hasher.finish128().as_u128()))
    }

    pub(crate) fn find(&self, shown: Shown, now: Time) -> Option<Rc<Caller>> {
        let mut callers = self.callers.try_borrow_mut().ok()?;
        let (caller, since) = callers.get(&shown)?;
        (0..BELIEVED_S).contains(&(now.seconds() - since)).then(|| Rc::clone(caller))
    }

    pub(crate) fn keep(&self, shown: Shown, caller: &Rc<Caller>, now: Time) {
        if let Ok(mut callers) = self.callers.try_borrow_mut() {
            callers.put(shown, (Rc::clone(caller), now.seconds()));
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
    fn a_caller_is_believed_for_a_moment_and_on_its_stage() {
        let recent = Recent::new(Some([7; 16]));
        let shown = recent.shown("prod", b"{}").unwrap();
        recent.keep(shown, &caller(), Time::from_seconds(100));
        assert!(recent.find(shown, Time::from_seconds(129)).is_some());
        assert!(recent.find(shown, Time::from_seconds(130)).is_none());
        assert!(recent.find(shown, Time::from_seconds(99)).is_none(), "the clock was set back");
        for (stage, header) in [("stag", &b"{}"[..]), ("prod", b"{ }"), ("prod{", b"}"), ("", b"prod{}")] {
            assert!(recent.find(recent.shown(stage, header).unwrap(), Time::from_seconds(100)).is_none());
        }
        assert_ne!(Recent::new(Some([8; 16])).shown("prod", b"{}").unwrap(), shown);
    }

    #[test]
    fn without_a_random_key_nobody_is_remembered() {
        assert!(Recent::new(None).shown("prod", b"{}").is_none());
    }

    #[test]
    fn the_callers_kept_are_bounded() {
        let recent = Recent::new(Some([7; 16]));
        for n in 0..KEPT + 10 {
            let shown = recent.shown("prod", n.to_string().as_bytes()).unwrap();
            recent.keep(shown, &caller(), Time::default());
        }
        assert_eq!(recent.callers.borrow().len(), KEPT);
    }
}
