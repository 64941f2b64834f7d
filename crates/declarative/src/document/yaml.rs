//! YAML and JSON text to a tree, within limits, and with the values that PyYAML gives it: the language's reference
//! implementation reads manifests with it, and it knows YAML 1.1 (`yes` is true, `1e3` a text, `010` eight).

mod scalars;

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

/// The largest manifests are below one megabyte.
const MAX_BYTES: usize = 16 << 20;
/// Enough for any manifest, too little to exhaust the stack.
const MAX_DEPTH: usize = 96;
/// Aliases of aliases multiply: a small text may describe a huge tree.
const MAX_NODES: usize = 1_000_000;

const MERGE: &str = "<<";
const CORE: &str = "tag:yaml.org,2002:";

/// Reads YAML (of which JSON is a part).
pub(crate) fn read_value(text: &str) -> Result<Value> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(ErrorKind::Invalid, "the manifest is larger than 16 MiB").with("bytes", text.len()));
    }
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        block_scalar_eof_without_line_feed: true,
    };
    let mut composer = Composer::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| invalid(&error.to_string()))?;
        composer.event(event).map_err(|message| {
            let place = |marker: &Marker| format!("{message} at line {} column {}", marker.line(), marker.col() + 1);
            invalid(&place(&span.start))
        })?;
    }
    Ok(composer.root.unwrap_or_default())
}

fn invalid(message: &str) -> Error {
    let line = message.lines().next().unwrap_or_default().trim();
    Error::new(ErrorKind::Invalid, format!("the manifest is not valid YAML: {line}"))
}

/// Puts the tree together.
#[derive(Default)]
struct Composer {
    root: Option<Value>,
    documents: usize,
    open: Vec<Open>,
    /// Finished values by their anchor, with their number of nodes.
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
}

/// A list or mapping that has not ended.
struct Open {
    anchor: usize,
    /// The number of nodes when it began.
    began: usize,
    collection: Collection,
}

enum Collection {
    List(Vec<Value>),
    Mapping {
        members: Map,
        /// What was merged in; own members win.
        merged: Map,
        key: Option<String>,
    },
}

type Composed<T> = std::result::Result<T, Cow<'static, str>>;

impl Composer {
    fn event(&mut self, event: Event<'_>) -> Composed<()> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                self.anchors.clear();
                match self.documents {
                    1 => Ok(()),
                    _ => Err("one document is expected, and another begins".into()),
                }
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref()),
            Event::SequenceStart(_, anchor, tag) => {
                known(tag.as_deref(), "seq")?;
                self.begin(anchor, Collection::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                known(tag.as_deref(), "map")?;
                self.begin(anchor, Collection::Mapping { members: Map::new(), merged: Map::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let (value, nodes) =
                    self.anchors.get(&anchor).cloned().ok_or("an alias leads into the value that it stands in")?;
                self.count(nodes)?;
                self.value(value)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, nodes: usize) -> Composed<()> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err("there are more than 1000000 values".into());
        }
        Ok(())
    }

    fn begin(&mut self, anchor: usize, collection: Collection) -> Composed<()> {
        self.count(1)?;
        self.key_is_no_collection()?;
        if self.open.len() >= MAX_DEPTH {
            return Err("the nesting is too deep".into());
        }
        self.open.push(Open { anchor, began: self.nodes - 1, collection });
        Ok(())
    }

    /// Only texts, numbers and the like are keys; a merge takes any mapping.
    fn key_is_no_collection(&self) -> Composed<()> {
        match self.open.last().map(|open| &open.collection) {
            Some(Collection::Mapping { key: None, .. }) => Err("a key is a list or a mapping: give a text".into()),
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Composed<()> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.collection {
            Collection::List(items) => Value::Array(items),
            Collection::Mapping { members, mut merged, .. } if !merged.is_empty() => {
                merged.extend(members);
                Value::Object(merged)
            }
            Collection::Mapping { members, .. } => Value::Object(members),
        };
        if open.anchor > 0 {
            self.anchors.insert(open.anchor, (value.clone(), self.nodes - open.began));
        }
        self.value(value)
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, anchor: usize, tag: Option<&Tag>) -> Composed<()> {
        self.count(1)?;
        let plain = style == ScalarStyle::Plain && tag.is_none();
        if let Some(Collection::Mapping { key: key @ None, .. }) = self.open.last_mut().map(|open| &mut open.collection)
        {
            // A key that looks like a boolean or nothing is a name all the same: fields are called `on` and `no`.
            let name = match scalars::resolved(&text) {
                Value::Number(number) if plain => number.to_string(),
                _ => text.clone().into_owned(),
            };
            *key = Some(name);
            if anchor > 0 {
                self.anchors.insert(anchor, (Value::from(text.into_owned()), 1));
            }
            return Ok(());
        }
        let value = match tag {
            Some(tag) => tagged(tag, &text)?,
            None if plain => scalars::resolved(&text),
            None => Value::from(text.into_owned()),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), 1));
        }
        self.value(value)
    }

    /// A finished value goes where it belongs.
    fn value(&mut self, value: Value) -> Composed<()> {
        match self.open.last_mut().map(|open| &mut open.collection) {
            None => self.root = Some(value),
            Some(Collection::List(items)) => items.push(value),
            Some(Collection::Mapping { members, merged, key }) => match key.take() {
                None => match value {
                    Value::Array(_) | Value::Object(_) => {
                        return Err("a key is a list or a mapping: give a text".into());
                    }
                    Value::String(name) => *key = Some(name),
                    other => *key = Some(other.to_string()),
                },
                Some(name) if name == MERGE => merge(merged, value)?,
                Some(name) => drop(members.insert(name, value)),
            },
        }
        Ok(())
    }
}

