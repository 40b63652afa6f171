//! How much may come at a time, counted across the workers of one proxy.
//!
//! A rate is a leaky bucket, stored as one moment: when it would be empty again. Uploads under way hold leases that end by
//! themselves, so a worker that trapped takes none with it for good. Proxies know nothing of each other: where there are
//! several, each keeps to its [`Share`]. Promises: a fixed number of shared keys, whatever callers send; apps that share a
//! slot for lack of more share its rate, never more than their own.

use crate::denied::Denied;
use crate::reply::GatewayError;
use crate::shared::{Slots, Unavailable, read_entries, update, write_entries};
use crate::time::Time;

const SECOND: u64 = 1_000_000_000;
/// Slots for apps, and how many share one before they share its rate: 1024 x 8 apps at a time.
const APP_SLOTS: u64 = 1024;
const APPS_PER_SLOT: usize = 8;
/// Longer than an upload can take (the proxy gives up after 630 s).
const LEASE_NS: u64 = 700 * SECOND;
/// Leases in one slot, 24 KiB: more are refused.
const LEASES_PER_SLOT: usize = 1024;
/// How long a caller is told to wait before it tries again to upload.
const UPLOAD_RETRY_AFTER_S: u64 = 5;

/// So many requests in the long run, and so many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Between two requests, in nanoseconds.
    interval: u64,
    burst: u64,
    pub(crate) report: bool,
}

impl Rate {
    /// `burst` is what an idle caller may send at once; 1 admits no two within an interval.
    pub(crate) fn new(per_second: f64, burst: u64, report: bool) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the policy bounds it to 0.001 to 1e6, in a thousand shares"
        )]
        let interval = (1e9 / per_second) as u64;
        Self { interval: interval.max(1), burst: burst.max(1), report }
    }

    /// The bucket after one more request, or how long to wait, in nanoseconds. A moment far in the future (a clock that
    /// was set back) counts as a full bucket.
    fn take(&self, empty_at: u64, now: u64) -> Result<u64, u64> {
        let full = self.interval.saturating_mul(self.burst);
        let next = empty_at.min(now.saturating_add(full)).max(now).saturating_add(self.interval);
        match next.saturating_sub(full).checked_sub(now) {
            None | Some(0) => Ok(next),
            Some(wait) => Err(wait),
        }
    }
}

/// What one Envoy takes of a limit that is written for several.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share(u64);

impl Share {
    /// That of one of so many.
    pub(crate) fn new(instances: u64) -> Self {
        Self(instances.max(1))
    }

    /// Of a rate, to the fraction.
    pub(crate) fn of_rate(self, per_second: f64) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "the policy bounds it to a thousand")]
        let instances = self.0 as f64;
        per_second / instances
    }

    /// Of a number of requests or uploads, rounded down; but 1 at least, for with 0 nothing would ever pass.
    pub(crate) fn of_count(self, count: u64) -> u64 {
        (count / self.0).max(1)
    }
}

/// The rates of a policy, and how many uploads of one app may be under way.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) total: Option<Rate>,
    pub(crate) per_stage: Option<Rate>,
    pub(crate) per_app: Option<Rate>,
    pub(crate) uploads: Option<Uploads>,
    /// Whether new uploads are counted by a service instead, of which the proxy asks.
    pub(crate) service_counts_uploads: bool,
}

/// How many uploads of one app may be under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uploads {
    pub(crate) concurrent: usize,
    pub(crate) report: bool,
}

/// The lease of an upload, one of a limited number for its app; to be released.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    slot: u64,
    tag: u64,
    id: u64,
}

impl Traffic {
    /// Counts a request; the app first, so that one over its limit takes nothing from the others.
    pub(crate) fn count_request(
        &self,
        slots: Slots<'_>,
        app: &str,
        stage: &str,
        now: Time,
    ) -> Result<Vec<Denied>, Unavailable> {
        let mut denials = Vec::new();
        if let Some(rate) = self.per_app {
            denials.extend(judge_rate("limits.requests_per_app", rate, take_from_app_bucket(slots, app, rate, now))?);
        }
        let is_refused = |denials: &[Denied]| denials.iter().any(|denied| !denied.report_only);
        if let Some(rate) = self.per_stage.filter(|_| !is_refused(&denials)) {
            let taken = take_from_bucket(slots, &format!("linkgate.rate.stage.{stage}"), rate, now);
            denials.extend(judge_rate("limits.requests_per_stage", rate, taken)?);
        }
        if let Some(rate) = self.total.filter(|_| !is_refused(&denials)) {
            denials.extend(judge_rate(
                "limits.requests",
                rate,
                take_from_bucket(slots, "linkgate.rate.total", rate, now),
            )?);
        }
        Ok(denials)
    }

