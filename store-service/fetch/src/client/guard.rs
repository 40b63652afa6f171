//! Who may be connected to.
//!
//! Promises: a name is refused if any of its addresses is not public, so a mixed response cannot be raced; the connector
//! gets only what was checked here, so a second response of the name server changes nothing.

mod ranges;

use std::net::{IpAddr, SocketAddr};

use linkgate_contract::PackageUrl;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use crate::source::SourceError;
use ranges::is_public;

/// How a client resolves names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// To public addresses or not at all.
    PublicOnly,
    /// To anything: the operator named the host.
    Open,
}

/// A name has an address that is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name has an address that is not public")]
pub(super) struct Forbidden {
    pub(super) address: IpAddr,
}

/// No name server knows the host, or none answered.
#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved")]
pub(super) struct NoSuchName(#[source] pub(super) std::io::Error);

impl Guard {
    /// Judges all that a name server answered.
    fn judge(self, found: &[SocketAddr]) -> Result<(), Forbidden> {
        match found.iter().map(SocketAddr::ip).find(|ip| !is_public(*ip)) {
            Some(address) if self == Self::PublicOnly => Err(Forbidden { address }),
            _ => Ok(()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(NoSuchName)?;
            let found: Vec<SocketAddr> = found.collect();
            guard.judge(&found)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Judges a link whose host is an address; names are left to the resolver.
pub(super) fn judge_literal(url: &PackageUrl) -> Result<(), SourceError> {
    let address = match url.host() {
        Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
        Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_public(address) { Ok(()) } else { Err(SourceError::ForbiddenAddress { host: address.to_string(), address }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn one_bad_answer_refuses_the_name_wherever_it_stands() {
        for (answers, bad) in [
            (&["10.0.0.1", "8.8.8.8", "1.1.1.1"][..], "10.0.0.1"),
            (&["8.8.8.8", "169.254.169.254", "1.1.1.1"], "169.254.169.254"),
            (&["8.8.8.8", "2606:4700::1111", "::ffff:127.0.0.1"], "::ffff:127.0.0.1"),
            (&["fd00:ec2::254"], "fd00:ec2::254"),
        ] {
            let refused = Guard::PublicOnly.judge(&response(answers));
            assert_eq!(refused, Err(Forbidden { address: bad.parse().unwrap() }), "{answers:?}");
            assert_eq!(Guard::Open.judge(&response(answers)), Ok(()), "the operator named the host");
        }
        assert_eq!(Guard::PublicOnly.judge(&response(&["8.8.8.8", "2606:4700::1111"])), Ok(()));
    }

    #[test]
    fn literal_hosts_are_judged_in_their_parsed_form() {
        for bad in ["http://127.1/", "http://0x7f000001/", "http://[::ffff:7f00:1]/", "http://2130706433/"] {
            assert!(judge_literal(&PackageUrl::new(bad).unwrap()).is_err(), "{bad}");
        }
        assert!(judge_literal(&PackageUrl::new("http://8.8.8.8/").unwrap()).is_ok());
        assert!(judge_literal(&PackageUrl::new("http://localhost/").unwrap()).is_ok(), "left to the resolver");
    }

    #[tokio::test]
    async fn a_name_with_a_local_address_does_not_resolve() {
        let refused = Guard::PublicOnly.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(refused.downcast_ref::<Forbidden>().is_some());
        assert!(Guard::Open.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
