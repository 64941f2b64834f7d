use proptest::prelude::*;

use super::*;

/// Parts from which URLs are made that parsers have disagreed about.
const PARTS: &[&str] = &[
    "https://",
    "http://",
    "HTTP://",
    "ftp://",
    "//",
    "/",
    "\\",
    "\\\\",
    "?",
    "#",
    "@",
    ":",
    ":443",
    ":80",
    ":8080",
    ":0",
    ":65536",
    ":00080",
    "a",
    "api.example",
    "API.Example",
    "evil.example",
    "localhost",
    "a_b.example.",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "/../",
    "/./",
    "127.1",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "4294967296",
    "1.2.3.4.5",
    "256.1.1.1",
    "1.256",
    "08.1",
    "0x",
    "0xg",
    "0.0.0.0x1",
    "[::1]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
    "[1:2",
    "]",
    "[fe80::1%25eth0]",
    "user",
    "user:word@",
    "%40",
    "%",
    "%zz",
    "é",
    "ü.example",
    "xn--bcher-kva.example",
    " ",
    "\t",
    "{x}",
    "|",
    "^",
    "`",
    "\"",
    "'",
    "<",
    ">",
    "[",
    "a=1&b=ü",
    "+",
    ";",
    ",",
    "$",
    "!",
    "~",
    "*",
    "(",
    ")",
];

fn text() -> impl Strategy<Value = String> {
    let parts = prop::collection::vec(prop::sample::select(PARTS), 0..7);
    (prop::sample::select(&["https://", "http://", ""][..]), parts)
        .prop_map(|(begin, parts)| begin.to_owned() + &parts.concat())
}

/// The same without what we drop.
fn plain(mut url: url::Url) -> url::Url {
    url.set_fragment(None);
    url.set_username("").unwrap();
    url.set_password(None).unwrap();
    url
}

fn is_same(ours: &Url, theirs: url::Url) {
    let with_credentials = !theirs.username().is_empty() || theirs.password().is_some();
    assert!(ours.has_credentials() || !with_credentials, "{theirs}");
    let theirs = plain(theirs);
    assert_eq!(ours.as_str(), theirs.as_str());
    assert_eq!(ours.origin(), theirs.origin().ascii_serialization());
    assert_eq!((ours.path(), ours.query(), ours.port), (theirs.path(), theirs.query(), theirs.port()));
    assert_eq!(ours.is_https(), theirs.scheme() == "https");
    match (ours.host(), theirs.host().unwrap()) {
        (Host::Name(ours), url::Host::Domain(theirs)) => assert_eq!(ours, theirs),
        (Host::V4(ours), url::Host::Ipv4(theirs)) => assert_eq!(*ours, theirs),
        (Host::V6(ours), url::Host::Ipv6(theirs)) => assert_eq!(*ours, theirs),
        (ours, theirs) => panic!("{ours:?} is not {theirs:?}"),
    }
    // The normal form means the same to the parser that the transport uses.
    #[cfg(feature = "http")]
    {
        let uri: ureq::http::Uri = ours.as_str().parse().unwrap();
        assert_eq!(uri.host(), Some(&*ours.host().to_string()));
        assert_eq!((uri.port_u16(), uri.path(), uri.query()), (ours.port, ours.path(), ours.query()));
    }
    assert_eq!(Url::parse(ours.as_str()).unwrap(), Url { has_credentials: false, ..ours.clone() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn urls_are_those_that_browsers_read(text in text(), link in text()) {
        let (ours, theirs) = (Url::parse(&text), url::Url::parse(&text));
        if let Ok(ours) = &ours {
            is_same(ours, theirs.clone().unwrap());
        }
        let base = "https://api.example/v1/items?page=1";
        if let Ok(ours) = Url::parse(base).unwrap().join(&link) {
            is_same(&ours, url::Url::parse(base).unwrap().join(&link).unwrap());
        }
    }
}

#[test]
fn urls_that_are_refused() {
    for (text, why) in [
        ("", NotUrl::Relative),
        ("/items", NotUrl::Relative),
        ("items:batch", NotUrl::Relative),
        ("/proxy/https://api.example", NotUrl::Relative),
        ("ftp://api.example", NotUrl::Scheme),
        ("https://", NotUrl::Host),
        ("https:///items", NotUrl::Host),
        ("https://a b/", NotUrl::Host),
        ("https://a%2eb/", NotUrl::Host),
        ("https://bücher.example/", NotUrl::International),
        ("https://1.2.3.256/", NotUrl::Host),
        ("https://[::1", NotUrl::Host),
        ("https://[fe80::1%25eth0]/", NotUrl::Host),
        ("https://api.example:65536/", NotUrl::Port),
        ("https://api.example:+80/", NotUrl::Port),
        ("https://api.example/a\nb", NotUrl::Character),
    ] {
        assert_eq!(Url::parse(text), Err(why), "{text}");
    }
}

#[test]
fn urls_are_read_as_written() {
    for (text, expected) in [
        (" HTTPS://API.Example:443 ", "https://api.example/"),
        ("http://api.example:443/a//b/", "http://api.example:443/a//b/"),
        ("https://api.example/a/./b/../c/%2E%2e/d?x=../y#z", "https://api.example/a/d?x=../y"),
        (
            "https://api.example/ü/[a]|{b}?q='x y'&é=[1]",
            "https://api.example/%C3%BC/[a]|%7Bb%7D?q=%27x%20y%27&%C3%A9=[1]",
        ),
        ("https://0x7f.1/", "https://127.0.0.1/"),
        ("https://[0:0::1]:8443", "https://[::1]:8443/"),
        ("https://me:word@api.example\\@evil.example/", "https://api.example/@evil.example/"),
    ] {
        assert_eq!(Url::parse(text).unwrap().as_str(), expected, "{text}");
    }
    let mut url = Url::parse("https://api.example/items?key=old&page=2&ke%79=x").unwrap();
    url.remove("key");
    assert_eq!(url.query(), Some("page=2"));
    url.append([("key", "a b&c"), ("é", "")]);
    assert_eq!(url.as_str(), "https://api.example/items?page=2&key=a+b%26c&%C3%A9=");
}
