//! Arithmetic, comparison and membership as in Python.

use std::cmp::Ordering;

use super::super::duration::Duration;
use super::super::syntax::{Comparison, Operator};
use super::calendar;
use super::data::{Budget, Data, SequenceKind};
use super::numbers::{Number, number};
use super::strings::percent_format;
use super::{Fault, Outcome};

fn require_defined<'a>(operands: [&Data<'a>; 2]) -> Outcome<()> {
    operands.into_iter().try_for_each(|operand| match operand {
        Data::Undefined(what) => Err(Fault::undefined(what)),
        _ => Ok(()),
    })
}

fn overflow() -> Fault {
    Fault::Other("a whole number is too large".to_owned())
}

pub(super) fn arithmetic<'a>(
    operator: Operator,
    left: &Data<'a>,
    right: &Data<'a>,
    budget: &Budget,
) -> Outcome<Data<'a>> {
    if operator == Operator::Remainder
        && let Some(format) = left.as_text()
    {
        return percent_format(format, right, budget);
    }
    require_defined([left, right])?;
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return numeric(operator, left, right);
    }
    let result = match (operator, left, right) {
        (Operator::Add, Data::Text(left), Data::Text(right)) => {
            budget.spend_bytes(left.as_str().len() + right.as_str().len())?;
            Some(Data::text([left.as_str(), right.as_str()].concat()))
        }
        (Operator::Add, Data::Tuple(_), Data::Tuple(_)) => {
            Some(Data::tuple([left.items(budget)?, right.items(budget)?].concat()))
        }
        (Operator::Add, left, right) if is_list(left) && is_list(right) => {
            Some(Data::list([left.items(budget)?, right.items(budget)?].concat()))
        }
        (Operator::Multiply, left, right) => repeat(left, right, budget)?,
        _ => None,
    };
    match result.map_or_else(|| calendar::arithmetic(operator, left, right), |result| Ok(Some(result)))? {
        Some(result) => Ok(result),
        None => Err(Fault::Type(format!(
            "unsupported operand type(s) for {}: '{}' and '{}'",
            operator.symbol(),
            left.type_name(),
            right.type_name()
        ))),
    }
}

fn is_list(data: &Data<'_>) -> bool {
    matches!(data, Data::List(_) | Data::JsonList(_))
}

/// `'ab' * 2` and the like.
fn repeat<'a>(left: &Data<'a>, right: &Data<'a>, budget: &Budget) -> Outcome<Option<Data<'a>>> {
    let (value, count) = match (number(left), number(right)) {
        (Some(Number::Int(count)), None) => (right, count),
        (None, Some(Number::Int(count))) => (left, count),
        _ => return Ok(None),
    };
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    Ok(match value {
        Data::Text(text) => {
            budget.spend_bytes(text.as_str().len().saturating_mul(count))?;
            Some(Data::text(text.as_str().repeat(count)))
        }
        Data::Tuple(items) => {
            budget.spend(items.len().saturating_mul(count))?;
            Some(Data::tuple(repeated(items, count)))
        }
        list if is_list(list) => {
            let items = list.items(budget)?;
            budget.spend(items.len().saturating_mul(count))?;
            Some(Data::list(repeated(&items, count)))
        }
        _ => None,
    })
}

fn repeated<'a>(items: &[Data<'a>], count: usize) -> Vec<Data<'a>> {
    let total = items.len().saturating_mul(count);
    items.iter().cycle().take(total).cloned().collect()
}

