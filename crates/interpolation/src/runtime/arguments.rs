//! The arguments of a call, and their binding to parameters.

use std::rc::Rc;

use super::data::{Budget, Data};
use super::{Fault, Outcome};

#[derive(Default)]
pub(super) struct Given<'a> {
    pub(super) positional: Vec<Data<'a>>,
    pub(super) named: Vec<(String, Data<'a>)>,
}

impl<'a> Given<'a> {
    /// The values of `names` in order; the first `required` must be there.
    pub(super) fn bind<const N: usize>(self, names: [&str; N], required: usize) -> Outcome<[Option<Data<'a>>; N]> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            let count = self.positional.len();
            return Err(Fault::Type(format!("takes {N} arguments but {count} were given")));
        }
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            let slot = names.iter().position(|known| *known == name).and_then(|position| bound.get_mut(position));
            match slot {
                Some(slot @ None) => *slot = Some(value),
                Some(_) => return Err(Fault::Type(format!("got two values for the argument '{name}'"))),
                None => return Err(Fault::Type(format!("got an unexpected argument '{name}'"))),
            }
        }
        match bound.iter().zip(names).take(required).find(|(slot, _)| slot.is_none()) {
            Some((_, name)) => Err(Fault::Type(format!("misses the argument '{name}'"))),
            None => Ok(bound),
        }
    }

    /// No arguments at all.
    pub(super) fn none(self) -> Outcome<()> {
        self.bind([], 0).map(|[]| ())
    }

    /// One argument that must be there.
    pub(super) fn one(self, name: &str) -> Outcome<Data<'a>> {
        let [value] = self.bind([name], 1)?;
        Ok(value.unwrap_or(Data::None))
    }
}

/// Conversions that fail as Python does.
pub(super) trait Bound<'a> {
    /// Text, or a type error.
    fn expect_text(&self) -> Outcome<Rc<str>>;
    /// A whole number (booleans are), or a type error.
    fn expect_int(&self) -> Outcome<i128>;
}

impl Bound<'_> for Data<'_> {
    fn expect_text(&self) -> Outcome<Rc<str>> {
        match self {
            Data::Text(text) => Ok(text.as_str().into()),
            other => Err(Fault::Type(format!("expected str, not {}", other.type_name()))),
        }
    }

    fn expect_int(&self) -> Outcome<i128> {
        match self {
            Data::Int(value) => Ok(*value),
            Data::Bool(value) => Ok(i128::from(*value)),
            other => Err(Fault::Type(format!("expected int, not {}", other.type_name()))),
        }
    }
}

/// The text of an optional argument.
pub(super) fn text_or(value: Option<Data<'_>>, default: &str) -> Outcome<Rc<str>> {
    value.map_or_else(|| Ok(default.into()), |value| value.expect_text())
}

/// The whole number of an optional argument.
pub(super) fn int_or(value: Option<Data<'_>>, default: i128) -> Outcome<i128> {
    value.map_or(Ok(default), |value| value.expect_int())
}

/// A new text, paid for.
pub(super) fn made<'a>(text: String, budget: &Budget) -> Outcome<Data<'a>> {
    budget.spend_bytes(text.len())?;
    Ok(Data::text(text))
}
