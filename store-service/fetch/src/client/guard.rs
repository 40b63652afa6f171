//! Who may be connected to.
//!
//! Promises: a name is refused if any of its addresses is not public, so a mixed response cannot be raced; the connector
//! gets only what was checked here, so a second response of the name server changes nothing.

mod ranges;

use std::net::{IpAddr, SocketAddr};

use linkgate_contract::PackageUrl;
use tokio::net::lookup_host;
use url::Host;

use ranges::is_public;

/// Which addresses a host may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Public ones, and no others.
    PublicOnly,
    /// Any: the operator named the host.
    Open,
}

/// Why there is no address to connect to.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAddress {
    /// The host has an address that is not public.
    #[error("the host has an address that is not public")]
    Forbidden(IpAddr),
    /// No name server knows the host, or none answered.
    #[error(transparent)]
    NoSuchName(NoSuchName),
}

/// No name server knows the host, or none answered.
#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved")]
pub(super) struct NoSuchName(#[source] pub(super) std::io::Error);

impl Guard {
    /// The addresses of a link's host, all of them judged.
    pub(super) async fn resolve(self, url: &PackageUrl) -> Result<Vec<SocketAddr>, NoAddress> {
        let found = match literal_address(url) {
            Some(address) => vec![SocketAddr::new(address, url.port())],
            None => look_up(url).await.map_err(|error| NoAddress::NoSuchName(NoSuchName(error)))?,
        };
        self.judge(&found)?;
        Ok(found)
    }

    /// Judges a link whose host is an address.
    pub(super) fn judge_literal(self, url: &PackageUrl) -> Result<(), NoAddress> {
        let address = literal_address(url).map(|address| SocketAddr::new(address, url.port()));
        self.judge(address.as_slice())
    }

    fn judge(self, found: &[SocketAddr]) -> Result<(), NoAddress> {
        match found.iter().map(SocketAddr::ip).find(|ip| !is_public(*ip)) {
            Some(address) if self == Self::PublicOnly => Err(NoAddress::Forbidden(address)),
            _ => Ok(()),
        }
    }
}

fn literal_address(url: &PackageUrl) -> Option<IpAddr> {
    match url.host() {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(_) => None,
    }
}

async fn look_up(url: &PackageUrl) -> std::io::Result<Vec<SocketAddr>> {
    let name = url.host().to_string();
    Ok(lookup_host((name.as_str(), url.port())).await?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
    }

    fn forbidden(judged: Result<(), NoAddress>) -> Option<IpAddr> {
        match judged {
            Ok(()) => None,
            Err(NoAddress::Forbidden(address)) => Some(address),
            Err(NoAddress::NoSuchName(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn one_bad_answer_refuses_the_name_wherever_it_stands() {
        for (answers, bad) in [
            (&["10.0.0.1", "8.8.8.8", "1.1.1.1"][..], "10.0.0.1"),
            (&["8.8.8.8", "169.254.169.254", "1.1.1.1"], "169.254.169.254"),
            (&["8.8.8.8", "2606:4700::1111", "::ffff:127.0.0.1"], "::ffff:127.0.0.1"),
            (&["fd00:ec2::254"], "fd00:ec2::254"),
        ] {
            let refused = forbidden(Guard::PublicOnly.judge(&response(answers)));
            assert_eq!(refused, Some(bad.parse().unwrap()), "{answers:?}");
            assert_eq!(forbidden(Guard::Open.judge(&response(answers))), None, "the operator named the host");
        }
        assert_eq!(forbidden(Guard::PublicOnly.judge(&response(&["8.8.8.8", "2606:4700::1111"]))), None);
    }

    #[tokio::test]
    async fn literal_hosts_are_judged_in_their_parsed_form() {
        for bad in ["http://127.1/", "http://0x7f000001/", "http://[::ffff:7f00:1]/", "http://2130706433/"] {
            let url = PackageUrl::new(bad).unwrap();
            assert!(matches!(Guard::PublicOnly.resolve(&url).await, Err(NoAddress::Forbidden(_))), "{bad}");
            assert!(Guard::Open.resolve(&url).await.is_ok(), "{bad}");
        }
        let good = PackageUrl::new("https://8.8.8.8/").unwrap();
        assert_eq!(Guard::PublicOnly.resolve(&good).await.unwrap(), ["8.8.8.8:443".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_with_a_local_address_does_not_resolve() {
        let url = PackageUrl::new("http://localhost:81/").unwrap();
        assert!(matches!(Guard::PublicOnly.resolve(&url).await, Err(NoAddress::Forbidden(_))));
        assert!(Guard::Open.resolve(&url).await.unwrap().iter().all(|found| found.port() == 81));
    }
}
