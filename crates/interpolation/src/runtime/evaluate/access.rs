//! Calls, attributes, items and slices.

use std::rc::Rc;

use super::super::arguments::Given;
use super::super::data::Data;
use super::super::{Fault, Outcome, calendar, functions, methods, operators, sequences};
use super::Evaluator;
use crate::syntax::Expr;

impl<'a> Evaluator<'a> {
    pub(in super::super) fn call(&mut self, callee: &Data<'a>, given: Given<'a>) -> Outcome<Data<'a>> {
        let result = match callee {
            Data::Function(name) => functions::call(self, name, given)?,
            Data::Method(method) => methods::call(&method.0, &method.1, given, &self.budget)?,
            Data::Undefined(what) => return Err(Fault::undefined(what)),
            other => return Err(Fault::Type(format!("'{}' object is not callable", other.type_name()))),
        };
        result.check_nesting(&self.budget)?;
        Ok(result)
    }

    pub(in super::super) fn attribute(&self, data: &Data<'a>, name: &str) -> Outcome<Data<'a>> {
        if let Data::Undefined(what) = data {
            return Err(Fault::undefined(what));
        }
        // Python's internals are hidden from templates.
        if name.starts_with("__") && name.ends_with("__") {
            return Ok(Data::undefined(name));
        }
        if let Some(value) = calendar::attribute(data, name) {
            return Ok(value);
        }
        if methods::has(data, name) {
            return Ok(Data::Method(Rc::new((data.clone(), name.to_owned()))));
        }
        self.keyed(data, &Data::text(name))?.map_or_else(|| Ok(Data::undefined(name)), Ok)
    }

    /// The value of a mapping or namespace under `key`.
    fn keyed(&self, data: &Data<'a>, key: &Data<'a>) -> Outcome<Option<Data<'a>>> {
        Ok(match data {
            Data::JsonDict(entries) => key.as_text().and_then(|key| entries.get(key)).map(Data::from_json),
            Data::Dict(entries) => operators::find(&entries.borrow(), key, &self.budget)?.cloned(),
            Data::Namespace(entries) => {
                let entries = entries.borrow();
                let found = entries.iter().find(|(name, _)| key.as_text() == Some(name));
                found.map(|(_, value)| value.clone())
            }
            _ => None,
        })
    }

    /// What a variable has as an attribute only: it is not among the variable's members.
    pub(super) fn own_attribute(&self, variable: &Expr, name: &str) -> Option<Data<'a>> {
        let Expr::Name(variable) = variable else { return None };
        self.variables.attribute(variable, name).map(Data::from_json)
    }

    pub(super) fn subscript(&mut self, expr: &'a Expr, index: &'a Expr) -> Outcome<Data<'a>> {
        let inner = self.expr(expr)?;
        if let Data::Undefined(what) = &inner {
            return Err(Fault::undefined(what));
        }
        if let Expr::Slice(bounds) = index {
            let mut evaluated = [const { None }; 3];
            for (slot, bound) in evaluated.iter_mut().zip(bounds.iter()) {
                *slot = match bound {
                    Some(bound) => sequences::slice_bound(&self.expr(bound)?)?,
                    None => None,
                };
            }
            return sequences::slice(&inner, evaluated, &self.budget);
        }
        let index = self.expr(index)?;
        if self.keyed(&inner, &index)?.is_none()
            && let Some(part) = index.as_text().and_then(|name| self.own_attribute(expr, name))
        {
            return Ok(part);
        }
        self.item(&inner, &index)
    }

    pub(in super::super) fn item(&self, data: &Data<'a>, index: &Data<'a>) -> Outcome<Data<'a>> {
        if let Some(value) = self.keyed(data, index)? {
            return Ok(value);
        }
        if let Data::Int(_) | Data::Bool(_) = index {
            return Ok(match sequences::at(data, index, &self.budget)? {
                Some(value) => value,
                None => Data::undefined(format!("item {}", index.to_text(&self.budget)?)),
            });
        }
        match index.as_text() {
            Some(name) => {
                let name = name.to_owned();
                self.attribute(data, &name)
            }
            None => Ok(Data::undefined("an item")),
        }
    }
}
