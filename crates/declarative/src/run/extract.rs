//! Finds the records in a body, and the items among them that are not records.

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::Value;
use serde_json::value::RawValue;

use super::body::Decoded;
use super::context::Run;
use super::json::{Found, find, member};
use super::record::Record;
use crate::document::is_truthy;
use crate::dpath::{Misses, dpath_get, dpath_values_noting};
use crate::model::{Decoder, Extractor, path_of};
use crate::wording::{one_line, shortened};

/// What an extractor found.
#[derive(Debug, Default)]
pub(crate) struct Extracted {
    pub records: Vec<Record>,
    /// Items of a list of records that are not objects, and lines that are not JSON.
    pub odd: Vec<Bytes>,
}

/// The records of a body.
///
/// # Errors
/// A body that cannot be read, and a text, a number or a list of them where records are due.
pub(crate) async fn extract(
    run: &Run<'_>,
    extractor: &Extractor,
    decoder: &Decoder,
    body: &Bytes,
    at: &str,
) -> Result<Extracted> {
    if let (Decoder::Json, Some(path)) = (decoder, extractor.plain_path()) {
        let path = path_of(path, &run.scope())?;
        // A place counted from the end of a list is found once all of the list is there.
        if !path.iter().any(|segment| segment.contains(['*', '?', '[']) || segment.starts_with('-')) {
            return match find(body, &path) {
                Ok(found) => of_text(run, body, found, &path, at),
                Err(error) => unreadable(run, body, &error.to_string(), at),
            };
        }
    }
    if let Extractor::Table { keep_missing } = extractor {
        let rows =
            super::table::rows(body, *keep_missing, run.limits.body_bytes).map_err(|error| error.with("at", at))?;
        let records = rows.into_iter().map(Record::Value).collect();
        return Ok(Extracted { records, odd: Vec::new() });
    }
    let decoded = match super::body::decode_noting(decoder, body, run.limits.body_bytes) {
        Ok(decoded) => decoded,
        Err(error) if body.trim_ascii().is_empty() => return unreadable(run, body, error.message(), at),
        Err(error) => return Err(error.with("at", at)),
    };
    let Decoded { bodies, bad_lines, lacks } = decoded;
    let mut missing = Vec::from_iter(lacks);
    let values = Box::pin(extract_values(run, extractor, &bodies, at, &mut missing)).await?;
    let refused = bodies.iter().any(|body| tells_of_error(&|name| body.get(name).cloned()));
    missing.iter().for_each(|path| note_lack(run, path, refused, at));
    let mut found = Extracted { records: Vec::new(), odd: bad_lines };
    for value in values {
        match value {
            Value::Object(members) => found.records.push(Record::Value(members)),
            other => found.odd.push(Bytes::from(other.to_string())),
        }
    }
    judged(run, found, at)
}

/// A body that is empty has no records, and is never taken for everything there is. One that is not empty and cannot
/// be read may have had some: it is an error.
fn unreadable(run: &Run<'_>, body: &Bytes, reason: &str, at: &str) -> Result<Extracted> {
    if body.trim_ascii().is_empty() {
        run.notes.unsound(format!("a response is empty (at: {at})"));
        return Ok(Extracted::default());
    }
    // More than is shown: a cut within a secret would hide it.
    let begin = shortened(&run.redacted(&String::from_utf8_lossy(body.get(..4096).unwrap_or(body))));
    let message = format!("a response cannot be read: {}; it begins with {begin}", one_line(reason));
    Err(run.remote(ErrorKind::Remote, &message).with("at", at))
}

fn of_text(run: &Run<'_>, body: &Bytes, found: Vec<Found<'_>>, path: &[String], at: &str) -> Result<Extracted> {
    let mut extracted = Extracted::default();
    let slice = |raw: &RawValue| body.slice_ref(raw.get().as_bytes());
    for found in found {
        match found {
            Found::Items(items) => {
                for raw in items {
                    match raw.get().starts_with('{') {
                        true => extracted.records.push(Record::Text(slice(raw))),
                        false => extracted.odd.push(slice(raw)),
                    }
                }
            }
            Found::Value(raw) if raw.get().starts_with('{') && !is_empty_object(raw) => {
                extracted.records.push(Record::Text(slice(raw)));
            }
            Found::Value(raw) => match raw.get() {
                "false" | "0" | "\"\"" => note_odd(run, raw.get(), at),
                text if text == "null" || text.starts_with('{') => note_error(run, &|name| member(body, name), at),
                _ => extracted.odd.push(slice(raw)),
            },
            Found::Nothing => note_lack(run, &path.join("."), tells_of_error(&|name| member(body, name)), at),
        }
    }
    judged(run, extracted, at)
}

