//! Texts with `{{ }}`, with the parameters of the component that they belong to.

use std::fmt;
use std::sync::{Arc, OnceLock};

use highwater_core::Result;
use highwater_interpolation::{Interpolator, LiteralTypes, Map, Value, Variables, python_text};

use crate::wording::{has_markup, one_line, shortened};

/// The `$parameters` of a component.
#[derive(Clone, Debug)]
pub(crate) struct Parameters(pub Arc<Value>);

impl Default for Parameters {
    fn default() -> Self {
        Parameters(Arc::new(Value::Object(Map::new())))
    }
}

/// What a template is evaluated with.
#[derive(Clone)]
pub(crate) struct Scope<'a> {
    pub interpolator: &'a Interpolator,
    pub variables: Variables<'a>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(interpolator: &'a Interpolator, config: &'a Value) -> Self {
        Scope { interpolator, variables: Variables::new().with("config", config) }
    }

    #[must_use]
    pub(crate) fn with(&self, name: &'a str, value: &'a Value) -> Self {
        Scope { interpolator: self.interpolator, variables: self.variables.clone().with(name, value) }
    }

    /// Adds attributes to the variable `name`; see [`Variables::with_attributes`].
    #[must_use]
    pub(crate) fn with_attributes(&self, name: &'a str, value: &'a Value) -> Self {
        Scope { interpolator: self.interpolator, variables: self.variables.clone().with_attributes(name, value) }
    }

    pub(crate) fn with_parameters<'b>(&'b self, parameters: &'b Parameters) -> Variables<'b>
    where
        'a: 'b,
    {
        self.variables.clone().with("parameters", &parameters.0)
    }
}

/// An interpolated string.
pub(crate) struct Template {
    text: String,
    parameters: Parameters,
    markup: bool,
    constant: OnceLock<Value>,
}

impl Template {
    pub(crate) fn new(text: impl Into<String>, parameters: Parameters) -> Self {
        let text = text.into();
        Template { markup: has_markup(&text), text, parameters, constant: OnceLock::new() }
    }

    pub(crate) fn source(&self) -> &str {
        &self.text
    }

    /// Whether it names a variable anywhere; a guess by the text, on the safe side.
    pub(crate) fn mentions(&self, variable: &str) -> bool {
        self.markup && self.text.contains(variable)
    }

    pub(crate) fn value(&self, scope: &Scope<'_>) -> Result<Value> {
        if !self.markup {
            if let Some(value) = self.constant.get() {
                return Ok(value.clone());
            }
            let value = scope.interpolator.evaluate_string(&self.text, &Variables::new())?;
            return Ok(self.constant.get_or_init(|| value).clone());
        }
        let variables = scope.with_parameters(&self.parameters);
        scope.interpolator.evaluate_string(&self.text, &variables).map_err(|error| self.failed(error))
    }

    pub(crate) fn value_as(&self, scope: &Scope<'_>, types: LiteralTypes) -> Result<Value> {
        let variables = scope.with_parameters(&self.parameters);
        scope.interpolator.evaluate_string_as(&self.text, &variables, types).map_err(|error| self.failed(error))
    }

    pub(crate) fn text(&self, scope: &Scope<'_>) -> Result<String> {
        self.value(scope).map(|value| python_text(&value))
    }

    /// The rendered text, where only text in quotes is read as a literal.
    pub(crate) fn raw_text(&self, scope: &Scope<'_>) -> Result<String> {
        self.value_as(scope, LiteralTypes::TEXT).map(|value| python_text(&value))
    }

    fn failed(&self, error: highwater_core::Error) -> highwater_core::Error {
        failed(&self.text, error)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An interpolated condition.
#[derive(Debug)]
pub(crate) struct Condition {
    text: String,
    fixed: Option<bool>,
    parameters: Parameters,
}

impl Condition {
    pub(crate) fn new(text: impl Into<String>, fixed: Option<bool>, parameters: Parameters) -> Self {
        Condition { text: text.into(), fixed, parameters }
    }

    pub(crate) fn mentions(&self, variable: &str) -> bool {
        self.text.contains(variable)
    }

    pub(crate) fn holds(&self, scope: &Scope<'_>) -> Result<bool> {
        if let Some(fixed) = self.fixed {
            return Ok(fixed);
        }
        let variables = scope.with_parameters(&self.parameters);
        scope.interpolator.condition(&self.text, &variables).map_err(|error| failed(&self.text, error))
    }
}

fn failed(text: &str, error: highwater_core::Error) -> highwater_core::Error {
    let message = format!("the template {} fails: {}", shortened(text), one_line(&error.to_string()));
    highwater_core::Error::new(error.kind(), message)
}

/// The evaluated parts of a path.
pub(crate) fn path_of(templates: &[Template], scope: &Scope<'_>) -> Result<Vec<String>> {
    templates.iter().map(|template| template.text(scope)).collect()
}
