//! Paths into JSON values, and single values out of JSON text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The value at `path`; a segment may be an index of a list.
pub(crate) fn dpath_get<'v, S: AsRef<str>>(value: &'v Value, path: &[S]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, segment| step(value, segment.as_ref()))
}

fn step<'v>(value: &'v Value, segment: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(segment),
        Value::Array(items) => {
            let index: i64 = segment.parse().ok()?;
            let index = if index < 0 { index + i64::try_from(items.len()).ok()? } else { index };
            items.get(usize::try_from(index).ok()?)
        }
        _ => None,
    }
}

/// Every value at `path`, where `*` stands for any member or item and `**` for any way down.
pub(crate) fn dpath_values<'v, S: AsRef<str>>(value: &'v Value, path: &[S], found: &mut Vec<&'v Value>) {
    let Some((segment, rest)) = path.split_first() else {
        found.push(value);
        return;
    };
    match segment.as_ref() {
        "*" => children(value).for_each(|child| dpath_values(child, rest, found)),
        "**" => {
            dpath_values(value, rest, found);
            children(value).for_each(|child| dpath_values(child, path, found));
        }
        segment => {
            if let Some(child) = step(value, segment) {
                dpath_values(child, rest, found);
            }
        }
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(members) => Box::new(members.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Puts `new` at `path`; objects on the way are made, lists are filled up with nulls.
pub(crate) fn dpath_new<S: AsRef<str>>(record: &mut Map<String, Value>, path: &[S], new: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        record.insert(first.as_ref().to_owned(), new);
        return;
    }
    place(record.entry(first.as_ref()).or_insert(Value::Null), rest, new);
}

fn place<S: AsRef<str>>(value: &mut Value, path: &[S], new: Value) {
    let Some((segment, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    let segment = segment.as_ref();
    if let Value::Array(items) = value
        && let Some(index) = segment.parse::<usize>().ok().filter(|index| *index < 100_000)
    {
        if items.len() <= index {
            items.resize(index + 1, Value::Null);
        }
        if let Some(item) = items.get_mut(index) {
            place(item, rest, new);
        }
        return;
    }
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(members) = value {
        place(members.entry(segment).or_insert(Value::Null), rest, new);
    }
}

/// Replaces every value at `path`, with `*` in it; whether there was one.
pub(crate) fn dpath_set<S: AsRef<str>>(value: &mut Value, path: &[S], new: &Value) -> bool {
    let Some((segment, rest)) = path.split_first() else {
        *value = new.clone();
        return true;
    };
    match (value, segment.as_ref()) {
        (Value::Object(members), "*") => {
            members.values_mut().map(|child| dpath_set(child, rest, new)).filter(|set| *set).count() > 0
        }
        (Value::Array(items), "*") => {
            items.iter_mut().map(|child| dpath_set(child, rest, new)).filter(|set| *set).count() > 0
        }
        (Value::Object(members), name) => members.get_mut(name).is_some_and(|child| dpath_set(child, rest, new)),
        (Value::Array(items), index) => {
            let item = index.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            item.is_some_and(|child| dpath_set(child, rest, new))
        }
        _ => false,
    }
}

/// Removes what is at `path`, with `*` and `**` in it, where `keep` does not hold it back.
pub(crate) fn dpath_delete<S: AsRef<str>>(value: &mut Value, path: &[S], remove: &mut dyn FnMut(&Value) -> bool) {
    let Some((segment, rest)) = path.split_first() else { return };
    let segment = segment.as_ref();
    if segment == "**" {
        if rest.is_empty() {
            dpath_delete(value, &["*"], remove);
        } else {
            dpath_delete(value, rest, remove);
            each_child(value, &mut |child| dpath_delete(child, path, remove));
        }
        return;
    }
    if rest.is_empty() {
        match value {
            Value::Object(members) if segment == "*" => members.retain(|_, child| !remove(child)),
            Value::Object(members) => {
                let gone = match members.get(segment) {
                    Some(child) => remove(child),
                    None => false,
                };
                if gone {
                    members.shift_remove(segment);
                }
            }
            Value::Array(items) if segment == "*" => items.retain(|child| !remove(child)),
            Value::Array(items) => {
                let index = segment.parse::<usize>().unwrap_or(usize::MAX);
                let gone = match items.get(index) {
                    Some(child) => remove(child),
                    None => false,
                };
                if gone {
                    items.remove(index);
                }
            }
            _ => {}
        }
        return;
    }
    if segment == "*" {
        each_child(value, &mut |child| dpath_delete(child, rest, remove));
        return;
    }
    let child = match value {
        Value::Object(members) => members.get_mut(segment),
        Value::Array(items) => segment.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
        _ => None,
    };
    if let Some(child) = child {
        dpath_delete(child, rest, remove);
    }
}

fn each_child(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Object(members) => members.values_mut().for_each(visit),
        Value::Array(items) => items.iter_mut().for_each(visit),
        _ => {}
    }
}

/// A key written as a path with slashes.
pub(crate) fn path_segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

/// JSON text with sorted keys.
pub(crate) fn sorted_text(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            let member = |name: &&String| {
                let value = members.get(*name).map(sorted_text).unwrap_or_default();
                format!("{}:{value}", Value::String((*name).clone()))
            };
            format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted_text).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// What stands at a path within a JSON text, found in one pass and without building values.
pub(crate) enum Found<'t> {
    /// The path leads nowhere.
    Nothing,
    /// The items of the list there.
    Items(Vec<&'t RawValue>),
    /// Something else.
    Value(&'t RawValue),
}

/// Walks down `path` in `text`. Where the whole text is a list, each of its items is walked.
pub(crate) fn find<'t>(text: &'t [u8], path: &[String]) -> serde_json::Result<Vec<Found<'t>>> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let found = Bodies { path }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

struct Bodies<'p> {
    path: &'p [String],
}

impl<'t> DeserializeSeed<'t> for Bodies<'_> {
    type Value = Vec<Found<'t>>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.path.is_empty() {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            if !raw.get().starts_with('[') {
                return Ok(vec![Found::Value(raw)]);
            }
            return serde_json::from_str(raw.get()).map(|items| vec![Found::Items(items)]).map_err(D::Error::custom);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Bodies<'_> {
    type Value = Vec<Found<'t>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut bodies = Vec::new();
        while let Some(found) = seq.next_element_seed(Walk { path: self.path })? {
            bodies.push(found);
        }
        Ok(bodies)
    }

    fn visit_map<A: MapAccess<'t>>(self, map: A) -> Result<Self::Value, A::Error> {
        Walk { path: self.path }.visit_map(map).map(|found| vec![found])
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(vec![Found::Nothing])
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(vec![Found::Nothing])
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(vec![Found::Nothing])
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(vec![Found::Nothing])
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(vec![Found::Nothing])
    }
}

