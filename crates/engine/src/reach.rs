//! Classifies addresses: this machine, a network that is not the internet, the internet.
//!
//! After the IANA registries of special-purpose addresses (RFC 6890, RFC 8190):
//! <https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::mutants::mutant;
use crate::urls::{Host, Url};

/// The class of a host's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This machine.
    Loopback,
    /// Not globally routable: private, local, reserved, or a way to write an address that is.
    Private,
    /// The internet, as far as is known.
    Public,
}

/// Classifies a URL's host by its text. A name counts as public unless it is `localhost`.
pub(crate) fn of_url(url: &Url) -> Reach {
    match url.host() {
        Host::Name(name) if is_localhost(name) => Reach::Loopback,
        Host::V4(address) => of_v4(*address),
        Host::V6(address) => of_v6(*address),
        Host::Name(_) => Reach::Public,
    }
}

/// Classifies an address.
#[cfg(feature = "http")]
pub(crate) fn of(address: std::net::IpAddr) -> Reach {
    match address {
        std::net::IpAddr::V4(address) => of_v4(address),
        std::net::IpAddr::V6(address) => of_v6(address),
    }
}

/// RFC 6761, section 6.3.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn of_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [127, ..] => Reach::Loopback,
        [0 | 10, ..]
        | [100, 64..=127, ..]
        | [169, 254, ..]
        | [172, 16..=31, ..]
        // IETF protocol assignments, documentation, the old 6to4 relays.
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [192, 168, ..]
        // Benchmarks, documentation.
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        // Multicast, reserved, broadcast.
        | [224..=255, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    let segments = address.segments();
    let [.., high, low] = segments;
    let inner = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        _ if address.is_loopback() => Reach::Loopback,
        // A mapped IPv4 address: the system connects to that address.
        [0, 0, 0, 0, 0, 0xffff, ..] => of_v4(inner),
        // NAT64 (RFC 6052) leads to the embedded address, but never back to this machine.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] if of_v4(inner) == Reach::Public => Reach::Public,
        _ if mutant!("destination-translated-address") && of_v4(inner) != Reach::Public => Reach::Public,
        // Teredo, benchmarks, ORCHID and other protocol assignments; documentation; 6to4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2002, ..] => Reach::Private,
        // Global unicast. Everything else is local, reserved, or IPv4 in disguise.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Private,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(text: &str) -> Reach {
        of(text.parse().unwrap())
    }

    #[test]
    fn destination_addresses_that_are_not_globally_routable_are_told() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2620:4f:8000::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(reach(address), Reach::Public, "{address}");
        }
        for address in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(reach(address), Reach::Loopback, "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            // Unspecified; IPv4-compatible, mapped, translated (SIIT).
            "::",
            "::169.254.169.254",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "::ffff:0:8.8.8.8",
            // NAT64, and its range for local use.
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1::808:808",
            // Discard-only; Teredo, benchmarks, ORCHID; 6to4; documentation; segment routing.
            "100::1",
            "2001::1",
            "2001:0:53aa:64c:0:fbff:5601:5601",
            "2001:2::1",
            "2001:10::1",
            "2001:1ff::1",
            "2002:a9fe:a9fe::",
            "2002:808:808::1",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            // Unique local, link local, site local, multicast, not assigned.
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "1::1",
        ] {
            assert_eq!(reach(address), Reach::Private, "{address}");
        }
    }

    #[test]
    fn destination_hosts_are_judged_by_their_text() {
        let reach = |url: &str| of_url(&Url::parse(url).unwrap());
        for url in
            ["http://localhost/", "http://LOCALHOST./", "http://a.localhost:1/", "http://127.1/", "http://0x7f000001/"]
        {
            assert_eq!(reach(url), Reach::Loopback, "{url}");
        }
        for url in ["https://0/", "https://0300.0250.1.1/", "https://3232235777/", "https://[::ffff:c0a8:101]/"] {
            assert_eq!(reach(url), Reach::Private, "{url}");
        }
        for url in ["https://localhost.example/", "https://example.com/", "https://3fff.example/"] {
            assert_eq!(reach(url), Reach::Public, "{url}");
        }
    }
}
