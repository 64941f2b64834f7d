//! Filters of lists and mappings.

use std::cmp::Ordering;

use super::super::arguments::{Bound, Given, int_or};
use super::super::data::{Budget, Data, SequenceKind};
use super::super::evaluate::Evaluator;
use super::super::operators::{arithmetic, equal, order};
use super::super::{Fault, Outcome, methods, sequences, tests};
use super::{filter as any_filter, folded};
use crate::syntax::Operator;

pub(super) fn filter<'a>(
    evaluator: &mut Evaluator<'a>,
    name: &str,
    value: Data<'a>,
    given: Given<'a>,
) -> Outcome<Data<'a>> {
    let absent = || Data::undefined("an item of an empty sequence");
    match name {
        "map" => map(evaluator, value, given),
        "select" | "reject" | "selectattr" | "rejectattr" => select(evaluator, name, value, given),
        "sort" | "unique" | "min" | "max" | "groupby" => sorted(evaluator, name, value, given),
        "join" => join(evaluator, &value, given),
        "length" | "count" => {
            given.none()?;
            let length = value
                .length()
                .ok_or_else(|| Fault::Type(format!("object of type '{}' has no len()", value.type_name())))?;
            Ok(Data::Int(i128::try_from(length).unwrap_or(i128::MAX)))
        }
        "first" => {
            given.none()?;
            let first = match &value {
                Data::JsonList(_) | Data::List(_) | Data::Tuple(_) => {
                    sequences::at(&value, &Data::Int(0), &evaluator.budget)?
                }
                other => other.items(&evaluator.budget)?.into_iter().next(),
            };
            Ok(first.unwrap_or_else(absent))
        }
        "last" => {
            given.none()?;
            Ok(methods::last(&value, &evaluator.budget)?.unwrap_or_else(absent))
        }
        "random" => {
            given.none()?;
            let items = value.items(&evaluator.budget)?;
            let mut bytes = [0u8; 8];
            evaluator.environment.fill_random(&mut bytes);
            let count = u64::try_from(items.len()).unwrap_or(0);
            let at = u64::from_le_bytes(bytes).checked_rem(count).and_then(|at| usize::try_from(at).ok());
            Ok(at.and_then(|at| items.get(at).cloned()).unwrap_or_else(absent))
        }
        "list" => {
            given.none()?;
            Ok(Data::list(value.items(&evaluator.budget)?))
        }
        "items" => {
            given.none()?;
            let entries = match (&value, value.entries(&evaluator.budget)?) {
                (_, Some(entries)) => entries,
                (Data::Undefined(_), None) => Vec::new(),
                _ => return Err(Fault::Type("Can only get item pairs from a mapping.".to_owned())),
            };
            Ok(Data::generator(entries.into_iter().map(|(key, value)| Data::tuple(vec![key, value])).collect()))
        }
        "reverse" => {
            given.none()?;
            if let Some(text) = value.as_text() {
                return super::made(text.chars().rev().collect(), &evaluator.budget);
            }
            let mut items = value.items(&evaluator.budget)?;
            items.reverse();
            Ok(Data::generator(items))
        }
        "sum" => {
            let [attribute, start] = given.bind(["attribute", "start"], 0)?;
            let mut total = start.unwrap_or(Data::Int(0));
            for item in value.items(&evaluator.budget)? {
                let item = part(evaluator, &item, attribute.as_ref())?;
                total = arithmetic(Operator::Add, &total, &item, &evaluator.budget)?;
            }
            Ok(total)
        }
        "attr" => {
            let name = given.one("name")?.to_text(&evaluator.budget)?;
            match &value {
                Data::JsonDict(_) | Data::Dict(_) if !methods::has(&value, &name) => Ok(Data::undefined(name)),
                _ => evaluator.attribute(&value, &name),
            }
        }
        "dictsort" => dictsort(evaluator, &value, given),
        _ => chunks(&evaluator.budget, name == "batch", &value, given),
    }
}

/// An attribute by path (`a.b.0`), or the value itself.
fn part<'a>(evaluator: &Evaluator<'a>, value: &Data<'a>, attribute: Option<&Data<'a>>) -> Outcome<Data<'a>> {
    match attribute {
        None | Some(Data::None) => Ok(value.clone()),
        Some(index @ Data::Int(_)) => evaluator.item(value, index),
        Some(path) => {
            let mut current = value.clone();
            for name in path.expect_text()?.split('.') {
                let key = match name.parse::<i128>() {
                    Ok(index) if name.bytes().all(|byte| byte.is_ascii_digit()) => Data::Int(index),
                    _ => Data::text(name),
                };
                current = evaluator.item(&current, &key)?;
            }
            Ok(current)
        }
    }
}

