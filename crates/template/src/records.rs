//! Single values of a record, and ids made of them.

use bytes::Bytes;

use highwater_core::content::outline;
use highwater_core::{Error, ErrorKind, Result};

/// The value at a JSON pointer, as it is written; `None` where there is none. It is found by brackets and strings alone:
/// the record, and what lies within the value, may yet turn out to be no JSON.
///
/// ```
/// use highwater_template::value_at;
/// let record = br#"{"id": 7, "parts": [{"size": 1.50}]}"#;
/// assert_eq!(value_at(record, "/parts/0")?, Some(&br#"{"size": 1.50}"#[..]));
/// assert_eq!(value_at(record, "/parts/1")?, None);
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn value_at<'r>(record: &'r [u8], pointer: &str) -> Result<Option<&'r [u8]>> {
    outline::pointer(record, pointer)
}

/// The value at a JSON pointer as text: a string's content, a number or a boolean as it is written.
/// `None` where there is none, or `null`, or an object or array.
///
/// ```
/// use highwater_template::text_at;
/// let record = br#"{"id": 7, "fields": {"updated": "2026-01-02"}}"#;
/// assert_eq!(text_at(record, "/fields/updated")?.as_deref(), Some("2026-01-02"));
/// assert_eq!(text_at(record, "/id")?.as_deref(), Some("7"));
/// assert_eq!(text_at(record, "/none")?, None);
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn text_at(record: &[u8], pointer: &str) -> Result<Option<String>> {
    let Some(value) = value_at(record, pointer)? else { return Ok(None) };
    match value.first() {
        Some(b'"') => serde_json::from_slice(value).map(Some).map_err(|source| {
            Error::new(ErrorKind::Remote, "a string of the record cannot be read")
                .with("pointer", pointer)
                .because(source)
        }),
        Some(b'{' | b'[' | b'n') | None => Ok(None),
        Some(_) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
    }
}

/// As [`text_at`], where the value must be there.
pub fn string_at(record: &[u8], pointer: &str) -> Result<String> {
    text_at(record, pointer)?.ok_or_else(|| {
        Error::new(ErrorKind::Remote, "the API sent a record without an expected member").with("pointer", pointer)
    })
}

/// A record's id from the members at `pointers`: one value as it is, several as [`composite_id`].
pub fn id_at(record: &Bytes, pointers: &[&str]) -> Result<String> {
    match pointers {
        [pointer] => string_at(record, pointer),
        _ => Ok(composite_id(pointers.iter().map(|pointer| string_at(record, pointer)).collect::<Result<Vec<_>>>()?)),
    }
}

/// One id of several values, such that different values never make the same id: a JSON array.
///
/// ```
/// use highwater_template::composite_id;
/// assert_eq!(composite_id(["C1", "17.5"]), r#"["C1","17.5"]"#);
/// assert_ne!(composite_id(["a,b", "c"]), composite_id(["a", "b,c"]));
/// ```
pub fn composite_id<T: Into<String>>(values: impl IntoIterator<Item = T>) -> String {
    serde_json::Value::from_iter(values.into_iter().map(Into::<String>::into)).to_string()
}
