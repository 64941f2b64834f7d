//! Python's `ast.literal_eval` over rendered text.

mod values;

use super::limits;
use super::syntax::decode_escapes;

/// What a literal stands for. Sets and bytes, which JSON lacks, keep their text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Literal>),
    Tuple(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
    Set { text: String, empty: bool },
    Bytes(String),
}

/// The literal that is all of `text`, or nothing where `text` is not a literal.
pub(super) fn literal(text: &str) -> Option<Literal> {
    let starts = |c: char| c.is_ascii_digit() || " \t\n\r\u{c}#\\+-.'\"([{NTFbBrRuUs".contains(c);
    if !text.chars().next().is_some_and(starts) || text.contains('\0') {
        return None;
    }
    let mut reader = Reader { rest: first_line(text)?, depth: 0 };
    let value = reader.sequence(false)?;
    reader.space(true);
    reader.rest.is_empty().then_some(value)
}

/// Skips blank lines before the expression, which must not be indented then.
fn first_line(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches([' ', '\t']);
    let mut indented = false;
    loop {
        let content = rest.trim_start_matches([' ', '\t', '\u{c}']);
        let comment = content.starts_with('#');
        if !comment && !content.starts_with(['\n', '\r']) {
            indented &= content.len() != rest.len();
            return (!indented).then_some(content);
        }
        let end = content.find(['\n', '\r'])?;
        rest = content.get(end..)?;
        rest = rest.strip_prefix("\r\n").unwrap_or_else(|| rest.get(1..).unwrap_or(""));
        indented = true;
    }
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// Whitespace and comments; line ends too where `lines` (in brackets, and at the end).
    fn space(&mut self, lines: bool) {
        loop {
            let trimmed = match lines {
                true => self.rest.trim_start_matches([' ', '\t', '\u{c}', '\n', '\r']),
                false => self.rest.trim_start_matches([' ', '\t', '\u{c}']),
            };
            self.rest = trimmed;
            if let Some(continued) = trimmed.strip_prefix("\\\n").or_else(|| trimmed.strip_prefix("\\\r\n")) {
                self.rest = continued;
            } else if lines && trimmed.starts_with('#') {
                let end = trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
                self.rest = trimmed.get(end..).unwrap_or("");
            } else {
                return;
            }
        }
    }

    fn skip(&mut self, symbol: char) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// One value, or a tuple where commas follow.
    fn sequence(&mut self, lines: bool) -> Option<Literal> {
        let first = self.value(lines)?;
        self.space(lines);
        if !self.rest.starts_with(',') {
            return Some(first);
        }
        let mut items = vec![first];
        while self.skip(',') {
            self.space(lines);
            if self.rest.is_empty() || self.rest.starts_with([')', '#', '\n', '\r']) {
                break;
            }
            items.push(self.value(lines)?);
            self.space(lines);
        }
        Some(Literal::Tuple(items))
    }

    fn value(&mut self, lines: bool) -> Option<Literal> {
        self.space(lines);
        self.depth += 1;
        if self.depth > limits::LITERAL_DEPTH {
            return None;
        }
        let value = match self.rest.chars().next()? {
            '[' => self.bracketed(']').map(Literal::List),
            '(' => self.parenthesized(),
            '{' => self.braces(),
            '+' | '-' => self.signed(lines),
            c if c.is_ascii_digit() || c == '.' => self.number(),
            _ => self.word(lines),
        };
        self.depth -= 1;
        value
    }

    fn bracketed(&mut self, end: char) -> Option<Vec<Literal>> {
        self.rest = self.rest.get(1..)?;
        let mut items = Vec::new();
        loop {
            self.space(true);
            if self.skip(end) {
                return Some(items);
            }
            items.push(self.value(true)?);
            self.space(true);
            if !self.skip(',') && !self.rest.starts_with(end) {
                return None;
            }
        }
    }

    fn parenthesized(&mut self) -> Option<Literal> {
        self.rest = self.rest.get(1..)?;
        self.space(true);
        if self.skip(')') {
            return Some(Literal::Tuple(Vec::new()));
        }
        let value = self.sequence(true)?;
        self.space(true);
        self.skip(')').then_some(value)
    }

    fn braces(&mut self) -> Option<Literal> {
        let start = self.rest;
        self.rest = self.rest.get(1..)?;
        self.space(true);
        if self.skip('}') {
            return Some(Literal::Dict(Vec::new()));
        }
        let first = self.value(true)?;
        self.space(true);
        if !self.rest.starts_with(':') {
            self.rest = start;
            let items = self.bracketed('}')?;
            let text = start.get(..start.len() - self.rest.len())?.to_owned();
            return items.iter().all(hashable).then_some(Literal::Set { text, empty: false });
        }
        let mut entries: Vec<(Literal, Literal)> = Vec::new();
        let mut key = first;
        loop {
            self.space(true);
            if !self.skip(':') || !hashable(&key) {
                return None;
            }
            let value = self.value(true)?;
            entries.push((key, value));
            self.space(true);
            let comma = self.skip(',');
            self.space(true);
            if self.skip('}') {
                return Some(Literal::Dict(entries));
            }
            if !comma {
                return None;
            }
            key = self.value(true)?;
        }
    }

    /// A sign before a number; not before another sign.
    fn signed(&mut self, lines: bool) -> Option<Literal> {
        let negative = self.rest.starts_with('-');
        self.rest = self.rest.get(1..)?;
        self.space(lines);
        if self.rest.starts_with(['+', '-']) {
            return None;
        }
        match self.value(lines)? {
            Literal::Int(value) => Some(Literal::Int(if negative { value.checked_neg()? } else { value })),
            Literal::Float(value) => Some(Literal::Float(if negative { -value } else { value })),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Literal> {
        let text = self.rest;
        let boundary = |rest: &str| !rest.starts_with(|c: char| c == '_' || c.is_alphanumeric());
        if let Some((radix, digits)) = radix_prefix(text) {
            let length = digits.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(digits.len());
            let (digits, rest) = digits.split_at_checked(length)?;
            self.rest = rest;
            let digits = digits.strip_prefix('_').unwrap_or(digits);
            return i128::from_str_radix(&grouped(digits)?, radix).ok().map(Literal::Int);
        }
        let run = |text: &str| text.find(|c: char| c != '_' && !c.is_ascii_digit()).unwrap_or(text.len());
        let whole = run(text);
        let (mut length, mut fractional) = (whole, false);
        let mut plain = if whole > 0 { grouped(text.get(..whole)?)? } else { "0".to_owned() };
        if text.get(length..)?.starts_with('.') {
            let digits = run(text.get(length + 1..)?);
            if digits == 0 && whole == 0 {
                return None;
            }
            plain.push('.');
            plain.push_str(&if digits > 0 { grouped(text.get(length + 1..length + 1 + digits)?)? } else { "0".into() });
            length += digits + 1;
            fractional = true;
        }
        if let Some(exponent) = text.get(length..)?.strip_prefix(['e', 'E']) {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let digits = run(unsigned);
            plain.push('e');
            plain.push_str(exponent.get(..exponent.len() - unsigned.len())?);
            plain.push_str(&grouped(unsigned.get(..digits)?)?);
            length += 1 + (exponent.len() - unsigned.len()) + digits;
            fractional = true;
        }
        self.rest = text.get(length..)?;
        if !boundary(self.rest) {
            return None;
        }
        if fractional {
            return plain.parse().ok().map(Literal::Float);
        }
        let leading_zero = plain.starts_with('0') && plain.bytes().any(|byte| byte != b'0');
        if leading_zero { None } else { plain.parse().ok().map(Literal::Int) }
    }

    fn word(&mut self, lines: bool) -> Option<Literal> {
        let length = self.rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(length)?;
        if rest.starts_with(['\'', '"']) && word.len() <= 2 {
            return self.strings(lines);
        }
        self.rest = rest;
        match word {
            "None" => Some(Literal::None),
            "True" => Some(Literal::Bool(true)),
            "False" => Some(Literal::Bool(false)),
            "set" => {
                self.space(lines);
                self.skip('(').then_some(())?;
                self.space(true);
                self.skip(')').then(|| Literal::Set { text: "set()".to_owned(), empty: true })
            }
            _ => None,
        }
    }

    /// Strings side by side are one.
    fn strings(&mut self, lines: bool) -> Option<Literal> {
        let start = self.rest;
        let mut joined = String::new();
        let mut kind = None;
        let mut end = self.rest;
        loop {
            let quote = self.rest.find(['\'', '"']);
            let prefix = quote.and_then(|at| self.rest.get(..at)).map(str::to_ascii_lowercase);
            let (raw, bytes) = match prefix.as_deref() {
                Some("" | "u") => (false, false),
                Some("r") => (true, false),
                Some("b") => (false, true),
                Some("br" | "rb") => (true, true),
                _ => break,
            };
            self.rest = self.rest.get(quote?..)?;
            let body = self.quoted()?;
            if kind.is_some_and(|kind| kind != bytes) || (bytes && !body.is_ascii()) {
                return None;
            }
            kind = Some(bytes);
            joined.push_str(&if raw { body } else { decode_escapes(&body)? });
            end = self.rest;
            self.space(lines);
        }
        self.rest = end;
        match kind? {
            true => Some(Literal::Bytes(start.get(..start.len() - end.len())?.to_owned())),
            false => Some(Literal::Text(joined)),
        }
    }

    /// The raw text between quotes.
    fn quoted(&mut self) -> Option<String> {
        let triple = self.rest.starts_with("'''") || self.rest.starts_with("\"\"\"");
        let delimiter = self.rest.get(..if triple { 3 } else { 1 })?;
        let body = self.rest.get(delimiter.len()..)?;
        let mut escaped = false;
        for (at, c) in body.char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if body.get(at..)?.starts_with(delimiter) {
                self.rest = body.get(at + delimiter.len()..)?;
                return Some(body.get(..at)?.replace("\r\n", "\n").replace('\r', "\n"));
            } else if !triple && matches!(c, '\n' | '\r') {
                return None;
            }
        }
        None
    }
}

fn radix_prefix(text: &str) -> Option<(u32, &str)> {
    let rest = text.get(2..)?;
    match text.get(..2)?.to_ascii_lowercase().as_str() {
        "0x" => Some((16, rest)),
        "0o" => Some((8, rest)),
        "0b" => Some((2, rest)),
        _ => None,
    }
}

/// Digits without the single underscores between them.
fn grouped(digits: &str) -> Option<String> {
    let broken = digits.is_empty() || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    (!broken).then(|| digits.replace('_', ""))
}

fn hashable(literal: &Literal) -> bool {
    match literal {
        Literal::List(_) | Literal::Dict(_) | Literal::Set { .. } => false,
        Literal::Tuple(items) => items.iter().all(hashable),
        _ => true,
    }
}
