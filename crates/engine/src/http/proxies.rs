//! Proxies from environment variables, with the rules that curl and others share.

use std::ffi::OsString;
use std::net::IpAddr;

use highwater_core::{Error, ErrorKind};
use ureq::Proxy;

use super::origins::is_loopback;
use crate::urls::{Host, Url};

/// Selects the proxy of a request. An unusable setting fails only the requests that it applies to: bypassing the proxy would
/// expose traffic to a network that must not see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    pub(super) http: Setting,
    pub(super) https: Setting,
    without: Vec<Rule>,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Setting {
    #[default]
    None,
    Proxy(Proxy),
    /// The unusable variable, and why.
    Unusable(&'static str, &'static str),
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// This domain and its subdomains; without the domain itself, if the entry says so.
    Domain {
        name: String,
        itself: bool,
    },
    /// Addresses that share this many leading bits with this one.
    Network {
        address: IpAddr,
        bits: u32,
    },
}

impl Proxies {
    /// Reads `HTTPS_PROXY` for https, `HTTP_PROXY` for http, `ALL_PROXY` for either, and `NO_PROXY`; lower-case names take
    /// precedence. `variable` reads one.
    pub(super) fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let setting = |names: [&'static str; 4]| {
            let found = names.into_iter().find_map(|name| {
                let value = variable(name).filter(|value| !value.is_empty())?;
                Some((name, value))
            });
            match found {
                Some((name, value)) => match value.to_str().map(str::trim) {
                    Some(text) => read(name, text),
                    None => Setting::Unusable(name, "it is not valid text"),
                },
                None => Setting::None,
            }
        };
        let without =
            ["no_proxy", "NO_PROXY"].into_iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let without = without.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        let entries = without.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Proxies {
            http: setting(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            https: setting(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            without: entries.filter_map(rule).collect(),
        }
    }

    /// The setting for a URL, if it uses a proxy at all. This machine is never reached through one.
    pub(super) fn for_url(&self, url: &Url) -> Option<&Setting> {
        if is_loopback(url) || self.without.iter().any(|rule| rule.holds(url)) {
            return None;
        }
        let setting = if url.is_https() { &self.https } else { &self.http };
        (!matches!(setting, Setting::None)).then_some(setting)
    }
}

/// The error for an unusable setting. It omits the value, which may contain a password.
pub(super) fn unusable(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, "the proxy setting of the environment cannot be used: correct or remove it")
        .with("variable", name)
        .with("reason", why)
}

fn read(name: &'static str, text: &str) -> Setting {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        None | Some("http" | "https") => match Proxy::new(text) {
            Ok(proxy) if !proxy.host().is_empty() => Setting::Proxy(proxy),
            _ => Setting::Unusable(name, "it is not a proxy URL"),
        },
        Some(scheme) if scheme.starts_with("socks") => Setting::Unusable(name, "SOCKS proxies are not supported"),
        Some(_) => Setting::Unusable(name, "a proxy URL must begin with http:// or https://"),
    }
}

