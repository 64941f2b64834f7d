//! Parses statements, and the text between them.

use super::{Parsed, Parser};
use crate::syntax::lexer::Token;
use crate::syntax::{Node, Target};

impl Parser {
    /// Nodes up to a block that starts with one of `ends`; the name of that block.
    pub(super) fn body(&mut self, ends: &[&str]) -> Parsed<(Vec<Node>, String)> {
        let mut nodes = Vec::new();
        loop {
            match self.peek() {
                None if ends.is_empty() => return Ok((nodes, String::new())),
                None => return self.error(format!("a block is not closed: write {{% {} %}}", ends.join(" or "))),
                Some(Token::Data(text)) => {
                    nodes.push(Node::Text(text.clone()));
                    self.position += 1;
                }
                Some(Token::OutputBegin) => {
                    self.position += 1;
                    nodes.push(Node::Output(self.tuple(false, &[])?));
                    self.expect_token(&Token::OutputEnd, "'}}'")?;
                }
                Some(Token::BlockBegin) => {
                    self.position += 1;
                    let keyword = self.name()?;
                    if ends.contains(&keyword.as_str()) {
                        return Ok((nodes, keyword));
                    }
                    nodes.push(self.nested(|parser| parser.statement(&keyword))?);
                }
                Some(_) => return self.unexpected("text or a tag"),
            }
        }
    }

    fn block_end(&mut self) -> Parsed<()> {
        self.expect_token(&Token::BlockEnd, "'%}'")
    }

    /// A body that one word ends.
    fn closed_body(&mut self, end: &str) -> Parsed<Vec<Node>> {
        self.block_end()?;
        let (body, _) = self.body(&[end])?;
        self.block_end()?;
        Ok(body)
    }

    fn statement(&mut self, keyword: &str) -> Parsed<Node> {
        match keyword {
            "if" => self.if_statement(),
            "for" => self.for_statement(),
            "set" => self.set_statement(),
            "with" => {
                let mut values = Vec::new();
                while self.peek() != Some(&Token::BlockEnd) {
                    if !values.is_empty() {
                        self.expect_symbol(",")?;
                    }
                    let target = Target::Name(self.name()?);
                    self.expect_symbol("=")?;
                    values.push((target, self.expression()?));
                }
                Ok(Node::With { values, body: self.closed_body("endwith")? })
            }
            "filter" => {
                let filter = self.filter_link(None)?;
                let filter = self.filters(filter)?;
                Ok(Node::FilterBlock { filter, body: self.closed_body("endfilter")? })
            }
            other => {
                self.position = self.position.saturating_sub(1);
                self.error(format!("unknown or unsupported statement '{other}'"))
            }
        }
    }

    fn if_statement(&mut self) -> Parsed<Node> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple(false, &[])?;
            self.block_end()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            if end == "elif" {
                continue;
            }
            let otherwise = if end == "else" { self.closed_body("endif")? } else { self.empty_body()? };
            return Ok(Node::If { branches, otherwise });
        }
    }

    fn empty_body(&mut self) -> Parsed<Vec<Node>> {
        self.block_end()?;
        Ok(Vec::new())
    }

    fn for_statement(&mut self) -> Parsed<Node> {
        let target = self.target(&["in"])?;
        if !self.skip_name("in") {
            return self.unexpected("'in'");
        }
        let items = self.tuple(true, &["recursive"])?;
        let condition = if self.skip_name("if") { Some(self.expression()?) } else { None };
        if self.is_name("recursive") {
            return self.error("recursive loops are not supported");
        }
        self.block_end()?;
        let (body, end) = self.body(&["endfor", "else"])?;
        let otherwise = if end == "else" { self.closed_body("endfor")? } else { self.empty_body()? };
        Ok(Node::For { target, items, condition, body, otherwise })
    }

    fn set_statement(&mut self) -> Parsed<Node> {
        let target = self.target(&[])?;
        if self.skip_symbol("=") {
            let value = self.tuple(false, &[])?;
            self.block_end()?;
            return Ok(Node::Set { target, value });
        }
        let Target::Name(name) = target else {
            return self.unexpected("'='");
        };
        let filter = if self.is_symbol("|") {
            self.position += 1;
            let first = self.filter_link(None)?;
            Some(self.filters(first)?)
        } else {
            None
        };
        Ok(Node::SetBlock { name, filter, body: self.closed_body("endset")? })
    }

    fn target(&mut self, ends: &[&str]) -> Parsed<Target> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            if self.is_symbol("(") {
                self.position += 1;
                let inner = self.nested(|parser| parser.target(&[]))?;
                self.expect_symbol(")")?;
                targets.push(inner);
            } else {
                let name = self.name()?;
                if matches!(name.as_str(), "true" | "false" | "none" | "True" | "False" | "None") {
                    return self.error(format!("can't assign to '{name}'"));
                }
                let attribute = if self.skip_symbol(".") { Some(self.name()?) } else { None };
                targets.push(match attribute {
                    Some(attribute) => Target::Attribute(name, attribute),
                    None => Target::Name(name),
                });
            }
            if !self.skip_symbol(",") {
                break;
            }
            is_tuple = true;
            let ended = ends.iter().any(|end| self.is_name(end)) || self.is_symbol("=") || self.is_symbol(")");
            if ended {
                break;
            }
        }
        match (is_tuple, targets.pop()) {
            (false, Some(target)) => Ok(target),
            (_, Some(last)) => {
                targets.push(last);
                Ok(Target::Tuple(targets))
            }
            (_, None) => self.unexpected("a name"),
        }
    }
}
