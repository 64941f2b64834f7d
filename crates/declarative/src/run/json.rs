//! Reads single values of a JSON text, and writes JSON with sorted keys.

use std::fmt;

use highwater_interpolation::Value;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// JSON text with sorted keys.
pub(crate) fn sorted_text(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            let member = |name: &&String| {
                let value = members.get(name).map(sorted_text).unwrap_or_default();
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
        Ok(vec![Found::Nothing])
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

/// JSON text in which each half of a surrogate pair (`\ud83d` alone) is the replacement character: such text is valid JSON
/// (RFC 8259, section 8.2), but no Unicode.
pub(crate) fn with_whole_characters(text: &[u8]) -> Vec<u8> {
    let mut whole = text.to_vec();
    let mut at = 0;
    while let Some(&byte) = whole.get(at) {
        if byte != b'\\' {
            at += 1;
            continue;
        }
        match (surrogate_at(&whole, at), surrogate_at(&whole, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(_), _) => {
                whole.splice(at + 2..at + 6, *b"fffd");
                at += 6;
            }
            (None, _) => at += 2,
        }
    }
    whole
}

fn surrogate_at(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let code = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..=0xdfff).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::with_whole_characters;

    #[test]
    fn halves_of_surrogate_pairs_are_replaced_and_nothing_else_is() {
        for (text, whole) in [
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#),
            (r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"\ude00\ud83d"}"#, r#"{"a":"\ufffd\ufffd"}"#),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffd\ud83d\ude00"}"#),
            (r#"{"a":"\\ud83d"}"#, r#"{"a":"\\ud83d"}"#),
            (r#"{"a":"\u00e9 \ud8"}"#, r#"{"a":"\u00e9 \ud8"}"#),
        ] {
            assert_eq!(String::from_utf8(with_whole_characters(text.as_bytes())).unwrap(), whole, "{text}");
        }
    }
}
