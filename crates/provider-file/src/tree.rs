//! YAML text to a tree whose nodes know their lines.
//!
//! Only the plain part of YAML is taken: no anchors, aliases, tags, merges, or several documents. What a description needs is
//! shorter without them, and none of them can make a small text a large tree.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};
use highwater_core::Result;

use crate::at;

/// Deeper than any description.
const MAX_DEPTH: usize = 16;

/// A value and the line that it begins in.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    /// A text, number or the like, as it is written.
    Scalar(String),
    /// Nothing, or `null`.
    Empty,
    List(Vec<Node>),
    Mapping(Vec<Member>),
}

/// A member of a mapping.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) node: Node,
}

impl Value {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Scalar(_) => "a text",
            Value::Empty => "empty",
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// Reads a text.
pub(crate) fn read(text: &str) -> Result<Node> {
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        block_scalar_eof_without_line_feed: true,
    };
    let mut composer = Composer::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| unreadable(text, &error))?;
        composer.event(event, span.start.line()).map_err(|message| at(span.start.line(), message))?;
    }
    composer.root.ok_or_else(|| at(1, "the file is empty: describe a provider, beginning with `name: `"))
}

fn unreadable(text: &str, error: &ScanError) -> highwater_core::Error {
    let line = error.marker().line().max(1);
    let with_tab = |line: usize| {
        let indentation = text.lines().nth(line.checked_sub(1)?)?.chars().take_while(|c| c.is_whitespace());
        indentation.into_iter().any(|c| c == '\t').then_some(line)
    };
    // The parser may notice it a line later.
    if let Some(line) = with_tab(line).or_else(|| with_tab(line.saturating_sub(1))) {
        return at(line, "a tab in the indentation: use spaces");
    }
    let what = error.info().lines().next().unwrap_or_default().trim().to_owned();
    at(line, format!("not valid YAML: {what}"))
}

#[derive(Default)]
struct Composer {
    root: Option<Node>,
    documents: usize,
    open: Vec<Open>,
}

/// A list or mapping that has not ended.
enum Open {
    List { line: usize, items: Vec<Node> },
    Mapping { line: usize, members: Vec<Member>, key: Option<(usize, String)> },
}

type Composed = std::result::Result<(), Cow<'static, str>>;

const NO_REFERENCES: &str = "anchors and aliases are not supported here: write the value out";
const NO_TAGS: &str = "tags are not supported here: remove it";

impl Composer {
    fn event(&mut self, event: Event<'_>, line: usize) -> Composed {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                match self.documents {
                    1 => Ok(()),
                    _ => Err("a second document begins: one file describes one provider".into()),
                }
            }
            Event::Alias(_) => Err(NO_REFERENCES.into()),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _)
                if anchor > 0 =>
            {
                Err(NO_REFERENCES.into())
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => Err(NO_TAGS.into()),
            Event::Scalar(text, style, ..) => self.scalar(&text, style, line),
            Event::SequenceStart(..) => self.begin(Open::List { line, items: Vec::new() }),
            Event::MappingStart(..) => self.begin(Open::Mapping { line, members: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { line, items }) => self.value(Node { line, value: Value::List(items) }),
                Some(Open::Mapping { line, members, .. }) => self.value(Node { line, value: Value::Mapping(members) }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Composed {
        if let Some(Open::Mapping { key: None, .. }) = self.open.last() {
            return Err("a key is a list or a mapping: give a text".into());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err("the nesting is too deep".into());
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, line: usize) -> Composed {
        if let Some(Open::Mapping { key: key @ None, members, .. }) = self.open.last_mut() {
            if let Some(first) = members.iter().find(|member| member.key == text) {
                return Err(format!(
                    "the key `{text}` stands here a second time, after line {}: remove one",
                    first.line
                )
                .into());
            }
            if style == ScalarStyle::Plain && text == "<<" {
                return Err("merging with `<<` is not supported here: write the members out".into());
            }
            *key = Some((line, text.to_owned()));
            return Ok(());
        }
        let nothing = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let value = if nothing { Value::Empty } else { Value::Scalar(text.to_owned()) };
        self.value(Node { line, value })
    }

    /// A finished value goes where it belongs.
    fn value(&mut self, node: Node) -> Composed {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Mapping { members, key, .. }) => {
                if let Some((line, key)) = key.take() {
                    members.push(Member { line, key, node });
                }
            }
        }
        Ok(())
    }
}
