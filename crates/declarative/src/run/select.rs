//! Extracts, filters and transforms the records of a response.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use highwater_core::{Error, Result};
use highwater_interpolation::Value;

use super::context::{RequestVariables, Run};
use super::cursor::Bounds;
use super::extract::{Extracted, extract};
use super::record::Record;
use super::slice::Slice;
use super::transform::{apply_all, normalize};
use crate::model::{Selector, SimpleRetriever, Transformation};

/// What a response gave.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub records: Vec<Record>,
    /// Items that stood among the records and are not records.
    pub odd: Vec<Bytes>,
    /// How many items there were before filtering.
    pub count: usize,
    /// Tells pages apart by their items; none where there were no items.
    pub fingerprint: Option<u64>,
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
    let Extracted { records, mut odd } =
        extract(run, &selector.extractor, &retriever.decoder, body, &selector.path).await?;
    let count = records.len() + odd.len();
    let fingerprint = (count > 0).then(|| {
        let mut hasher = DefaultHasher::new();
        odd.hash(&mut hasher);
        for record in &records {
            match record {
                Record::Text(text) => text.hash(&mut hasher),
                Record::Value(members) => members.hash(&mut hasher),
            }
        }
        hasher.finish()
    });
    let records = refine(run, selector, records, slice, changes, &mut odd)?;
    Ok(Selected { records, odd, count, fingerprint })
}

/// Filters and changes records. What cannot be read as an object goes to `odd`.
pub(crate) fn refine(
    run: &Run<'_>,
    selector: &Selector,
    found: Vec<Record>,
    slice: &Slice,
    changes: &Changes<'_>,
    odd: &mut Vec<Bytes>,
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
    let odd_before = odd.len();
    for record in found {
        let Ok(Value::Object(mut members)) = record.to_value() else {
            odd.push(record.into_bytes());
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
    let unreadable = odd.len() - odd_before;
    if unreadable > 0 {
        run.notes.unsound(format!("{unreadable} of the records cannot be read (at: {})", selector.path));
    }
    Ok(records)
}