fn numeric<'a>(operator: Operator, left: Number, right: Number) -> Outcome<Data<'a>> {
    let by_zero = || Err(Fault::Other("division by zero".to_owned()));
    if let (Number::Int(left), Number::Int(right)) = (left, right) {
        let exact = match operator {
            Operator::Add => left.checked_add(right),
            Operator::Subtract => left.checked_sub(right),
            Operator::Multiply => left.checked_mul(right),
            Operator::FloorDivide | Operator::Remainder | Operator::Divide if right == 0 => return by_zero(),
            Operator::Divide => return Ok(Data::Float(left as f64 / right as f64)),
            Operator::FloorDivide => left.checked_div(right).map(|quotient| {
                let inexact = left.checked_rem(right).is_some_and(|rest| rest != 0);
                if inexact && (left < 0) != (right < 0) { quotient - 1 } else { quotient }
            }),
            Operator::Remainder => left
                .checked_rem(right)
                .map(|rest| if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest }),
            Operator::Power => match u32::try_from(right) {
                Ok(exponent) => left.checked_pow(exponent),
                Err(_) if right < 0 && left == 0 => return by_zero(),
                Err(_) if right < 0 => return Ok(Data::Float((left as f64).powf(right as f64))),
                Err(_) if left.abs() <= 1 => left.checked_pow(2 + u32::from(right % 2 != 0)),
                Err(_) => None,
            },
        };
        return exact.map(Data::Int).ok_or_else(overflow);
    }
    let (left, right) = (left.float(), right.float());
    Ok(Data::Float(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide | Operator::FloorDivide | Operator::Remainder if right == 0.0 => return by_zero(),
        Operator::Divide => left / right,
        Operator::FloorDivide => (left / right).floor(),
        Operator::Remainder => {
            let rest = left % right;
            if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest }
        }
        Operator::Power => left.powf(right),
    }))
}

pub(super) fn negative<'a>(data: &Data<'a>, keep_sign: bool) -> Outcome<Data<'a>> {
    Ok(match (data, number(data)) {
        (Data::Undefined(what), _) => return Err(Fault::undefined(what)),
        (_, Some(Number::Int(value))) if keep_sign => Data::Int(value),
        (_, Some(Number::Int(value))) => Data::Int(value.checked_neg().ok_or_else(overflow)?),
        (_, Some(Number::Float(value))) => Data::Float(if keep_sign { value } else { -value }),
        (Data::Duration(duration), _) => {
            Data::Duration(duration.scaled(if keep_sign { 1 } else { -1 }).ok_or_else(overflow)?)
        }
        _ => return Err(Fault::Type(format!("bad operand type for a sign: '{}'", data.type_name()))),
    })
}

pub(super) fn compare<'a>(comparison: Comparison, left: &Data<'a>, right: &Data<'a>, budget: &Budget) -> Outcome<bool> {
    let ordered = |accept: fn(Ordering) -> bool| Ok(order(left, right, budget)?.is_some_and(accept));
    match comparison {
        Comparison::Equal => equal(left, right, budget),
        Comparison::NotEqual => Ok(!equal(left, right, budget)?),
        Comparison::Less => ordered(Ordering::is_lt),
        Comparison::LessOrEqual => ordered(Ordering::is_le),
        Comparison::Greater => ordered(Ordering::is_gt),
        Comparison::GreaterOrEqual => ordered(Ordering::is_ge),
        Comparison::In => contains(right, left, budget),
        Comparison::NotIn => Ok(!contains(right, left, budget)?),
    }
}

fn exact_order(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
        (Number::Int(left), Number::Float(right)) => (left as f64).partial_cmp(&right),
        (Number::Float(left), Number::Int(right)) => left.partial_cmp(&(right as f64)),
        (Number::Float(left), Number::Float(right)) => left.partial_cmp(&right),
    }
}