fn join<'a>(evaluator: &Evaluator<'a>, value: &Data<'a>, given: Given<'a>) -> Outcome<Data<'a>> {
    let budget = &evaluator.budget;
    let [separator, attribute] = given.bind(["d", "attribute"], 0)?;
    let separator = separator.map_or(Ok(String::new()), |separator| separator.to_text(budget))?;
    let mut joined = String::new();
    for (position, item) in value.items(budget)?.iter().enumerate() {
        if position > 0 {
            budget.spend_bytes(separator.len())?;
            joined.push_str(&separator);
        }
        part(evaluator, item, attribute.as_ref())?.write(&mut joined, budget)?;
    }
    Ok(Data::text(joined))
}

fn map<'a>(evaluator: &mut Evaluator<'a>, value: Data<'a>, mut given: Given<'a>) -> Outcome<Data<'a>> {
    if !value.is_true() {
        return Ok(Data::generator(Vec::new()));
    }
    let items = value.items(&evaluator.budget)?;
    let mut mapped = Vec::new();
    if given.positional.is_empty() && given.named.iter().any(|(name, _)| name == "attribute") {
        let [attribute, default] = given.bind(["attribute", "default"], 1)?;
        for item in items {
            let found = part(evaluator, &item, attribute.as_ref())?;
            mapped.push(match (&found, &default) {
                (Data::Undefined(_), Some(default)) => default.clone(),
                _ => found,
            });
        }
        return Ok(Data::generator(mapped));
    }
    if given.positional.is_empty() {
        return Err(Fault::Other("map requires a filter argument".to_owned()));
    }
    let name = given.positional.remove(0).expect_text()?;
    for item in items {
        let again = Given { positional: given.positional.clone(), named: given.named.clone() };
        mapped.push(any_filter(evaluator, &name, item, again)?);
    }
    Ok(Data::generator(mapped))
}

fn select<'a>(evaluator: &mut Evaluator<'a>, name: &str, value: Data<'a>, mut given: Given<'a>) -> Outcome<Data<'a>> {
    let by_attribute = name.ends_with("attr");
    let wanted = name.starts_with("select");
    let attribute = match (by_attribute, given.positional.is_empty()) {
        (true, true) => return Err(Fault::Other("Missing parameter for attribute name".to_owned())),
        (true, false) => Some(given.positional.remove(0)),
        _ => None,
    };
    let test = if given.positional.is_empty() { None } else { Some(given.positional.remove(0).expect_text()?) };
    let mut kept = Vec::new();
    if value.is_true() {
        for item in value.items(&evaluator.budget)? {
            let subject = part(evaluator, &item, attribute.as_ref())?;
            let holds = match &test {
                Some(test) if !crate::builtins::is_test(test) => {
                    return Err(Fault::Other(format!("No test named '{test}'")));
                }
                Some(test) => {
                    let again = Given { positional: given.positional.clone(), named: given.named.clone() };
                    tests::test(evaluator, test, subject, again)?
                }
                None => subject.is_true(),
            };
            if holds == wanted {
                kept.push(item);
            }
        }
    }
    Ok(Data::generator(kept))
}

/// Stable, and with the first fault of a comparison.
fn sort_by_keys<'a>(items: &mut [(Vec<Data<'a>>, Data<'a>)], reverse: bool, budget: &Budget) -> Outcome<()> {
    let mut fault = None;
    items.sort_by(|(left, _), (right, _)| {
        for (left, right) in left.iter().zip(right) {
            let ordering = match equal(left, right, budget).and_then(|same| match same {
                true => Ok(Some(Ordering::Equal)),
                false => order(left, right, budget),
            }) {
                Ok(ordering) => ordering.unwrap_or(Ordering::Equal),
                Err(found) => {
                    fault.get_or_insert(found);
                    Ordering::Equal
                }
            };
            if ordering != Ordering::Equal {
                return if reverse { ordering.reverse() } else { ordering };
            }
        }
        Ordering::Equal
    });
    fault.map_or(Ok(()), Err)
}

fn sorted<'a>(evaluator: &mut Evaluator<'a>, name: &str, value: Data<'a>, given: Given<'a>) -> Outcome<Data<'a>> {
    let mut default = None;
    let (mut reverse, sensitive, attribute);
    match name {
        "sort" => {
            let [given_reverse, given_sensitive, given_attribute] =
                given.bind(["reverse", "case_sensitive", "attribute"], 0)?;
            reverse = given_reverse.is_some_and(|flag| flag.is_true());
            (sensitive, attribute) = (given_sensitive, given_attribute);
        }
        "groupby" => {
            let [given_attribute, given_default, given_sensitive] =
                given.bind(["attribute", "default", "case_sensitive"], 1)?;
            reverse = false;
            default = given_default;
            (sensitive, attribute) = (given_sensitive, given_attribute);
        }
        _ => {
            let [given_sensitive, given_attribute] = given.bind(["case_sensitive", "attribute"], 0)?;
            reverse = name == "max";
            (sensitive, attribute) = (given_sensitive, given_attribute);
        }
    }
    let sensitive = sensitive.is_some_and(|flag| flag.is_true());
    let attributes: Vec<Option<Data<'a>>> = match attribute.as_ref().and_then(Data::as_text) {
        Some(list) if name == "sort" => list.split(',').map(|one| Some(Data::text(one))).collect(),
        _ => vec![attribute],
    };
    let mut keyed = Vec::new();
    for item in value.items(&evaluator.budget)? {
        let mut keys = Vec::new();
        for attribute in &attributes {
            let found = part(evaluator, &item, attribute.as_ref())?;
            let found = match (&found, &default) {
                (Data::Undefined(_), Some(default)) => default.clone(),
                _ => found,
            };
            keys.push(folded(found, sensitive));
        }
        keyed.push((keys, item));
    }
    let budget = &evaluator.budget;
    if name == "unique" {
        return unique(keyed, budget);
    }
    if name != "sort" {
        // A single item is compared with nothing.
        reverse = name == "max";
    }
    sort_by_keys(&mut keyed, reverse, budget)?;
    match name {
        "sort" => Ok(Data::list(keyed.into_iter().map(|(_, item)| item).collect())),
        "groupby" => groups(keyed, budget),
        _ => Ok(keyed
            .into_iter()
            .next()
            .map_or_else(|| Data::undefined("an item of an empty sequence"), |(_, item)| item)),
    }
}

