//! What a proxy is asked, and what it refuses.
//!
//! Promises: a refusal of the proxy is never taken for the source's answer where the two can be told apart: always for a
//! tunnel, and for a request that the proxy passes on where it says so in the ways that proxies have.

use std::fmt;

use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use linkgate_contract::PackageUrl;

use super::exchange::{self, Tunnel};
use super::stream::Stream;
use crate::proxy::EgressProxy;
use crate::source::{Cause, Phase, SourceError, Unreachable};

/// Where Smokescreen says why it refuses, and Squid what went wrong.
static SMOKESCREEN: HeaderName = HeaderName::from_static("x-smokescreen-error");
static SQUID: HeaderName = HeaderName::from_static("x-squid-error");
/// Characters of a refusal that are logged.
const MAX_SHOWN: usize = 256;

/// What the proxy answered itself. For the log only.
#[derive(Debug, thiserror::Error)]
struct ProxyAnswer {
    proxy: String,
    status: StatusCode,
    said: String,
}

impl fmt::Display for ProxyAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} answered {}", self.proxy, self.status.as_u16())?;
        if self.said.is_empty() { Ok(()) } else { write!(f, ": {}", self.said) }
    }
}

/// The proxy itself could not be asked. For the log only.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy} could not be asked")]
struct ProxyFailed {
    proxy: String,
    #[source]
    cause: Cause,
}

/// Opens a tunnel to the host of a link.
pub(super) async fn open(stream: Stream, proxy: &EgressProxy, url: &PackageUrl) -> Result<Stream, SourceError> {
    let target = format!("{}:{}", url.host(), url.port());
    let headers = tunnel_headers(&target, proxy).map_err(|cause| unreachable(proxy, cause))?;
    match exchange::connect(stream, &target, headers).await {
        Ok(Tunnel::Open(stream)) => Ok(stream),
        Ok(Tunnel::Refused(status, headers)) => Err(refusal(proxy, status, &headers)),
        Err(cause) => Err(unreachable(proxy, cause)),
    }
}

fn tunnel_headers(target: &str, proxy: &EgressProxy) -> Result<HeaderMap, Cause> {
    let mut headers = HeaderMap::from_iter([
        (HOST, HeaderValue::from_str(target)?),
        (USER_AGENT, HeaderValue::from_static(exchange::USER_AGENT)),
    ]);
    headers.extend(proxy.authorization().map(|value| (PROXY_AUTHORIZATION, value.clone())));
    Ok(headers)
}

/// The proxy cannot be connected to, or speaks no HTTP.
pub(super) fn unreachable(proxy: &EgressProxy, cause: Cause) -> SourceError {
    let cause = ProxyFailed { proxy: proxy.to_string(), cause }.into();
    SourceError::Transport { phase: Phase::Connect, reason: Unreachable::ProxyUnreachable, cause }
}

/// What a proxy says of a request that it did not pass on, if it says so.
pub(super) fn refusal_of_forwarded(
    proxy: &EgressProxy,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), SourceError> {
    let says_so = [&SMOKESCREEN, &SQUID].iter().any(|name| headers.contains_key(*name));
    if says_so || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        Err(refusal(proxy, status, headers))
    } else {
        Ok(())
    }
}

fn refusal(proxy: &EgressProxy, status: StatusCode, headers: &HeaderMap) -> SourceError {
    let reason = reason_of(status, headers.contains_key(&SMOKESCREEN));
    let said = headers.get(&SMOKESCREEN).or_else(|| headers.get(&SQUID)).map(HeaderValue::as_bytes);
    let said = String::from_utf8_lossy(said.unwrap_or_default());
    let said = said.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
    let cause = ProxyAnswer { proxy: proxy.to_string(), status, said }.into();
    SourceError::Transport { phase: Phase::Connect, reason, cause }
}

/// Smokescreen refuses with 407, or 503 and its header; others answer 503 if they do not get through.
fn reason_of(status: StatusCode, is_smokescreen: bool) -> Unreachable {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Unreachable::ProxyCannotReach,
        status if status.is_server_error() && !is_smokescreen => Unreachable::ProxyCannotReach,
        _ => Unreachable::ProxyRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_of_the_proxy_is_told_from_a_way_that_it_did_not_find() {
        for (status, is_smokescreen, want) in [
            (407, false, Unreachable::ProxyRefused),
            (407, true, Unreachable::ProxyRefused),
            (403, false, Unreachable::ProxyRefused),
            (503, true, Unreachable::ProxyRefused),
            (503, false, Unreachable::ProxyCannotReach),
            (500, false, Unreachable::ProxyCannotReach),
            (502, true, Unreachable::ProxyCannotReach),
            (504, true, Unreachable::ProxyCannotReach),
            (302, false, Unreachable::ProxyRefused),
        ] {
            let reason = reason_of(StatusCode::from_u16(status).unwrap(), is_smokescreen);
            assert_eq!(reason, want, "{status} {is_smokescreen}");
        }
    }
}
