//! The source's own version of a record, where its model tells where it lies.

use chrono::DateTime;
use highwater_core::template::{ModelInfo, PageDelete, PageRecord, string_at, value_at};
use highwater_core::{Result, SourceVersion, StreamBatch};

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

/// Deletes a record, at the version of the delete if there is one.
pub(crate) fn delete(stream: &mut StreamBatch, deleted: PageDelete) {
    stream.delete(deleted.id);
    if let Some(version) = deleted.version {
        stream.at_version(version);
    }
}

/// Deletes a record that is given as it was last, at the version that it tells.
pub(crate) fn delete_record(stream: &mut StreamBatch, model: &ModelInfo, record: &PageRecord) -> Result<()> {
    let id = match &record.id {
        Some(id) => id.clone(),
        None => string_at(&record.payload, "/id")?,
    };
    let version = model.version.as_ref().and_then(|pointer| version_at(&record.payload, pointer));
    let mut deleted = PageDelete::from(id);
    deleted.version = version;
    delete(stream, deleted);
    Ok(())
}

/// A text or an integer; anything else is no version. What is no JSON is told when it is saved. Times are compared as times:
/// as texts `10:00:00.5Z` would come before `10:00:00Z`, and one zone before another.
fn version_at(payload: &[u8], pointer: &str) -> Option<SourceVersion> {
    let Ok(Some(value)) = value_at(payload, pointer) else { return None };
    match serde_json::from_slice(value) {
        Ok(serde_json::Value::String(text)) => Some(match nanoseconds(&text) {
            Some(nanoseconds) => SourceVersion::Number(nanoseconds),
            None => SourceVersion::Text(text.into()),
        }),
        Ok(serde_json::Value::Number(number)) => number.as_i64().map(SourceVersion::Number),
        _ => None,
    }
}

/// Of an RFC 3339 time, since 1970.
fn nanoseconds(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}
