//! A node of the manifest's tree, with typed access for the components that are decoded from it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Interpolator, Map, Value, python_text};

use super::template::{Condition, Parameters, Template};
use crate::document::Files;
use crate::finding::Finding;
use crate::registry::Registry;
use crate::wording::{distance, has_markup, one_line, shortened};

/// What decoding needs besides the tree.
pub(crate) struct Context<'c> {
    pub interpolator: &'c Interpolator,
    pub files: &'c Files,
    pub registry: &'c Registry,
    findings: RefCell<Vec<Finding>>,
}

impl<'c> Context<'c> {
    pub(crate) fn new(interpolator: &'c Interpolator, files: &'c Files, registry: &'c Registry) -> Self {
        Context { interpolator, files, registry, findings: RefCell::default() }
    }

    /// Tells of a fault in a part that a config may never use: it is raised once the part is used. What the language has
    /// and this crate does not is not a fault of the manifest, but a note.
    pub(crate) fn fault(&self, error: &Error) {
        let is_fault = error.kind() == ErrorKind::Invalid;
        self.tell(error.context("at").unwrap_or_default(), error.message().to_owned(), is_fault);
    }

    /// Tells of a Python class that nothing depends on.
    pub(crate) fn note_class(&self, node: &Node<'_>, what: &str) {
        let class = node.value.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let message =
            format!("{class} is a Python class {what}: Highwater has no replacement, and continues without it");
        self.tell(&node.path, message, false);
    }

    fn tell(&self, at: &str, message: String, is_fault: bool) {
        self.findings.borrow_mut().push(Finding { at: at.to_owned(), message, is_fault });
    }

    /// Returns the findings of the decoding.
    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings.into_inner()
    }
}

/// The same error once more.
pub(crate) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message().to_owned());
    match error.context("at") {
        Some(at) => copy.with("at", at),
        None => copy,
    }
}

/// A value of the manifest and where it stands.
#[derive(Clone)]
pub(crate) struct Node<'m> {
    pub value: &'m Value,
    pub path: String,
}

impl<'m> Node<'m> {
    pub(crate) fn root(value: &'m Value) -> Self {
        Node { value, path: String::new() }
    }

    pub(crate) fn at(value: &'m Value, path: impl Into<String>) -> Self {
        Node { value, path: path.into() }
    }

