//! A manifest, read and checked.

mod findings;

use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Interpolator, Value};

use crate::document::{Files, propagate, read_value, resolve};
use crate::finding::Finding;
use crate::model::{Model, Node, decode};
use crate::registry::Registry;

/// A manifest, read and checked. With a config it becomes a [`Source`](crate::Source).
///
/// Cheap to clone: clones share what was read.
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
    /// Reads a manifest in YAML or JSON, resolves every reference, and compiles every template.
    ///
    /// A fault within one stream, or a Python class without a replacement, does not make an error here: it keeps that stream from
    /// running. See [`problems`](Self::problems).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the text is not a manifest. The message names the place in the manifest and what to do.
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

    /// Reads a manifest as [`parse`](Self::parse) does, with replacements for its Python classes.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(text: &str, files: &Files, registry: Registry) -> Result<Self> {
        let mut tree = read_value(text)?;
        let Some(root) = tree.as_object_mut() else {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the manifest is not a mapping: give the manifest.yaml of a connector",
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

    /// Returns the URL of the API's documentation, where the manifest has one.
    pub fn documentation_url(&self) -> Option<&str> {
        self.model.spec.as_ref()?.documentation_url.as_deref()
    }

    /// Returns the names of the streams that the manifest declares itself, without those that a config or the API lists.
    pub fn stream_names(&self) -> Vec<&str> {
        self.model.streams.iter().map(|stream| stream.name.as_str()).collect()
    }

    /// Finds what will fail once it is used, and what the manifest does not need.
    ///
    /// Faults are those in parts that a config need not use, unknown directives of datetimes, and variables that no template
    /// sees. Notes are texts in the place of paths, and definitions that nothing refers to.
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

    /// Returns the streams that cannot run, each with the reason, such as a Python class without a replacement.
    pub fn problems(&self) -> Vec<(&str, &Error)> {
        let streams = self.model.streams.iter();
        streams.filter_map(|stream| Some((stream.name.as_str(), stream.problem.as_ref()?))).collect()
    }
}