/// `<<: *other`, or several, of which the first wins.
fn merge(merged: &mut Map, value: Value) -> Composed<()> {
    match value {
        Value::Object(members) => merged.extend(members),
        Value::Array(items) => items.into_iter().rev().try_for_each(|item| match item {
            Value::Object(_) => merge(merged, item),
            _ => Err(NO_MAPPING.into()),
        })?,
        _ => return Err(NO_MAPPING.into()),
    }
    Ok(())
}

const NO_MAPPING: &str = "only mappings can be merged with `<<`";

fn known(tag: Option<&Tag>, expected: &str) -> Composed<()> {
    match tag {
        Some(tag) if tag.handle() == CORE && tag.suffix() == expected => Ok(()),
        Some(tag) => Err(unknown(tag)),
        None => Ok(()),
    }
}

fn unknown(tag: &Tag) -> Cow<'static, str> {
    format!("the tag {}{} is not known: remove it", tag.handle(), tag.suffix()).into()
}

fn tagged(tag: &Tag, text: &str) -> Composed<Value> {
    let resolved = scalars::resolved(text);
    if tag.handle() == "!" && tag.suffix().is_empty() {
        return Ok(Value::from(text));
    }
    match (tag.handle(), tag.suffix()) {
        (CORE, "str") => Ok(Value::from(text)),
        (CORE, "null") => Ok(Value::Null),
        (CORE, "bool") if resolved.is_boolean() => Ok(resolved),
        (CORE, "int") if resolved.is_i64() || resolved.is_u64() => Ok(resolved),
        (CORE, "float") if resolved.is_number() => {
            Ok(resolved.as_f64().and_then(serde_json::Number::from_f64).map_or(resolved, Value::Number))
        }
        (CORE, "bool" | "int" | "float") => Err(format!("{text:?} is not a valid !!{}", tag.suffix()).into()),
        _ => Err(unknown(tag)),
    }
}

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    #[test]
    fn anchors_merges_and_repeated_keys_read_as_in_pyyaml() {
        let text = "
base: &base {a: 1, b: 2}
more: &more {b: 3, c: 4}
both: {<<: [*base, *more], c: 5}
one: {c: 0, <<: *more}
name: &name key
*name : aliased
200: number
on: name
twice: 1
twice: 2
folded: >-
  a
  b
last: |
  text";
        assert_eq!(
            read_value(text).unwrap(),
            json!({
                "base": {"a": 1, "b": 2}, "more": {"b": 3, "c": 4},
                "both": {"b": 2, "c": 5, "a": 1}, "one": {"b": 3, "c": 0},
                "name": "key", "key": "aliased", "200": "number", "on": "name", "twice": 2,
                "folded": "a b", "last": "text",
            })
        );
        assert_eq!(read_value("!!str 5").unwrap(), json!("5"));
        assert_eq!(
            read_value(r#"{"a": [1, "b", null, true, 1.5], "c": {"d": "e\n"}}"#).unwrap(),
            json!({"a": [1, "b", null, true, 1.5], "c": {"d": "e\n"}})
        );
        assert_eq!(read_value("").unwrap(), Value::Null);
    }

    #[test]
    fn faults_are_one_line_with_their_place() {
        for (text, fault) in [
            ("a: *b", "the manifest is not valid YAML: "),
            ("a: &a [*a]", "the manifest is not valid YAML: "),
            ("a: !thing 5", "the manifest is not valid YAML: the tag !thing is not known: remove it at line 1 column "),
            ("a: {<<: 5}", "the manifest is not valid YAML: only mappings can be merged with `<<` at line 1 column "),
            (
                "a: 1\n---\nb: 2",
                "the manifest is not valid YAML: one document is expected, and another begins at line 2 column ",
            ),
            ("a: !!int x", "the manifest is not valid YAML: \"x\" is not a valid !!int at line 1 column "),
        ] {
            let error = read_value(text).unwrap_err().to_string();
            assert!(error.starts_with(fault) && !error.contains('\n'), "{text}: {error}");
        }
        let deep = read_value(&"[".repeat(5000)).unwrap_err();
        assert_eq!(deep.kind(), ErrorKind::Invalid);
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]";
        assert!(read_value(bomb).unwrap_err().message().contains("more than 1000000 values"));
    }
}