    /// The component's type.
    pub(crate) fn kind(&self) -> Result<&'m str> {
        match self.value.get("type") {
            Some(Value::String(kind)) => Ok(kind),
            _ if self.value.is_object() => Err(self.invalid("the component has no `type`: say which it is")),
            _ => Err(self.invalid("a component is expected here: give a mapping with a `type`")),
        }
    }

    /// A member; null is the same as none.
    pub(crate) fn get(&self, name: &str) -> Option<Node<'m>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Some(Node { value, path })
    }

    pub(crate) fn require(&self, name: &str, hint: &str) -> Result<Node<'m>> {
        self.get(name).ok_or_else(|| self.invalid(format!("`{name}` is missing: {hint}")))
    }

    pub(crate) fn items(&self) -> Result<Vec<Node<'m>>> {
        let items = self.value.as_array().ok_or_else(|| self.wrong("a list"))?;
        let item = |(index, value)| Node { value, path: format!("{}[{index}]", self.path) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The items of the list under `name`; none where there is not a list.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<Node<'m>>> {
        self.get(name).map_or(Ok(Vec::new()), |node| node.items())
    }

    pub(crate) fn members(&self) -> Result<&'m Map> {
        self.value.as_object().ok_or_else(|| self.wrong("a mapping"))
    }

    /// A text; numbers and booleans are taken as written.
    pub(crate) fn text(&self) -> Result<String> {
        match self.value {
            Value::Array(_) | Value::Object(_) | Value::Null => Err(self.wrong("a text")),
            scalar => Ok(python_text(scalar)),
        }
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        let Some(node) = self.get(name) else { return Ok(None) };
        match node.value {
            Value::Bool(value) => Ok(Some(*value)),
            Value::String(text) if matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1") => {
                Ok(Some(true))
            }
            Value::String(text) if matches!(text.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0" | "") => {
                Ok(Some(false))
            }
            _ => Err(node.wrong("true or false")),
        }
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>> {
        let Some(node) = self.get(name) else { return Ok(None) };
        let number = match node.value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| node.wrong("a whole number"))
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.list(name)?.iter().map(Node::text).collect()
    }

    pub(crate) fn parameters(&self) -> Parameters {
        self.value.get("$parameters").map_or_else(Parameters::default, |value| Parameters(Arc::new(value.clone())))
    }

    /// This value as a template, compiled once to see that it can be.
    pub(crate) fn template(&self, context: &Context<'_>, parameters: &Parameters) -> Result<Template> {
        let text = self.text()?;
        self.check(context, &text)?;
        Ok(Template::new(text, parameters.clone()))
    }

    /// The member `name` as a template.
    pub(crate) fn optional_template(&self, context: &Context<'_>, name: &str) -> Result<Option<Template>> {
        self.get(name).map(|node| node.template(context, &self.parameters())).transpose()
    }

    pub(crate) fn required_template(&self, context: &Context<'_>, name: &str, hint: &str) -> Result<Template> {
        self.require(name, hint)?.template(context, &self.parameters())
    }

    /// The member `name` as a list of templates; a single text is a list of one.
    pub(crate) fn templates(&self, context: &Context<'_>, name: &str) -> Result<Vec<Template>> {
        let parameters = self.parameters();
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(node) if node.value.is_string() => Ok(vec![node.template(context, &parameters)?]),
            Some(node) => node.items()?.iter().map(|item| item.template(context, &parameters)).collect(),
        }
    }

    /// The member `name` as a condition; an empty text counts as none.
    pub(crate) fn condition(&self, context: &Context<'_>, name: &str) -> Result<Option<Condition>> {
        let Some(node) = self.get(name) else { return Ok(None) };
        let text = node.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        node.check(context, &text)?;
        let fixed = node.value.as_bool();
        Ok(Some(Condition::new(text, fixed, self.parameters())))
    }

    /// Compiles every text within.
    pub(crate) fn check_all(&self, context: &Context<'_>) -> Result<()> {
        match self.value {
            Value::String(text) => self.check(context, text),
            Value::Array(_) => self.items()?.iter().try_for_each(|item| item.check_all(context)),
            Value::Object(members) => members
                .iter()
                .try_for_each(|(name, value)| Node::at(value, format!("{}.{name}", self.path)).check_all(context)),
            _ => Ok(()),
        }
    }

    fn check(&self, context: &Context<'_>, text: &str) -> Result<()> {
        if !has_markup(text) {
            return Ok(());
        }
        context.interpolator.check(text).map_err(|error| {
            let reason = one_line(error.message());
            // Older manifests have it in some streams; the other streams still run.
            if text.contains("stream_state") {
                return self.unsupported(reason);
            }
            self.invalid(format!("the template {} does not parse: {reason}", shortened(text)))
        })
    }

    /// Whether a Python class is asked for.
    pub(crate) fn is_class(&self) -> bool {
        self.value.get("class_name").is_some_and(Value::is_string)
    }

    pub(crate) fn invalid(&self, message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Invalid, message).with("at", self.place())
    }

    pub(crate) fn unsupported(&self, message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Unsupported, message).with("at", self.place())
    }

    fn place(&self) -> &str {
        if self.path.is_empty() { "the manifest" } else { &self.path }
    }

    pub(crate) fn wrong(&self, expected: &str) -> Error {
        let found = match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a mapping",
        };
        self.invalid(format!("{expected} is expected here, but it is {found}"))
    }

    /// The component is of no type that can stand here.
    pub(crate) fn unknown(&self, kind: &str, known: &[&str]) -> Error {
        if let Some(class) = self.value.get("class_name").and_then(Value::as_str) {
            return self.unsupported(format!(
                "{class} is a Python class: register a replacement under this name, or use a stream without it"
            ));
        }
        let near = known.iter().min_by_key(|name| distance(name, kind)).filter(|name| distance(name, kind) <= 4);
        match near {
            Some(near) => {
                self.invalid(format!("`{kind}` is not a component that is allowed here: did you mean {near}?"))
            }
            None => self
                .invalid(format!("`{kind}` is not a component that is allowed here: use one of {}", known.join(", "))),
        }
    }
}