    /// Acquires a lease for an upload. `nonce` tells leases of one moment apart.
    pub(crate) fn acquire_lease(
        &self,
        slots: Slots<'_>,
        app: &str,
        nonce: u64,
        now: Time,
    ) -> Result<(Option<Lease>, Option<Denied>), Unavailable> {
        let Some(uploads) = self.uploads else { return Ok((None, None)) };
        let (slot, tag) = slots.find_slot(app, APP_SLOTS);
        let taken = update(slots, &uploads_key(slot), |value| {
            let mut leases = read_entries::<3>(value);
            leases.retain(|[_, _, until]| *until > now.nanos());
            let is_free = leases.iter().filter(|[of, ..]| *of == tag).count() < uploads.concurrent;
            if (!is_free && !uploads.report) || leases.len() >= LEASES_PER_SLOT {
                return (false, None);
            }
            leases.push([tag, nonce, now.nanos().saturating_add(LEASE_NS)]);
            write_entries(&leases, value);
            (true, Some(is_free))
        });
        let taken = match taken {
            Err(Unavailable) if uploads.report => return Ok((None, None)),
            taken => taken?,
        };
        let deny = || {
            let error = GatewayError::ConcurrencyLimited { retry_after_s: UPLOAD_RETRY_AFTER_S };
            Denied::new("limits.uploads_per_app", uploads.report, error)
        };
        let denied = (taken != Some(true)).then(deny);
        Ok((taken.map(|_| Lease { slot, tag, id: nonce }), denied))
    }
}

/// Releases a lease; one that ran out or was lost is no fault.
pub(crate) fn release_lease(slots: Slots<'_>, lease: &Lease) -> Result<(), Unavailable> {
    update(slots, &uploads_key(lease.slot), |value| {
        let mut leases = read_entries::<3>(value);
        let Some(at) = leases.iter().position(|[tag, id, _]| *tag == lease.tag && *id == lease.id) else {
            return (false, ());
        };
        leases.swap_remove(at);
        write_entries(&leases, value);
        (true, ())
    })
}

fn uploads_key(slot: u64) -> String {
    format!("linkgate.uploads.{slot}")
}

/// What cannot be counted is denied, except by a report-only rule, which denies nothing.
fn judge_rate(
    rule: &str,
    rate: Rate,
    taken: Result<Result<(), u64>, Unavailable>,
) -> Result<Option<Denied>, Unavailable> {
    let wait = match taken {
        Ok(Ok(())) => return Ok(None),
        Ok(Err(wait)) => wait,
        Err(Unavailable) if rate.report => return Ok(None),
        Err(Unavailable) => return Err(Unavailable),
    };
    let retry_after_s = wait.div_ceil(SECOND).max(1);
    Ok(Some(Denied::new(rule, rate.report, GatewayError::RateLimited { retry_after_s })))
}

/// One bucket under one key.
fn take_from_bucket(slots: Slots<'_>, key: &str, rate: Rate, now: Time) -> Result<Result<(), u64>, Unavailable> {
    update(slots, key, |value| {
        let empty_at = read_entries::<1>(value).first().map_or(0, |[moment]| *moment);
        match rate.take(empty_at, now.nanos()) {
            Ok(next) => {
                write_entries(&[[next]], value);
                (true, Ok(()))
            }
            Err(wait) => (false, Err(wait)),
        }
    })
}

