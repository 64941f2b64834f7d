//! Evaluation of templates: rendered to text, then read as a literal of Python.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use highwater_core::locks::{read, write};
use highwater_core::{Environment, Error, ErrorKind, Result};

use crate::builtins::is_function;
use crate::compiled::{Compiled, Reached};
use crate::literal::{Literal, literal};
use crate::runtime::{self, Fault};
use crate::text::python_text;
use crate::value::{Map, Value};
use crate::{Variables, limits};

/// Evaluates templates; cheap to clone, shares its compiled templates between clones and threads.
///
/// ```
/// use std::sync::Arc;
/// use highwater_core::SystemEnvironment;
/// use highwater_interpolation::{Interpolator, Variables};
///
/// let interpolator = Interpolator::new(Arc::new(SystemEnvironment));
/// let config = highwater_interpolation::json!({"page_size": "50", "start": "2024-01-02T03:04:05Z"});
/// let variables = Variables::new().with("config", &config);
/// assert_eq!(interpolator.evaluate("{{ config.page_size }}", &variables)?, 50);
/// assert_eq!(interpolator.evaluate_text("{{ format_datetime(config.start, '%Y/%m') }}", &variables)?, "2024/01");
/// assert!(interpolator.condition("{{ config.get('page_size', 0) | int > 10 }}", &variables)?);
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Interpolator {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    environment: Arc<dyn Environment>,
    compiled: RwLock<HashMap<String, Arc<Compiled>>>,
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

    pub(crate) fn has(self, types: LiteralTypes) -> bool {
        self.0 & types.0 != 0
    }
}

/// What a template came to, before it is a value of JSON.
enum Evaluated<'a> {
    Literal(Literal),
    Borrowed(&'a Value),
    /// No text at all.
    Empty,
    /// Something was asked of an undefined value.
    Undefined(String),
}

impl Interpolator {
    /// Creates an interpolator that takes the time and random bits from `environment`.
    pub fn new(environment: Arc<dyn Environment>) -> Self {
        Interpolator { shared: Arc::new(Shared { environment, compiled: RwLock::default() }) }
    }

    /// Returns the value of `template`: rendered, then read as a literal. Empty and undefined results are null. A whole number
    /// beyond 64 bits is a text with its digits.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the template does not parse, names an unknown variable, fails, or exceeds a
    /// [limit](crate::limits).
    pub fn evaluate(&self, template: &str, variables: &Variables<'_>) -> Result<Value> {
        self.evaluate_as(template, variables, LiteralTypes::ALL)
    }

    /// Returns the value of `template` as [`evaluate`](Self::evaluate) does, but reads only literals of `types`; others stay
    /// text.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the template does not parse, names an unknown variable, fails, or exceeds a
    /// [limit](crate::limits).
    pub fn evaluate_as(&self, template: &str, variables: &Variables<'_>, types: LiteralTypes) -> Result<Value> {
        Ok(match self.evaluated(template, variables, types)? {
            Evaluated::Literal(literal) => literal.into_json(),
            Evaluated::Borrowed(value) => value.clone(),
            Evaluated::Empty | Evaluated::Undefined(_) => Value::Null,
        })
    }

    /// Returns the value of an interpolated string: as [`evaluate`](Self::evaluate) does, but an empty result is empty text, and
    /// an attribute of an undefined value is an error.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the template does not parse, names an unknown variable, asks for an
    /// attribute of an undefined value, fails, or exceeds a [limit](crate::limits).
    pub fn evaluate_string(&self, template: &str, variables: &Variables<'_>) -> Result<Value> {
        self.evaluate_string_as(template, variables, LiteralTypes::ALL)
    }

    /// Returns the value of an interpolated string as [`evaluate_string`](Self::evaluate_string) does, but reads only literals
    /// of `types`; others stay text.
    ///
    /// # Errors
    /// As [`evaluate_string`](Self::evaluate_string).
    pub fn evaluate_string_as(&self, template: &str, variables: &Variables<'_>, types: LiteralTypes) -> Result<Value> {
        match self.evaluated(template, variables, types)? {
            Evaluated::Literal(literal) => Ok(literal.into_json()),
            Evaluated::Borrowed(value) => Ok(value.clone()),
            Evaluated::Empty => Ok(Value::String(String::new())),
            Evaluated::Undefined(what) => Err(undefined(template, &what)),
        }
    }

    /// Returns an interpolated string as text, as Python's `str()` prints its value (`True`, `None`, `['a', 'b']`).
    ///
    /// # Errors
    /// As [`evaluate_string`](Self::evaluate_string).
    pub fn evaluate_text(&self, template: &str, variables: &Variables<'_>) -> Result<String> {
        match self.evaluated(template, variables, LiteralTypes::ALL)? {
            Evaluated::Literal(literal) => Ok(literal.to_text()),
            Evaluated::Borrowed(value) => Ok(python_text(value)),
            Evaluated::Empty => Ok(String::new()),
            Evaluated::Undefined(what) => Err(undefined(template, &what)),
        }
    }

