//! A manifest, read and checked.

mod findings;

use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Interpolator, Value};

use crate::document::{Files, propagate, read_value, resolve};
use crate::finding::Finding;
use crate::model::{Model, Node, decode};
use crate::registry::Registry;

/// A manifest that was read and checked: what it can do with a config is a [`Source`](crate::Source).
#[derive(Clone, Debug)]
pub struct Manifest {
    pub(crate) model: Arc<Model>,
    pub(crate) files: Arc<Files>,
    pub(crate) registry: Arc<Registry>,
    /// As it was written, and with references resolved.
    trees: Arc<(Value, Value)>,
    /// Faults of parts that a config may never use.
    told: Arc<Vec<Finding>>,
}

impl Manifest {
    /// Reads a manifest in YAML or JSON. Every reference is resolved and every template compiled; an error names the
    /// place in the manifest.
    ///
    /// ```
    /// use highwater_declarative::{Files, Manifest};
    /// let error = Manifest::parse("streams: [{name: things, retriever: {}}]", &Files::new()).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`requester` is missing: give the component there (at: streams[0].retriever)"
    /// );
    /// ```
    pub fn parse(text: &str, files: &Files) -> Result<Self> {
        Manifest::parse_with(text, files, Registry::default())
    }

    /// As [`parse`](Self::parse), with replacements for the manifest's Python classes.
    pub fn parse_with(text: &str, files: &Files, registry: Registry) -> Result<Self> {
        let mut tree = read_value(text)?;
        let Some(root) = tree.as_object_mut() else {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the manifest is no mapping: give the manifest.yaml of a connector",
            ));
        };
        root.get_or_insert_with("type", || Value::from("DeclarativeSource"));
        let raw = tree;
        let tree = resolve(&raw)?;
        let tree = propagate("", tree, &highwater_interpolation::Map::new(), false)?;
        let interpolator = Interpolator::new(Arc::new(highwater_core::SystemEnvironment));
        let context = decode::Context::new(&interpolator, files, &registry);
        let model = Model::decode(&Node::root(&tree), &context)?;
        let told = Arc::new(context.into_findings());
        Ok(Manifest {
            model: Arc::new(model),
            files: Arc::new(files.clone()),
            registry: Arc::new(registry),
            trees: Arc::new((raw, tree)),
            told,
        })
    }

    /// Where the manifest says that its API is described.
    pub fn documentation_url(&self) -> Option<&str> {
        self.model.spec.as_ref()?.documentation_url.as_deref()
    }

    /// The names of the streams that the manifest itself declares; streams made from the config come on top.
    pub fn stream_names(&self) -> Vec<&str> {
        self.model.streams.iter().map(|stream| stream.name.as_str()).collect()
    }

    /// What will fail once it is used, and what the manifest does not need: faults in parts that a config need not use,
    /// unknown directives of datetimes, variables that no template sees, texts in the place of paths, definitions that
    /// nothing refers to.
    pub fn findings(&self) -> Vec<Finding> {
        let (raw, tree) = &*self.trees;
        let mut found: Vec<Finding> = Vec::new();
        for told in self.told.iter() {
            // Streams that are made of one base have its faults in common.
            if !found.iter().any(|known| known.message == told.message) {
                found.push(told.clone());
            }
        }
        found.extend(findings::find(tree, raw, &Interpolator::new(Arc::new(highwater_core::SystemEnvironment))));
        found
    }

    /// What keeps single streams from running, such as a Python class without a replacement: stream and reason.
    pub fn problems(&self) -> Vec<(&str, &Error)> {
        let streams = self.model.streams.iter();
        streams.filter_map(|stream| Some((stream.name.as_str(), stream.problem.as_ref()?))).collect()
    }
}
