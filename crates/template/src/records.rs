//! Values of a record, found by JSON pointer without parsing the record: texts, ids, times.

pub(crate) mod time;

use bytes::Bytes;

use highwater_core::content::outline;
use highwater_core::{Error, ErrorKind, RecordId, Result};

pub use time::parse_time;

/// Returns the text of the value at a JSON pointer as the API wrote it; `None` if there is no value.
///
/// Only brackets and strings are read on the way: the record, and what is within the value, may still turn out not to be JSON.
///
/// ```
/// use highwater_template::records::value_at;
/// let record = br#"{"id": 7, "parts": [{"size": 1.50}]}"#;
/// assert_eq!(value_at(record, "/parts/0")?, Some(&br#"{"size": 1.50}"#[..]));
/// assert_eq!(value_at(record, "/parts/1")?, None);
/// # Ok::<(), highwater_core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Invalid`] if the brackets or strings on the way are not those of JSON.
pub fn value_at<'r>(record: &'r [u8], pointer: &str) -> Result<Option<&'r [u8]>> {
    outline::pointer(record, pointer)
}

/// Returns the value at a JSON pointer as text: a string's content, or a number or boolean as the API wrote it. `None` where
/// there is no value, `null`, an object or an array.
///
/// ```
/// use highwater_template::records::text_at;
/// let record = br#"{"id": 7, "fields": {"updated": "2026-01-02"}}"#;
/// assert_eq!(text_at(record, "/fields/updated")?.as_deref(), Some("2026-01-02"));
/// assert_eq!(text_at(record, "/id")?.as_deref(), Some("7"));
/// assert_eq!(text_at(record, "/none")?, None);
/// # Ok::<(), highwater_core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Invalid`] if the brackets or strings on the way are not those of JSON, and [`ErrorKind::Remote`] for a
/// string that cannot be decoded.
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

/// Returns the text at a JSON pointer as [`text_at`] does, where it must be there.
///
/// # Errors
///
/// [`ErrorKind::Remote`] if there is no text.
pub fn string_at(record: &[u8], pointer: &str) -> Result<String> {
    text_at(record, pointer)?.ok_or_else(|| {
        Error::new(ErrorKind::Remote, "the API sent a record without an expected member").with("pointer", pointer)
    })
}

/// Returns a record's id from the members at `pointers`: one value as it is, several as a [`composite_id`].
///
/// # Errors
///
/// [`ErrorKind::Remote`] if a member has no text.
pub fn id_at(record: &Bytes, pointers: &[&str]) -> Result<RecordId> {
    match pointers {
        [pointer] => string_at(record, pointer).map(RecordId::from),
        _ => Ok(composite_id(pointers.iter().map(|pointer| string_at(record, pointer)).collect::<Result<Vec<_>>>()?)),
    }
}

/// Makes one id of several values: a JSON array, so that different values never make the same id.
///
/// ```
/// use highwater_template::records::composite_id;
/// assert_eq!(composite_id(["C1", "17.5"]), r#"["C1","17.5"]"#);
/// assert_ne!(composite_id(["a,b", "c"]), composite_id(["a", "b,c"]));
/// ```
pub fn composite_id<T: Into<String>>(values: impl IntoIterator<Item = T>) -> RecordId {
    serde_json::Value::from_iter(values.into_iter().map(Into::<String>::into)).to_string().into()
}
