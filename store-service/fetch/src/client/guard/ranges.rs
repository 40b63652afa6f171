//! Which addresses are public.
//!
//! Promises: what stands in one of IANA's registries of special-purpose addresses is not public, whether or not the
//! registry calls it reachable, and neither is multicast: no packages lie there. Of IPv6 only what is given out for
//! global unicast can be public. An address that carries another one inside is judged by the inner one, for that is where
//! packets end up; where it carries several, by all of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is reachable from anywhere, and not by accident ours.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// IANA's registry of special-purpose IPv4 addresses, multicast, and one address that no registry has.
const SPECIAL_V4: [([u8; 4], u8); 18] = [
    ([0, 0, 0, 0], 8),        // this network, this host
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carrier-grade NAT; a metadata service
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // the metadata service of a cloud, in the middle of public ones
    ([169, 254, 0, 0], 16),   // link-local; the metadata services of most clouds
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments; a metadata service
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 31, 196, 0], 24),  // AS112
    ([192, 52, 193, 0], 24),  // automatic multicast tunnels
    ([192, 88, 99, 0], 24),   // retired 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([192, 175, 48, 0], 24),  // AS112
    ([198, 18, 0, 0], 15),    // benchmarking
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 3),      // multicast, reserved, broadcast
];

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let ip = u32::from(ip);
    !SPECIAL_V4.iter().any(|&(network, bits)| (ip ^ u32::from_be_bytes(network)) >> (32 - bits) == 0)
}

/// IANA's registry of special-purpose IPv6 addresses, as far as it lies in [`GLOBAL_UNICAST`] and holds no IPv4 address.
const SPECIAL_V6: [([u16; 8], u8); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments: ORCHID, benchmarking, AS112, tunnels, drones
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2620, 0x004f, 0x8000, 0, 0, 0, 0, 0], 48), // AS112
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// Outside of it: loopback, discard, segment routing, unique local, link and site local, multicast, and what is not given out.
const GLOBAL_UNICAST: ([u16; 8], u8) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

fn is_within((network, bits): ([u16; 8], u8), ip: Ipv6Addr) -> bool {
    (u128::from(ip) ^ u128::from(Ipv6Addr::from(network))) >> (128 - bits) == 0
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let prefix_is_public = match carried_v4(ip) {
        Carried::Nothing => is_within(GLOBAL_UNICAST, ip) && !SPECIAL_V6.iter().any(|&range| is_within(range, ip)),
        Carried::One(inner) => is_public_v4(inner),
        Carried::Two(inner, other) => is_public_v4(inner) && is_public_v4(other),
    };
    prefix_is_public && isatap_v4(ip).is_none_or(is_public_v4)
}

/// What the upper bits of an IPv6 address say that it carries.
enum Carried {
    Nothing,
    One(Ipv4Addr),
    Two(Ipv4Addr, Ipv4Addr),
}

fn carried_v4(ip: Ipv6Addr) -> Carried {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, a, b] // compatible; :: and ::1 become 0.0.0.x
        | [0, 0, 0, 0, 0, 0xffff, a, b] // mapped
        | [0, 0, 0, 0, 0xffff, 0, a, b] // translated
        | [0x0064, 0xff9b, 0, 0, 0, 0, a, b] // NAT64, well known
        // NAT64, local. A translator may also use a longer part of this network, with the inner address further to the
        // left; where all of that is zero it would find 0.x.x.x there, which leads nowhere. Everything else in this
        // network cannot be read without knowing the translator.
        | [0x0064, 0xff9b, 1, 0, 0, 0, a, b] => Carried::One(v4(a, b)),
        [0x2002, a, b, ..] => Carried::One(v4(a, b)), // 6to4
        // Teredo: a server, and a client that is stored inverted.
        [0x2001, 0, a, b, _, _, c, d] => Carried::Two(v4(a, b), v4(!c, !d)),
        _ => Carried::Nothing,
    }
}

