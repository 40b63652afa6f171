//! When a request is sent again.
//!
//! Promises: never before the time that the other side named, never for longer than the policy says, and what could
//! be done twice only if it is sure that it was not done once.

use std::time::Duration;

use crate::error::Error;

/// How patient the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is sent at most.
    pub attempts: u32,
    /// The first pause; each further one is twice as long.
    pub first_pause: Duration,
    /// A pause that would be longer is not made: the call fails instead.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(60) }
    }
}

impl RetryPolicy {
    /// Sends every request once.
    #[must_use]
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }
}

/// A repetition that is about to come.
#[derive(Debug)]
pub struct RetryNotice<'a> {
    /// Why.
    pub error: &'a Error,
    /// After which pause.
    pub pause: Duration,
    /// How often the request was sent so far.
    pub sent: u32,
}

/// Whether a request may be carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeatable {
    /// It changes nothing, or the second time nothing more.
    Always,
    /// Only after a failure that is sure to have come before anything was done.
    IfNotDone,
    /// What it sends can be read once only.
    Never,
}

impl RetryPolicy {
    /// How long to wait before the next try; `None`: there is none.
    pub(crate) fn pause_after(&self, error: &Error, repeatable: Repeatable, sent: u32) -> Option<Duration> {
        if sent >= self.attempts || !may_repeat(error, repeatable) {
            return None;
        }
        let named = match error {
            Error::Refused(refusal) => refusal.retry_after,
            _ => None,
        };
        let own = self.backoff(sent);
        let pause = named.map_or(own, |named| named.max(Duration::from_millis(50)));
        (pause <= self.longest_pause).then_some(pause)
    }

    /// Twice as long each time, and never quite the same, so that many clients do not come back together.
    pub(crate) fn backoff(&self, sent: u32) -> Duration {
        let whole = self.first_pause.saturating_mul(1 << sent.saturating_sub(1).min(16)).min(self.longest_pause);
        let half = whole / 2;
        // Without random numbers the pause is merely more even.
        let share = getrandom::u32().unwrap_or(u32::MAX / 2);
        half + half.mul_f64(f64::from(share) / f64::from(u32::MAX))
    }
}

fn may_repeat(error: &Error, repeatable: Repeatable) -> bool {
    if repeatable == Repeatable::Never {
        return false;
    }
    let is_always = repeatable == Repeatable::Always;
    match error {
        Error::Unreachable { .. } => true,
        Error::BrokenOff { .. } | Error::TimedOut { .. } => is_always,
        Error::Refused(refusal) if refusal.is_before_anything() => true,
        Error::Refused(refusal) => is_always && matches!(refusal.status, 502..=504) && !is_of_the_source(&refusal.code),
        _ => false,
    }
}

/// The store asked the package's server several times already.
fn is_of_the_source(code: &str) -> bool {
    matches!(code, "SOURCE_UNREACHABLE" | "SOURCE_TIMEOUT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 3, first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(10) };

    fn refused(status: u16, retry_after: Option<u64>) -> Error {
        let retry_after = retry_after.map(Duration::from_secs);
        Refusal { status, code: "X".to_owned(), retry_after, ..Refusal::default() }.into()
    }

    fn broken() -> Error {
        Error::BrokenOff { host: "h".to_owned(), reason: "r".to_owned() }
    }

    #[test]
    fn what_the_other_side_says_is_obeyed() {
        let pause = |seconds| POLICY.pause_after(&refused(429, Some(seconds)), Repeatable::IfNotDone, 1);
        assert_eq!(pause(7), Some(Duration::from_secs(7)));
        assert_eq!(pause(11), None, "longer than anybody waits");
        assert!(pause(0) > Some(Duration::ZERO));
    }

    #[test]
    fn what_may_have_been_done_is_not_done_again() {
        let unreachable = Error::Unreachable { host: "h".to_owned(), reason: "r".to_owned() };
        for (error, always, if_not_done) in [
            (refused(429, None), true, true),
            (refused(503, Some(1)), true, true),
            (refused(503, None), true, false),
            (refused(502, None), true, false),
            (refused(500, None), false, false),
            (refused(400, None), false, false),
            (unreachable, true, true),
            (broken(), true, false),
            (Error::Overwritten, false, false),
        ] {
            let may = |repeatable| POLICY.pause_after(&error, repeatable, 1).is_some();
            assert_eq!((may(Repeatable::Always), may(Repeatable::IfNotDone)), (always, if_not_done), "{error:?}");
            assert!(!may(Repeatable::Never), "{error:?}");
        }
        let source = Refusal { status: 502, code: "SOURCE_UNREACHABLE".to_owned(), ..Refusal::default() }.into();
        assert_eq!(POLICY.pause_after(&source, Repeatable::Always, 1), None);
    }

    #[test]
    fn pauses_grow_and_end() {
        let pause = |sent| POLICY.pause_after(&broken(), Repeatable::Always, sent);
        for (sent, whole) in [(1, 100), (2, 200)] {
            let found = pause(sent).unwrap();
            assert!(found >= Duration::from_millis(whole / 2) && found <= Duration::from_millis(whole), "{found:?}");
        }
        assert_eq!(pause(3), None);
        assert_eq!(RetryPolicy::never().pause_after(&broken(), Repeatable::Always, 1), None);
        assert!(RetryPolicy::default().backoff(1_000) <= RetryPolicy::default().longest_pause);
    }
}
