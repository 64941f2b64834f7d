//! Texts of queries and forms (`application/x-www-form-urlencoded`), as Python writes and reads them.

use highwater_template::http::escape;
use percent_encoding::percent_decode_str;

/// Names and values as one text.
pub(crate) fn form_text(pairs: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}={}", quoted(name), quoted(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn quoted(text: &str) -> String {
    escape(text).replace("%20", "+")
}

/// A name or a value, decoded.
pub(crate) fn unquoted(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_written_as_in_python() {
        let pairs = vec![("a b".to_owned(), "x/y&z=ü".to_owned()), ("c".to_owned(), String::new())];
        assert_eq!(form_text(&pairs), "a+b=x%2Fy%26z%3D%C3%BC&c=");
        assert_eq!(unquoted("x%2Fy%26z%3D%C3%BC+%zz"), "x/y&z=ü %zz");
    }
}