fn rule(entry: &str) -> Option<Rule> {
    if entry == "*" {
        return Some(Rule { hosts: Hosts::All, port: None });
    }
    if let Some((address, bits)) = entry.split_once('/') {
        let address: IpAddr = unbracketed(address).parse().ok()?;
        let bits = bits.parse().ok().filter(|bits| *bits <= if address.is_ipv4() { 32 } else { 128 })?;
        return Some(Rule { hosts: Hosts::Network { address, bits }, port: None });
    }
    let whole = |address: IpAddr| Hosts::Network { address, bits: if address.is_ipv4() { 32 } else { 128 } };
    if let Ok(address) = unbracketed(entry).parse() {
        return Some(Rule { hosts: whole(address), port: None });
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (entry, None),
    };
    if let Ok(address) = unbracketed(name).parse() {
        return Some(Rule { hosts: whole(address), port });
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let below = name.strip_prefix("*.").or_else(|| name.strip_prefix('.'));
    let hosts = Hosts::Domain { name: below.unwrap_or(&name).to_owned(), itself: below.is_none() };
    (!below.unwrap_or(&name).is_empty()).then_some(Rule { hosts, port })
}

fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

impl Rule {
    fn holds(&self, url: &Url) -> bool {
        if self.port.is_some() && self.port != Some(url.used_port()) {
            return false;
        }
        let address = match url.host() {
            Host::V4(address) => Some(IpAddr::V4(*address)),
            Host::V6(address) => Some(IpAddr::V6(*address).to_canonical()),
            Host::Name(_) => None,
        };
        match (&self.hosts, url.host()) {
            (Hosts::All, _) => true,
            (Hosts::Network { address: network, bits }, _) => {
                address.is_some_and(|address| begins_alike(address, network.to_canonical(), *bits))
            }
            (Hosts::Domain { name, itself }, Host::Name(host)) => {
                let host = host.trim_end_matches('.');
                (*itself && host == name) || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            (Hosts::Domain { .. }, _) => false,
        }
    }
}

fn begins_alike(one: IpAddr, other: IpAddr, bits: u32) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            one.to_bits() & mask == other.to_bits() & mask
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            one.to_bits() & mask == other.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&'static str, &'static str)]) -> Proxies {
        let variables = variables.to_vec();
        Proxies::new(move |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value))
        })
    }

    /// The proxy's host, or the error.
    fn by(proxies: &Proxies, url: &str) -> Result<Option<String>, String> {
        match proxies.for_url(&Url::parse(url).unwrap()) {
            None | Some(Setting::None) => Ok(None),
            Some(Setting::Proxy(proxy)) => Ok(Some(proxy.host().to_owned())),
            Some(Setting::Unusable(name, why)) => Err(unusable(name, why).to_string()),
        }
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let both = proxies(&[("HTTPS_PROXY", "http://secure:1"), ("HTTP_PROXY", "plain:2")]);
        assert_eq!(by(&both, "https://api.example"), Ok(Some("secure".to_owned())));
        assert_eq!(by(&both, "http://api.example"), Ok(Some("plain".to_owned())));
        let https = proxies(&[("HTTPS_PROXY", "http://secure:1")]);
        assert_eq!(by(&https, "http://api.example"), Ok(None));
        let all = proxies(&[("ALL_PROXY", "http://all"), ("https_proxy", ""), ("HTTPS_PROXY", "http://secure")]);
        assert_eq!(by(&all, "https://api.example"), Ok(Some("secure".to_owned())));
        assert_eq!(by(&all, "http://api.example"), Ok(Some("all".to_owned())));
        for own in
            ["http://127.0.0.1:80", "http://localhost", "http://a.localhost", "https://[::1]:8", "http://127.9.9.9"]
        {
            assert_eq!(by(&proxies(&[("ALL_PROXY", "http://all")]), own), Ok(None), "{own}");
            assert_eq!(by(&proxies(&[("ALL_PROXY", "socks5://all")]), own), Ok(None), "{own}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_an_error_and_shows_no_password() {
        for value in
            ["socks5://me:s3cret@p:1", "socks://p", "ftp://me:s3cret@p", "http://", "http://me:s3cret@", "ht tp", ":"]
        {
            let proxies = proxies(&[("HTTP_PROXY", value)]);
            let error = by(&proxies, "http://api.example").expect_err(value);
            assert!(error.contains("HTTP_PROXY") && !error.contains("s3cret"), "{error}");
            assert_eq!(by(&proxies, "https://api.example"), Ok(None), "{value}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            let unreadable = Proxies::new(|name| (name == "all_proxy").then(|| OsString::from_vec(vec![0xff, 0xfe])));
            assert!(by(&unreadable, "https://api.example").is_err());
        }
    }

    #[test]
    fn hosts_without_a_proxy() {
        for (entry, without, with) in [
            ("*", "https://a.example", ""),
            ("a.example", "https://a.example", "https://ba.example"),
            ("a.example", "https://deep.b.a.example:8443", "https://a.example.org"),
            (".a.example", "https://b.a.example", "https://a.example"),
            ("*.a.example", "https://b.a.example", "https://a.example"),
            ("A.Example.", "https://a.EXAMPLE.", "https://b.example"),
            ("a.example:8443", "https://a.example:8443", "https://a.example"),
            ("a.example:443", "https://a.example", "https://a.example:8443"),
            ("10.0.0.0/8", "https://10.255.0.1", "https://11.0.0.1"),
            ("10.0.0.0/8", "https://[::ffff:10.1.1.1]", "https://ten.example"),
            ("0.0.0.0/0", "https://9.9.9.9", "https://[fd00::1]"),
            ("fd00::/8", "https://[fdff::1]", "https://[fe00::1]"),
            ("[fd00::1]:8443", "https://[fd00::1]:8443", "https://[fd00::1]"),
            ("192.168.1.7", "https://192.168.1.7:1", "https://192.168.1.8"),
            ("x, a.example\tb.example", "https://b.example", "https://c.example"),
            ("10.0.0.0/99,a.example:x,:1,.,a.example", "https://a.example", "https://10.0.0.0"),
        ] {
            let proxies = Proxies::new(|name| match name {
                "HTTPS_PROXY" => Some("http://p".into()),
                "NO_PROXY" => Some(entry.into()),
                _ => None,
            });
            assert_eq!(by(&proxies, without), Ok(None), "{entry}: {without}");
            if !with.is_empty() {
                assert_eq!(by(&proxies, with), Ok(Some("p".to_owned())), "{entry}: {with}");
            }
        }
    }
}
