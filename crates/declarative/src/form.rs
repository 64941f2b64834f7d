//! Texts of queries and forms (`application/x-www-form-urlencoded`), as Python writes them.

use highwater_template::http::escape;

/// Names and values as one text.
pub(crate) fn form_text(pairs: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}={}", quoted(name), quoted(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn quoted(text: &str) -> String {
    escape(text).replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use highwater_template::http::unescape;

    use super::*;

    #[test]
    fn forms_are_written_as_in_python() {
        let pairs = vec![("a b".to_owned(), "x/y&z=ü".to_owned()), ("c".to_owned(), String::new())];
        assert_eq!(form_text(&pairs), "a+b=x%2Fy%26z%3D%C3%BC&c=");
        assert_eq!(unescape("x%2Fy%26z%3D%C3%BC+%zz"), "x/y&z=ü %zz");
    }
}
