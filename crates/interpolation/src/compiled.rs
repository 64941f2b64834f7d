//! Compiled templates, with a fast path for plain lookups such as `{{ config.key }}`.

use super::Variables;
use super::builtins::DICT_METHODS;
use super::syntax::{Constant, Expr, Node, SyntaxError, parse, undeclared};
use crate::value::Value;

/// A template ready for evaluation.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) nodes: Vec<Node>,
    /// Names that must be among the variables, or be functions.
    pub(super) undeclared: Vec<String>,
    path: Option<Path>,
}

/// One variable and the keys below it: `{{ response['next'].cursor }}`.
#[derive(Debug)]
struct Path {
    variable: String,
    keys: Vec<Key>,
}

#[derive(Debug)]
enum Key {
    /// A key of a mapping.
    Name(String),
    /// A position in a list, from its end where negative.
    Position(i64),
}

/// What a path leads to.
pub(super) enum Reached<'a> {
    Value(&'a Value),
    /// The last key is not there.
    Undefined,
    /// The path is not a plain lookup here: evaluate the template.
    Unclear,
}

impl Compiled {
    pub(super) fn new(template: &str) -> Result<Self, SyntaxError> {
        let nodes = parse(template)?;
        let undeclared = undeclared(&nodes);
        let path = match nodes.as_slice() {
            [Node::Output(expr)] => Path::of(expr),
            _ => None,
        };
        Ok(Compiled { nodes, undeclared, path })
    }

    /// Follows the template's path, where it is nothing but one.
    pub(super) fn reach<'a>(&self, variables: &Variables<'a>) -> Reached<'a> {
        match &self.path {
            Some(path) => path.follow(variables),
            None => Reached::Unclear,
        }
    }
}

impl Path {
    fn of(expr: &Expr) -> Option<Path> {
        let mut keys = Vec::new();
        let mut current = expr;
        loop {
            current = match current {
                Expr::Name(variable) => {
                    keys.reverse();
                    return Some(Path { variable: variable.clone(), keys });
                }
                // What Python knows as a method or protects is not a plain key.
                Expr::Attribute(inner, name) if !DICT_METHODS.contains(&name.as_str()) && !name.starts_with("__") => {
                    keys.push(Key::Name(name.clone()));
                    inner
                }
                Expr::Item(inner, index) => {
                    keys.push(match &**index {
                        Expr::Constant(Constant::Text(name)) => Key::Name(name.clone()),
                        Expr::Constant(Constant::Int(position)) => Key::Position(i64::try_from(*position).ok()?),
                        Expr::Negative(positive) => match &**positive {
                            Expr::Constant(Constant::Int(position)) => {
                                Key::Position(i64::try_from(*position).ok()?.checked_neg()?)
                            }
                            _ => return None,
                        },
                        _ => return None,
                    });
                    inner
                }
                _ => return None,
            }
        }
    }

    fn follow<'a>(&self, variables: &Variables<'a>) -> Reached<'a> {
        let Some(mut value) = variables.get(&self.variable) else {
            return Reached::Unclear;
        };
        for (position, key) in self.keys.iter().enumerate() {
            if let (0, Key::Name(name)) = (position, key)
                && variables.attribute(&self.variable, name).is_some()
            {
                return Reached::Unclear;
            }
            let found = match (value, key) {
                (Value::Object(entries), Key::Name(name)) => match entries.get(name) {
                    None if DICT_METHODS.contains(&name.as_str()) || name.starts_with("__") => return Reached::Unclear,
                    found => found,
                },
                (Value::Array(items), Key::Position(at)) => {
                    let at = if *at < 0 {
                        i64::try_from(items.len()).ok().and_then(|length| length.checked_add(*at))
                    } else {
                        Some(*at)
                    };
                    at.and_then(|at| usize::try_from(at).ok()).and_then(|at| items.get(at))
                }
                _ => return Reached::Unclear,
            };
            value = match found {
                Some(value) => value,
                None if position + 1 == self.keys.len() => return Reached::Undefined,
                None => return Reached::Unclear,
            };
        }
        Reached::Value(value)
    }
}
