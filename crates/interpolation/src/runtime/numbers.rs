//! Values as numbers.

use super::data::Data;
use super::{Fault, Outcome};

/// A number of Python: booleans are whole numbers.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub(super) fn float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

pub(super) fn number(data: &Data<'_>) -> Option<Number> {
    match data {
        Data::Bool(value) => Some(Number::Int(i128::from(*value))),
        Data::Int(value) => Some(Number::Int(*value)),
        Data::Float(value) => Some(Number::Float(*value)),
        _ => None,
    }
}

pub(super) fn whole(value: f64) -> Outcome<i128> {
    if value.is_finite() && value.abs() < 1e38 {
        Ok(value as i128)
    } else {
        Err(Fault::Other("cannot convert the float to a whole number".to_owned()))
    }
}
