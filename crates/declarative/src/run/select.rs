//! Records out of a response: found, filtered, changed.

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::context::{RequestVariables, Run};
use super::cursor::Bounds;
use super::dpath::{dpath_get, dpath_values};
use super::json::{Found, find};
use super::slice::Slice;
use super::transform::{apply_all, normalize};
use crate::manifest::is_truthy;
use crate::model::{Decoder, Extractor, Selector, SimpleRetriever, Transformation, path_of};

/// A record, as text while nobody changed it.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Text(Bytes),
    Value(Map<String, Value>),
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
                .map_err(|error| Error::new(ErrorKind::Remote, format!("a record is no JSON: {error}"))),
            Record::Value(value) => Ok(Value::Object(value.clone())),
        }
    }

    pub(crate) fn member(&self, name: &str) -> Option<Value> {
        match self {
            Record::Text(text) => super::json::member(text, name),
            Record::Value(value) => value.get(name).cloned(),
        }
    }
}

/// What a response gave.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub records: Vec<Record>,
    /// How many there were before filtering.
    pub count: usize,
}

/// What changes records besides the selector's own filter.
pub(crate) struct Changes<'c> {
    pub transformations: &'c [Transformation],
    /// Filter before or after the transformations.
    pub transform_first: bool,
    pub schema: Option<&'c Value>,
    /// Records outside of this are dropped before the selector's filter.
    pub keep: Option<&'c Bounds>,
}

pub(crate) async fn select(
    run: &Run<'_>,
    retriever: &SimpleRetriever,
    body: &Bytes,
    slice: &Slice,
    changes: &Changes<'_>,
) -> Result<Selected> {
    let selector = &retriever.selector;
    let found = extract(run, &selector.extractor, &retriever.decoder, body, &selector.path).await?;
    let count = found.len();
    let records = refine(run, selector, found, slice, changes)?;
    Ok(Selected { records, count })
}

/// Filters and changes records.
pub(crate) fn refine(
    run: &Run<'_>,
    selector: &Selector,
    found: Vec<Record>,
    slice: &Slice,
    changes: &Changes<'_>,
) -> Result<Vec<Record>> {
    let schema = changes.schema.filter(|_| selector.normalize);
    if selector.filter.is_none() && changes.transformations.is_empty() && schema.is_none() {
        return Ok(match changes.keep {
            Some(keep) => found.into_iter().filter(|record| keep.contain(record)).collect(),
            None => found,
        });
    }
    // In the reference, records do not know which page they stand on.
    let variables = RequestVariables::new(slice, None);
    let scope = run.request_scope(&variables);
    let located = |error: Error| error.with("at", &selector.path);
    let mut records = Vec::with_capacity(found.len());
    for record in found {
        let Value::Object(mut members) = record.to_value()? else {
            continue;
        };
        if changes.transform_first {
            apply_all(&mut members, changes.transformations, &scope).map_err(located)?;
        }
        let mut record = Record::Value(members);
        if changes.keep.is_some_and(|keep| !keep.contain(&record)) {
            continue;
        }
        let Record::Value(members) = &mut record else { continue };
        if let Some(filter) = &selector.filter {
            let value = Value::Object(std::mem::take(members));
            let holds = filter.holds(&scope.with("record", &value)).map_err(located)?;
            if !holds {
                continue;
            }
            if let Value::Object(value) = value {
                *members = value;
            }
        }
        if !changes.transform_first {
            apply_all(members, changes.transformations, &scope).map_err(located)?;
        }
        if let Some(schema) = schema {
            normalize(members, schema);
        }
        records.push(record);
    }
    Ok(records)
}

