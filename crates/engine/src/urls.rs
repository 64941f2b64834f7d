//! Absolute http and https URLs, in the form in which they are judged and sent.
//!
//! They are read as browsers do (<https://url.spec.whatwg.org/>), so a backslash is a slash and `0x7f.1` is an address of this machine.
//! What is passed on is always the normal form: it means the same to every parser, so no other host is connected to than
//! the one that was judged. In contrast to browsers, a host name is ASCII: letters, digits, and `-`, `_`, `.`.
//! The tests compare with the crate `url`, whose tables for other host names are 21 crates.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use form_urlencoded::Serializer;
use highwater_core::{Error, ErrorKind};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What a path contains only percent-encoded.
const IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// The same of a query.
const IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'\'').add(b'<').add(b'>');

/// An absolute URL, without a fragment, a name, or a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    text: String,
    scheme: &'static str,
    host: Host,
    port: Option<u16>,
    /// Where the path begins and ends in the text.
    path: (usize, usize),
    /// Whether there was a name or a password in front of the host.
    has_credentials: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// In lower case.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Why a text is no URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotUrl {
    /// It does not begin with a scheme.
    Relative,
    Scheme,
    Character,
    Host,
    International,
    Port,
}

impl fmt::Display for NotUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotUrl::Relative => "it does not begin with a scheme",
            NotUrl::Scheme => "it does not begin with https:// or http://",
            NotUrl::Character => "it has a tab or a line break",
            NotUrl::Host => "its host is neither a name nor an address",
            NotUrl::International => "its host name is not ASCII: write it in Punycode (xn--...)",
            NotUrl::Port => "its port is not a number up to 65535",
        })
    }
}

impl std::error::Error for NotUrl {}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Url {
    /// Reads an absolute URL. A fragment, a name and a password are dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, NotUrl> {
        let text = trimmed(text);
        let (scheme, rest) = text.split_once("://").ok_or(NotUrl::Relative)?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => "https",
            _ if scheme.eq_ignore_ascii_case("http") => "http",
            _ if is_scheme(scheme) => return Err(NotUrl::Scheme),
            _ => return Err(NotUrl::Relative),
        };
        if text.contains(['\t', '\n', '\r']) {
            return Err(NotUrl::Character);
        }
        let (authority, behind) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
        let (credentials, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = read_place(place)?;
        let port = port.filter(|port| *port != default_port(scheme));

        let behind = behind.split('#').next().unwrap_or_default();
        let (path, query) = match behind.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (behind, None),
        };
        let mut text = match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        let begin = text.len();
        text.extend(utf8_percent_encode(&without_dots(&path.replace('\\', "/")), IN_PATH));
        let path = (begin, text.len());
        let mut url = Url { text, scheme, host, port, path, has_credentials: !credentials.is_empty() };
        url.set_query(query);
        Ok(url)
    }

    /// Resolves a link (RFC 3986, section 5.2).
    pub(crate) fn join(&self, link: &str) -> Result<Self, NotUrl> {
        let link = trimmed(link);
        let path = link.split(['?', '#']).next().unwrap_or_default();
        if path.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) {
            return Url::parse(link);
        }
        let mut slashes = path.chars().map(|c| matches!(c, '/' | '\\'));
        let text = match (slashes.next(), slashes.next()) {
            (Some(true), Some(true)) => format!("{}:{}{}", self.scheme, path.replace('\\', "/"), after(link, path)),
            (Some(true), _) => format!("{}{link}", self.origin()),
            (Some(false), _) => {
                let folder = self.path().rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{}{folder}/{link}", self.origin())
            }
            (None, _) if link.starts_with('?') => format!("{}{}{link}", self.origin(), self.path()),
            (None, _) => return Ok(self.clone()),
        };
        Url::parse(&text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme, the host, and the port unless it is the scheme's own.
    pub(crate) fn origin(&self) -> &str {
        self.text.get(..self.path.0).unwrap_or_default()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The port that is connected to.
    #[cfg(feature = "http")]
    pub(crate) fn used_port(&self) -> u16 {
        self.port.unwrap_or_else(|| default_port(self.scheme))
    }

    pub(crate) fn path(&self) -> &str {
        self.text.get(self.path.0..self.path.1).unwrap_or_default()
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.text.get(self.path.1 + 1..)
    }

    /// Whether the text that was read had a name or a password in front of its host.
    pub(crate) fn has_credentials(&self) -> bool {
        self.has_credentials
    }

    /// The same with TLS, if it is without, and has no port of its own.
    pub(crate) fn with_tls(&self) -> Option<Self> {
        let behind = self.text.strip_prefix("http:").filter(|_| self.port.is_none())?;
        let path = (self.path.0 + 1, self.path.1 + 1);
        Some(Url { text: format!("https:{behind}"), scheme: "https", path, ..self.clone() })
    }

    /// Appends parameters to the query.
    pub(crate) fn append<'p>(&mut self, parameters: impl IntoIterator<Item = (&'p str, &'p str)>) {
        let query = self.query().unwrap_or_default().to_owned();
        let query = Serializer::new(query).extend_pairs(parameters).finish();
        self.set_query(Some(&query));
    }

    /// Removes a parameter from the query; the others stay unchanged.
    pub(crate) fn remove(&mut self, name: &str) {
        let is_other = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).all(|(known, _)| known != name);
        let Some(query) = self.query() else { return };
        let kept: Vec<&str> = query.split('&').filter(is_other).collect();
        if kept.len() < query.split('&').count() {
            let kept = kept.join("&");
            self.set_query(Some(&*kept).filter(|query| !query.is_empty()));
        }
    }

    fn set_query(&mut self, query: Option<&str>) {
        self.text.truncate(self.path.1);
        if let Some(query) = query {
            self.text.push('?');
            self.text.extend(utf8_percent_encode(query, IN_QUERY));
        }
    }
}

