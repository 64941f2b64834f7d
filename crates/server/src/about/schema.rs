//! JSON Schemas, as short as they can be written in Rust.

use serde_json::{Map, Value, json};

/// What has no control characters, and so may stand in parameters and names.
const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
/// The same without a slash.
const PART: &str = "^[^/\\u0000-\\u001f\\u007f-\\u009f]+$";

/// A text.
pub(crate) fn text() -> Value {
    json!({ "type": "string" })
}

/// A text of 1 to `most` bytes without control characters and slashes.
pub(crate) fn part(most: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": PART })
}

/// A text of 1 to `most` bytes without control characters.
pub(crate) fn name(most: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": PRINTABLE })
}

/// A text of at most `most` bytes without control characters, which may be empty.
pub(crate) fn line(most: usize) -> Value {
    json!({ "type": "string", "maxLength": most, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" })
}

/// A time of RFC 3339.
pub(crate) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// A time in milliseconds since 1970, or a length in milliseconds.
pub(crate) fn ms() -> Value {
    count()
}

/// A whole number from 0.
pub(crate) fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// A whole number from `least` to `most`.
pub(crate) fn integer(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

/// True or false.
pub(crate) fn switch() -> Value {
    json!({ "type": "boolean" })
}

/// One of some words.
pub(crate) fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// Some of some words, with commas between them.
pub(crate) fn word_list(words: &[&str]) -> Value {
    let any = words.join("|");
    json!({ "type": "string", "pattern": format!("^({any})(,({any})){{0,{}}}$", words.len() - 1) })
}

/// A length of time: `30s`, `250ms`, `5m`.
pub(crate) fn length() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{1,3}(ms|s)$" })
}

/// An array.
pub(crate) fn array(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// An array of at most `most` elements.
pub(crate) fn array_of(of: Value, most: usize) -> Value {
    json!({ "type": "array", "items": of, "maxItems": most })
}

/// The same, or null.
pub(crate) fn nullable(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// Anything.
pub(crate) fn any() -> Value {
    json!({})
}

/// An object whose members' names are not known, each of which is `of`.
pub(crate) fn map(of: Value) -> Value {
    json!({ "type": "object", "additionalProperties": of })
}

/// An object of an answer, which may gain members. A name that ends in `?` may be missing.
pub(crate) fn object<'n>(members: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema) in members {
        match name.strip_suffix('?') {
            Some(name) => {
                properties.insert(name.to_owned(), schema);
            }
            None => {
                required.push(name);
                properties.insert(name.to_owned(), schema);
            }
        }
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// An object of a body, which has these members and no others. A name that ends in `?` may be missing, or null.
pub(crate) fn closed<'n>(members: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let or_null = |(name, schema): (&'n str, Value)| match name.ends_with('?') && schema.get("anyOf").is_none() {
        true => (name, nullable(schema)),
        false => (name, schema),
    };
    let mut object = object(members.into_iter().map(or_null));
    object["additionalProperties"] = json!(false);
    object
}

/// One of the named schemas of [`forms`](super::forms).
pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
