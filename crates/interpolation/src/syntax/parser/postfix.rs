//! Parses what follows an operand: attributes, items, calls, filters and tests.

use super::{Parsed, Parser};
use crate::syntax::lexer::Token;
use crate::syntax::{Arguments, Constant, Expr};

impl Parser {
    pub(super) fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            if self.skip_symbol(".") {
                self.deeper()?;
                if let Some(Token::Int(index)) = self.peek() {
                    let index = Expr::Constant(Constant::Int(*index));
                    self.position += 1;
                    expr = Expr::Item(Box::new(expr), Box::new(index));
                } else {
                    expr = Expr::Attribute(Box::new(expr), self.name()?);
                }
            } else if self.skip_symbol("[") {
                self.deeper()?;
                let mut indices = Vec::new();
                while !self.skip_symbol("]") {
                    if !indices.is_empty() {
                        self.expect_symbol(",")?;
                    }
                    indices.push(self.subscript()?);
                }
                let index = match indices.pop() {
                    Some(index) if indices.is_empty() => index,
                    last => {
                        indices.extend(last);
                        Expr::Tuple(indices)
                    }
                };
                expr = Expr::Item(Box::new(expr), Box::new(index));
            } else if self.is_symbol("(") {
                self.deeper()?;
                expr = Expr::Call(Box::new(expr), self.arguments()?);
            } else {
                return Ok(expr);
            }
        }
    }

    pub(super) fn subscript(&mut self) -> Parsed<Expr> {
        let start = if self.is_symbol(":") { None } else { Some(self.expression()?) };
        if !self.skip_symbol(":") {
            return match start {
                Some(index) => Ok(index),
                None => self.unexpected("an index"),
            };
        }
        let bound = |parser: &mut Self| -> Parsed<Option<Expr>> {
            let empty = parser.is_symbol(":") || parser.is_symbol("]") || parser.is_symbol(",");
            if empty { Ok(None) } else { parser.expression().map(Some) }
        };
        let stop = bound(self)?;
        let step = if self.skip_symbol(":") { bound(self)? } else { None };
        Ok(Expr::Slice(Box::new([start, stop, step])))
    }

    pub(super) fn filters(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            if self.skip_symbol("|") {
                self.deeper()?;
                expr = self.filter_link(Some(Box::new(expr)))?;
            } else if self.is_name("is") {
                self.deeper()?;
                expr = self.test(expr)?;
            } else if self.is_symbol("(") {
                self.deeper()?;
                expr = Expr::Call(Box::new(expr), self.arguments()?);
            } else {
                return Ok(expr);
            }
        }
    }

    pub(super) fn filter_link(&mut self, input: Option<Box<Expr>>) -> Parsed<Expr> {
        let name = self.name()?;
        if !crate::builtins::is_filter(&name) {
            self.position = self.position.saturating_sub(1);
            return self.error(format!("unknown filter '{name}'"));
        }
        let arguments = if self.is_symbol("(") { self.arguments()? } else { Arguments::default() };
        Ok(Expr::Filter(input, name, arguments))
    }

    pub(super) fn test(&mut self, expr: Expr) -> Parsed<Expr> {
        self.position += 1;
        let negated = self.skip_name("not");
        let name = self.name()?;
        if !crate::builtins::is_test(&name) {
            self.position = self.position.saturating_sub(1);
            return self.error(format!("unknown test '{name}'"));
        }
        let mut arguments = Arguments::default();
        let ends = ["else", "or", "and"].iter().any(|word| self.is_name(word));
        if self.is_symbol("(") {
            arguments = self.arguments()?;
        } else if self.is_name("is") {
            return self.error("tests cannot be chained with 'is'");
        } else if !ends
            && matches!(
                self.peek(),
                Some(
                    Token::Name(_)
                        | Token::Text(_)
                        | Token::Int(_)
                        | Token::Float(_)
                        | Token::Symbol("[")
                        | Token::Symbol("{")
                )
            )
        {
            let argument = self.primary()?;
            arguments.positional.push(self.postfix(argument)?);
        }
        let test = Expr::Test(Box::new(expr), name, arguments);
        Ok(if negated { Expr::Not(Box::new(test)) } else { test })
    }

    pub(super) fn arguments(&mut self) -> Parsed<Arguments> {
        self.expect_symbol("(")?;
        let mut arguments = Arguments::default();
        let mut first = true;
        while !self.skip_symbol(")") {
            if !first {
                self.expect_symbol(",")?;
                if self.skip_symbol(")") {
                    break;
                }
            }
            first = false;
            if self.skip_symbol("*") {
                arguments.rest = Some(Box::new(self.expression()?));
            } else if self.skip_symbol("**") {
                arguments.named_rest = Some(Box::new(self.expression()?));
            } else if let (Some(Token::Name(name)), Some((Token::Symbol("="), _))) =
                (self.peek().cloned(), self.tokens.get(self.position + 1))
            {
                self.position += 2;
                arguments.named.push((name, self.expression()?));
            } else if arguments.named.is_empty() && arguments.rest.is_none() && arguments.named_rest.is_none() {
                arguments.positional.push(self.expression()?);
            } else {
                return self.error("a positional argument follows a named one");
            }
        }
        Ok(arguments)
    }
}
