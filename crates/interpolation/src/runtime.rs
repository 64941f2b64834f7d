//! Evaluation of a syntax tree over Python's values.

mod arguments;
mod calendar;
mod data;
mod digest;
mod evaluate;
mod filters;
mod functions;
mod json;
mod methods;
mod numbers;
mod operators;
mod patterns;
mod sequences;
mod strings;
mod tests;

use highwater_core::Environment;

use super::Variables;
use super::syntax::Node;

/// Why a template has no text.
#[derive(Debug)]
pub(super) enum Fault {
    /// Something was asked of an undefined value.
    Undefined(String),
    /// An operation does not fit its operands (Python's `TypeError`).
    #[allow(dead_code, reason = "read when debugging a template")]
    Type(String),
    /// Anything else.
    Other(String),
}

impl Fault {
    /// The fault of using the undefined value `what`.
    fn undefined(what: &str) -> Fault {
        Fault::Undefined(format!("{what} is undefined"))
    }
}

pub(super) type Outcome<T> = Result<T, Fault>;

/// The text of `nodes`.
pub(super) fn render(nodes: &[Node], variables: &Variables<'_>, environment: &dyn Environment) -> Outcome<String> {
    evaluate::Evaluator::new(variables, environment).render(nodes)
}
