//! Replacements in Rust for the Python classes of manifests.

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use highwater_core::Result;
use highwater_interpolation::{Map, Value};

use crate::document::propagate;

/// Finds the records in a decoded body.
pub trait CustomExtractor: fmt::Debug + Send + Sync + 'static {
    /// Returns the records of `body`.
    ///
    /// # Errors
    /// An error ends the read.
    fn extract(&self, body: &Value, config: &Value) -> Result<Vec<Value>>;
}

/// Changes records.
pub trait CustomTransformation: fmt::Debug + Send + Sync + 'static {
    /// Changes `record` in place.
    ///
    /// # Errors
    /// An error ends the read.
    fn transform(&self, record: &mut Map, config: &Value) -> Result<()>;
}

/// Authenticates requests.
pub trait CustomAuthenticator: fmt::Debug + Send + Sync + 'static {
    /// Returns the headers to add to a request.
    ///
    /// # Errors
    /// An error ends the read.
    fn headers(&self, config: &Value) -> Result<Vec<(String, String)>>;
}

type Rewrite = Arc<dyn Fn(&Map) -> Value + Send + Sync>;

/// Replacements for the Python classes of manifests, by class name: the whole dotted path or its last part.
///
/// ```
/// use highwater_declarative::{Files, Manifest, Registry};
/// use highwater_declarative::json;
///
/// // The class only wrapped the standard extractor.
/// let registry = Registry::new().component("source_x.components.ItemExtractor", |_fields| {
///     json!({"type": "DpathExtractor", "field_path": ["items"]})
/// });
/// let manifest = r#"
/// streams:
///   - name: things
///     retriever:
///       requester: {url_base: "https://x.example", path: things}
///       record_selector:
///         extractor: {type: CustomRecordExtractor, class_name: source_x.components.ItemExtractor}
/// "#;
/// assert!(Manifest::parse(manifest, &Files::new())?.problems().len() == 1);
/// assert!(Manifest::parse_with(manifest, &Files::new(), registry)?.problems().is_empty());
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    components: BTreeMap<String, Rewrite>,
    extractors: BTreeMap<String, Arc<dyn CustomExtractor>>,
    transformations: BTreeMap<String, Arc<dyn CustomTransformation>>,
    authenticators: BTreeMap<String, Arc<dyn CustomAuthenticator>>,
    /// Made from the fields that the manifest gives; none where they say something else than is known here.
    made_extractors: BTreeMap<String, Made<dyn CustomExtractor>>,
    made_transformations: BTreeMap<String, Made<dyn CustomTransformation>>,
    /// Whether classes of the reference implementation stand for its components.
    own_classes: bool,
}

type Made<T> = fn(&Map) -> Option<Arc<T>>;

impl Registry {
    /// Creates a registry without replacements.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Replaces `class` by a component of the language, which `rewrite` makes from the fields that the manifest gives to the
    /// class. It returns `Value::Null` where no component does the same for these fields.
    #[must_use]
    pub fn component(
        mut self,
        class: impl Into<String>,
        rewrite: impl Fn(&Map) -> Value + Send + Sync + 'static,
    ) -> Self {
        self.components.insert(class.into(), Arc::new(rewrite));
        self
    }

    /// Replaces a custom record extractor.
    #[must_use]
    pub fn extractor(mut self, class: impl Into<String>, extractor: Arc<dyn CustomExtractor>) -> Self {
        self.extractors.insert(class.into(), extractor);
        self
    }

    /// Replaces a custom transformation.
    #[must_use]
    pub fn transformation(mut self, class: impl Into<String>, transformation: Arc<dyn CustomTransformation>) -> Self {
        self.transformations.insert(class.into(), transformation);
        self
    }

    /// Replaces a custom authenticator.
    #[must_use]
    pub fn authenticator(mut self, class: impl Into<String>, authenticator: Arc<dyn CustomAuthenticator>) -> Self {
        self.authenticators.insert(class.into(), authenticator);
        self
    }
}

/// Within the crate.
impl Registry {
    pub(crate) fn component_of(&self, node: &Value) -> Result<Option<Value>> {
        let own = || common::own_class(node.as_object()?).filter(|_| self.own_classes);
        let replacement = match find(&self.components, node) {
            Some(rewrite) => {
                node.as_object().map(|fields| rewrite(fields)).filter(|replacement| !replacement.is_null())
            }
            None => own(),
        };
        let Some(replacement) = replacement else { return Ok(None) };
        // The replacement gets types and parameters like any other component.
        let parameters = node.get("$parameters").and_then(Value::as_object).cloned().unwrap_or_default();
        propagate("", replacement, &parameters, false).map(Some)
    }

    pub(crate) fn extractor_of(&self, node: &Value) -> Option<Arc<dyn CustomExtractor>> {
        let made = || find(&self.made_extractors, node)?(node.as_object()?);
        find(&self.extractors, node).cloned().or_else(made)
    }

    pub(crate) fn transformation_of(&self, node: &Value) -> Option<Arc<dyn CustomTransformation>> {
        let made = || find(&self.made_transformations, node)?(node.as_object()?);
        find(&self.transformations, node).cloned().or_else(made)
    }

    pub(crate) fn authenticator_of(&self, node: &Value) -> Option<Arc<dyn CustomAuthenticator>> {
        find(&self.authenticators, node).cloned()
    }
}

fn find<'r, T>(known: &'r BTreeMap<String, T>, node: &Value) -> Option<&'r T> {
    let class = node.get("class_name").and_then(Value::as_str)?;
    known.get(class).or_else(|| known.get(class.rsplit('.').next()?))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("components", &self.components.keys().collect::<Vec<_>>())
            .field("extractors", &self.extractors.keys().collect::<Vec<_>>())
            .field("transformations", &self.transformations.keys().collect::<Vec<_>>())
            .field("authenticators", &self.authenticators.keys().collect::<Vec<_>>())
            .finish()
    }
}