/// The address of a tunnel's end behind any prefix (RFC 5214).
fn isatap_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        // The two bits say whether the address is unique, and whether it is a group's.
        [_, _, _, _, marks, 0x5efe, a, b] if marks & !0x0300 == 0 => {
            Some(Ipv4Addr::from((u32::from(a) << 16) | u32::from(b)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(address: &str) -> bool {
        is_public(address.parse().expect(address))
    }

    /// A range's first and last address are not public, and their neighbours outside are, where those are named.
    fn assert_special(table: &[(&str, &str, &str, &str)]) {
        for (before, first, last, after) in table {
            assert!(!public(first) && !public(last), "{first} to {last}");
            assert!([before, after].into_iter().filter(|a| !a.is_empty()).all(|a| public(a)), "{before}, {after}");
        }
    }

    #[test]
    fn the_registry_of_ipv4_is_refused_to_its_very_edges() {
        assert_special(&[
            ("", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
            ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
            ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
            ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
            ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
            ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
            ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
            ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
            ("192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"),
            ("192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"),
            ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"),
            ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
            ("192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"),
            ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
            ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"),
            ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"),
            ("223.255.255.255", "224.0.0.0", "239.255.255.255", ""),
            ("", "240.0.0.0", "255.255.255.255", ""),
        ]);
    }

    #[test]
    fn the_registry_of_ipv6_is_refused_to_its_very_edges() {
        assert_special(&[
            ("", "::", "::1", ""),
            ("", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "100::", "100::ffff:ffff:ffff:ffff", ""),
            ("", "100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", ""),
            ("", "1fff:ffff::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"),
            ("", "2001:1::1", "2001:1::3", ""),
            ("", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "2001:10::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "2001:100::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
            ("2001:db7:ffff::", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"),
            ("2620:4f:7fff::", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"),
            ("3ffe:ffff::", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
            ("3fff:ffff:ffff::", "4000::", "5eff:ffff::", ""),
            ("", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
            ("", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
        ]);
    }

    #[test]
    fn metadata_services_are_refused() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.23",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
        ] {
            assert!(!public(address), "{address}");
        }
        assert!(public("168.63.129.15") && public("168.63.129.17"));
    }

    #[test]
    fn what_is_public_passes() {
        for address in ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2001:4860:4860::8888", "2a00::1"] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn an_inner_address_is_judged_in_every_wrapping() {
        type Wrap = fn(u16, u16) -> [u16; 8];
        let wrappings: [(&str, Wrap); 9] = [
            ("compatible", |a, b| [0, 0, 0, 0, 0, 0, a, b]),
            ("mapped", |a, b| [0, 0, 0, 0, 0, 0xffff, a, b]),
            ("translated", |a, b| [0, 0, 0, 0, 0xffff, 0, a, b]),
            ("NAT64", |a, b| [0x64, 0xff9b, 0, 0, 0, 0, a, b]),
            ("local NAT64", |a, b| [0x64, 0xff9b, 1, 0, 0, 0, a, b]),
            ("6to4", |a, b| [0x2002, a, b, 0, 0, 0, 0, 1]),
            ("a Teredo client", |a, b| [0x2001, 0, 0x4136, 0xe378, 0, 0, !a, !b]),
            ("a Teredo server", |a, b| [0x2001, 0, a, b, 0, 0, 0xf7f7, 0xf7f7]),
            ("ISATAP", |a, b| [0x2a00, 1, 2, 3, 0, 0x5efe, a, b]),
        ];
        let inner = [
            ("8.8.8.8", true),
            ("223.255.255.255", true),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("168.63.129.16", false),
            ("169.254.169.254", false),
            ("172.31.255.255", false),
            ("192.168.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
        ];
        for (name, wrap) in wrappings {
            for (v4, passes) in inner {
                let v4: Ipv4Addr = v4.parse().unwrap();
                let [a, b, c, d] = v4.octets();
                let ip = Ipv6Addr::from(wrap(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
                assert_eq!(is_public(ip.into()), passes, "{v4} as {name}: {ip}");
            }
        }
    }

    #[test]
    fn a_tunnel_counts_behind_any_prefix_and_with_any_marks_and_its_prefix_counts_too() {
        for bad in [
            "2a00::200:5efe:10.0.0.1",
            "2a00::100:5efe:10.0.0.1",
            "2a00::300:5efe:10.0.0.1",
            "2002:808:808::5efe:10.0.0.1",
            "fe80::5efe:8.8.8.8",
            "2002:a00:1::5efe:8.8.8.8",
        ] {
            assert!(!public(bad), "{bad}");
        }
        assert!(public("2a00::200:5efe:8.8.8.8") && public("2002:808:808::5efe:8.8.8.8"));
        assert!(public("2a00::1200:5efe:10.0.0.1"), "no tunnel's mark");
    }

    #[test]
    fn a_local_translator_whose_form_is_not_known_is_refused() {
        // 10.0.0.1 behind prefixes of 48, 56, 64 and 96 bits, with something public where another reader would look.
        for bad in [
            "64:ff9b:1:a00:0:100:808:808",
            "64:ff9b:1:a:0:1:808:808",
            "64:ff9b:1:0:a:0:108:808",
            "64:ff9b:1:ffff::808:808",
            "64:ff9b:2::808:808",
        ] {
            assert!(!public(bad), "{bad}");
        }
    }
}