/// Notes what is not a record. Where no record is beside it, the place is the wrong one or the API says something else:
/// an error, as in the reference. A null among nothing else is as good as none.
fn judged(run: &Run<'_>, found: Extracted, at: &str) -> Result<Extracted> {
    let Some(first) = found.odd.iter().find(|odd| **odd != "null").or(found.odd.first()) else { return Ok(found) };
    let shown = shortened(&run.redacted(&String::from_utf8_lossy(first)));
    if found.records.is_empty() && *first != "null" {
        let message = format!("a response has {shown} where records are due: check `field_path`, or ask again later");
        return Err(Error::new(ErrorKind::Remote, message).with("at", at));
    }
    let count = found.odd.len();
    run.notes.unsound(format!("{count} of the items among the records are not objects, such as {shown} (at: {at})"));
    Ok(found)
}

/// Many APIs omit the member if it would be empty. With an error beside it, it means something else.
fn note_lack(run: &Run<'_>, path: &str, refused: bool, at: &str) {
    match refused {
        true => run.notes.lost(format!("a response has no `{path}` but reports an error (at: {at})")),
        false => run.notes.unsound(format!("a response has no `{path}`: check `field_path` (at: {at}.extractor)")),
    }
}

fn note_odd(run: &Run<'_>, text: &str, at: &str) {
    run.notes
        .unsound(format!("a response has `{text}` where records are due: it was taken for none (at: {at}.extractor)"));
}

/// A missing list is not an empty list if the API reports an error beside it.
fn note_error(run: &Run<'_>, member: &dyn Fn(&str) -> Option<Value>, at: &str) {
    if tells_of_error(member) {
        run.notes.lost(format!("a response has no records but reports an error (at: {at})"));
    }
}

fn tells_of_error(member: &dyn Fn(&str) -> Option<Value>) -> bool {
    ["error", "errors"].iter().any(|name| member(name).as_ref().is_some_and(is_truthy))
}

fn is_empty_object(raw: &RawValue) -> bool {
    raw.get().trim_start_matches('{').trim_start().starts_with('}')
}

/// What `extractor` finds in `bodies`; paths that lead nowhere are added to `missing`.
pub(crate) async fn extract_values(
    run: &Run<'_>,
    extractor: &Extractor,
    bodies: &[Value],
    at: &str,
    missing: &mut Vec<String>,
) -> Result<Vec<Value>> {
    match extractor {
        Extractor::Path { path, expander } => {
            let path = path_of(path, &run.scope())?;
            let mut found = Vec::new();
            for body in bodies {
                let values = at_path(run, body, &path, at, missing);
                match expander {
                    None => found.extend(values),
                    Some(expander) => {
                        for value in values {
                            found.extend(expander.expand(run, value).await?);
                        }
                    }
                }
            }
            Ok(found)
        }
        Extractor::Combined { extractors, first_match, skip_empty } => {
            let mut all = Vec::new();
            let mut missed = Vec::new();
            for extractor in extractors {
                let mut found = Box::pin(extract_values(run, extractor, bodies, at, &mut missed)).await?;
                if *skip_empty {
                    found.retain(is_truthy);
                }
                let any = !found.is_empty();
                all.extend(found);
                if any && *first_match {
                    break;
                }
            }
            // They are alternatives: that one finds something is enough.
            if all.is_empty() {
                missing.append(&mut missed);
            }
            Ok(all)
        }
        Extractor::Table { .. } => {
            let message = "`ResponseToFileExtractor` reads whole files: use it as `download_extractor` alone";
            Err(Error::new(ErrorKind::Invalid, message).with("at", at))
        }
        Extractor::Custom(custom) => {
            let mut found = Vec::new();
            for body in bodies {
                found.extend(custom.extract(body, run.config)?);
            }
            Ok(found)
        }
    }
}

fn at_path(run: &Run<'_>, body: &Value, path: &[String], at: &str, missing: &mut Vec<String>) -> Vec<Value> {
    if path.iter().any(|segment| segment.contains(['*', '?', '['])) {
        let (mut values, mut misses) = (Vec::new(), Misses::default());
        dpath_values_noting(body, path, &mut values, &mut misses);
        // Parts of a wildcard may differ; where none of them leads on, or one is not a container, something is wrong.
        if misses.scalar.is_some() || (misses.absent && values.is_empty()) {
            missing.push(path.join("."));
        }
        return match misses.scalar {
            Some(scalar) if values.is_empty() => vec![scalar.clone()],
            _ => values.into_iter().cloned().collect(),
        };
    }
    match dpath_get(body, path) {
        Some(Value::Array(items)) => items.clone(),
        Some(value) if is_truthy(value) => vec![value.clone()],
        Some(value @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => {
            note_odd(run, &value.to_string(), at);
            Vec::new()
        }
        Some(_) => {
            note_error(run, &|name| body.get(name).cloned(), at);
            Vec::new()
        }
        None => {
            missing.push(path.join("."));
            Vec::new()
        }
    }
}
