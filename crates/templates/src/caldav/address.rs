//! The addresses of entries, which can be spelled in many ways.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the canonical spelling of an address: a path in which every character but the unreserved ones and `/` is
/// percent-encoded with upper-case digits.
///
/// A server may name a resource by a path or by a whole URL (RFC 4918 8.3), and write a character as it is or encoded (RFC
/// 3986 6.2.2). Even reports of one server differ.
pub(super) fn one_spelling(href: &str) -> String {
    let path = match href.split_once("://").or_else(|| href.split_once("//").filter(|(before, _)| before.is_empty())) {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => href,
    };
    // A slash that is encoded is part of a name.
    path.split('/')
        .map(|name| percent_encode(&Cow::from(percent_decode_str(name)), RESERVED).to_string())
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_resource_has_one_spelling() {
        for (spellings, one) in [
            (
                &["/cal/a@b.ics", "/cal/a%40b.ics", "https://host/cal/a@b.ics", "http://h:80/cal/%61%40b.ics"][..],
                "/cal/a%40b.ics",
            ),
            (&["//host/cal/x.ics", "/cal/x.ics", "/cal/%78.ics"], "/cal/x.ics"),
            (&["/c/\u{e9}.ics", "/c/%c3%a9.ics", "/c/%C3%A9.ics"], "/c/%C3%A9.ics"),
            (&["/c/50%.ics", "/c/50%25.ics"], "/c/50%25.ics"),
            (&["/c/a%2fb.ics", "/c/a%2Fb.ics"], "/c/a%2Fb.ics"),
            (&["https://host", "https://host/", "/"], "/"),
            (&["/c/%", "/c/%25"], "/c/%25"),
            (&["/c/a b~_-.ics", "/c/a%20b%7E_-.ics"], "/c/a%20b~_-.ics"),
        ] {
            for spelling in spellings {
                assert_eq!(one_spelling(spelling), one, "{spelling}");
            }
            assert_eq!(one_spelling(one), one);
        }
        assert_ne!(one_spelling("/c/a%2Fb"), one_spelling("/c/a/b"));
        // A path may hold what looks like a URL.
        assert_eq!(one_spelling("/c/https://x"), "/c/https%3A//x");
    }
}
