//! Applies transformations to records.

use any_ascii::any_ascii;
use highwater_core::Result;
use highwater_interpolation::{Map, Value, python_text};

use crate::dpath::{delete_leaves, dpath_delete, dpath_get, dpath_new, dpath_values};
use crate::model::{AddedField, Condition, Scope, Transformation, path_of};

pub(crate) fn apply_all(record: &mut Map, changes: &[Transformation], scope: &Scope<'_>) -> Result<()> {
    changes.iter().try_for_each(|change| apply(record, change, scope))
}

fn apply(record: &mut Map, change: &Transformation, scope: &Scope<'_>) -> Result<()> {
    match change {
        Transformation::Add { fields, condition } => add_fields(record, fields, condition.as_ref(), scope)?,
        Transformation::Remove { pointers, condition } => {
            remove_fields(record, pointers, condition.as_ref(), scope)?;
        }
        Transformation::KeysToLower => {
            *record = std::mem::take(record).into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect();
        }
        Transformation::KeysToSnakeCase => rename(record, &snake_case),
        Transformation::KeysReplace { old, new } => {
            let (old, new) = with_record(record, |value| {
                let scope = scope.with("record", value);
                Ok((old.text(&scope)?, new.text(&scope)?))
            })?;
            if !old.is_empty() {
                rename(record, &|key| key.replace(&old, &new));
            }
        }
        Transformation::Flatten { lists } => *record = flatten(std::mem::take(record), *lists),
        Transformation::FlattenAt { path, delete_origin, replace, prefix, suffix } => {
            let path = path_of(path, scope)?;
            let part = |template: &Option<crate::model::Template>| match template {
                Some(template) => template.text(scope),
                None => Ok(String::new()),
            };
            let (prefix, suffix) = (part(prefix)?, part(suffix)?);
            flatten_at(record, &path, *delete_origin, *replace, &|key| format!("{prefix}{key}{suffix}"));
        }
        Transformation::Custom(custom) => {
            if let Some(config) = scope.variables.get("config") {
                custom.transform(record, config)?;
            }
        }
    }
    Ok(())
}

/// Lends the record as a value.
fn with_record<T>(record: &mut Map, use_it: impl FnOnce(&Value) -> Result<T>) -> Result<T> {
    let value = Value::Object(std::mem::take(record));
    let result = use_it(&value);
    if let Value::Object(members) = value {
        *record = members;
    }
    result
}

pub(crate) fn add_fields(
    record: &mut Map,
    fields: &[AddedField],
    condition: Option<&Condition>,
    scope: &Scope<'_>,
) -> Result<()> {
    for field in fields {
        let added = with_record(record, |value| {
            let scope = scope.with("record", value);
            let new = match field.value_type {
                Some(types) => field.value.value_as(&scope, types)?,
                None => field.value.value(&scope)?,
            };
            let Some(condition) = condition else { return Ok(Some(new)) };
            let path = Value::from(field.path.clone());
            let holds = condition.holds(&scope.with("value", &new).with("path", &path))?;
            Ok(holds.then_some(new))
        })?;
        if let Some(new) = added {
            dpath_new(record, &field.path, new);
        }
    }
    Ok(())
}

pub(crate) fn remove_fields(
    record: &mut Map,
    pointers: &[Vec<String>],
    condition: Option<&Condition>,
    scope: &Scope<'_>,
) -> Result<()> {
    let mut failure = None;
    let mut value = Value::Object(std::mem::take(record));
    for pointer in pointers {
        match condition {
            None => dpath_delete(&mut value, pointer, &mut |_| true),
            // As the reference does it: the condition alone decides, on every leaf of the record.
            Some(condition) => delete_leaves(&mut value, &mut |property| {
                condition.holds(&scope.with("property", property)).unwrap_or_else(|error| {
                    failure.get_or_insert(error);
                    false
                })
            }),
        }
    }
    if let Value::Object(members) = value {
        *record = members;
    }
    failure.map_or(Ok(()), Err)
}

