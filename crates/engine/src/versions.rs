//! The source's own version of a record, where its model tells where it lies.

use highwater_core::template::{ModelInfo, PageRecord, value_at};
use highwater_core::{SourceVersion, StreamBatch};

/// Saves a record, under its version if it tells one.
pub(crate) fn upsert(stream: &mut StreamBatch, model: Option<&ModelInfo>, record: PageRecord) {
    let version = match model.and_then(|model| model.version.as_ref()) {
        Some(pointer) => version_at(&record.payload, pointer),
        None => None,
    };
    match record.id {
        Some(id) => stream.upsert_as(id, record.payload),
        None => stream.upsert(record.payload),
    };
    if let Some(version) = version {
        stream.at_version(version);
    }
}

/// A text or an integer; anything else is no version. What is no JSON is told when it is saved.
fn version_at(payload: &[u8], pointer: &str) -> Option<SourceVersion> {
    let Ok(Some(value)) = value_at(payload, pointer) else { return None };
    match serde_json::from_slice(value) {
        Ok(serde_json::Value::String(text)) => Some(SourceVersion::Text(text.into())),
        Ok(serde_json::Value::Number(number)) => number.as_i64().map(SourceVersion::Number),
        _ => None,
    }
}
