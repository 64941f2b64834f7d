//! Resolves `$ref`. Own members override the referenced ones; a text that begins with `#/` is a reference everywhere.

use std::collections::HashMap;
use std::rc::Rc;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

const REFERENCE: &str = "$ref";
/// Values of the config, in which nothing is a reference.
const CONFIG_VALUES: &str = "config_overrides";
/// References of references multiply: a small text may describe a huge tree. Counted is the tree that results.
const MAX_NODES: usize = 2_000_000;
const MAX_DEPTH: usize = 256;
/// Members that are copied when a reference is laid under a component's own: they may be overridden, and then they are
/// not in the result.
const MAX_COPIED: usize = 20_000_000;
const TOO_LARGE: &str = "the references of the manifest unfold into too large a tree";

/// The manifest without references. The sections that exist to be referred to stay as they are written.
pub(crate) fn resolve(manifest: &Value) -> Result<Value> {
    let mut resolver = Resolver::new(manifest);
    let mut root = Map::new();
    let mut left = MAX_NODES;
    for (name, value) in manifest.as_object().into_iter().flatten() {
        let value = match SECTIONS.contains(&name.as_str()) {
            true => value.clone(),
            false => {
                let place = Place::Member(&Place::Root, name);
                let part = resolver.value(value, &place, 1)?;
                left = left.checked_sub(part.size).ok_or_else(|| part.too_large(&place, left))?;
                part.into_value(&place, 1)?
            }
        };
        root.insert(name.clone(), value);
    }
    Ok(Value::Object(root))
}

/// Sections of a manifest that exist to be referred to.
pub(crate) const SECTIONS: [&str; 2] = ["definitions", "schemas"];

/// What is wrong with references in definitions: place and fault.
pub(crate) fn faults(manifest: &Value) -> Vec<Error> {
    let mut resolver = Resolver::new(manifest);
    let mut faults = Vec::new();
    for section in SECTIONS {
        let root = Place::Member(&Place::Root, section);
        for (name, value) in manifest.get(section).and_then(Value::as_object).into_iter().flatten() {
            resolver.open.clear();
            faults.extend(resolver.value(value, &Place::Member(&root, name), 2).err());
        }
    }
    faults
}

struct Resolver<'m> {
    manifest: &'m Value,
    open: Vec<&'m str>,
    copied: usize,
    known: HashMap<&'m str, Part<'m>>,
}

/// A part of the result, shared by all places that refer to it.
#[derive(Clone)]
struct Part<'m> {
    node: Rc<Node<'m>>,
    /// Nodes of the tree that it stands for.
    size: usize,
}

enum Node<'m> {
    Leaf(&'m Value),
    List(Vec<Part<'m>>),
    Mapping(Vec<(&'m str, Part<'m>)>),
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

impl<'m> Part<'m> {
    fn new(node: Node<'m>) -> Self {
        let below = match &node {
            Node::Leaf(_) => 0,
            Node::List(items) => items.iter().fold(0, |sum: usize, item| sum.saturating_add(item.size)),
            Node::Mapping(members) => members.iter().fold(0, |sum: usize, (_, part)| sum.saturating_add(part.size)),
        };
        Part { size: below.saturating_add(1), node: Rc::new(node) }
    }

    fn into_value(self, place: &Place<'_>, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(invalid(TOO_LARGE, place));
        }
        Ok(match &*self.node {
            Node::Leaf(value) => (*value).clone(),
            Node::List(items) => {
                let item = |(index, item): (usize, &Part<'m>)| {
                    item.clone().into_value(&Place::Element(place, index), depth + 1)
                };
                Value::Array(items.iter().enumerate().map(item).collect::<Result<_>>()?)
            }
            Node::Mapping(members) => {
                let member = |(name, part): &(&'m str, Part<'m>)| {
                    Ok(((*name).to_owned(), part.clone().into_value(&Place::Member(place, name), depth + 1)?))
                };
                Value::Object(members.iter().map(member).collect::<Result<_>>()?)
            }
        })
    }

    /// Names the place below `place` that makes the tree larger than `limit`.
    fn too_large(&self, place: &Place<'_>, limit: usize) -> Error {
        let larger = |part: &&Part<'m>| part.size > limit;
        match &*self.node {
            Node::List(items) => match items.iter().enumerate().find(|(_, item)| larger(item)) {
                Some((index, item)) => item.too_large(&Place::Element(place, index), limit),
                None => invalid(TOO_LARGE, place),
            },
            Node::Mapping(members) => match members.iter().find(|(_, part)| larger(&part)) {
                Some((name, part)) => part.too_large(&Place::Member(place, name), limit),
                None => invalid(TOO_LARGE, place),
            },
            Node::Leaf(_) => invalid(TOO_LARGE, place),
        }
    }
}

impl<'m> Resolver<'m> {
    fn new(manifest: &'m Value) -> Self {
        Resolver { manifest, open: Vec::new(), copied: 0, known: HashMap::new() }
    }

    fn value(&mut self, value: &'m Value, place: &Place<'_>, depth: usize) -> Result<Part<'m>> {
        if depth > MAX_DEPTH {
            return Err(invalid(TOO_LARGE, place));
        }
        match value {
            Value::Object(members) => self.object(members, place, depth),
            Value::Array(items) => {
                let item = |(index, item)| self.value(item, &Place::Element(place, index), depth + 1);
                let items = items.iter().enumerate().map(item).collect::<Result<_>>()?;
                Ok(Part::new(Node::List(items)))
            }
            Value::String(text) if text.starts_with("#/") => self.reference(text, place, depth),
            leaf => Ok(Part::new(Node::Leaf(leaf))),
        }
    }

    fn object(&mut self, members: &'m Map, place: &Place<'_>, depth: usize) -> Result<Part<'m>> {
        let mut own = Vec::with_capacity(members.len());
        for (name, value) in members {
            if name == REFERENCE {
                continue;
            }
            let part = match name == CONFIG_VALUES {
                true => Part::new(Node::Leaf(value)),
                false => self.value(value, &Place::Member(place, name), depth + 1)?,
            };
            own.push((name.as_str(), part));
        }
        let Some(reference) = members.get(REFERENCE) else { return Ok(Part::new(Node::Mapping(own))) };
        let referenced = self.value(reference, &Place::Member(place, REFERENCE), depth + 1)?;
        let Node::Mapping(base) = &*referenced.node else { return Ok(referenced) };
        self.copied += base.len();
        if self.copied > MAX_COPIED {
            return Err(invalid(TOO_LARGE, place));
        }
        let mut merged = base.clone();
        let places: HashMap<&str, usize> = base.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
        for (name, part) in own {
            match places.get(name).and_then(|place| merged.get_mut(*place)) {
                Some((_, there)) => *there = part,
                None => merged.push((name, part)),
            }
        }
        Ok(Part::new(Node::Mapping(merged)))
    }

    fn reference(&mut self, text: &'m str, place: &Place<'_>, depth: usize) -> Result<Part<'m>> {
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        if self.open.contains(&text) {
            let circle = self.open.iter().skip_while(|open| **open != text).copied().collect::<Vec<_>>().join(" -> ");
            return Err(invalid(format!("a $ref leads back to itself: {circle} -> {text}"), place));
        }
        let target = lookup(self.manifest, text.strip_prefix("#/").unwrap_or_default()).ok_or_else(|| {
            invalid(format!("the $ref {text} leads nowhere: define it or correct the reference"), place)
        })?;
        self.open.push(text);
        let resolved = self.value(target, place, depth + 1)?;
        self.open.pop();
        self.known.insert(text, resolved.clone());
        Ok(resolved)
    }
}

