//! Finds the variables that a template reads.

use std::collections::BTreeSet;

use super::{Expr, Node, Target};

/// Names that `nodes` read and do not set themselves, in a stable order.
pub(crate) fn undeclared(nodes: &[Node]) -> Vec<String> {
    let mut search = Search { declared: Vec::new(), found: BTreeSet::new() };
    search.body(nodes);
    search.found.into_iter().collect()
}

struct Search {
    declared: Vec<String>,
    found: BTreeSet<String>,
}

impl Search {
    fn scoped(&mut self, visit: impl FnOnce(&mut Self)) {
        let outer = self.declared.len();
        visit(self);
        self.declared.truncate(outer);
    }

    fn body(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.node(node);
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Text(_) => {}
            Node::Output(expr) => self.expr(expr),
            Node::If { branches, otherwise } => {
                for (condition, body) in branches {
                    self.expr(condition);
                    self.body(body);
                }
                self.body(otherwise);
            }
            Node::For { target, items, condition, body, otherwise } => {
                self.expr(items);
                self.scoped(|search| {
                    search.declared.push("loop".to_owned());
                    search.declare(target);
                    search.exprs(condition);
                    search.body(body);
                });
                self.scoped(|search| search.body(otherwise));
            }
            Node::Set { target, value } => {
                self.expr(value);
                self.declare(target);
            }
            Node::SetBlock { name, filter, body } => {
                self.scoped(|search| search.body(body));
                self.exprs(filter);
                self.declared.push(name.clone());
            }
            Node::With { values, body } => {
                for (_, value) in values {
                    self.expr(value);
                }
                self.scoped(|search| {
                    for (target, _) in values {
                        search.declare(target);
                    }
                    search.body(body);
                });
            }
            Node::FilterBlock { filter, body } => {
                self.expr(filter);
                self.scoped(|search| search.body(body));
            }
        }
    }

    fn declare(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.declared.push(name.clone()),
            Target::Attribute(name, _) => self.name(name),
            Target::Tuple(targets) => targets.iter().for_each(|target| self.declare(target)),
        }
    }

    fn name(&mut self, name: &str) {
        if !self.declared.iter().any(|declared| declared == name) {
            self.found.insert(name.to_owned());
        }
    }

    fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Constant(_) => {}
            Expr::Name(name) => self.name(name),
            Expr::Attribute(inner, _) | Expr::Not(inner) | Expr::Negative(inner) | Expr::Positive(inner) => {
                self.expr(inner);
            }
            Expr::Item(left, right)
            | Expr::Arithmetic(_, left, right)
            | Expr::And(left, right)
            | Expr::Or(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            Expr::Slice(bounds) => self.exprs(bounds.iter().flatten()),
            Expr::Call(inner, arguments) | Expr::Test(inner, _, arguments) => {
                self.expr(inner);
                self.exprs(arguments.expressions());
            }
            Expr::Filter(inner, _, arguments) => {
                self.exprs(inner.as_deref());
                self.exprs(arguments.expressions());
            }
            Expr::Compare(first, rest) => {
                self.expr(first);
                self.exprs(rest.iter().map(|(_, operand)| operand));
            }
            Expr::Conditional { condition, then, otherwise } => {
                self.expr(condition);
                self.expr(then);
                self.exprs(otherwise.as_deref());
            }
            Expr::Concat(items) | Expr::List(items) | Expr::Tuple(items) => self.exprs(items),
            Expr::Dict(entries) => {
                for (key, value) in entries {
                    self.expr(key);
                    self.expr(value);
                }
            }
        }
    }
}
