//! Migrates a config to the current version of the spec, checks it, and collects its secrets.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Interpolator, LiteralTypes, Map, Value, python_text};

use crate::dpath::{dpath_get, dpath_set};
use crate::model::{ConfigChange, Scope, Spec, path_of};
use crate::run::{add_fields, remove_fields};

/// Applies the manifest's own changes.
pub(crate) fn migrate(config: &mut Value, spec: &Spec, interpolator: &Interpolator) -> Result<()> {
    for change in &spec.migrations {
        let before = config.clone();
        let scope = Scope::new(interpolator, &before);
        match change {
            ConfigChange::Remap { map, path } => {
                let path = path_of(path, &scope)?;
                let map = interpolator.evaluate_mapping(map, &scope.variables, LiteralTypes::ALL)?;
                let new = dpath_get(config, &path).and_then(|value| map.get(&python_text(value)));
                if let Some(new) = new {
                    dpath_set(config, &path, new);
                }
            }
            ConfigChange::Add { fields, condition } => {
                if let Value::Object(members) = config {
                    add_fields(members, fields, condition.as_ref(), &scope)?;
                }
            }
            ConfigChange::Remove { pointers, condition } => {
                let holds = condition.as_ref().map_or(Ok(true), |condition| condition.holds(&scope))?;
                if let (true, Value::Object(members)) = (holds, &mut *config) {
                    remove_fields(members, pointers, None, &scope)?;
                }
            }
        }
    }
    Ok(())
}

/// Every setting that the spec requires must be there, with the right type.
pub(crate) fn check_config(config: &Value, spec: &Spec) -> Result<()> {
    check(config, &spec.connection, "", 0)?;
    for validation in &spec.validations {
        let value = match &validation.value {
            Some(value) => Some(value),
            None => dpath_get(config, &validation.field),
        };
        if let Some(value) = value {
            let place = validation.field.join(".");
            check(value, &validation.schema, &place, 0).map_err(|error| error.with("at", &validation.path))?;
        }
    }
    Ok(())
}

fn check(value: &Value, schema: &Value, place: &str, depth: usize) -> Result<()> {
    if depth > 32 {
        return Ok(());
    }
    let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
    if let Some(branches) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        let mut last = None;
        for branch in branches {
            match check(value, branch, place, depth + 1) {
                Ok(()) => return check_own(value, schema, place, depth),
                // The branch that knows itself by a constant tells best what is missing.
                Err(error) if last.is_none() || matches_constant(value, branch) => last = Some(error),
                Err(_) => {}
            }
        }
        return last.map_or(Ok(()), Err);
    }
    if let Some(constant) = schema.get("const")
        && value != constant
    {
        return Err(invalid(format!("the config's `{place}` must be {constant}")));
    }
    check_own(value, schema, place, depth)
}

fn matches_constant(value: &Value, branch: &Value) -> bool {
    let properties = branch.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .any(|(name, schema)| schema.get("const").is_some_and(|constant| value.get(name) == Some(constant)))
}

fn check_own(value: &Value, schema: &Value, place: &str, depth: usize) -> Result<()> {
    let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
        return Err(invalid(format!("the config's `{place}` must be {}", described(&types))));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        let choices = choices.iter().map(python_text).collect::<Vec<_>>().join(", ");
        return Err(invalid(format!("the config's `{place}` must be one of {choices}")));
    }
    if let (Some(pattern), Some(text)) = (schema.get("pattern").and_then(Value::as_str), value.as_str()) {
        let fits = fancy_regex::Regex::new(pattern).ok().and_then(|pattern| pattern.is_match(text).ok());
        if fits == Some(false) && !text.is_empty() {
            return Err(invalid(format!("the config's `{place}` must match {pattern}")));
        }
    }
    let Value::Object(members) = value else { return Ok(()) };
    let joined = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    let properties = schema.get("properties").and_then(Value::as_object);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let property = properties.and_then(|properties| properties.get(name));
        let has_default = property.is_some_and(|property| property.get("default").is_some());
        if members.get(name).is_none_or(Value::is_null) && !has_default {
            let title = property.and_then(|property| property.get("title")).and_then(Value::as_str);
            let title = title.map(|title| format!(" ({title})")).unwrap_or_default();
            return Err(invalid(format!("the config misses `{}`{title}: give it", joined(name))));
        }
    }
    for (name, property) in properties.into_iter().flatten() {
        if let Some(member) = members.get(name).filter(|member| !member.is_null()) {
            check(member, property, &joined(name), depth + 1)?;
        }
    }
    Ok(())
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn described(types: &[&str]) -> String {
    let name = |name: &&str| match *name {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    };
    types.iter().map(name).collect::<Vec<_>>().join(" or ")
}

/// Values that the spec marks as secret.
pub(crate) fn secrets_of(config: &Value, schema: &Value, secrets: &mut Vec<String>) {
    if schema.get("airbyte_secret").and_then(Value::as_bool) == Some(true)
        && let Some(secret) = config.as_str().filter(|secret| secret.len() >= 4)
    {
        secrets.push(secret.to_owned());
    }
    for branch in
        ["oneOf", "anyOf", "allOf"].iter().filter_map(|name| schema.get(*name)).filter_map(Value::as_array).flatten()
    {
        secrets_of(config, branch, secrets);
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(member) = config.get(name) {
            secrets_of(member, property, secrets);
        }
    }
}

/// Fills in the defaults of required keys that were left out.
pub(crate) fn defaults_of(config: &mut Value, schema: &Value) {
    let Value::Object(members) = config else { return };
    let properties: &Map = match schema.get("properties").and_then(Value::as_object) {
        Some(properties) => properties,
        None => return,
    };
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if members.get(name).is_none_or(Value::is_null)
            && let Some(default) = properties.get(name).and_then(|property| property.get("default"))
        {
            members.insert(name.to_owned(), default.clone());
        }
    }
}
