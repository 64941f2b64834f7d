//! The source's own version of a record, if its model declares one.

use chrono::DateTime;
use highwater_core::{Result, SourceVersion, StreamBatch};
use highwater_template::records::{string_at, value_at};
use highwater_template::{ModelInfo, SourceDelete, SourceRecord};

/// Saves a record, with its version if it has one.
pub(crate) fn upsert(stream: &mut StreamBatch, model: Option<&ModelInfo>, record: SourceRecord) {
    let version = match model.and_then(|model| model.version_pointer.as_ref()) {
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

/// Deletes a record, with the version of the delete if there is one.
pub(crate) fn delete(stream: &mut StreamBatch, deleted: SourceDelete) {
    stream.delete(deleted.id);
    if let Some(version) = deleted.version {
        stream.at_version(comparable(version));
    }
}

/// Deletes a record given in its last state, with that state's version.
pub(crate) fn delete_record(stream: &mut StreamBatch, model: &ModelInfo, record: &SourceRecord) -> Result<()> {
    let id = match &record.id {
        Some(id) => id.clone(),
        None => string_at(&record.payload, "/id")?.into(),
    };
    let version = model.version_pointer.as_ref().and_then(|pointer| version_at(&record.payload, pointer));
    let mut deleted = SourceDelete::from(id);
    deleted.version = version;
    delete(stream, deleted);
    Ok(())
}

/// A version in comparable form. Times are compared as times: as strings, `10:00:00.5Z` would sort before `10:00:00Z`, and one
/// time zone before another.
pub(crate) fn comparable(version: SourceVersion) -> SourceVersion {
    let nanoseconds = match &version {
        SourceVersion::Text(text) => {
            DateTime::parse_from_rfc3339(text).ok().and_then(|time| time.timestamp_nanos_opt())
        }
        SourceVersion::Number(_) => None,
    };
    nanoseconds.map_or(version, SourceVersion::Number)
}

/// A string or an integer; anything else is not a version. A payload that is not JSON is reported when it is saved.
fn version_at(payload: &[u8], pointer: &str) -> Option<SourceVersion> {
    let Ok(Some(value)) = value_at(payload, pointer) else { return None };
    match serde_json::from_slice(value) {
        Ok(serde_json::Value::String(text)) => Some(comparable(SourceVersion::Text(text.into()))),
        Ok(serde_json::Value::Number(number)) => number.as_i64().map(SourceVersion::Number),
        _ => None,
    }
}