fn unique<'a>(keyed: Vec<(Vec<Data<'a>>, Data<'a>)>, budget: &Budget) -> Outcome<Data<'a>> {
    let mut seen: Vec<Data<'a>> = Vec::new();
    let mut kept = Vec::new();
    for (keys, item) in keyed {
        let key = keys.into_iter().next().unwrap_or(Data::None);
        super::super::operators::require_hashable(&key)?;
        let mut known = false;
        for other in &seen {
            known = known || equal(other, &key, budget)?;
        }
        if !known {
            seen.push(key);
            kept.push(item);
        }
    }
    Ok(Data::generator(kept))
}

fn groups<'a>(keyed: Vec<(Vec<Data<'a>>, Data<'a>)>, budget: &Budget) -> Outcome<Data<'a>> {
    let mut groups: Vec<(Data<'a>, Vec<Data<'a>>)> = Vec::new();
    for (keys, item) in keyed {
        let key = keys.into_iter().next().unwrap_or(Data::None);
        match groups.last_mut() {
            Some((last, items)) if equal(last, &key, budget)? => items.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    Ok(Data::list(groups.into_iter().map(|(key, items)| Data::tuple(vec![key, Data::list(items)])).collect()))
}

fn dictsort<'a>(evaluator: &Evaluator<'a>, value: &Data<'a>, given: Given<'a>) -> Outcome<Data<'a>> {
    let [sensitive, by, reverse] = given.bind(["case_sensitive", "by", "reverse"], 0)?;
    let sensitive = sensitive.is_some_and(|flag| flag.is_true());
    let by = super::text_or(by, "key")?;
    let budget = &evaluator.budget;
    let Some(entries) = value.entries(budget)? else {
        return Err(match value {
            Data::Undefined(what) => Fault::undefined(what),
            other => Fault::Other(format!("'{}' object has no attribute 'items'", other.type_name())),
        });
    };
    let mut keyed = Vec::new();
    for (key, value) in entries {
        let sort_key = match &*by {
            "key" => key.clone(),
            "value" => value.clone(),
            _ => return Err(Fault::Other("You can only sort by either \"key\" or \"value\"".to_owned())),
        };
        keyed.push((vec![folded(sort_key, sensitive)], Data::tuple(vec![key, value])));
    }
    sort_by_keys(&mut keyed, reverse.is_some_and(|flag| flag.is_true()), budget)?;
    Ok(Data::list(keyed.into_iter().map(|(_, pair)| pair).collect()))
}

/// `batch` cuts runs of a length; `slice` cuts a number of runs.
fn chunks<'a>(budget: &Budget, batch: bool, value: &Data<'a>, given: Given<'a>) -> Outcome<Data<'a>> {
    let [count, fill] = given.bind(["count", "fill_with"], 1)?;
    let count = usize::try_from(int_or(count, 0)?).unwrap_or(0);
    let fill = fill.filter(|fill| !matches!(fill, Data::None));
    let items = value.items(budget)?;
    if count == 0 {
        return Err(Fault::Other("a number of items must be above zero".to_owned()));
    }
    budget.spend(if batch && fill.is_none() { items.len() } else { count })?;
    let mut chunks = Vec::new();
    if batch {
        for chunk in items.chunks(count) {
            let mut chunk = chunk.to_vec();
            if let Some(fill) = &fill {
                chunk.resize(count, fill.clone());
            }
            chunks.push(Data::list(chunk));
        }
    } else {
        let (each, extra) = (items.len() / count, items.len() % count);
        let mut rest = items.into_iter();
        for number in 0..count {
            let mut chunk: Vec<Data<'a>> = rest.by_ref().take(each + usize::from(number < extra)).collect();
            if let Some(fill) = fill.as_ref().filter(|_| number >= extra) {
                chunk.push(fill.clone());
            }
            chunks.push(Data::list(chunk));
        }
    }
    Ok(Data::Sequence(std::rc::Rc::new(chunks), SequenceKind::Generator))
}
