//! Paths into JSON values, by the rules of the Python library `dpath`: `*`, `?` and `[abc]` match parts of a name, `**` matches
//! any number of segments.

use highwater_interpolation::{Map, Value};

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

/// Whether a segment stands for more than itself.
fn is_pattern(segment: &str) -> bool {
    segment.contains(['*', '?', '['])
}

/// A segment that stands for more than itself, in the manner of a shell.
struct Pattern(Vec<Part>);

enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    Literal(char),
    /// `[a-z]`, or `[!a-z]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    fn new(segment: &str) -> Self {
        let characters: Vec<char> = segment.chars().collect();
        let mut rest = characters.as_slice();
        let mut parts = Vec::new();
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            parts.push(match first {
                '*' => Part::Any,
                '?' => Part::One,
                '[' => match class(tail) {
                    Some((class, tail)) => {
                        rest = tail;
                        class
                    }
                    None => Part::Literal('['),
                },
                literal => Part::Literal(*literal),
            });
        }
        Pattern(parts)
    }

    /// Goes back to the last `*` alone, so that time stays bounded.
    fn fits(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut part) = (0, 0);
        let mut last_any = None;
        while let Some(character) = name.get(at) {
            match self.0.get(part) {
                Some(Part::Any) => {
                    last_any = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(other) if other.takes(*character) => {
                    (at, part) = (at + 1, part + 1);
                    continue;
                }
                _ => {}
            }
            let Some((any, from)) = last_any else { return false };
            last_any = Some((any, from + 1));
            (at, part) = (from + 1, any + 1);
        }
        self.0.iter().skip(part).all(|part| matches!(part, Part::Any))
    }
}

impl Part {
    fn takes(&self, character: char) -> bool {
        match self {
            Part::Any | Part::One => true,
            Part::Literal(literal) => *literal == character,
            Part::Class { negated, ranges } => {
                ranges.iter().any(|(from, to)| *from <= character && character <= *to) != *negated
            }
        }
    }
}

/// A class of characters after its `[`, and what follows it.
fn class(pattern: &[char]) -> Option<(Part, &[char])> {
    let (negated, body) = match pattern.split_first() {
        Some(('!', body)) => (true, body),
        _ => (false, pattern),
    };
    // A `]` that comes first is a member.
    let end = 1 + body.get(1..)?.iter().position(|character| *character == ']')?;
    let mut members = body.get(..end)?;
    let mut ranges = Vec::new();
    while let Some((first, tail)) = members.split_first() {
        let (last, tail) = match tail {
            ['-', last, tail @ ..] => (last, tail),
            _ => (first, tail),
        };
        ranges.push((*first, *last));
        members = tail;
    }
    Some((Part::Class { negated, ranges }, body.get(end + 1..)?))
}

/// Ways that ended before the path did.
#[derive(Default)]
pub(crate) struct Misses<'v> {
    /// A member of that name is not there.
    pub absent: bool,
    /// A text, a number or `true` where a wildcard needs something to choose from.
    pub scalar: Option<&'v Value>,
}

/// Every value at `path`.
pub(crate) fn dpath_values<'v, S: AsRef<str>>(value: &'v Value, path: &[S], found: &mut Vec<&'v Value>) {
    dpath_values_noting(value, path, found, &mut Misses::default());
}

