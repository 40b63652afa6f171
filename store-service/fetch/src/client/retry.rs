//! Which failures may be tried again, and when.
//!
//! Promises: what would fail in the same way again is not tried again: refusals of ours, a source's clear no, a certificate
//! that proves nothing. Waits grow and are spread, so that downloads which one source dropped together do not come back
//! together.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::exchange::Response;
use crate::credentials::DownloadCredential;
use crate::source::{Phase, SourceError, Unreachable};

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct FailedAttempt {
    pub(super) error: SourceError,
    pub(super) retry: RetryPolicy,
}

/// Whether another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryPolicy {
    /// No.
    Never,
    /// Yes, but not before this, if the source said so.
    After(Option<Duration>),
    /// Yes, from the link on: what was begun cannot go on.
    FromStart,
}

impl FailedAttempt {
    /// A status that is not what was asked for. A credential that went along and was not taken is not shown again: sources
    /// lock accounts out for that.
    pub(super) fn from_status(response: &Response, credential: Option<&DownloadCredential>) -> Self {
        let status = response.status();
        if let (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(credential)) = (status, credential) {
            return Self { error: credential.refused(status.as_u16()).into(), retry: RetryPolicy::Never };
        }
        let retry = if is_transient(status) {
            RetryPolicy::After(parse_retry_after(response.headers(), Timestamp::now()))
        } else {
            RetryPolicy::Never
        };
        Self { error: SourceError::Status { status: status.as_u16() }, retry }
    }
}

impl From<SourceError> for FailedAttempt {
    fn from(error: SourceError) -> Self {
        let retry = match &error {
            SourceError::Transport { reason, .. } if is_final(*reason) => RetryPolicy::Never,
            SourceError::Transport { .. }
            | SourceError::TimedOut { phase: Phase::Connect | Phase::Head | Phase::Body, .. } => {
                RetryPolicy::After(None)
            }
            SourceError::Changed => RetryPolicy::FromStart,
            _ => RetryPolicy::Never,
        };
        Self { error, retry }
    }
}

/// Something else listens there, or could not prove that it is the source, or we may not go there.
fn is_final(reason: Unreachable) -> bool {
    use Unreachable as U;
    matches!(
        reason,
        U::NotHttp
            | U::CertificateTime
            | U::CertificateName
            | U::CertificateIssuer
            | U::Certificate
            | U::ClientCertificateMissing
            | U::ClientCertificateRefused
            | U::ProxyRefused
    )
}

/// The source says itself that it may do better later.
pub(super) fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// Seconds or a date; what is neither counts as not said.
fn parse_retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs);
    seconds.or_else(|| Duration::try_from(parse_http_date(value)?.duration_since(now)).ok())
}

/// A date in the one form that is still sent (RFC 9110, 5.6.7).
pub(super) fn parse_http_date(value: &HeaderValue) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(value.as_bytes()).ok()
}

/// How long to wait after so many attempts: doubled each time, and then a part between a half and all of it.
pub(super) fn compute_backoff(first: Duration, made: u32, jitter: u8) -> Duration {
    let most = first.saturating_mul(2_u32.saturating_pow(made.saturating_sub(1)));
    (most / 2).saturating_add(most / 2 / u32::from(u8::MAX) * u32::from(jitter))
}

/// A random number; where the system has none, every wait is the longest.
pub(super) fn random_jitter() -> u8 {
    let mut byte = [u8::MAX];
    let _kept_if_it_fails = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(value: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
        parse_retry_after(&headers, "1994-11-06T08:49:00Z".parse().unwrap())
    }

    #[test]
    fn a_source_may_say_when_in_seconds_or_as_a_date() {
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(after("18446744073709551615"), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(37)));
        for nothing in ["", "-1", "soon", "1.5", "18446744073709551616", "Sun, 06 Nov 1994 08:48:00 GMT"] {
            assert_eq!(after(nothing), None, "{nothing}");
        }
        assert_eq!(parse_retry_after(&HeaderMap::new(), Timestamp::now()), None);
    }

    #[test]
    fn waits_double_and_are_spread_over_their_upper_half() {
        let first = Duration::from_millis(500);
        for (made, most) in [(1, 500), (2, 1_000), (3, 2_000)] {
            let most = Duration::from_millis(most);
            assert_eq!(compute_backoff(first, made, 0), most / 2);
            let longest = compute_backoff(first, made, u8::MAX);
            assert!(longest <= most && longest > most - Duration::from_millis(1), "{longest:?}");
        }
        assert!(compute_backoff(Duration::MAX, 200, u8::MAX) > Duration::from_secs(1), "no overflow");
    }

    #[test]
    fn refusals_and_a_clear_no_are_final() {
        let retry_of = |error: SourceError| FailedAttempt::from(error).retry;
        let timed_out = |phase| SourceError::TimedOut { phase, after: Duration::from_secs(1) };
        for phase in [Phase::Connect, Phase::Head, Phase::Body] {
            assert_eq!(retry_of(timed_out(phase)), RetryPolicy::After(None));
            assert_eq!(
                retry_of(SourceError::Transport { phase, reason: Unreachable::BrokeOff, cause: "reset".into() }),
                RetryPolicy::After(None)
            );
        }
        assert_eq!(retry_of(SourceError::Changed), RetryPolicy::FromStart);
        for error in [
            timed_out(Phase::Whole),
            SourceError::ForbiddenAddress { host: "x".into(), address: [10, 0, 0, 1].into() },
            SourceError::RedirectNotAllowed { host: "x".into() },
            SourceError::RedirectDowngrade,
            SourceError::TooManyRedirects { limit: 5 },
            SourceError::Encoded,
            SourceError::Page,
            SourceError::SizeMismatch { expected: 1, found: None },
            SourceError::TooLarge { limit_bytes: 1 },
            SourceError::TooSlow { min_rate: 1, over: Duration::from_secs(1) },
        ] {
            assert_eq!(retry_of(error), RetryPolicy::Never);
        }
    }

    #[test]
    fn a_certificate_that_proves_nothing_is_final_and_another_failure_of_tls_is_not() {
        let retry_of = |reason| {
            FailedAttempt::from(SourceError::Transport { phase: Phase::Connect, reason, cause: "tls".into() }).retry
        };
        assert_eq!(retry_of(Unreachable::CertificateTime), RetryPolicy::Never);
        assert_eq!(retry_of(Unreachable::Tls), RetryPolicy::After(None));
    }

    #[test]
    fn passing_statuses_are_told_from_final_ones() {
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(is_transient(StatusCode::from_u16(status).unwrap()), "{status}");
        }
        for status in [200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 410, 416, 418] {
            assert!(!is_transient(StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }
}
