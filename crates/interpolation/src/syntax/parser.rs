//! The parser: expressions in Jinja's order of precedence, and helpers for expressions and statements.

mod postfix;
mod statements;

use super::lexer::{Token, tokens};
use super::{Comparison, Constant, Expr, Node, Operator, SyntaxError};
use crate::limits;

/// The nodes of `source`.
pub(crate) fn parse(source: &str) -> Result<Vec<Node>, SyntaxError> {
    let tokens = tokens(source)?;
    let mut parser = Parser { tokens, position: 0, depth: 0 };
    parser.body(&[]).map(|(nodes, _)| nodes)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    position: usize,
    depth: usize,
}

type Parsed<T> = Result<T, SyntaxError>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position).map(|(token, _)| token)
    }

    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        let at = self.tokens.get(self.position).or(self.tokens.last());
        Err(SyntaxError { message: message.into(), line: at.map_or(1, |(_, line)| *line) })
    }

    fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        let found = match self.peek() {
            None => "the end of the template".to_owned(),
            Some(Token::Data(_)) => "text".to_owned(),
            Some(Token::OutputBegin) => "'{{'".to_owned(),
            Some(Token::OutputEnd) => "'}}'".to_owned(),
            Some(Token::BlockBegin) => "'{%'".to_owned(),
            Some(Token::BlockEnd) => "'%}'".to_owned(),
            Some(Token::Name(name)) => format!("'{name}'"),
            Some(Token::Text(_)) => "a string".to_owned(),
            Some(Token::Int(_) | Token::Float(_)) => "a number".to_owned(),
            Some(Token::Symbol(symbol)) => format!("'{symbol}'"),
        };
        self.error(format!("expected {wanted}, found {found}"))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if found == name)
    }

    fn skip_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.position += usize::from(found);
        found
    }

    fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.position += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Parsed<()> {
        if self.skip_symbol(symbol) { Ok(()) } else { self.unexpected(&format!("'{symbol}'")) }
    }

    fn expect_token(&mut self, token: &Token, wanted: &str) -> Parsed<()> {
        if self.peek() == Some(token) {
            self.position += 1;
            Ok(())
        } else {
            self.unexpected(wanted)
        }
    }

    fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.position += 1;
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    /// One more link of a chain, which makes the tree one deeper.
    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > limits::SYNTAX_DEPTH {
            self.error("nested too deeply: simplify the expression")
        } else {
            Ok(())
        }
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let outer = self.depth;
        self.deeper()?;
        let parsed = parse(self);
        self.depth = outer;
        parsed
    }

    /// Expressions with commas between are a tuple. In a loop's head, `if` belongs to the loop.
    fn tuple(&mut self, loop_head: bool, ends: &[&str]) -> Parsed<Expr> {
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let ended = matches!(self.peek(), None | Some(Token::OutputEnd | Token::BlockEnd))
                || self.is_symbol(")")
                || ends.iter().any(|end| self.is_name(end));
            if ended {
                break;
            }
            items.push(if loop_head { self.nested(Self::or)? } else { self.expression()? });
            if !self.skip_symbol(",") {
                break;
            }
            is_tuple = true;
        }
        if is_tuple {
            return Ok(Expr::Tuple(items));
        }
        match items.pop() {
            Some(item) => Ok(item),
            None => self.unexpected("an expression"),
        }
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.nested(|parser| {
            let mut expr = parser.or()?;
            while parser.skip_name("if") {
                parser.deeper()?;
                let condition = parser.or()?;
                let otherwise = if parser.skip_name("else") { Some(Box::new(parser.expression()?)) } else { None };
                expr = Expr::Conditional { condition: Box::new(condition), then: Box::new(expr), otherwise };
            }
            Ok(expr)
        })
    }

    fn or(&mut self) -> Parsed<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            self.deeper()?;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            self.deeper()?;
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed<Expr> {
        if self.skip_name("not") {
            return self.nested(|parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        self.compare()
    }

    fn compare(&mut self) -> Parsed<Expr> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some((comparison, length)) = self.comparison() {
            self.position += length;
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn comparison(&self) -> Option<(Comparison, usize)> {
        Some(match self.peek()? {
            Token::Symbol("==") => (Comparison::Equal, 1),
            Token::Symbol("!=") => (Comparison::NotEqual, 1),
            Token::Symbol("<") => (Comparison::Less, 1),
            Token::Symbol("<=") => (Comparison::LessOrEqual, 1),
            Token::Symbol(">") => (Comparison::Greater, 1),
            Token::Symbol(">=") => (Comparison::GreaterOrEqual, 1),
            Token::Name(name) if name == "in" => (Comparison::In, 1),
            Token::Name(name) if name == "not" => match self.tokens.get(self.position + 1) {
                Some((Token::Name(next), _)) if next == "in" => (Comparison::NotIn, 2),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn operator(&self, among: &[(&str, Operator)]) -> Option<Operator> {
        among.iter().find(|(symbol, _)| self.is_symbol(symbol)).map(|(_, operator)| *operator)
    }

    fn sum(&mut self) -> Parsed<Expr> {
        let mut left = self.concat()?;
        while let Some(operator) = self.operator(&[("+", Operator::Add), ("-", Operator::Subtract)]) {
            self.position += 1;
            self.deeper()?;
            left = Expr::Arithmetic(operator, Box::new(left), Box::new(self.concat()?));
        }
        Ok(left)
    }

    fn concat(&mut self) -> Parsed<Expr> {
        let first = self.product()?;
        if !self.is_symbol("~") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_symbol("~") {
            items.push(self.product()?);
        }
        Ok(Expr::Concat(items))
    }

    fn product(&mut self) -> Parsed<Expr> {
        const OPERATORS: [(&str, Operator); 4] = [
            ("*", Operator::Multiply),
            ("/", Operator::Divide),
            ("//", Operator::FloorDivide),
            ("%", Operator::Remainder),
        ];
        let mut left = self.power()?;
        while let Some(operator) = self.operator(&OPERATORS) {
            self.position += 1;
            self.deeper()?;
            left = Expr::Arithmetic(operator, Box::new(left), Box::new(self.power()?));
        }
        Ok(left)
    }

    fn power(&mut self) -> Parsed<Expr> {
        let mut left = self.unary(true)?;
        while self.skip_symbol("**") {
            self.deeper()?;
            left = Expr::Arithmetic(Operator::Power, Box::new(left), Box::new(self.unary(true)?));
        }
        Ok(left)
    }

    fn unary(&mut self, with_filters: bool) -> Parsed<Expr> {
        let expr = if self.skip_symbol("-") {
            self.nested(|parser| Ok(Expr::Negative(Box::new(parser.unary(false)?))))?
        } else if self.skip_symbol("+") {
            self.nested(|parser| Ok(Expr::Positive(Box::new(parser.unary(false)?))))?
        } else {
            self.primary()?
        };
        let expr = self.postfix(expr)?;
        if with_filters { self.filters(expr) } else { Ok(expr) }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let Some(token) = self.peek().cloned() else {
            return self.unexpected("an expression");
        };
        let constant = match token {
            Token::Name(name) => match name.as_str() {
                "true" | "True" => Constant::Bool(true),
                "false" | "False" => Constant::Bool(false),
                "none" | "None" => Constant::None,
                _ => {
                    self.position += 1;
                    return Ok(Expr::Name(name));
                }
            },
            Token::Text(mut text) => {
                while let Some((Token::Text(more), _)) = self.tokens.get(self.position + 1) {
                    text.push_str(more);
                    self.position += 1;
                }
                Constant::Text(text)
            }
            Token::Int(value) => Constant::Int(value),
            Token::Float(value) => Constant::Float(value),
            Token::Symbol("(") => {
                self.position += 1;
                let inner = if self.is_symbol(")") { Expr::Tuple(Vec::new()) } else { self.tuple(false, &[])? };
                self.expect_symbol(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => return self.list(),
            Token::Symbol("{") => return self.dict(),
            _ => return self.unexpected("an expression"),
        };
        self.position += 1;
        Ok(Expr::Constant(constant))
    }

    fn list(&mut self) -> Parsed<Expr> {
        self.position += 1;
        let mut items = Vec::new();
        while !self.skip_symbol("]") {
            if !items.is_empty() {
                self.expect_symbol(",")?;
                if self.skip_symbol("]") {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        Ok(Expr::List(items))
    }

    fn dict(&mut self) -> Parsed<Expr> {
        self.position += 1;
        let mut entries = Vec::new();
        while !self.skip_symbol("}") {
            if !entries.is_empty() {
                self.expect_symbol(",")?;
                if self.skip_symbol("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect_symbol(":")?;
            entries.push((key, self.expression()?));
        }
        Ok(Expr::Dict(entries))
    }
}
