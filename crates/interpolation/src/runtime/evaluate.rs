//! Walks the syntax tree.

mod access;

use std::cell::RefCell;
use std::rc::Rc;

use highwater_core::Environment;

use super::super::Variables;
use super::super::builtins::is_function;
use super::super::limits;
use super::super::syntax::{Arguments, Constant, Expr, Node, Target};
use super::arguments::Given;
use super::data::{Budget, Data, Text};
use super::{Fault, Outcome, filters, methods, operators, tests};

pub(super) struct Evaluator<'a> {
    variables: &'a Variables<'a>,
    pub(super) environment: &'a dyn Environment,
    pub(super) budget: Budget,
    /// What the template set, inner scopes last.
    scopes: Vec<Vec<(&'a str, Data<'a>)>>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(variables: &'a Variables<'a>, environment: &'a dyn Environment) -> Self {
        Evaluator { variables, environment, budget: Budget::new(), scopes: vec![Vec::new()] }
    }

    pub(super) fn render(mut self, nodes: &'a [Node]) -> Outcome<String> {
        let mut output = String::new();
        self.body(nodes, &mut output)?;
        Ok(output)
    }

    fn body(&mut self, nodes: &'a [Node], output: &mut String) -> Outcome<()> {
        for node in nodes {
            self.node(node, output)?;
            if output.len() > limits::OUTPUT_BYTES {
                return Err(Fault::Other("the text of the template is larger than 1 MiB".to_owned()));
            }
        }
        Ok(())
    }

    fn scoped(&mut self, nodes: &'a [Node], output: &mut String, values: Vec<(&'a str, Data<'a>)>) -> Outcome<()> {
        self.scopes.push(values);
        let result = self.body(nodes, output);
        self.scopes.pop();
        result
    }

    /// The text of a body of its own.
    fn captured(&mut self, body: &'a [Node]) -> Outcome<Data<'a>> {
        let mut text = String::new();
        self.scoped(body, &mut text, Vec::new())?;
        Ok(Data::text(text))
    }

    fn node(&mut self, node: &'a Node, output: &mut String) -> Outcome<()> {
        self.budget.spend(1)?;
        match node {
            Node::Text(text) => {
                self.budget.spend_bytes(text.len())?;
                output.push_str(text);
                Ok(())
            }
            Node::Output(expr) => {
                let value = self.expr(expr)?;
                value.write(output, &self.budget)
            }
            Node::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.expr(condition)?.is_true() {
                        return self.body(body, output);
                    }
                }
                self.body(otherwise, output)
            }
            Node::For { target, items, condition, body, otherwise } => {
                let items = self.expr(items)?.items(&self.budget)?;
                let kept = self.kept(target, items, condition.as_ref())?;
                if kept.is_empty() {
                    return self.scoped(otherwise, output, Vec::new());
                }
                self.repeat(target, kept, body, output)
            }
            Node::Set { target, value } => {
                let value = self.expr(value)?;
                self.assign(target, value)
            }
            Node::SetBlock { name, filter, body } => {
                let mut value = self.captured(body)?;
                if let Some(filter) = filter {
                    value = self.filtered(filter, value)?;
                }
                self.set(name, value);
                Ok(())
            }
            Node::With { values, body } => {
                let mut evaluated = Vec::new();
                for (target, value) in values {
                    if let Target::Name(name) = target {
                        evaluated.push((name.as_str(), self.expr(value)?));
                    }
                }
                self.scoped(body, output, evaluated)
            }
            Node::FilterBlock { filter, body } => {
                let text = self.captured(body)?;
                self.filtered(filter, text)?.write(output, &self.budget)
            }
        }
    }

    /// The items a loop's condition keeps.
    fn kept(
        &mut self,
        target: &'a Target,
        items: Vec<Data<'a>>,
        condition: Option<&'a Expr>,
    ) -> Outcome<Vec<Data<'a>>> {
        let Some(condition) = condition else {
            return Ok(items);
        };
        let mut kept = Vec::new();
        for item in items {
            self.scopes.push(Vec::new());
            let holds = self.assign(target, item.clone()).and_then(|()| self.expr(condition));
            self.scopes.pop();
            if holds?.is_true() {
                kept.push(item);
            }
        }
        Ok(kept)
    }

    fn repeat(
        &mut self,
        target: &'a Target,
        items: Vec<Data<'a>>,
        body: &'a [Node],
        output: &mut String,
    ) -> Outcome<()> {
        for (index, item) in items.iter().enumerate() {
            self.budget.spend(1)?;
            self.scopes.push(vec![("loop", loop_state(index, &items))]);
            let result = self.assign(target, item.clone()).and_then(|()| self.body(body, output));
            self.scopes.pop();
            result?;
        }
        Ok(())
    }

    fn set(&mut self, name: &'a str, value: Data<'a>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.retain(|(existing, _)| *existing != name);
            scope.push((name, value));
        }
    }

    fn assign(&mut self, target: &'a Target, value: Data<'a>) -> Outcome<()> {
        match target {
            Target::Name(name) => self.set(name, value),
            Target::Attribute(name, attribute) => match self.name(name)? {
                Data::Namespace(entries) => {
                    let value = value.detached(&self.budget)?;
                    let mut entries = entries.borrow_mut();
                    entries.retain(|(existing, _)| existing != attribute);
                    entries.push((attribute.clone(), value));
                }
                _ => return Err(Fault::Other("cannot assign attribute on non-namespace object".to_owned())),
            },
            Target::Tuple(targets) => {
                let items = value.items(&self.budget)?;
                if items.len() != targets.len() {
                    let (found, wanted) = (items.len(), targets.len());
                    return Err(Fault::Other(format!("cannot unpack {found} values into {wanted} names")));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item)?;
                }
            }
        }
        Ok(())
    }

    fn name(&self, name: &'a str) -> Outcome<Data<'a>> {
        for scope in self.scopes.iter().rev() {
            if let Some((_, value)) = scope.iter().find(|(existing, _)| *existing == name) {
                return Ok(value.clone());
            }
        }
        Ok(match self.variables.get(name) {
            Some(value) => Data::from_json(value),
            None if is_function(name) => Data::Function(name),
            None => Data::undefined(name),
        })
    }

    fn exprs(&mut self, exprs: &'a [Expr]) -> Outcome<Vec<Data<'a>>> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    pub(super) fn expr(&mut self, expr: &'a Expr) -> Outcome<Data<'a>> {
        self.budget.spend(1)?;
        match expr {
            Expr::Constant(constant) => Ok(match constant {
                Constant::None => Data::None,
                Constant::Bool(value) => Data::Bool(*value),
                Constant::Int(value) => Data::Int(*value),
                Constant::Float(value) => Data::Float(*value),
                Constant::Text(text) => Data::Text(Text::Borrowed(text)),
            }),
            Expr::Name(name) => self.name(name),
            Expr::Attribute(inner, name) => {
                if let Some(part) = self.own_attribute(inner, name) {
                    return Ok(part);
                }
                let inner = self.expr(inner)?;
                self.attribute(&inner, name)
            }
            Expr::Item(inner, index) => self.subscript(inner, index),
            Expr::Slice(_) => Err(Fault::Type("a slice outside of brackets".to_owned())),
            Expr::Call(callee, arguments) => {
                let callee = self.expr(callee)?;
                let given = self.given(arguments)?;
                self.call(&callee, given)
            }
            Expr::Filter(..) => self.filter(expr, None),
            Expr::Test(inner, name, arguments) => {
                let value = self.expr(inner)?;
                let given = self.given(arguments)?;
                tests::test(self, name, value, given).map(Data::Bool)
            }
            Expr::Not(inner) => Ok(Data::Bool(!self.expr(inner)?.is_true())),
            Expr::Negative(inner) => operators::negative(&self.expr(inner)?, false),
            Expr::Positive(inner) => operators::negative(&self.expr(inner)?, true),
            Expr::Arithmetic(operator, left, right) => {
                let left = self.expr(left)?;
                let right = self.expr(right)?;
                operators::arithmetic(*operator, &left, &right, &self.budget)
            }
            Expr::And(left, right) => {
                let left = self.expr(left)?;
                if left.is_true() { self.expr(right) } else { Ok(left) }
            }
            Expr::Or(left, right) => {
                let left = self.expr(left)?;
                if left.is_true() { Ok(left) } else { self.expr(right) }
            }
            Expr::Conditional { condition, then, otherwise } => match (self.expr(condition)?.is_true(), otherwise) {
                (true, _) => self.expr(then),
                (false, Some(otherwise)) => self.expr(otherwise),
                (false, None) => Ok(Data::undefined("the missing else of an inline if")),
            },
            _ => self.composite(expr),
        }
    }

    fn composite(&mut self, expr: &'a Expr) -> Outcome<Data<'a>> {
        let made = match expr {
            Expr::Compare(first, rest) => {
                let mut left = self.expr(first)?;
                for (comparison, operand) in rest {
                    let right = self.expr(operand)?;
                    if !operators::compare(*comparison, &left, &right, &self.budget)? {
                        return Ok(Data::Bool(false));
                    }
                    left = right;
                }
                return Ok(Data::Bool(true));
            }
            Expr::Concat(items) => {
                let mut text = String::new();
                for item in items {
                    self.expr(item)?.write(&mut text, &self.budget)?;
                }
                return Ok(Data::text(text));
            }
            Expr::List(items) => Data::list(self.exprs(items)?),
            Expr::Tuple(items) => Data::tuple(self.exprs(items)?),
            Expr::Dict(entries) => {
                let mut made = Vec::new();
                for (key, value) in entries {
                    let key = self.expr(key)?;
                    operators::require_hashable(&key)?;
                    let value = self.expr(value)?;
                    methods::put(&mut made, key, value, &self.budget)?;
                }
                Data::dict(made)
            }
            _ => return Err(Fault::Other("an expression of an unknown kind".to_owned())),
        };
        made.check_nesting(&self.budget)?;
        Ok(made)
    }

    fn given(&mut self, arguments: &'a Arguments) -> Outcome<Given<'a>> {
        let mut given = Given { positional: self.exprs(&arguments.positional)?, named: Vec::new() };
        for (name, value) in &arguments.named {
            given.named.push((name.clone(), self.expr(value)?));
        }
        if let Some(rest) = &arguments.rest {
            given.positional.extend(self.expr(rest)?.items(&self.budget)?);
        }
        if let Some(rest) = &arguments.named_rest {
            let rest = self.expr(rest)?;
            let Some(entries) = rest.entries(&self.budget)? else {
                return Err(Fault::Type("argument after ** must be a mapping".to_owned()));
            };
            for (name, value) in entries {
                given.named.push((name.to_text(&self.budget)?, value));
            }
        }
        Ok(given)
    }

    /// Through the filters of a block, whose innermost input is `text`.
    fn filtered(&mut self, filter: &'a Expr, text: Data<'a>) -> Outcome<Data<'a>> {
        self.filter(filter, Some(text))
    }

    fn filter(&mut self, expr: &'a Expr, block: Option<Data<'a>>) -> Outcome<Data<'a>> {
        let Expr::Filter(input, name, arguments) = expr else {
            return self.expr(expr);
        };
        let input = match (input, block) {
            (Some(inner), block @ Some(_)) => self.filter(inner, block)?,
            (Some(inner), None) => self.expr(inner)?,
            (None, block) => block.unwrap_or(Data::None),
        };
        let given = self.given(arguments)?;
        filters::filter(self, name, input, given)
    }
}

fn loop_state<'a>(index: usize, items: &[Data<'a>]) -> Data<'a> {
    let count = |value: usize| Data::Int(i128::try_from(value).unwrap_or(i128::MAX));
    let neighbour = |at: Option<usize>, name: &str| {
        at.and_then(|at| items.get(at)).cloned().unwrap_or_else(|| Data::undefined(name))
    };
    let last = items.len().saturating_sub(1);
    let fields = vec![
        ("index".to_owned(), count(index + 1)),
        ("index0".to_owned(), count(index)),
        ("revindex".to_owned(), count(items.len() - index)),
        ("revindex0".to_owned(), count(last - index)),
        ("first".to_owned(), Data::Bool(index == 0)),
        ("last".to_owned(), Data::Bool(index == last)),
        ("length".to_owned(), count(items.len())),
        ("depth".to_owned(), Data::Int(1)),
        ("depth0".to_owned(), Data::Int(0)),
        ("previtem".to_owned(), neighbour(index.checked_sub(1), "the previous item")),
        ("nextitem".to_owned(), neighbour(Some(index + 1), "the next item")),
    ];
    Data::Namespace(Rc::new(RefCell::new(fields)))
}
