//! The partitions of a stream: from a list, from the records of parent streams, and their combinations.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

use super::reader::StreamReader;
use crate::document::is_truthy;
use crate::dpath::{dpath_get, path_segments};
use crate::model::{Parent, Router, Values, path_of};
use crate::run::context::Run;
use crate::run::json::sorted_text;
use crate::run::request::Parts;
use crate::run::slice::Slice;

/// The answer of a child's first request, out of its parent's record.
pub(crate) const CHILD_RESPONSE: &str = "child_response";

/// Partitions, and the states of the parent streams they came from.
#[derive(Default)]
pub(crate) struct Partitions {
    pub slices: Vec<Slice>,
    pub parent_state: Option<Value>,
}

/// The most partitions of a stream.
const MAX_PARTITIONS: usize = 2_000_000;

pub(crate) fn partitions<'a>(
    run: &'a Run<'a>,
    router: &'a Router,
    state: &'a Value,
) -> Pin<Box<dyn Future<Output = Result<Partitions>> + Send + 'a>> {
    Box::pin(async move {
        match router {
            Router::List(list) => {
                let scope = run.scope();
                let values = match &list.values {
                    Values::Fixed(values) => values.clone(),
                    Values::Template(template) => match template.value(&scope)? {
                        Value::Array(values) => values,
                        Value::Null => Vec::new(),
                        // Python goes through the characters of a text.
                        Value::String(text) => {
                            text.chars().map(|character| Value::from(character.to_string())).collect()
                        }
                        other => vec![other],
                    },
                };
                let field = list.field.text(&scope)?;
                let slice = |value| Slice::new(Map::from_iter([(field.clone(), value)]), Map::new(), Map::new());
                Ok(Partitions { slices: values.into_iter().map(slice).collect(), parent_state: None })
            }
            Router::Substream(parents) => {
                let mut all = Partitions { slices: Vec::new(), parent_state: Some(Value::Object(Map::new())) };
                for parent in parents {
                    parent.partitions(run, state, &mut all).await?;
                }
                Ok(all)
            }
            Router::Grouping { size, deduplicate, router } => {
                let inner = partitions(run, router, state).await?;
                let slices = grouped(inner.slices, *size, *deduplicate)?;
                Ok(Partitions { slices, parent_state: Some(inner.parent_state.unwrap_or(Value::Object(Map::new()))) })
            }
            Router::Union { field, routers } => {
                let mut seen = HashSet::new();
                let mut slices = Vec::new();
                let mut states = Map::new();
                for router in routers {
                    let inner = partitions(run, router, state).await?;
                    if let Some(Value::Object(inner)) = inner.parent_state {
                        states.extend(inner);
                    }
                    for slice in inner.slices {
                        let value = slice.partition.get(field).cloned().ok_or_else(|| {
                            Error::new(
                                ErrorKind::Invalid,
                                format!("a partition has no `{field}`: name the same field in every router"),
                            )
                        })?;
                        if !seen.insert(sorted_text(&value)) {
                            continue;
                        }
                        let mut extra = slice.extra.clone();
                        let others = slice.partition.iter().filter(|(name, _)| *name != field);
                        extra.extend(others.map(|(name, value)| (name.clone(), value.clone())));
                        slices.push(Slice::new(Map::from_iter([(field.clone(), value)]), Map::new(), extra));
                    }
                }
                Ok(Partitions { slices, parent_state: Some(Value::Object(states)) })
            }
            Router::Product(routers) => {
                let mut product = vec![Slice::whole()];
                for router in routers {
                    let inner = partitions(run, router, state).await?.slices;
                    if product.len().saturating_mul(inner.len()) > MAX_PARTITIONS {
                        return Err(Error::new(ErrorKind::Invalid, "the partitions have too many combinations"));
                    }
                    product = product.iter().flat_map(|left| inner.iter().map(|right| combined(left, right))).collect();
                }
                Ok(Partitions { slices: product, parent_state: None })
            }
        }
    })
}

fn combined(left: &Slice, right: &Slice) -> Slice {
    // The first router wins where two name the same.
    let both = |left: &Map, right: &Map| {
        let mut all = right.clone();
        all.extend(left.clone());
        all
    };
    Slice::new(
        both(&left.partition, &right.partition),
        both(&left.cursor, &right.cursor),
        both(&left.extra, &right.extra),
    )
}

fn grouped(slices: Vec<Slice>, size: usize, deduplicate: bool) -> Result<Vec<Slice>> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for slice in slices {
        let mut names = slice.partition.keys().filter(|name| *name != "parent_slice");
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(Error::new(ErrorKind::Invalid, "only partitions of one field can be grouped"));
        };
        let key = slice.partition.get(name).map(sorted_text).unwrap_or_default();
        if !deduplicate || seen.insert(key) {
            kept.push(slice);
        }
    }
    let columns = |batch: &[Slice], part: fn(&Slice) -> &Map| -> Map {
        let mut names: Vec<String> = Vec::new();
        for name in batch.iter().flat_map(|slice| part(slice).keys()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let column = |name: String| {
            let values = batch.iter().map(|slice| part(slice).get(&name).cloned().unwrap_or(Value::Null)).collect();
            (name, Value::Array(values))
        };
        names.into_iter().map(column).collect()
    };
    let batch = |batch: &[Slice]| {
        Slice::new(columns(batch, |slice| &slice.partition), Map::new(), columns(batch, |slice| &slice.extra))
    };
    Ok(kept.chunks(size).map(batch).collect())
}