    /// Returns whether the condition `template` holds: it does not for false, null, zero, and empty texts, lists and mappings.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn condition(&self, template: &str, variables: &Variables<'_>) -> Result<bool> {
        Ok(match self.evaluated(template, variables, LiteralTypes::ALL)? {
            Evaluated::Literal(literal) => !literal.is_false(),
            Evaluated::Borrowed(value) => match value {
                Value::Null => false,
                Value::Bool(value) => *value,
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Object(entries) => !entries.is_empty(),
            },
            Evaluated::Empty | Evaluated::Undefined(_) => false,
        })
    }

    /// Evaluates the keys and values of a flat mapping. Keys become text, values that are not texts stay as they are, and
    /// nulls are kept.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate), for the first key or value that fails.
    pub fn evaluate_mapping(&self, mapping: &Map, variables: &Variables<'_>, types: LiteralTypes) -> Result<Map> {
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

    /// Evaluates keys and values through nested mappings and lists. Members of mappings whose value becomes null are dropped.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate), for the first key or value that fails.
    pub fn evaluate_nested(&self, value: &Value, variables: &Variables<'_>) -> Result<Value> {
        Ok(match value {
            Value::String(template) => self.evaluate(template, variables)?,
            Value::Array(items) => {
                items.iter().map(|item| self.evaluate_nested(item, variables)).collect::<Result<Value>>()?
            }
            Value::Object(entries) => {
                let mut evaluated = Map::new();
                for (name, value) in entries {
                    let value = self.evaluate_nested(value, variables)?;
                    if !value.is_null() {
                        let name = python_text(&self.evaluate(name, variables)?);
                        evaluated.insert(name, value);
                    }
                }
                Value::Object(evaluated)
            }
            other => other.clone(),
        })
    }

    /// Compiles `template` and keeps it for later evaluations.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the template does not parse; the message says what is wrong, and in which line.
    pub fn check(&self, template: &str) -> Result<()> {
        self.compile(template).map(|_| ())
    }

    /// Returns the names of the variables that `template` reads, each once.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the template does not parse.
    pub fn variables_of(&self, template: &str) -> Result<Vec<String>> {
        let names = self.compile(template)?.undeclared.clone();
        Ok(names.into_iter().filter(|name| !is_function(name)).collect())
    }

    fn evaluated<'a>(&self, template: &str, variables: &Variables<'a>, types: LiteralTypes) -> Result<Evaluated<'a>> {
        let read = |text: String| match literal(&text) {
            _ if text.is_empty() => Evaluated::Empty,
            Some(literal) if literal.is_of(types) => Evaluated::Literal(literal),
            _ => Evaluated::Literal(Literal::Text(text)),
        };
        if template.is_empty() {
            return Ok(Evaluated::Empty);
        }
        let compiled = self.compile(template)?;
        match compiled.reach(variables) {
            Reached::Undefined => return Ok(Evaluated::Empty),
            Reached::Value(Value::String(text)) => return Ok(read(text.clone())),
            Reached::Value(value) if types == LiteralTypes::ALL => return Ok(Evaluated::Borrowed(value)),
            Reached::Value(_) | Reached::Unclear => {}
        }
        let known = |name: &&String| variables.get(name).is_none() && !is_function(name);
        if let Some(name) = compiled.undeclared.iter().find(known) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("unknown variable '{name}' in the template {}: it is not available here", excerpt(template)),
            ));
        }
        match runtime::render(&compiled.nodes, variables, &*self.shared.environment) {
            Ok(text) => Ok(read(text)),
            // The reference implementation takes a template whose types do not fit for plain text.
            Err(Fault::Type(_)) => Ok(read(template.to_owned())),
            Err(Fault::Undefined(what)) => Ok(Evaluated::Undefined(what)),
            Err(Fault::Other(message)) => {
                Err(Error::new(ErrorKind::Invalid, format!("the template {} failed: {message}", excerpt(template))))
            }
        }
    }

    fn compile(&self, template: &str) -> Result<Arc<Compiled>> {
        let cache = read(&self.shared.compiled);
        if let Some(compiled) = cache.get(template) {
            return Ok(Arc::clone(compiled));
        }
        drop(cache);
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        if template.len() > limits::TEMPLATE_BYTES {
            return invalid(format!(
                "a template has {} bytes: at most {} are allowed",
                template.len(),
                limits::TEMPLATE_BYTES
            ));
        }
        if template.contains("stream_state") {
            return invalid(format!(
                "stream_state in the template {} is no longer supported: use stream_interval",
                excerpt(template)
            ));
        }
        let compiled = match Compiled::new(template) {
            Ok(compiled) => Arc::new(compiled),
            Err(error) => {
                let place = if template.contains('\n') { format!(" (line {})", error.line) } else { String::new() };
                return invalid(format!("broken template {}{place}: {}", excerpt(template), error.message));
            }
        };
        let mut cache = write(&self.shared.compiled);
        if cache.len() >= limits::CACHED_TEMPLATES {
            cache.clear();
        }
        cache.insert(template.to_owned(), Arc::clone(&compiled));
        Ok(compiled)
    }
}

fn undefined(template: &str, what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("the template {} has no value: {what}", excerpt(template)))
}

/// A template on one line of an error.
fn excerpt(template: &str) -> String {
    const LENGTH: usize = 120;
    let mut line: String = template.chars().take(LENGTH).collect();
    if template.chars().nth(LENGTH).is_some() {
        line.push('…');
    }
    format!("{line:?}")
}