fn rename(record: &mut Map, name: &dyn Fn(&str) -> String) {
    *record = std::mem::take(record)
        .into_iter()
        .map(|(key, mut value)| {
            if let Value::Object(nested) = &mut value {
                rename(nested, name);
            }
            (name(&key), value)
        })
        .collect();
}

/// `FooBar 2x` becomes `foo_bar_2_x`, `Größe` becomes `grosse`.
fn snake_case(key: &str) -> String {
    let characters: Vec<char> = any_ascii(key).chars().collect();
    let mut tokens: Vec<String> = Vec::new();
    let mut at = 0;
    let run = |from: usize, test: &dyn Fn(char) -> bool| {
        characters.iter().skip(from).take_while(|character| test(**character)).count()
    };
    while let Some(first) = characters.get(at) {
        let length = if first.is_ascii_uppercase() {
            let upper = run(at, &|character| character.is_ascii_uppercase());
            upper + run(at + upper, &|character| character.is_ascii_lowercase())
        } else if first.is_ascii_lowercase() {
            run(at, &|character| character.is_ascii_lowercase())
        } else if first.is_ascii_digit() {
            run(at, &|character| character.is_ascii_digit())
        } else {
            run(at, &|character| !character.is_ascii_alphanumeric())
        };
        let token: String = characters.iter().skip(at).take(length).collect();
        tokens.push(if first.is_ascii_alphanumeric() { token.to_ascii_lowercase() } else { String::new() });
        at += length.max(1);
    }
    let last = tokens.len().saturating_sub(1);
    let mut place = 0;
    tokens.retain(|token| {
        let inner = place > 0 && place < last;
        place += 1;
        !inner || !token.is_empty()
    });
    if tokens.first().is_some_and(|token| token.starts_with(|character: char| character.is_ascii_digit())) {
        tokens.insert(0, String::new());
    }
    tokens.join("_")
}

/// Every leaf at the top level. Leaves of lists, and those whose key is taken, carry their way as a name.
fn flatten(record: Map, lists: bool) -> Map {
    let mut flat = Map::new();
    let mut stack = vec![(Value::Object(record), "_".to_owned())];
    let mut with_parent = false;
    while let Some((value, key)) = stack.pop() {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let name = match with_parent || flat.contains_key(&name) {
                        true => format!("{key}.{name}"),
                        false => name,
                    };
                    stack.push((member, name));
                }
            }
            Value::Array(items) if lists => {
                for (index, item) in items.into_iter().enumerate() {
                    with_parent = true;
                    stack.push((item, format!("{key}.{index}")));
                }
            }
            leaf => drop(flat.insert(key, leaf)),
        }
    }
    flat
}

fn flatten_at(record: &mut Map, path: &[String], delete_origin: bool, replace: bool, name: &dyn Fn(&str) -> String) {
    let mut value = Value::Object(std::mem::take(record));
    let found = match path.iter().any(|segment| matches!(segment.as_str(), "*" | "**")) {
        true => {
            let mut found = Vec::new();
            dpath_values(&value, path, &mut found);
            found.first().copied()
        }
        false => dpath_get(&value, path),
    };
    if let Some(Value::Object(found)) = found {
        let found: Map = found.iter().map(|(key, value)| (name(key), value.clone())).collect();
        if replace && !found.is_empty() {
            value = Value::Object(found);
        } else if !found.keys().any(|key| value.get(key).is_some()) {
            if delete_origin {
                dpath_delete(&mut value, path, &mut |_| true);
            }
            if let Value::Object(members) = &mut value {
                members.extend(found);
            }
        }
    }
    if let Value::Object(members) = value {
        *record = members;
    }
}

/// Converts values to the types that `schema` names.
pub(crate) fn normalize(record: &mut Map, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, subschema) in properties {
        if let Some(value) = record.get_mut(name) {
            convert(value, subschema, 0);
        }
    }
}

