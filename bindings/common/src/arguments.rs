//! Reads arguments strictly: a member that is unknown, missing or of another type is refused, by name.

use highwater::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// The longest name of a member that an error repeats.
const LONGEST_NAME: usize = 100;

/// Reads the arguments of `operation`: a JSON object, or nothing for an empty one.
///
/// An error never repeats a value: it may be a secret in the wrong place.
pub(crate) fn read<T: DeserializeOwned>(operation: &str, text: &str) -> Result<T> {
    let text = if text.trim_ascii().is_empty() { "{}" } else { text };
    if !text.trim_ascii_start().starts_with('{') {
        return Err(refused("the arguments must be a JSON object", operation));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            Category::Data => {
                let (member, why) = explain(&path, &inner.to_string());
                refused(why, operation).with("member", shorten(&member))
            }
            _ => refused(
                format!("the arguments are not JSON: fix line {}, column {}", inner.line(), inner.column()),
                operation,
            ),
        }
    })?;
    reader.end().map_err(|_| refused("more than one JSON object was given as arguments: give one", operation))?;
    Ok(value)
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>, operation: &str) -> Error {
    Error::new(ErrorKind::Invalid, message).with("operation", operation.to_owned())
}

/// Returns the member that an error of `serde` is about, and why it is refused.
fn explain(path: &str, message: &str) -> (String, String) {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let within = |name: &str| if path == "." { name.to_owned() } else { format!("{path}.{name}") };
    let member =
        |name: &str| if path == name || path.ends_with(&format!(".{name}")) { path.to_owned() } else { within(name) };
    // `missing field` names the member that encloses it, `unknown field` the member itself.
    if let Some(name) = message.strip_prefix("missing field ").map(|rest| rest.trim_matches('`')) {
        return (within(name), "a member is missing: add it".to_owned());
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let name = rest.split('`').next().unwrap_or_default();
        let known = rest.split_once("`, ").map_or("no members are allowed here", |(_, known)| known);
        return (member(name), format!("a member is unknown: {known}"));
    }
    if let Some(name) = message.strip_prefix("duplicate field ").map(|rest| rest.trim_matches('`')) {
        return (member(name), "a member is there twice: give it once".to_owned());
    }
    // `invalid type: string "...", expected a map`: the value is left out.
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => {
            (path.to_owned(), format!("a member has a value that is not allowed: it must be {expected}"))
        }
        None => (path.to_owned(), "a member has a value that is not allowed".to_owned()),
    }
}

fn shorten(name: &str) -> &str {
    let mut end = name.len().min(LONGEST_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)] // what was read is not looked at
    struct Inner {
        one: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Keep,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        inner: Option<Inner>,
        word: Option<Word>,
        texts: Option<BTreeMap<String, String>>,
    }

    #[test]
    fn an_error_names_the_member_and_never_the_value() {
        for (text, member) in [
            (r#"{}"#, Some("name")),
            (r#"{"name": 5}"#, Some("name")),
            (r#"{"name": "a", "s3cret": 1}"#, Some("s3cret")),
            (r#"{"name": "a", "inner": "s3cret!"}"#, Some("inner")),
            (r#"{"name": "a", "inner": {"one": "s3cret!, expected x"}}"#, Some("inner.one")),
            (r#"{"name": "a", "inner": {"one": 256}}"#, Some("inner.one")),
            (r#"{"name": "a", "inner": {"two": 2, "one": 1}}"#, Some("inner.two")),
            (r#"{"name": "a", "inner": {}}"#, Some("inner.one")),
            (r#"{"name": "a", "word": "s3cret!"}"#, Some("word")),
            (r#"{"name": "a", "texts": {"k": 5}}"#, Some("texts.k")),
            (r#"{"name": "a", "name": "s3cret!"}"#, Some("name")),
            (r#"{"name": "a""#, None),
            (r#"["a"]"#, None),
            (r#""s3cret!""#, None),
            (r#"{"name": "a"} {}"#, None),
            ("\u{0}", None),
        ] {
            let error = read::<Outer>("op", text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            assert_eq!(error.context("member"), member, "{text}: {error}");
            assert_eq!(error.context("operation"), Some("op"));
            assert!(!error.to_string().contains("s3cret!"), "{error}");
        }
        let read: Outer = read("op", r#"{"name": "a", "inner": null, "word": "keep"}"#).unwrap();
        assert_eq!(read.name, "a");
    }
}
