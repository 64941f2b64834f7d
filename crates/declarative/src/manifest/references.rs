//! `$ref`: own members win over the referenced ones; a text that begins with `#/` is a reference wherever it stands.

use std::rc::Rc;

use highwater_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

const REFERENCE: &str = "$ref";
/// Values of the config, in which nothing is a reference.
const CONFIG_VALUES: &str = "config_overrides";
/// References of references multiply: a small text may describe a huge tree.
const MAX_NODES: usize = 4_000_000;
const MAX_DEPTH: usize = 256;

pub(super) fn resolve(manifest: &Value) -> Result<Value> {
    let mut resolver = Resolver { manifest, open: Vec::new(), nodes: 0, known: std::collections::HashMap::new() };
    resolver.value(manifest, &Place::Root, 0)
}

struct Resolver<'m> {
    manifest: &'m Value,
    open: Vec<&'m str>,
    nodes: usize,
    known: std::collections::HashMap<&'m str, Rc<(Value, usize)>>,
}

enum Place<'p> {
    Root,
    Member(&'p Place<'p>, &'p str),
    Element(&'p Place<'p>, usize),
}

impl Place<'_> {
    fn path(&self) -> String {
        match self {
            Place::Root => String::new(),
            Place::Member(Place::Root, name) => (*name).to_owned(),
            Place::Member(parent, name) => format!("{}.{name}", parent.path()),
            Place::Element(parent, index) => format!("{}[{index}]", parent.path()),
        }
    }
}

impl<'m> Resolver<'m> {
    fn value(&mut self, value: &'m Value, place: &Place<'_>, depth: usize) -> Result<Value> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(invalid("the references of the manifest unfold into too large a tree", place));
        }
        match value {
            Value::Object(members) => self.object(members, place, depth),
            Value::Array(items) => {
                let item = |(index, item)| self.value(item, &Place::Element(place, index), depth + 1);
                items.iter().enumerate().map(item).collect::<Result<Vec<_>>>().map(Value::Array)
            }
            Value::String(text) if text.starts_with("#/") => self.reference(text, place, depth),
            other => Ok(other.clone()),
        }
    }

    fn object(&mut self, members: &'m Map<String, Value>, place: &Place<'_>, depth: usize) -> Result<Value> {
        let mut own = Map::new();
        for (name, value) in members {
            if name == REFERENCE {
                continue;
            }
            let value = match name == CONFIG_VALUES {
                true => value.clone(),
                false => self.value(value, &Place::Member(place, name), depth + 1)?,
            };
            own.insert(name.clone(), value);
        }
        let Some(reference) = members.get(REFERENCE) else { return Ok(Value::Object(own)) };
        match self.value(reference, &Place::Member(place, REFERENCE), depth + 1)? {
            Value::Object(mut referenced) => {
                referenced.extend(own);
                Ok(Value::Object(referenced))
            }
            other => Ok(other),
        }
    }

    fn reference(&mut self, text: &'m str, place: &Place<'_>, depth: usize) -> Result<Value> {
        if let Some(known) = self.known.get(text) {
            self.nodes += known.1;
            if self.nodes > MAX_NODES {
                return Err(invalid("the references of the manifest unfold into too large a tree", place));
            }
            return Ok(known.0.clone());
        }
        if self.open.contains(&text) {
            let circle = self.open.iter().skip_while(|open| **open != text).copied().collect::<Vec<_>>().join(" -> ");
            return Err(invalid(format!("a $ref leads back to itself: {circle} -> {text}"), place));
        }
        let target = lookup(self.manifest, text.strip_prefix("#/").unwrap_or_default()).ok_or_else(|| {
            invalid(format!("the $ref {text} leads nowhere: define it or correct the reference"), place)
        })?;
        let before = self.nodes;
        self.open.push(text);
        let resolved = self.value(target, place, depth + 1)?;
        self.open.pop();
        self.known.insert(text, Rc::new((resolved.clone(), self.nodes - before)));
        Ok(resolved)
    }
}

/// A key may contain slashes: the longest rest that is a key wins at each step.
pub(super) fn lookup<'m>(mut value: &'m Value, mut path: &str) -> Option<&'m Value> {
    while !path.is_empty() {
        if let Some(found) = value.as_object().and_then(|members| members.get(path)) {
            return Some(found);
        }
        let (head, rest) = path.split_once('/').unwrap_or((path, ""));
        value = match value {
            Value::Object(members) => members.get(head)?,
            Value::Array(items) => items.get(head.parse::<usize>().ok()?)?,
            _ => return None,
        };
        path = rest;
    }
    Some(value)
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>, place: &Place<'_>) -> Error {
    Error::new(ErrorKind::Invalid, message).with("at", place.path())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_members_win_and_keys_may_have_slashes() {
        let manifest = json!({
            "a/b": {"x": 1, "y": {"deep": true}},
            "list": [{"z": 0}],
            "use": {"$ref": "#/a/b", "x": 2},
            "inner": "#/c/a/b",
            "c": {"a/b": {"deep": true}},
            "item": {"$ref": "#/list/0"},
        });
        let resolved = resolve(&manifest).unwrap();
        assert_eq!(resolved["use"], json!({"x": 2, "y": {"deep": true}}));
        assert_eq!(resolved["inner"], json!({"deep": true}));
        assert_eq!(resolved["item"], json!({"z": 0}));
    }

    #[test]
    fn circles_and_missing_targets_are_named() {
        let circle = resolve(&json!({"a": {"b": "#/c"}, "c": {"d": {"$ref": "#/a"}}})).unwrap_err();
        assert_eq!(circle.to_string(), "a $ref leads back to itself: #/c -> #/a -> #/c (at: a.b.d.$ref.b)");
        let missing = resolve(&json!({"streams": [{"$ref": "#/definitions/none"}]})).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the $ref #/definitions/none leads nowhere: define it or correct the reference (at: streams[0].$ref)"
        );
    }

    #[test]
    fn a_small_text_does_not_unfold_into_a_huge_tree() {
        let mut manifest = Map::new();
        manifest.insert("l0".into(), json!(["x", "x", "x", "x", "x", "x", "x", "x"]));
        for level in 1..20 {
            let below = format!("#/l{}", level - 1);
            manifest.insert(format!("l{level}"), json!([below, below, below, below, below, below, below, below]));
        }
        assert!(resolve(&Value::Object(manifest)).unwrap_err().message().contains("too large a tree"));
    }
}
