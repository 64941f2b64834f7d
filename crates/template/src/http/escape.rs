//! Percent-encoding of texts in URLs and forms.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Every character but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Percent-encodes everything but unreserved characters: for a segment of a path, or a value in a query or form.
///
/// ```
/// use highwater_template::http::escape;
/// assert_eq!(escape("a b/ü"), "a%20b%2F%C3%BC");
/// ```
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Decodes a name or a value of a query or form, in which `+` is a space.
///
/// A `%` without two digits stays as it is, and what is not UTF-8 becomes the replacement character.
///
/// ```
/// use highwater_template::http::unescape;
/// assert_eq!(unescape("a+b%2F%C3%BC%zz"), "a b/ü%zz");
/// ```
pub fn unescape(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
