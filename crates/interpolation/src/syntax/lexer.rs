//! Splits a template into text and tokens.

use super::{SyntaxError, decode_escapes};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Data(String),
    OutputBegin,
    OutputEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Text(String),
    Int(i128),
    Float(f64),
    Symbol(&'static str),
}

/// Longest first.
const SYMBOLS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

/// The tokens of `source`, each with its line.
pub(super) fn tokens(source: &str) -> Result<Vec<(Token, usize)>, SyntaxError> {
    let normalized = normalize_newlines(source);
    let source = normalized.strip_suffix('\n').unwrap_or(&normalized);
    let mut lexer = Lexer { source, position: 0, line: 1, line_at: 0, tokens: Vec::new() };
    lexer.template()?;
    Ok(lexer.tokens)
}

fn normalize_newlines(text: &str) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

struct Lexer<'s> {
    source: &'s str,
    position: usize,
    line: usize,
    /// Up to where lines were counted.
    line_at: usize,
    tokens: Vec<(Token, usize)>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.position..).unwrap_or("")
    }

    fn skip_whitespace(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    fn push(&mut self, token: Token) {
        let passed = self.source.get(self.line_at..self.position).unwrap_or("");
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.line_at = self.position;
        self.tokens.push((token, self.line));
    }

    fn error<T>(&mut self, message: impl Into<String>) -> Result<T, SyntaxError> {
        let passed = self.source.get(self.line_at..self.position).unwrap_or("");
        let line = self.line + passed.bytes().filter(|byte| *byte == b'\n').count();
        Err(SyntaxError { message: message.into(), line })
    }

    fn template(&mut self) -> Result<(), SyntaxError> {
        while let Some((at, kind)) = next_tag(self.rest()) {
            let after = self.position + at + 2;
            let sign = self.source.as_bytes().get(after).copied().filter(|byte| matches!(byte, b'-' | b'+'));
            let text = self.source.get(self.position..self.position + at).unwrap_or("");
            let text = if sign == Some(b'-') { text.trim_end() } else { text };
            if !text.is_empty() {
                self.push(Token::Data(text.to_owned()));
            }
            self.position = after + usize::from(sign.is_some());
            match kind {
                '#' => self.comment()?,
                '{' => {
                    self.push(Token::OutputBegin);
                    self.tag("}}", Token::OutputEnd)?;
                }
                _ => match raw_start(self.rest()) {
                    Some(length) => {
                        self.position += length;
                        self.raw()?;
                    }
                    None => {
                        self.push(Token::BlockBegin);
                        self.tag("%}", Token::BlockEnd)?;
                    }
                },
            }
        }
        let rest = self.rest();
        if !rest.is_empty() {
            self.push(Token::Data(rest.to_owned()));
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), SyntaxError> {
        let Some(end) = self.rest().find("#}") else {
            return self.error("a comment is not closed: write #}");
        };
        let trim = end > 0 && self.rest().as_bytes().get(end - 1) == Some(&b'-');
        self.position += end + 2;
        if trim {
            self.skip_whitespace();
        }
        Ok(())
    }

    fn raw(&mut self) -> Result<(), SyntaxError> {
        let start = self.position;
        let mut from = start;
        while let Some(at) = self.source.get(from..).and_then(|rest| rest.find("{%")) {
            let open = from + at;
            let after = self.source.get(open + 2..).unwrap_or("");
            let signed = after.strip_prefix(['-', '+']).unwrap_or(after);
            if let Some(end) = signed.trim_start().strip_prefix("endraw").map(str::trim_start) {
                let (trim, end) = match end.strip_prefix('-') {
                    Some(end) => (true, end),
                    None => (false, end.strip_prefix('+').unwrap_or(end)),
                };
                if let Some(end) = end.strip_prefix("%}") {
                    let text = self.source.get(start..open).unwrap_or("");
                    let text = if after.starts_with('-') { text.trim_end() } else { text };
                    self.position = self.source.len() - end.len();
                    if !text.is_empty() {
                        self.push(Token::Data(text.to_owned()));
                    }
                    if trim {
                        self.skip_whitespace();
                    }
                    return Ok(());
                }
            }
            from = open + 2;
        }
        self.error("a raw block is not closed: write {% endraw %}")
    }

    /// Tokens up to the end of a tag; `end` within open brackets belongs to the expression.
    fn tag(&mut self, end: &str, end_token: Token) -> Result<(), SyntaxError> {
        let mut brackets: Vec<char> = Vec::new();
        loop {
            if brackets.is_empty() {
                let rest = self.rest();
                let (sign, tail) = match rest.as_bytes().first() {
                    Some(b'-') => (Some('-'), rest.get(1..).unwrap_or("")),
                    Some(b'+') if end == "%}" => (Some('+'), rest.get(1..).unwrap_or("")),
                    _ => (None, rest),
                };
                if tail.starts_with(end) {
                    self.position += usize::from(sign.is_some()) + end.len();
                    self.push(end_token);
                    if sign == Some('-') {
                        self.skip_whitespace();
                    }
                    return Ok(());
                }
            }
            let Some(first) = self.rest().chars().next() else {
                return self.error(format!("a tag is not closed: write {end}"));
            };
            if first.is_whitespace() {
                self.skip_whitespace();
            } else if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphabetic() {
                let rest = self.rest();
                let length = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                self.position += length;
                self.push(Token::Name(rest.get(..length).unwrap_or("").to_owned()));
            } else if matches!(first, '\'' | '"') {
                self.string(first)?;
            } else {
                self.symbol(first, &mut brackets)?;
            }
        }
    }

    fn symbol(&mut self, first: char, brackets: &mut Vec<char>) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) else {
            return self.error(format!("unexpected character {first:?}"));
        };
        match first {
            '{' => brackets.push('}'),
            '(' => brackets.push(')'),
            '[' => brackets.push(']'),
            '}' | ')' | ']' => match brackets.pop() {
                Some(expected) if expected == first => {}
                Some(expected) => return self.error(format!("unexpected '{first}', expected '{expected}'")),
                None => return self.error(format!("unexpected '{first}'")),
            },
            _ => {}
        }
        self.position += symbol.len();
        self.push(Token::Symbol(symbol));
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), SyntaxError> {
        let body = self.rest().get(1..).unwrap_or("");
        let mut escaped = false;
        let end = body.char_indices().find_map(|(at, c)| {
            let closes = !escaped && c == quote;
            escaped = !escaped && c == '\\';
            closes.then_some(at)
        });
        let Some(text) = end.and_then(|end| body.get(..end)) else {
            return self.error("a string is not closed");
        };
        let Some(decoded) = decode_escapes(text) else {
            return self.error("a string has a broken escape");
        };
        self.position += text.len() + 2;
        self.push(Token::Text(decoded));
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let after_dot = self.position > 0 && self.source.as_bytes().get(self.position - 1) == Some(&b'.');
        if !after_dot && let Some(length) = float_length(rest) {
            let digits = rest.get(..length).unwrap_or("").replace('_', "");
            self.position += length;
            self.push(Token::Float(digits.parse().unwrap_or(f64::INFINITY)));
            return Ok(());
        }
        let length = integer_length(rest);
        let digits = rest.get(..length).unwrap_or("").replace('_', "").to_ascii_lowercase();
        let (digits, radix) = match digits.get(..2) {
            Some("0x") => (digits.get(2..).unwrap_or(""), 16),
            Some("0o") => (digits.get(2..).unwrap_or(""), 8),
            Some("0b") => (digits.get(2..).unwrap_or(""), 2),
            _ => (digits.as_str(), 10),
        };
        match i128::from_str_radix(digits, radix) {
            Ok(value) => {
                self.position += length;
                self.push(Token::Int(value));
                Ok(())
            }
            Err(_) => self.error("a number is too large"),
        }
    }
}

