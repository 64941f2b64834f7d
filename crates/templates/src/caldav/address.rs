//! The addresses of entries: many texts name one resource.

use std::fmt::Write;

/// The one spelling of an address: a path, in which every character but the unreserved ones and `/` is percent-encoded with
/// upper-case digits.
///
/// A server may name a resource by a path or by a whole URL (RFC 4918 8.3), and spell a character as it is or encoded (RFC
/// 3986 6.2.2); reports of one server differ in it, too.
pub(super) fn one_spelling(href: &str) -> String {
    let path = match href.split_once("://").or_else(|| href.split_once("//").filter(|(before, _)| before.is_empty())) {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => href,
    };
    let mut spelling = String::with_capacity(path.len());
    let mut bytes = path.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let (byte, encoded) = match (byte, bytes.as_slice()) {
            (b'%', [high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.nth(1);
                    (high << 4 | low, true)
                }
                _ => (byte, false),
            },
            _ => (byte, false),
        };
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if unreserved || (byte == b'/' && !encoded) {
            spelling.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(spelling, "%{byte:02X}");
        }
    }
    spelling
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
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