/// The records of a body.
pub(crate) async fn extract(
    run: &Run<'_>,
    extractor: &Extractor,
    decoder: &Decoder,
    body: &Bytes,
    at: &str,
) -> Result<Vec<Record>> {
    let scope = run.scope();
    if let (Decoder::Json, Some(path)) = (decoder, extractor.plain_path()) {
        let path = path_of(path, &scope)?;
        // A place counted from the end of a list is found once all of the list is there.
        if !path.iter().any(|segment| matches!(segment.as_str(), "*" | "**") || segment.starts_with('-')) {
            return match extract_text(run, body, &path, at) {
                Ok(records) => Ok(records),
                Err(error) => unreadable(run, body, &error.to_string(), at),
            };
        }
    }
    if let Extractor::Table { keep_missing } = extractor {
        let rows =
            super::table::rows(body, *keep_missing, run.limits.body_bytes).map_err(|error| error.with("at", at))?;
        return Ok(rows.into_iter().map(Record::Value).collect());
    }
    let mut bad = 0;
    let bodies = match super::body::decode_noting(decoder, body, run.limits.body_bytes, &mut bad) {
        Ok(bodies) => bodies,
        Err(error) if matches!(decoder, Decoder::Json | Decoder::Xml) => {
            return unreadable(run, body, error.message(), at);
        }
        Err(error) => return Err(error.with("at", at)),
    };
    if bad > 0 {
        run.unsound(format!("{bad} lines of a response are no JSON and were passed over (at: {at})"));
    }
    let values = Box::pin(extract_values(run, extractor, &bodies, at)).await?;
    Ok(values.into_iter().filter_map(record).collect())
}

/// A body that cannot be read has no records, as in the reference; it is never taken for everything there is.
fn unreadable(run: &Run<'_>, body: &Bytes, reason: &str, at: &str) -> Result<Vec<Record>> {
    let what = if body.is_empty() { "is empty" } else { "cannot be read" };
    run.unsound(format!("a response {what}: {} (at: {at})", crate::model::decode::one_line(reason)));
    Ok(Vec::new())
}

fn record(value: Value) -> Option<Record> {
    match value {
        Value::Object(members) => Some(Record::Value(members)),
        _ => None,
    }
}

fn extract_text(run: &Run<'_>, body: &Bytes, path: &[String], at: &str) -> serde_json::Result<Vec<Record>> {
    let mut records = Vec::new();
    let text = |raw: &RawValue| Record::Text(body.slice_ref(raw.get().as_bytes()));
    for found in find(body, path)? {
        match found {
            Found::Items(items) => records.extend(items.into_iter().filter(|raw| raw.get().starts_with('{')).map(text)),
            Found::Value(raw) if raw.get().starts_with('{') && !is_empty_object(raw) => records.push(text(raw)),
            Found::Value(_) => {}
            Found::Nothing => lacks(run, path, at),
        }
    }
    Ok(records)
}

fn lacks(run: &Run<'_>, path: &[String], at: &str) {
    let path = path.join(".");
    run.unsound(format!("a response has no `{path}`: check `field_path` (at: {at}.extractor)"));
}

fn is_empty_object(raw: &RawValue) -> bool {
    raw.get().trim_start_matches('{').trim_start().starts_with('}')
}

pub(crate) async fn extract_values(
    run: &Run<'_>,
    extractor: &Extractor,
    bodies: &[Value],
    at: &str,
) -> Result<Vec<Value>> {
    match extractor {
        Extractor::Path { path, expander } => {
            let path = path_of(path, &run.scope())?;
            let mut found = Vec::new();
            for body in bodies {
                let values: Vec<Value> = if path.iter().any(|segment| matches!(segment.as_str(), "*" | "**")) {
                    let mut values = Vec::new();
                    dpath_values(body, &path, &mut values);
                    values.into_iter().cloned().collect()
                } else {
                    match dpath_get(body, &path) {
                        Some(Value::Array(items)) => items.clone(),
                        Some(value) if is_truthy(value) => vec![value.clone()],
                        Some(_) => Vec::new(),
                        None => {
                            lacks(run, &path, at);
                            Vec::new()
                        }
                    }
                };
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
            for extractor in extractors {
                let mut found = Box::pin(extract_values(run, extractor, bodies, at)).await?;
                if *skip_empty {
                    found.retain(is_truthy);
                }
                let any = !found.is_empty();
                all.extend(found);
                if any && *first_match {
                    break;
                }
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
