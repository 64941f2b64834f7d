//! Jinja's tests: `value is name`.

use super::super::syntax::{Comparison, Operator};
use super::Outcome;
use super::arguments::Given;
use super::data::{Data, SequenceKind};
use super::evaluate::Evaluator;
use super::numbers::number;
use super::operators::{arithmetic, compare, equal};
use super::strings::{is_lower, is_upper};
use crate::builtins::{is_filter, is_test};

pub(super) fn test<'a>(evaluator: &mut Evaluator<'a>, name: &str, value: Data<'a>, given: Given<'a>) -> Outcome<bool> {
    let budget = &evaluator.budget;
    let comparison = match name {
        "eq" | "equalto" | "==" => Some(Comparison::Equal),
        "ne" | "!=" => Some(Comparison::NotEqual),
        "gt" | "greaterthan" | ">" => Some(Comparison::Greater),
        "ge" | ">=" => Some(Comparison::GreaterOrEqual),
        "lt" | "lessthan" | "<" => Some(Comparison::Less),
        "le" | "<=" => Some(Comparison::LessOrEqual),
        "in" => Some(Comparison::In),
        _ => None,
    };
    if let Some(comparison) = comparison {
        return compare(comparison, &value, &given.one("other")?, budget);
    }
    let remainder = |divisor: Data<'a>, rest: i128| {
        let found = arithmetic(Operator::Remainder, &value, &divisor, budget)?;
        equal(&found, &Data::Int(rest), budget)
    };
    match name {
        "divisibleby" => return remainder(given.one("num")?, 0),
        "sameas" => return same(&value, &given.one("other")?),
        _ => given.none()?,
    }
    Ok(match name {
        "odd" => remainder(Data::Int(2), 1)?,
        "even" => remainder(Data::Int(2), 0)?,
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "filter" => value.as_text().is_some_and(is_filter),
        "test" => value.as_text().is_some_and(is_test),
        "none" => matches!(value, Data::None),
        "boolean" => matches!(value, Data::Bool(_)),
        "true" => matches!(value, Data::Bool(true)),
        "false" => matches!(value, Data::Bool(false)),
        "integer" => matches!(value, Data::Int(_)),
        "float" => matches!(value, Data::Float(_)),
        "number" => number(&value).is_some(),
        "string" => matches!(value, Data::Text(_)),
        "mapping" => matches!(value, Data::JsonDict(_) | Data::Dict(_)),
        "lower" => is_lower(&value.to_text(budget)?),
        "upper" => is_upper(&value.to_text(budget)?),
        "sequence" => value.length().is_some() && !matches!(value, Data::Sequence(..)),
        "iterable" => value.length().is_some() || matches!(value, Data::Sequence(_, SequenceKind::Generator)),
        "callable" => matches!(value, Data::Function(_) | Data::Method(_)),
        _ => false,
    })
}

/// Python's `is`, as far as it is defined by values.
fn same<'a>(left: &Data<'a>, right: &Data<'a>) -> Outcome<bool> {
    Ok(match (left, right) {
        (Data::None, Data::None) => true,
        (Data::Bool(left), Data::Bool(right)) => left == right,
        (Data::Int(left), Data::Int(right)) => left == right,
        (Data::Text(left), Data::Text(right)) => left.as_str() == right.as_str(),
        (Data::JsonList(left), Data::JsonList(right)) => std::ptr::eq(*left, *right),
        (Data::JsonDict(left), Data::JsonDict(right)) => std::ptr::eq(*left, *right),
        (Data::List(left), Data::List(right)) => std::rc::Rc::ptr_eq(left, right),
        (Data::Dict(left), Data::Dict(right)) => std::rc::Rc::ptr_eq(left, right),
        _ => false,
    })
}