/// The bucket of an app among those of its slot. Where none is free, the emptiest is shared.
fn take_from_app_bucket(slots: Slots<'_>, app: &str, rate: Rate, now: Time) -> Result<Result<(), u64>, Unavailable> {
    let (slot, tag) = slots.find_slot(app, APP_SLOTS);
    update(slots, &format!("linkgate.rate.app.{slot}"), |value| {
        let mut buckets = read_entries::<2>(value);
        let own = buckets.iter().position(|[of, _]| *of == tag);
        let idle = || buckets.iter().position(|[_, empty_at]| *empty_at <= now.nanos());
        let at = match own.or_else(idle) {
            Some(at) => at,
            None if buckets.len() < APPS_PER_SLOT => {
                buckets.push([tag, 0]);
                buckets.len() - 1
            }
            None => (0..buckets.len()).min_by_key(|at| buckets.get(*at).map(|[_, moment]| *moment)).unwrap_or_default(),
        };
        let Some(bucket) = buckets.get_mut(at) else { return (false, Err(SECOND)) };
        match rate.take(bucket[1], now.nanos()) {
            Ok(next) => {
                // A full slot keeps its owner's tag: the two share the rate until one of them is idle.
                let of = if bucket[1] <= now.nanos() { tag } else { bucket[0] };
                *bucket = [of, next];
                write_entries(&buckets, value);
                (true, Ok(()))
            }
            Err(wait) => (false, Err(wait)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shared::fake::FakeShared;

    fn slots(data: &Rc<FakeShared>) -> Slots<'_> {
        Slots { data, salt: 7 }
    }

    fn at(millis: u64) -> Time {
        Time::from_nanos(1_000 * SECOND + millis * 1_000_000)
    }

    fn per_app(per_second: f64, burst: u64) -> Traffic {
        Traffic { per_app: Some(Rate::new(per_second, burst, false)), ..Traffic::default() }
    }

    fn passes(traffic: &Traffic, data: &Rc<FakeShared>, app: &str, now: Time) -> bool {
        traffic.count_request(slots(data), app, "default", now).unwrap().is_empty()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (traffic, data) = (per_app(10.0, 3), Rc::new(FakeShared::default()));
        let passed = (0..10).filter(|_| passes(&traffic, &data, "ci", at(0))).count();
        assert_eq!(passed, 3);
        assert!(!passes(&traffic, &data, "ci", at(99)) && passes(&traffic, &data, "ci", at(100)));
        assert!(!passes(&traffic, &data, "ci", at(150)) && passes(&traffic, &data, "other", at(150)));
        let in_ten_seconds = (0..10_000).filter(|ms| passes(&traffic, &data, "long", at(1_000 + ms))).count();
        assert_eq!(in_ten_seconds, 3 + 99);
    }

    #[test]
    fn the_shares_of_all_proxies_are_what_is_written() {
        // Several proxies are several shared data; what they let through together is counted.
        let passed = |instances: u64, per_second: f64, burst: u64| {
            let share = Share::new(instances);
            let traffic = per_app(share.of_rate(per_second), share.of_count(burst));
            let proxies: Vec<_> = (0..instances).map(|_| Rc::new(FakeShared::default())).collect();
            let at_once = (0..1_000).flat_map(|_| &proxies).filter(|data| passes(&traffic, data, "ci", at(0))).count();
            let later: Vec<u64> = (1..=10_000).collect();
            let in_ten_seconds = later
                .iter()
                .map(|ms| proxies.iter().filter(|data| passes(&traffic, data, "ci", at(*ms))).count())
                .sum::<usize>();
            (at_once, in_ten_seconds)
        };
        assert_eq!(passed(1, 10.0, 12), (12, 100));
        assert_eq!(passed(2, 10.0, 12), (12, 100));
        assert_eq!(passed(4, 10.0, 12), (12, 100));
        // Rounded down: seven at once are two for each of three.
        assert_eq!(passed(3, 15.0, 7), (6, 150));
        // Nobody's share is nothing: three at once, though two are written.
        assert_eq!(passed(3, 0.001, 2), (3, 0));
    }

    #[test]
    fn a_share_of_uploads_is_rounded_down_and_never_nothing() {
        let shares = |count| [1, 2, 3, 8].map(|instances| Share::new(instances).of_count(count));
        assert_eq!((shares(8), shares(1)), ([8, 4, 2, 1], [1; 4]));
        assert_eq!(Share::new(0).of_count(8), 8);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let (traffic, data) = (per_app(0.1, 1), Rc::new(FakeShared::default()));
        assert!(passes(&traffic, &data, "ci", at(0)));
        let denials = traffic.count_request(slots(&data), "ci", "default", at(2_500)).unwrap();
        assert_eq!(denials[0].gateway_error(), Some(&GatewayError::RateLimited { retry_after_s: 8 }));
        assert_eq!((denials[0].rule.as_str(), denials[0].report_only), ("limits.requests_per_app", false));
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out_for_long() {
        let (traffic, data) = (per_app(10.0, 3), Rc::new(FakeShared::default()));
        assert!(passes(&traffic, &data, "ci", at(3_600_000)));
        assert!(!passes(&traffic, &data, "ci", at(0)) && passes(&traffic, &data, "ci", at(3_600_000)));
    }

    #[test]
    fn an_app_over_its_limit_takes_nothing_from_the_others() {
        let rate = |burst| Some(Rate::new(0.001, burst, false));
        let traffic = Traffic { per_app: rate(1), per_stage: rate(3), total: rate(2), ..Traffic::default() };
        let data = Rc::new(FakeShared::default());
        let rules = |app: &str| -> Vec<String> {
            traffic.count_request(slots(&data), app, "prod", at(0)).unwrap().into_iter().map(|v| v.rule).collect()
        };
        assert!(rules("a").is_empty());
        for _ in 0..5 {
            assert_eq!(rules("a"), ["limits.requests_per_app"]);
        }
        assert!(rules("b").is_empty());
        assert_eq!(rules("c"), ["limits.requests"]);
        assert_eq!(rules("d"), ["limits.requests_per_stage"]);
    }

    #[test]
    fn a_report_only_rate_counts_and_hides_no_other() {
        let traffic = Traffic {
            per_app: Some(Rate::new(0.001, 1, true)),
            total: Some(Rate::new(0.001, 1, false)),
            ..Traffic::default()
        };
        let data = Rc::new(FakeShared::default());
        assert!(traffic.count_request(slots(&data), "a", "s", at(0)).unwrap().is_empty());
        let found: Vec<_> = traffic
            .count_request(slots(&data), "a", "s", at(0))
            .unwrap()
            .into_iter()
            .map(|v| (v.rule, v.report_only))
            .collect();
        assert_eq!(found, [("limits.requests_per_app".into(), true), ("limits.requests".into(), false)]);
    }

    #[test]
    fn the_keys_are_a_fixed_set_and_a_crowd_shares() {
        let (traffic, data) = (per_app(0.001, 1), Rc::new(FakeShared::default()));
        for n in 0..20_000 {
            traffic.count_request(slots(&data), &format!("app-{n}"), "default", at(0)).unwrap();
        }
        assert!(data.keys() as u64 <= APP_SLOTS);
    }

    fn uploads(concurrent: usize, report: bool) -> Traffic {
        Traffic { uploads: Some(Uploads { concurrent, report }), ..Traffic::default() }
    }

    #[test]
    fn a_place_is_taken_given_back_and_runs_out() {
        let (traffic, data) = (uploads(2, false), Rc::new(FakeShared::default()));
        let lease = |app: &str, nonce, now| traffic.acquire_lease(slots(&data), app, nonce, now).unwrap();
        let (first, none) = lease("ci", 1, at(0));
        assert!(none.is_none() && lease("ci", 2, at(0)).1.is_none());
        let (third, refused) = lease("ci", 3, at(0));
        assert!(third.is_none());
        let refused = refused.unwrap();
        assert_eq!((refused.rule.as_str(), refused.report_only), ("limits.uploads_per_app", false));
        assert!(lease("other", 4, at(0)).1.is_none());
        release_lease(slots(&data), &first.unwrap()).unwrap();
        assert!(lease("ci", 5, at(0)).1.is_none() && lease("ci", 6, at(0)).1.is_some());
        assert!(lease("ci", 7, at(700_001)).1.is_none(), "a lost lease ends by itself");
        release_lease(slots(&data), &Lease { slot: 0, tag: 0, id: 99 }).unwrap();
    }

    #[test]
    fn report_only_leases_are_counted_and_not_refused() {
        let (traffic, data) = (uploads(1, true), Rc::new(FakeShared::default()));
        assert!(traffic.acquire_lease(slots(&data), "ci", 1, at(0)).unwrap().1.is_none());
        let (lease, denied) = traffic.acquire_lease(slots(&data), "ci", 2, at(0)).unwrap();
        assert!(lease.is_some() && denied.unwrap().report_only);
        data.down.set(true);
        assert!(traffic.acquire_lease(slots(&data), "ci", 3, at(0)).unwrap().1.is_none());
        assert!(uploads(1, false).acquire_lease(slots(&data), "ci", 3, at(0)).is_err());
    }
}
