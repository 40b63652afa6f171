//! Which addresses may be connected to.
//!
//! Promises: a name is refused if any of its addresses is not public, so a mixed answer cannot be raced; the connector
//! gets only what was checked here, so a second answer of the name server changes nothing. Addresses that carry another
//! one inside (mapped, NAT64, 6to4, Teredo) are judged by the inner one, for that is where packets end up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use linkgate_contract::PackageUrl;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use crate::link::ports::SourceError;

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

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if guard == Self::PublicOnly
                && let Some(bad) = found.iter().find(|a| !is_public(a.ip()))
            {
                return Err(Forbidden { address: bad.ip() }.into());
            }
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

/// Whether an address is reachable from anywhere, and not by accident ours.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = a == 0 // "this network"
        || a == 127
        || ip.is_private()
        || ip.is_link_local() // also the clouds' metadata services
        || (a == 100 && b & 0xc0 == 64) // carrier-grade NAT
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // retired 6to4 relays
        || (a == 198 && b & 0xfe == 18) // benchmarking
        || ip.is_documentation()
        || a >= 224; // multicast, reserved, broadcast
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = inner_v4(ip) {
        return is_public_v4(inner);
    }
    match ip.segments() {
        // Protocol assignments, ORCHID, benchmarking; documentation.
        [0x2001, second, ..] => second >= 0x0200 && second != 0x0db8,
        // Documentation.
        [0x3fff, second, ..] => second >= 0x1000,
        // Outside: loopback, local NAT64, discard, segment routing, unique local, link and site local, multicast.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// The IPv4 address inside an IPv6 one.
fn inner_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let at = |i: usize| Ipv4Addr::from((u32::from(s[i]) << 16) | u32::from(s[i + 1]));
    match s {
        [0, 0, 0, 0, 0, 0, _, _] => Some(at(6)), // compatible; :: and ::1 become 0.0.0.x
        [0, 0, 0, 0, 0, 0xffff, _, _] => Some(at(6)), // mapped
        [0, 0, 0, 0, 0xffff, 0, _, _] => Some(at(6)), // translated
        [0x0064, 0xff9b, 0, 0, 0, 0, _, _] => Some(at(6)), // NAT64, well known
        [0x2002, ..] => Some(at(1)),             // 6to4
        [0x2001, 0, ..] => Some(Ipv4Addr::from(!u32::from(at(6)))), // Teredo, stored inverted
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_pass() {
        for good in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:0:1::f7f7:f7f7",
        ] {
            assert!(is_public(good.parse().unwrap()), "{good}");
        }
    }

    #[test]
    fn everything_else_is_refused_also_in_disguise() {
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:0:1::80ff:fffe",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(bad.parse().unwrap()), "{bad}");
        }
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