/// The refusal of a base URL with a name or a password, without showing it: settings are stored and printed.
pub(crate) fn credentials_in_url() -> Error {
    Error::new(ErrorKind::Invalid, "the base URL has a name or a password: pass them as the connection's credentials")
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => write!(f, "{address}"),
            Host::V6(address) => match address.segments() {
                // `Ipv6Addr` shows a mapped IPv4 address with dots.
                [0, 0, 0, 0, 0, 0xffff, high, low] => write!(f, "[::ffff:{high:x}:{low:x}]"),
                _ => write!(f, "[{address}]"),
            },
        }
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

fn after<'t>(text: &'t str, beginning: &str) -> &'t str {
    text.get(beginning.len()..).unwrap_or_default()
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// A host and its port.
fn read_place(text: &str) -> Result<(Host, Option<u16>), NotUrl> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(NotUrl::Host)?;
            (Host::V6(address.parse().map_err(|_| NotUrl::Host)?), port)
        }
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (read_name(&name.to_ascii_lowercase())?, port)
        }
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        Some("") => Ok((host, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, Some(port.parse().map_err(|_| NotUrl::Port)?)))
        }
        _ => Err(NotUrl::Port),
    }
}

/// A name, or an IPv4 address in one of its spellings.
fn read_name(name: &str) -> Result<Host, NotUrl> {
    if !name.is_ascii() {
        return Err(NotUrl::International);
    }
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_known) {
        return Err(NotUrl::Host);
    }
    let parts: Vec<&str> = name.strip_suffix('.').unwrap_or(name).split('.').collect();
    let is_address = parts.last().is_some_and(|last| {
        let is_decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
        is_decimal || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    match is_address {
        true => read_v4(&parts).map(Host::V4).ok_or(NotUrl::Host),
        false => Ok(Host::Name(name.to_owned())),
    }
}

/// Up to four numbers, of which the last fills the rest: `127.1`.
/// <https://url.spec.whatwg.org/#concept-ipv4-parser>
fn read_v4(parts: &[&str]) -> Option<Ipv4Addr> {
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let last = read_number(last).filter(|last| *last < 256_u64.pow(4 - first.len() as u32))?;
    let mut address = last;
    for (place, part) in first.iter().enumerate() {
        address += read_number(part).filter(|part| *part < 256)? << (24 - 8 * place);
    }
    u32::try_from(address).ok().map(Ipv4Addr::from)
}

/// A number in decimal, octal (`0177`) or hexadecimal (`0x7f`).
fn read_number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => match text.strip_prefix('0') {
            Some(digits) if !digits.is_empty() => (digits, 8),
            _ => (text, 10),
        },
    };
    match digits {
        // `0x` is zero.
        "" if radix == 16 => Some(0),
        _ => u64::from_str_radix(digits, radix).ok(),
    }
}

/// A path without segments that lead to itself or upwards (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_dots = match segment.len() {
            1..=6 => segment.to_ascii_lowercase().replace("%2e", "."),
            _ => String::new(),
        };
        match &*is_dots {
            "." => {}
            ".." => drop(kept.pop()),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests;