pub(super) fn equal<'a>(left: &Data<'a>, right: &Data<'a>, budget: &Budget) -> Outcome<bool> {
    budget.spend(1)?;
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Ok(exact_order(left, right) == Some(Ordering::Equal));
    }
    Ok(match (left, right) {
        (Data::None, Data::None) | (Data::Undefined(_), Data::Undefined(_)) => true,
        (Data::Text(left), Data::Text(right)) => left.as_str() == right.as_str(),
        (Data::JsonList(left), Data::JsonList(right)) if std::ptr::eq(*left, *right) => true,
        (Data::JsonDict(left), Data::JsonDict(right)) if std::ptr::eq(*left, *right) => true,
        (Data::Tuple(_), Data::Tuple(_)) => equal_items(left, right, budget)?,
        (left, right) if is_list(left) && is_list(right) => equal_items(left, right, budget)?,
        (Data::DateTime(left), Data::DateTime(right)) => left == right,
        (Data::Date(left), Data::Date(right)) => left == right,
        (Data::Duration(left), Data::Duration(right)) => left == right,
        _ => match (left.entries(budget)?, right.entries(budget)?) {
            (Some(left), Some(right)) if left.len() == right.len() => {
                for (key, value) in &left {
                    match find(&right, key, budget)? {
                        Some(other) if equal(value, other, budget)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            _ => false,
        },
    })
}

/// The value under `key`.
pub(super) fn find<'e, 'a>(
    entries: &'e [(Data<'a>, Data<'a>)],
    key: &Data<'a>,
    budget: &Budget,
) -> Outcome<Option<&'e Data<'a>>> {
    for (candidate, value) in entries {
        if equal(candidate, key, budget)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn equal_items<'a>(left: &Data<'a>, right: &Data<'a>, budget: &Budget) -> Outcome<bool> {
    if left.length() != right.length() {
        return Ok(false);
    }
    for (left, right) in left.items(budget)?.iter().zip(&right.items(budget)?) {
        if !equal(left, right, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The order of two values; nothing where a NaN is among them.
pub(super) fn order<'a>(left: &Data<'a>, right: &Data<'a>, budget: &Budget) -> Outcome<Option<Ordering>> {
    budget.spend(1)?;
    require_defined([left, right])?;
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Ok(exact_order(left, right));
    }
    match (left, right) {
        (Data::Text(left), Data::Text(right)) => Ok(Some(left.as_str().cmp(right.as_str()))),
        (Data::DateTime(left), Data::DateTime(right)) => Ok(Some(left.cmp(right))),
        (Data::Date(left), Data::Date(right)) => Ok(Some(left.cmp(right))),
        (Data::Duration(Duration { months: 0, microseconds: left }), Data::Duration(right)) if right.months == 0 => {
            Ok(Some(left.cmp(&right.microseconds)))
        }
        (left, right)
            if (is_list(left) && is_list(right)) || matches!((left, right), (Data::Tuple(_), Data::Tuple(_))) =>
        {
            for (left, right) in left.items(budget)?.iter().zip(&right.items(budget)?) {
                if !equal(left, right, budget)? {
                    return order(left, right, budget);
                }
            }
            Ok(Some(left.length().cmp(&right.length())))
        }
        _ => Err(Fault::Type(format!("values of '{}' and '{}' have no order", left.type_name(), right.type_name()))),
    }
}

/// Whether mappings may have it as a key.
pub(super) fn require_hashable(data: &Data<'_>) -> Outcome<()> {
    match data {
        Data::List(_) | Data::JsonList(_) | Data::Dict(_) | Data::JsonDict(_) => {
            Err(Fault::Type(format!("unhashable type: '{}'", data.type_name())))
        }
        Data::Tuple(items) => items.iter().try_for_each(require_hashable),
        _ => Ok(()),
    }
}

/// `needle in haystack`.
pub(super) fn contains<'a>(haystack: &Data<'a>, needle: &Data<'a>, budget: &Budget) -> Outcome<bool> {
    match haystack {
        Data::Text(text) => match needle.as_text() {
            Some(needle) => Ok(text.as_str().contains(needle)),
            None => Err(Fault::Type(format!("'in <string>' requires string, not {}", needle.type_name()))),
        },
        Data::JsonDict(entries) => {
            require_hashable(needle)?;
            Ok(needle.as_text().is_some_and(|key| entries.contains_key(key)))
        }
        Data::Dict(entries) => {
            require_hashable(needle)?;
            Ok(find(&entries.borrow(), needle, budget)?.is_some())
        }
        Data::Sequence(items, SequenceKind::Keys | SequenceKind::Values | SequenceKind::Items) => {
            any_equal(items, needle, budget)
        }
        other => any_equal(&other.items(budget)?, needle, budget),
    }
}

fn any_equal<'a>(items: &[Data<'a>], needle: &Data<'a>, budget: &Budget) -> Outcome<bool> {
    for item in items {
        if equal(item, needle, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}