fn convert(value: &mut Value, schema: &Value, depth: usize) {
    if depth > 64 {
        return;
    }
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if value.is_null() && names.contains(&"null") {
        return;
    }
    let targets: Vec<&str> = names.into_iter().filter(|name| *name != "null").collect();
    if let [target] = targets.as_slice()
        && let Some(converted) = converted(value, target, schema)
    {
        *value = converted;
    }
    match value {
        Value::Object(members) => normalize(members, schema),
        Value::Array(items) => {
            if let Some(schema) = schema.get("items").filter(|schema| schema.is_object()) {
                items.iter_mut().for_each(|item| convert(item, schema, depth + 1));
            }
        }
        _ => {}
    }
}

fn converted(value: &Value, target: &str, schema: &Value) -> Option<Value> {
    let text = || python_text(value);
    match target {
        "string" if !value.is_string() => Some(Value::String(text())),
        "number" => match value {
            Value::Number(number) if number.is_f64() => None,
            Value::Number(number) => number.as_f64().map(Value::from),
            Value::Bool(flag) => Some(Value::from(f64::from(u8::from(*flag)))),
            Value::String(text) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
            _ => None,
        },
        "integer" => match value {
            Value::Number(number) if number.is_f64() => {
                number.as_f64().filter(|number| number.abs() < 9e15).map(|number| Value::from(number as i64))
            }
            Value::Bool(flag) => Some(Value::from(u8::from(*flag))),
            Value::String(text) => text.trim().parse::<i64>().ok().map(Value::from),
            _ => None,
        },
        "boolean" => match value {
            Value::Bool(_) => None,
            Value::String(text) => match text.trim().to_lowercase().as_str() {
                "y" | "yes" | "t" | "true" | "on" | "1" => Some(Value::Bool(true)),
                "n" | "no" | "f" | "false" | "off" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            other => Some(Value::Bool(crate::document::is_truthy(other))),
        },
        "array" => {
            let simple = !value.is_array() && !value.is_object();
            let items = schema.get("items").and_then(|items| items.get("type"));
            let items_simple = match items {
                None => true,
                Some(Value::Array(names)) => {
                    names.iter().all(|name| !matches!(name.as_str(), Some("object" | "array")))
                }
                Some(_) => false,
            };
            (simple && items_simple).then(|| Value::Array(vec![value.clone()]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    #[test]
    fn snake_case_as_in_the_reference() {
        for (key, expected) in [
            ("FooBar", "foo_bar"),
            ("fooBar2x", "foo_bar_2_x"),
            ("Foo  Bar", "foo_bar"),
            ("2Foo", "_2_foo"),
            ("HTTPServer", "httpserver"),
            ("_x_", "_x_"),
            ("ÀB", "ab"),
            ("Größe 2", "grosse_2"),
        ] {
            assert_eq!(snake_case(key), expected, "{key}");
        }
    }

    #[test]
    fn leaves_come_to_the_top() {
        let Value::Object(record) = json!({"id": 1, "a": {"id": 2, "b": 3}, "l": [4]}) else { return };
        assert_eq!(Value::Object(flatten(record, true)), json!({"l.0": 4, "a.b": 3, "a.id": 2, "id": 1}));
    }

    #[test]
    fn values_take_the_types_of_the_schema() {
        let schema = json!({"properties": {"n": {"type": ["null", "number"]}, "i": {"type": "integer"}, "s": {"type": "string"},
            "b": {"type": "boolean"}, "o": {"type": "object", "properties": {"i": {"type": "integer"}}}, "l": {"type": "array", "items": {"type": "integer"}}}});
        let Value::Object(mut record) =
            json!({"n": "1.5", "i": "2", "s": 3, "b": "yes", "o": {"i": "4"}, "l": ["5"], "x": 1})
        else {
            return;
        };
        normalize(&mut record, &schema);
        assert_eq!(
            Value::Object(record),
            json!({"n": 1.5, "i": 2, "s": "3", "b": true, "o": {"i": 4}, "l": [5], "x": 1})
        );
    }
}
