//! A record, as text or parsed.

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

/// A record: the text of the response until something changes it.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Text(Bytes),
    Value(Map),
}

impl Record {
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Record::Text(text) => text,
            Record::Value(value) => Bytes::from(Value::Object(value).to_string()),
        }
    }

    pub(crate) fn to_value(&self) -> Result<Value> {
        match self {
            Record::Text(text) => serde_json::from_slice(text)
                .map_err(|error| Error::new(ErrorKind::Remote, format!("a record is not JSON: {error}"))),
            Record::Value(value) => Ok(Value::Object(value.clone())),
        }
    }

    /// What the record says, to decide by and not to be kept: half a surrogate pair is the replacement character.
    pub(crate) fn read(&self) -> Result<Value> {
        match self {
            Record::Text(text) => self
                .to_value()
                .or_else(|error| serde_json::from_slice(&super::json::with_whole_characters(text)).map_err(|_| error)),
            Record::Value(_) => self.to_value(),
        }
    }

    pub(crate) fn member(&self, name: &str) -> Option<Value> {
        match self {
            Record::Text(text) => super::json::member(text, name),
            Record::Value(value) => value.get(name).cloned(),
        }
    }
}