impl Parent {
    /// One partition for each record of the parent stream.
    async fn partitions(&self, run: &Run<'_>, child_state: &Value, all: &mut Partitions) -> Result<()> {
        let scope = run.scope();
        let located = |error: Error| match error.context("at") {
            None => error.with("at", &self.path),
            Some(_) => error,
        };
        let key = self.key.text(&scope).map_err(located)?;
        let key = path_segments(&key);
        let field = self.field.text(&scope).map_err(located)?;
        let extra_paths = self.extra_fields.iter().map(|path| path_of(path, &scope)).collect::<Result<Vec<_>>>()?;
        let lazy = path_of(&self.lazy_pointer, &scope)?;
        let name = self.stream.declaring_stream().name.clone();
        let state = match self.incremental {
            true => parent_state(child_state, &name, self, run)?,
            false => Value::Object(Map::new()),
        };
        let stream = super::choose(&self.stream, &state, run)?;
        let mut reader = StreamReader::new(run, stream, state)?;
        while let Some(page) = Box::pin(reader.next()).await? {
            let mut parent_partition = page.slice.partition.clone();
            parent_partition.retain(|_, value| !value.is_null());
            for record in &page.records {
                let record = record.read()?;
                let Some(value) = dpath_get(&record, &key).filter(|value| !value.is_null()) else {
                    let key = key.join(".");
                    run.notes.unsound(format!(
                        "a record of `{name}` has no `{key}`: nothing was read for it (at: {})",
                        self.path
                    ));
                    continue;
                };
                let mut partition = Map::new();
                partition.insert(field.clone(), value.clone());
                partition.insert("parent_slice".to_owned(), Value::Object(parent_partition.clone()));
                let mut extra = Map::new();
                for path in &extra_paths {
                    extra.insert(path.join("."), dpath_get(&record, path).cloned().unwrap_or(Value::Null));
                }
                if !lazy.is_empty() {
                    let child = dpath_get(&record, &lazy).cloned().unwrap_or(Value::Array(Vec::new()));
                    extra.insert(CHILD_RESPONSE.to_owned(), child);
                }
                if all.slices.len() >= MAX_PARTITIONS {
                    return Err(located(Error::new(
                        ErrorKind::Invalid,
                        "the parent stream has more than 2000000 records",
                    )));
                }
                all.slices.push(Slice::new(partition, Map::new(), extra));
            }
        }
        if self.incremental
            && let Some(Value::Object(states)) = &mut all.parent_state
        {
            states.insert(name, reader.state()?);
        }
        Ok(())
    }
}

/// The state of a parent, as the child's state keeps it.
fn parent_state(child: &Value, name: &str, parent: &Parent, run: &Run<'_>) -> Result<Value> {
    let empty = || Value::Object(Map::new());
    if let Some(state) = child.get("parent_state").and_then(|states| states.get(name)) {
        return Ok(state.clone());
    }
    if let Some(state) = child.get("state") {
        return Ok(state.clone());
    }
    let Some(members) = child.as_object() else { return Ok(empty()) };
    let mut values = members.iter().filter(|(name, _)| *name != crate::run::cursor::NO_CURSOR).map(|(_, value)| value);
    match (values.next(), values.next(), &parent.stream.declaring_stream().cursor) {
        (Some(value @ (Value::String(_) | Value::Number(_))), None, Some(cursor)) => {
            Ok(Value::Object(Map::from_iter([(cursor.field().text(&run.scope())?, value.clone())])))
        }
        _ => Ok(empty()),
    }
}

impl Router {
    /// What a partition adds to a request.
    pub(crate) fn parts(&self, slice: &Slice, run: &Run<'_>) -> Result<Parts> {
        let scope = run.scope();
        let mut parts = Parts::default();
        match self {
            Router::List(list) => {
                let value = slice.get(&list.field.text(&scope)?).filter(|value| is_truthy(value));
                if let (Some(option), Some(value)) = (&list.option, value) {
                    parts.inject(option, value.clone(), &scope)?;
                }
            }
            Router::Substream(parents) => {
                for parent in parents {
                    let Some(option) = &parent.option else { continue };
                    if let Some(value) = slice.get(&parent.field.text(&scope)?).filter(|value| is_truthy(value)) {
                        parts.inject(option, value.clone(), &scope)?;
                    }
                }
            }
            Router::Product(routers) => {
                for router in routers.iter().rev() {
                    parts.overlay(router.parts(slice, run)?);
                }
            }
            Router::Grouping { .. } | Router::Union { .. } => {}
        }
        Ok(parts)
    }
}

/// The answer that a lazily read child begins with.
pub(crate) fn child_response(slice: &Slice) -> Option<Bytes> {
    let response = slice.extra.get(CHILD_RESPONSE).filter(|response| is_truthy(response))?;
    Some(Bytes::from(response.to_string()))
}