/// The nearest `{{`, `{%` or `{#`.
fn next_tag(text: &str) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    let at = bytes.windows(2).position(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))?;
    Some((at, char::from(*bytes.get(at + 1)?)))
}

/// The length of `raw %}` at the start of a block.
fn raw_start(text: &str) -> Option<usize> {
    let tail = text.trim_start().strip_prefix("raw")?.trim_start();
    let end = match tail.strip_prefix('-') {
        Some(tail) => tail.strip_prefix("%}")?.trim_start(),
        None => tail.strip_prefix("%}")?,
    };
    Some(text.len() - end.len())
}

/// Digits in groups with single underscores between.
fn digits_length(text: &str, accepts: fn(u8) -> bool) -> usize {
    let bytes = text.as_bytes();
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let next_is_digit = bytes.get(length + 1).copied().is_some_and(accepts);
        if accepts(*byte) || (*byte == b'_' && length > 0 && next_is_digit && bytes.get(length - 1) != Some(&b'_')) {
            length += 1;
        } else {
            break;
        }
    }
    length
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn float_length(text: &str) -> Option<usize> {
    let whole = digits_length(text, is_digit);
    let mut length = whole;
    if let Some(fraction) = text.get(length..).and_then(|rest| rest.strip_prefix('.')) {
        let digits = if fraction.starts_with('_') { 0 } else { digits_length(fraction, is_digit) };
        length += if digits > 0 { digits + 1 } else { 0 };
    }
    let rest = text.get(length..).unwrap_or("");
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let digits = if unsigned.starts_with('_') { 0 } else { digits_length(unsigned, is_digit) };
        if digits > 0 {
            length += 1 + (exponent.len() - unsigned.len()) + digits;
        }
    }
    (length > whole).then_some(length)
}

fn integer_length(text: &str) -> usize {
    let prefixed = |accepts: fn(u8) -> bool| match text.get(2..) {
        Some(rest) => {
            let skip = usize::from(rest.starts_with('_'));
            match digits_length(rest.get(skip..).unwrap_or(""), accepts) {
                0 => 1,
                digits => 2 + skip + digits,
            }
        }
        None => 1,
    };
    match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => prefixed(|byte| byte.is_ascii_hexdigit()),
        Some("0o") => prefixed(|byte| matches!(byte, b'0'..=b'7')),
        Some("0b") => prefixed(|byte| matches!(byte, b'0' | b'1')),
        _ if text.starts_with('0') => digits_length(text, |byte| byte == b'0'),
        _ => digits_length(text, is_digit),
    }
}