/// A key may contain slashes: the longest rest that is a key wins at each step.
pub(crate) fn lookup<'m>(mut value: &'m Value, mut path: &str) -> Option<&'m Value> {
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
    use crate::json;

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
    fn definitions_stay_as_they_are_and_their_faults_stop_nothing() {
        let manifest = json!({
            "definitions": {"a": "#/definitions/none", "b": {"$ref": "#/definitions/c"}, "c": {"x": 1}},
            "use": "#/definitions/b",
        });
        let resolved = resolve(&manifest).unwrap();
        assert_eq!((&resolved["use"], &resolved["definitions"]), (&json!({"x": 1}), &manifest["definitions"]));
        let faults: Vec<String> = faults(&manifest).iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            ["the $ref #/definitions/none leads nowhere: define it or correct the reference (at: definitions.a)"]
        );
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
        manifest.insert("streams".into(), json!({"s": [1, "#/l19"]}));
        let error = resolve(&Value::Object(manifest)).unwrap_err();
        assert!(error.message().contains("too large a tree"), "{error}");
    }

    #[test]
    fn what_is_overridden_level_by_level_counts_once() {
        // As large manifests of reports are made: every stream overrides the innermost part of a deep base.
        const LEVELS: usize = 14;
        let filler: Vec<Value> = (0..900).map(Value::from).collect();
        let mut base = json!({"filler": filler, "path": ""});
        for level in 0..LEVELS {
            base = json!({"type": level, "below": base});
        }
        let mut streams = Vec::new();
        for number in 0..500 {
            let reference = |level: usize| format!("#/definitions/base{}", "/below".repeat(level));
            let mut stream = json!({"$ref": reference(LEVELS), "path": number});
            for level in (0..LEVELS).rev() {
                stream = json!({"$ref": reference(level), "below": stream});
            }
            streams.push(stream);
        }
        let resolved = resolve(&json!({"definitions": {"base": base}, "streams": streams})).unwrap();
        let mut innermost = &resolved["streams"][499];
        for level in (0..LEVELS).rev() {
            assert_eq!(innermost["type"], level);
            innermost = &innermost["below"];
        }
        assert_eq!((&innermost["path"], &innermost["filler"][899]), (&json!(499), &json!(899)));
    }

    #[test]
    fn a_base_that_is_copied_again_and_again_ends() {
        let wide: Map = (0..5000).map(|name| (name.to_string(), Value::Null)).collect();
        let over: Value = wide.keys().map(|name| (name.clone(), json!(0))).collect::<Map>().into();
        let uses: Vec<Value> = (0..5000).map(|_| json!({"x": {"$ref": "#/wide"}, "$ref": "#/over"})).collect();
        let manifest = json!({"wide": wide, "over": over, "streams": uses});
        assert!(resolve(&manifest).unwrap_err().message().contains("too large a tree"));
    }
}