/// As [`dpath_values`], noting where the path led nowhere.
pub(crate) fn dpath_values_noting<'v, S: AsRef<str>>(
    value: &'v Value,
    path: &[S],
    found: &mut Vec<&'v Value>,
    misses: &mut Misses<'v>,
) {
    let Some((segment, rest)) = path.split_first() else {
        found.push(value);
        return;
    };
    match segment.as_ref() {
        "**" => {
            let mut anywhere = Misses::default();
            dpath_values_noting(value, rest, found, &mut anywhere);
            children(value).for_each(|child| dpath_values_noting(child, path, found, &mut anywhere));
        }
        segment if is_pattern(segment) => {
            let pattern = Pattern::new(segment);
            match value {
                Value::Object(members) => members
                    .iter()
                    .filter(|(name, _)| pattern.fits(name))
                    .for_each(|(_, child)| dpath_values_noting(child, rest, found, misses)),
                Value::Array(items) => items
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| pattern.fits(&index.to_string()))
                    .for_each(|(_, child)| dpath_values_noting(child, rest, found, misses)),
                Value::Null => {}
                scalar => misses.scalar = Some(scalar),
            }
        }
        segment => match step(value, segment) {
            Some(child) => dpath_values_noting(child, rest, found, misses),
            None => misses.absent = true,
        },
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(members) => Box::new(members.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Puts `new` at `path`. What is missing on the way is made: a list where a number follows, an object otherwise; lists
/// are filled up with nulls.
pub(crate) fn dpath_new<S: AsRef<str>>(record: &mut Map, path: &[S], new: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        record.insert(first.as_ref().to_owned(), new);
        return;
    }
    place(record.get_or_insert_with(first.as_ref(), Value::default), rest, new);
}

fn place<S: AsRef<str>>(value: &mut Value, path: &[S], new: Value) {
    let Some((segment, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    let segment = segment.as_ref();
    let index = segment.parse::<usize>().ok().filter(|index| *index < 100_000);
    if value.is_null() && index.is_some() {
        *value = Value::Array(Vec::new());
    }
    if let (Value::Array(items), Some(index)) = (&mut *value, index) {
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
        place(members.get_or_insert_with(segment, Value::default), rest, new);
    }
}

/// Puts `new` at `path` where every segment is a member's name.
pub(crate) fn nest<S: AsRef<str>>(target: &mut Map, path: &[S], new: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        target.insert(first.as_ref().to_owned(), new);
        return;
    }
    let child = target.get_or_insert_with(first.as_ref(), Value::default);
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    if let Value::Object(members) = child {
        nest(members, rest, new);
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

/// Removes what is at `path`, where `remove` holds. An item of a list becomes null, unless it is the last one.
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
    let pattern = is_pattern(segment).then(|| Pattern::new(segment));
    let chosen = |name: &str| pattern.as_ref().map_or(name == segment, |pattern| pattern.fits(name));
    match value {
        Value::Object(members) if rest.is_empty() => members.retain(|name, child| !(chosen(name) && remove(child))),
        Value::Object(members) => {
            members.iter_mut().filter(|(name, _)| chosen(name)).for_each(|(_, child)| dpath_delete(child, rest, remove))
        }
        Value::Array(items) => {
            let length = items.len();
            for index in 0..length {
                let counted_back = format!("-{}", length - index);
                if !chosen(&index.to_string()) && (pattern.is_some() || counted_back != segment) {
                    continue;
                }
                if !rest.is_empty() {
                    items.iter_mut().skip(index).take(1).for_each(|item| dpath_delete(item, rest, remove));
                } else if items.get(index).is_some_and(&mut *remove) {
                    take_out(items, index);
                }
            }
        }
        _ => {}
    }
}

fn take_out(items: &mut Vec<Value>, index: usize) {
    if index + 1 == items.len() {
        items.pop();
    } else if let Some(item) = items.get_mut(index) {
        *item = Value::Null;
    }
}

/// Removes every leaf for which `remove` holds, wherever it stands.
pub(crate) fn delete_leaves(value: &mut Value, remove: &mut dyn FnMut(&Value) -> bool) {
    let leaf = |child: &Value| !child.is_object() && !child.is_array();
    match value {
        Value::Object(members) => members.retain(|_, child| !(leaf(child) && remove(child))),
        Value::Array(items) => {
            for index in 0..items.len() {
                if items.get(index).is_some_and(|child| leaf(child) && remove(child)) {
                    take_out(items, index);
                }
            }
        }
        _ => return,
    }
    each_child(value, &mut |child| delete_leaves(child, remove));
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

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (name, pattern, expected) in [
            ("abc", "a*", true),
            ("abc", "*c", true),
            ("abc", "a?c", true),
            ("abc", "a[a-c]c", true),
            ("abc", "a[!b]c", false),
            ("a]c", "a[]]c", true),
            ("a[c", "a[c", true),
            ("abc", "ab", false),
            ("aXbXc", "a*b*c", true),
            ("aXbXd", "a*b*c", false),
            ("abc", "***", true),
        ] {
            assert_eq!(Pattern::new(pattern).fits(name), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn missing_parts_are_made() {
        let mut record = Map::new();
        dpath_new(&mut record, &["list", "1", "name"], json!("x"));
        nest(&mut record, &["members", "1"], json!("y"));
        assert_eq!(Value::Object(record), json!({"list": [null, {"name": "x"}], "members": {"1": "y"}}));
    }

    #[test]
    fn items_of_lists_keep_their_places() {
        let mut value = json!({"list": [1, 2, 3], "other": [{"a": 1, "b": 2}], "a": 5});
        dpath_delete(&mut value, &["list", "0"], &mut |_| true);
        dpath_delete(&mut value, &["list", "-1"], &mut |_| true);
        dpath_delete(&mut value, &["**", "a"], &mut |_| true);
        assert_eq!(value, json!({"list": [null, 2], "other": [{"b": 2}]}));
        delete_leaves(&mut value, &mut |leaf| leaf == &json!(2));
        assert_eq!(value, json!({"list": [null], "other": [{}]}));
    }
}