struct Walk<'p> {
    path: &'p [String],
}

impl<'t> DeserializeSeed<'t> for Walk<'_> {
    type Value = Found<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Walk<'_> {
    type Value = Found<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((segment, rest)) = self.path.split_first() else {
            return Err(A::Error::custom("a path is expected"));
        };
        let mut found = Found::Nothing;
        while let Some(matches) = map.next_key_seed(Key { wanted: segment })? {
            if matches && rest.is_empty() {
                found = map.next_value_seed(Final)?;
            } else if matches {
                found = map.next_value_seed(Walk { path: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some((segment, rest)) = self.path.split_first() else {
            return Err(A::Error::custom("a path is expected"));
        };
        let wanted: Option<usize> = segment.parse().ok();
        let mut found = Found::Nothing;
        let mut index = 0;
        loop {
            let more = if wanted == Some(index) {
                let item = match rest.is_empty() {
                    true => seq.next_element_seed(Final)?,
                    false => seq.next_element_seed(Walk { path: rest })?,
                };
                item.map(|item| found = item).is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(found);
            }
            index += 1;
        }
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Found::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Found::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Found::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Found::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Found::Nothing)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Found::Nothing)
    }
}

/// The end of a path: the items of a list, or the value.
struct Final;

impl<'t> DeserializeSeed<'t> for Final {
    type Value = Found<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
        match raw.get().starts_with('[') {
            true => serde_json::from_str(raw.get()).map(Found::Items).map_err(D::Error::custom),
            false => Ok(Found::Value(raw)),
        }
    }
}

struct Key<'w> {
    wanted: &'w str,
}

impl<'t> DeserializeSeed<'t> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.wanted)
    }
}

/// The top-level member `name` of a JSON object.
pub(crate) fn member(text: &[u8], name: &str) -> Option<Value> {
    struct Member<'n>(&'n str);
    impl<'t> Visitor<'t> for Member<'_> {
        type Value = Option<Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(matches) = map.next_key_seed(Key { wanted: self.0 })? {
                if matches {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.deserialize_map(Member(name)).ok().flatten()
}
