//! Streams that are made from a stream template and a list: in the manifest, in the config, or from the API.

use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Interpolator, LiteralTypes, Map, Value};

use crate::document::{is_truthy, propagate, read_value};
use crate::dpath::{dpath_get, dpath_new, dpath_set};
use crate::manifest::Manifest;
use crate::model::{DynamicStreams, Node, Resolver, Scope, StreamEntry, decode, path_of};
use crate::run::{PageReader, Run, Slice};

/// More streams than any source has.
const MAX_STREAMS: usize = 10_000;

/// The streams that the config alone decides on.
pub(crate) fn from_config(
    manifest: &Manifest,
    config: &Value,
    interpolator: &Interpolator,
) -> Result<Vec<Arc<StreamEntry>>> {
    let mut entries = Vec::new();
    let scope = Scope::new(interpolator, config);
    for streams in &manifest.model.dynamic {
        let values = match &streams.resolver {
            Resolver::Http(_) => continue,
            Resolver::Fixed(values) => values.clone(),
            Resolver::Config(lists) => {
                let mut product = vec![Map::new()];
                for (place, list) in lists.iter().enumerate() {
                    let path = path_of(&list.pointer, &scope)?;
                    let mut items = match dpath_get(config, &path) {
                        Some(Value::Array(items)) => items.clone(),
                        Some(other) => vec![other.clone()],
                        None => Vec::new(),
                    };
                    items.extend(list.default_values.iter().cloned());
                    if product.len().saturating_mul(items.len()) > MAX_STREAMS {
                        return Err(too_many(streams));
                    }
                    product = product
                        .iter()
                        .flat_map(|left| {
                            items.iter().enumerate().map(move |(index, item)| {
                                let mut both = left.clone();
                                match item {
                                    Value::Object(item) => both.extend(item.clone()),
                                    other => {
                                        let pair = Value::Array(vec![Value::from(index), other.clone()]);
                                        both.get_or_insert_with(format!("source_config_{place}"), || pair);
                                    }
                                }
                                both
                            })
                        })
                        .collect();
                }
                product.into_iter().map(Value::Object).collect()
            }
        };
        for value in values {
            entries.push(Arc::new(streams.entry(manifest, &value, &Slice::whole(), &scope, true)?));
        }
    }
    Ok(entries)
}

/// The streams that the API decides on.
pub(crate) async fn from_api(run: &Run<'_>) -> Result<Vec<Arc<StreamEntry>>> {
    let mut entries = Vec::new();
    let scope = run.scope();
    for streams in &run.manifest.model.dynamic {
        let Resolver::Http(retriever) = &streams.resolver else { continue };
        let slices = match &retriever.router {
            Some(router) => crate::run::partitions(run, router, &Value::Null).await?.slices,
            None => vec![Slice::whole()],
        };
        for slice in slices {
            let mut pages = PageReader::plain(run, retriever, slice.clone());
            while let Some(page) = Box::pin(pages.next()).await? {
                for record in page.records {
                    if entries.len() >= MAX_STREAMS {
                        return Err(too_many(streams));
                    }
                    entries.push(Arc::new(streams.entry(run.manifest, &record.read()?, &slice, &scope, false)?));
                }
            }
        }
    }
    Ok(entries)
}

fn too_many(streams: &DynamicStreams) -> Error {
    Error::new(ErrorKind::Invalid, format!("the list makes more than {MAX_STREAMS} streams")).with("at", &streams.path)
}

impl DynamicStreams {
    /// The template as it stands: enough to know where its requests go, where no value of the list decides on it.
    pub(crate) fn unfilled(&self, manifest: &Manifest, interpolator: &Interpolator) -> Option<StreamEntry> {
        let stream = propagate("", self.template.clone(), &Map::new(), self.parents_win).ok()?;
        self.decoded(manifest, interpolator, stream).ok()
    }

    /// The stream for one value of the list.
    fn entry(
        &self,
        manifest: &Manifest,
        value: &Value,
        slice: &Slice,
        scope: &Scope<'_>,
        parse: bool,
    ) -> Result<StreamEntry> {
        let mut stream = self.template.clone();
        let scope = scope.with("components_values", value).with("stream_template_config", &self.template);
        let scope = slice.seen(&scope);
        let located = |error: Error| error.with("at", &self.path);
        for mapping in &self.mapping {
            if let Some(condition) = &mapping.condition
                && !condition.holds(&scope).map_err(located)?
            {
                continue;
            }
            let mut new = match mapping.value_type {
                Some(types) => mapping.value.value_as(&scope, types),
                None => mapping.value.value(&scope),
            }
            .map_err(located)?;
            if let (true, Value::String(text)) = (parse && mapping.value_type != Some(LiteralTypes::TEXT), &new) {
                new = read_value(text).unwrap_or_else(|_| new.clone());
            }
            let path = path_of(&mapping.path, &scope).map_err(located)?;
            let set = dpath_set(&mut stream, &path, &new);
            let create = parse && mapping.create && is_truthy(&new);
            if let (false, true, Value::Object(members)) = (set, create, &mut stream) {
                dpath_new(members, &path, new);
            }
        }
        let stream = propagate("", stream, &Map::new(), self.parents_win)?;
        self.decoded(manifest, scope.interpolator, stream)
    }

    fn decoded(&self, manifest: &Manifest, interpolator: &Interpolator, mut stream: Value) -> Result<StreamEntry> {
        if let Value::Object(members) = &mut stream {
            members.get_or_insert_with("type", || Value::from("DeclarativeStream"));
        }
        let context = decode::Context::new(interpolator, &manifest.files, &manifest.registry);
        let node = Node::at(&stream, format!("{}.stream_template", self.path));
        StreamEntry::decode(&node, &context, manifest.model.spec.as_ref(), None)
    }
}
