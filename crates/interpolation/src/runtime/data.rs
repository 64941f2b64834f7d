//! The values of an evaluation. Variables are borrowed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use chrono::{DateTime, FixedOffset, NaiveDate};

use super::super::datetime;
use super::super::duration::Duration;
use super::super::number::float_text;
use super::super::text::{write_json, write_quoted};
use super::{Fault, Outcome};
use crate::limits;
use crate::value::{Map, Value};

#[derive(Clone, Debug)]
pub(super) enum Data<'a> {
    /// What is missing, by name.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Text<'a>),
    /// A list or mapping that came from outside.
    JsonList(&'a [Value]),
    JsonDict(&'a Map),
    List(Rc<RefCell<Vec<Data<'a>>>>),
    Tuple(Rc<Vec<Data<'a>>>),
    Dict(Rc<RefCell<Entries<'a>>>),
    /// A generator or a view of a mapping.
    Sequence(Rc<Vec<Data<'a>>>, SequenceKind),
    /// Attributes by name: `namespace()` and `loop`.
    Namespace(Rc<RefCell<Vec<(String, Data<'a>)>>>),
    DateTime(DateTime<FixedOffset>),
    Date(NaiveDate),
    Duration(Duration),
    Function(&'a str),
    Method(Rc<(Data<'a>, String)>),
}

pub(super) type Entries<'a> = Vec<(Data<'a>, Data<'a>)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceKind {
    Generator,
    Keys,
    Values,
    Items,
}

/// Text, borrowed or shared.
#[derive(Clone, Debug)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Rc<str>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

/// What an evaluation may still spend: a step each, and one for each eight bytes it creates.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { left: Cell::new(limits::STEPS) }
    }

    pub(super) fn spend(&self, steps: usize) -> Outcome<()> {
        match self.left.get().checked_sub(u64::try_from(steps).unwrap_or(u64::MAX)) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(Fault::Other("the template does too much: it was stopped".to_owned())),
        }
    }

    /// Pays for text before it is made.
    pub(super) fn spend_bytes(&self, bytes: usize) -> Outcome<()> {
        self.spend(bytes / 8 + 1)
    }
}

impl<'a> Data<'a> {
    pub(super) fn from_json(value: &'a Value) -> Self {
        match value {
            Value::Null => Data::None,
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), _, _) => Data::Int(value.into()),
                (_, Some(value), _) => Data::Int(value.into()),
                (_, _, Some(value)) => Data::Float(value),
                _ => Data::None,
            },
            Value::String(text) => Data::Text(Text::Borrowed(text)),
            Value::Array(items) => Data::JsonList(items),
            Value::Object(entries) => Data::JsonDict(entries),
        }
    }

    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Data::Text(Text::Shared(text.into()))
    }

    pub(super) fn list(items: Vec<Data<'a>>) -> Self {
        Data::List(Rc::new(RefCell::new(items)))
    }

    pub(super) fn tuple(items: Vec<Data<'a>>) -> Self {
        Data::Tuple(Rc::new(items))
    }

    pub(super) fn dict(entries: Entries<'a>) -> Self {
        Data::Dict(Rc::new(RefCell::new(entries)))
    }

    pub(super) fn generator(items: Vec<Data<'a>>) -> Self {
        Data::Sequence(Rc::new(items), SequenceKind::Generator)
    }

    pub(super) fn undefined(what: impl Into<Rc<str>>) -> Self {
        Data::Undefined(what.into())
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Data::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Data::Undefined(_))
    }

    /// Python's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Data::Undefined(_) => "Undefined",
            Data::None => "NoneType",
            Data::Bool(_) => "bool",
            Data::Int(_) => "int",
            Data::Float(_) => "float",
            Data::Text(_) => "str",
            Data::JsonList(_) | Data::List(_) => "list",
            Data::JsonDict(_) | Data::Dict(_) => "dict",
            Data::Tuple(_) => "tuple",
            Data::Sequence(_, SequenceKind::Generator) => "generator",
            Data::Sequence(_, SequenceKind::Keys) => "dict_keys",
            Data::Sequence(_, SequenceKind::Values) => "dict_values",
            Data::Sequence(_, SequenceKind::Items) => "dict_items",
            Data::Namespace(_) => "Namespace",
            Data::DateTime(_) => "datetime",
            Data::Date(_) => "date",
            Data::Duration(_) => "timedelta",
            Data::Function(_) => "function",
            Data::Method(_) => "builtin_function_or_method",
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Data::Undefined(_) | Data::None => false,
            Data::Bool(value) => *value,
            Data::Int(value) => *value != 0,
            Data::Float(value) => *value != 0.0,
            Data::Text(text) => !text.as_str().is_empty(),
            Data::JsonList(items) => !items.is_empty(),
            Data::JsonDict(entries) => !entries.is_empty(),
            Data::List(items) => !items.borrow().is_empty(),
            Data::Dict(entries) => !entries.borrow().is_empty(),
            Data::Tuple(items) => !items.is_empty(),
            Data::Sequence(items, kind) => *kind == SequenceKind::Generator || !items.is_empty(),
            Data::Duration(duration) => *duration != Duration::default(),
            Data::Namespace(_) | Data::DateTime(_) | Data::Date(_) | Data::Function(_) | Data::Method(_) => true,
        }
    }

    /// The length, where there is one.
    pub(super) fn length(&self) -> Option<usize> {
        Some(match self {
            Data::Undefined(_) => 0,
            Data::Text(text) => text.as_str().chars().count(),
            Data::JsonList(items) => items.len(),
            Data::JsonDict(entries) => entries.len(),
            Data::List(items) => items.borrow().len(),
            Data::Dict(entries) => entries.borrow().len(),
            Data::Tuple(items) => items.len(),
            Data::Sequence(items, kind) if *kind != SequenceKind::Generator => items.len(),
            _ => return None,
        })
    }

    /// The items that iteration gives: of a mapping its keys, of a text its characters.
    pub(super) fn items(&self, budget: &Budget) -> Outcome<Vec<Data<'a>>> {
        let items: Vec<Data<'a>> = match self {
            Data::Undefined(_) => Vec::new(),
            Data::Text(text) => {
                budget.spend(text.as_str().len())?;
                text.as_str().chars().map(|c| Data::text(c.to_string())).collect()
            }
            Data::JsonList(items) => {
                budget.spend(items.len())?;
                items.iter().map(Data::from_json).collect()
            }
            Data::JsonDict(entries) => {
                budget.spend(entries.len())?;
                entries.keys().map(|key| Data::Text(Text::Borrowed(key))).collect()
            }
            Data::List(items) => items.borrow().clone(),
            Data::Dict(entries) => entries.borrow().iter().map(|(key, _)| key.clone()).collect(),
            Data::Tuple(items) | Data::Sequence(items, _) => items.to_vec(),
            other => return Err(Fault::Type(format!("'{}' object is not iterable", other.type_name()))),
        };
        budget.spend(items.len())?;
        Ok(items)
    }

    /// The entries of a mapping.
    pub(super) fn entries(&self, budget: &Budget) -> Outcome<Option<Entries<'a>>> {
        let entries: Entries<'a> = match self {
            Data::JsonDict(entries) => {
                budget.spend(entries.len())?;
                entries.iter().map(|(key, value)| (Data::Text(Text::Borrowed(key)), Data::from_json(value))).collect()
            }
            Data::Dict(entries) => entries.borrow().clone(),
            _ => return Ok(None),
        };
        budget.spend(entries.len())?;
        Ok(Some(entries))
    }

    /// Fails where a container nests too deeply to be printed or dropped safely.
    pub(super) fn check_nesting(&self, budget: &Budget) -> Outcome<()> {
        self.nesting(budget, 0)
    }

    fn nesting(&self, budget: &Budget, depth: usize) -> Outcome<()> {
        budget.spend(1)?;
        if depth > limits::NESTING {
            return Err(Fault::Other("lists and mappings nest too deeply".to_owned()));
        }
        match self {
            Data::List(items) => items.borrow().iter().try_for_each(|item| item.nesting(budget, depth + 1)),
            Data::Tuple(items) | Data::Sequence(items, _) => {
                items.iter().try_for_each(|item| item.nesting(budget, depth + 1))
            }
            Data::Dict(entries) => entries.borrow().iter().try_for_each(|(key, value)| {
                key.nesting(budget, depth + 1)?;
                value.nesting(budget, depth + 1)
            }),
            Data::Namespace(entries) => {
                entries.borrow().iter().try_for_each(|(_, value)| value.nesting(budget, depth + 1))
            }
            Data::Method(method) => method.0.nesting(budget, depth + 1),
            _ => Ok(()),
        }
    }

    /// A copy that shares no list or mapping, for what is put into one: no container ever holds itself.
    pub(super) fn detached(&self, budget: &Budget) -> Outcome<Data<'a>> {
        self.check_nesting(budget)?;
        let copy = |items: &[Data<'a>]| items.iter().map(|item| item.detached(budget)).collect::<Outcome<Vec<_>>>();
        Ok(match self {
            Data::List(items) => Data::list(copy(&items.borrow())?),
            Data::Tuple(items) => Data::tuple(copy(items)?),
            Data::Sequence(items, kind) => Data::Sequence(Rc::new(copy(items)?), *kind),
            Data::Dict(entries) => {
                let mut copied = Vec::new();
                for (key, value) in entries.borrow().iter() {
                    copied.push((key.detached(budget)?, value.detached(budget)?));
                }
                Data::dict(copied)
            }
            Data::Namespace(_) | Data::Method(_) => {
                return Err(Fault::Other("a namespace or method cannot be kept in a value".to_owned()));
            }
            other => other.clone(),
        })
    }

    /// Appends `str(self)`.
    pub(super) fn write(&self, output: &mut String, budget: &Budget) -> Outcome<()> {
        match self {
            Data::Undefined(_) => Ok(()),
            Data::Text(text) => {
                budget.spend_bytes(text.as_str().len())?;
                output.push_str(text.as_str());
                Ok(())
            }
            other => other.write_repr(output, budget),
        }
    }

    /// `str(self)`.
    pub(super) fn to_text(&self, budget: &Budget) -> Outcome<String> {
        let mut text = String::new();
        self.write(&mut text, budget)?;
        Ok(text)
    }

    /// Appends `repr(self)`; what prints the same either way is printed as `str` does.
    pub(super) fn write_repr(&self, output: &mut String, budget: &Budget) -> Outcome<()> {
        let before = output.len();
        budget.spend(1)?;
        match self {
            Data::Undefined(_) => output.push_str("Undefined"),
            Data::None => output.push_str("None"),
            Data::Bool(value) => output.push_str(if *value { "True" } else { "False" }),
            Data::Int(value) => output.push_str(&value.to_string()),
            Data::Float(value) => output.push_str(&float_text(*value)),
            Data::Text(text) => write_quoted(text.as_str(), output),
            Data::JsonList(items) => {
                output.push('[');
                for (position, item) in items.iter().enumerate() {
                    output.push_str(if position > 0 { ", " } else { "" });
                    write_json(item, output);
                }
                output.push(']');
            }
            Data::JsonDict(entries) => {
                output.push('{');
                for (position, (key, item)) in entries.iter().enumerate() {
                    output.push_str(if position > 0 { ", " } else { "" });
                    write_quoted(key, output);
                    output.push_str(": ");
                    write_json(item, output);
                }
                output.push('}');
            }
            Data::List(items) => return write_items(&items.borrow(), "[", "]", output, budget),
            Data::Tuple(items) => {
                let end = if items.len() == 1 { ",)" } else { ")" };
                return write_items(items, "(", end, output, budget);
            }
            Data::Sequence(items, kind) => match kind {
                SequenceKind::Generator => output.push_str("<generator object>"),
                SequenceKind::Keys => return write_items(items, "dict_keys([", "])", output, budget),
                SequenceKind::Values => return write_items(items, "dict_values([", "])", output, budget),
                SequenceKind::Items => return write_items(items, "dict_items([", "])", output, budget),
            },
            Data::Dict(entries) => {
                output.push('{');
                for (position, (key, value)) in entries.borrow().iter().enumerate() {
                    output.push_str(if position > 0 { ", " } else { "" });
                    key.write_repr(output, budget)?;
                    output.push_str(": ");
                    value.write_repr(output, budget)?;
                }
                output.push('}');
            }
            Data::Namespace(_) => output.push_str("<Namespace>"),
            Data::DateTime(instant) => output.push_str(&datetime::iso_text(*instant, ' ', None)),
            Data::Date(date) => output.push_str(&date.format("%Y-%m-%d").to_string()),
            Data::Duration(duration) => output.push_str(&duration.to_string()),
            Data::Function(name) => output.push_str(&format!("<function {name}>")),
            Data::Method(method) => {
                output.push_str(&format!("<built-in method {} of {} object>", method.1, method.0.type_name()));
            }
        }
        budget.spend_bytes(output.len().saturating_sub(before))
    }
}

fn write_items(items: &[Data<'_>], start: &str, end: &str, output: &mut String, budget: &Budget) -> Outcome<()> {
    output.push_str(start);
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            output.push_str(", ");
        }
        item.write_repr(output, budget)?;
    }
    output.push_str(end);
    Ok(())
}
