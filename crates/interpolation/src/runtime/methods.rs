//! Python's methods of texts, lists and mappings.

mod texts;

use std::rc::Rc;

use super::arguments::Given;
use super::data::{Budget, Data, Entries, SequenceKind};
use super::operators::{equal, find, require_hashable};
use super::{Fault, Outcome, calendar, sequences};
use crate::builtins::DICT_METHODS;

pub(super) use texts::{replaced, stripped};

const LIST_METHODS: [&str; 11] =
    ["append", "extend", "index", "count", "copy", "clear", "insert", "pop", "remove", "reverse", "sort"];
const TEXT_METHODS: [&str; 37] = [
    "upper",
    "lower",
    "casefold",
    "swapcase",
    "capitalize",
    "title",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "rsplit",
    "splitlines",
    "replace",
    "startswith",
    "endswith",
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "join",
    "format",
    "zfill",
    "ljust",
    "rjust",
    "center",
    "isdigit",
    "isdecimal",
    "isnumeric",
    "isalpha",
    "isalnum",
    "isspace",
    "islower",
    "isupper",
    "isascii",
    "removeprefix",
    "removesuffix",
];

pub(super) fn has(data: &Data<'_>, name: &str) -> bool {
    match data {
        Data::JsonDict(_) | Data::Dict(_) => DICT_METHODS.contains(&name),
        Data::JsonList(_) | Data::List(_) => LIST_METHODS.contains(&name),
        Data::Tuple(_) => matches!(name, "index" | "count"),
        Data::Text(_) => TEXT_METHODS.contains(&name) || matches!(name, "partition" | "rpartition"),
        Data::Float(_) => name == "is_integer",
        Data::Namespace(_) => name == "cycle",
        other => calendar::has_method(other, name),
    }
}

pub(super) fn call<'a>(data: &Data<'a>, name: &str, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    match data {
        Data::JsonDict(_) | Data::Dict(_) => dict_method(data, name, given, budget),
        Data::JsonList(_) | Data::List(_) | Data::Tuple(_) => list_method(data, name, given, budget),
        Data::Text(text) => texts::call(text, name, given, budget),
        Data::Float(value) => given.none().map(|()| Data::Bool(value.fract() == 0.0)),
        Data::Namespace(entries) => {
            let index = entries.borrow().iter().find(|(name, _)| name == "index0").map(|(_, index)| index.clone());
            let (Some(Data::Int(index)), count @ 1..) = (index, given.positional.len()) else {
                return Err(Fault::Type("no items for cycling given".to_owned()));
            };
            let at = usize::try_from(index).unwrap_or(0) % count;
            Ok(given.positional.get(at).cloned().unwrap_or(Data::None))
        }
        other => calendar::call(other, name, given, budget),
    }
}

fn unsupported(data: &Data<'_>, name: &str) -> Fault {
    Fault::Other(format!("the method '{name}' of {} is not supported", data.type_name()))
}

/// Sets an entry of a mapping.
pub(super) fn put<'a>(entries: &mut Entries<'a>, key: Data<'a>, value: Data<'a>, budget: &Budget) -> Outcome<()> {
    for (existing, slot) in entries.iter_mut() {
        if equal(existing, &key, budget)? {
            *slot = value;
            return Ok(());
        }
    }
    entries.push((key, value));
    Ok(())
}

fn dict_method<'a>(data: &Data<'a>, name: &str, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    match name {
        "get" => {
            if !given.named.is_empty() {
                return Err(Fault::Type("get takes no named arguments".to_owned()));
            }
            let [key, default] = given.bind(["key", "default"], 1)?;
            let key = key.unwrap_or(Data::None);
            require_hashable(&key)?;
            let found = match data {
                Data::JsonDict(entries) => key.as_text().and_then(|key| entries.get(key)).map(Data::from_json),
                Data::Dict(entries) => find(&entries.borrow(), &key, budget)?.cloned(),
                _ => None,
            };
            Ok(found.or(default).unwrap_or(Data::None))
        }
        "keys" | "values" | "items" => {
            given.none()?;
            let entries = data.entries(budget)?.unwrap_or_default().into_iter();
            let (items, kind) = match name {
                "keys" => (entries.map(|(key, _)| key).collect(), SequenceKind::Keys),
                "values" => (entries.map(|(_, value)| value).collect(), SequenceKind::Values),
                _ => (entries.map(|(key, value)| Data::tuple(vec![key, value])).collect(), SequenceKind::Items),
            };
            Ok(Data::Sequence(Rc::new(items), kind))
        }
        "copy" => {
            given.none()?;
            Ok(Data::dict(data.entries(budget)?.unwrap_or_default()))
        }
        "update" => {
            let Data::Dict(entries) = data else {
                return Err(unsupported(data, name));
            };
            let mut added =
                given.positional.first().map_or(Ok(None), |first| first.entries(budget))?.unwrap_or_default();
            added.extend(given.named.into_iter().map(|(name, value)| (Data::text(name), value)));
            for (key, value) in added {
                let value = value.detached(budget)?;
                put(&mut entries.borrow_mut(), key, value, budget)?;
            }
            Ok(Data::None)
        }
        _ => Err(unsupported(data, name)),
    }
}

fn list_method<'a>(data: &Data<'a>, name: &str, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    match (name, data) {
        ("append", Data::List(items)) => {
            let value = given.one("object")?.detached(budget)?;
            items.borrow_mut().push(value);
            Ok(Data::None)
        }
        ("extend", Data::List(items)) => {
            for value in given.one("iterable")?.items(budget)? {
                let value = value.detached(budget)?;
                items.borrow_mut().push(value);
            }
            Ok(Data::None)
        }
        ("index" | "count", _) => {
            let wanted = given.one("value")?;
            let mut count = 0;
            for (position, item) in data.items(budget)?.iter().enumerate() {
                if equal(item, &wanted, budget)? {
                    if name == "index" {
                        return Ok(Data::Int(i128::try_from(position).unwrap_or(0)));
                    }
                    count += 1;
                }
            }
            if name == "index" {
                Err(Fault::Other("the value is not in the list".to_owned()))
            } else {
                Ok(Data::Int(count))
            }
        }
        ("copy", _) => {
            given.none()?;
            Ok(Data::list(data.items(budget)?))
        }
        _ => Err(unsupported(data, name)),
    }
}

/// Items from last to first, for `reverse` and `last`.
pub(super) fn last<'a>(data: &Data<'a>, budget: &Budget) -> Outcome<Option<Data<'a>>> {
    match data {
        Data::JsonList(_) | Data::List(_) | Data::Tuple(_) | Data::Text(_) => {
            sequences::at(data, &Data::Int(-1), budget)
        }
        other => Ok(sequences::reversed(other, budget)?.into_iter().next()),
    }
}
