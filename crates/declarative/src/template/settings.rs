//! Converts the spec's config to settings of a template, and back.

use std::collections::{BTreeMap, BTreeSet};

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value, python_text};
use highwater_template::{ConfigKey, Secret};

use crate::dpath::nest;

/// A member of the config.
#[derive(Debug)]
pub(super) struct Setting {
    pub key: ConfigKey,
    kind: Kind,
    /// Runs renew it: then it is kept with the credentials, whether the spec takes it for a secret or not.
    renewed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// Read as JSON.
    Json,
}

pub(super) fn settings_of(schema: &Value, renewed: &BTreeSet<Vec<String>>) -> Vec<Setting> {
    let mut settings = of_spec(schema);
    for path in renewed {
        let Some(name) = path.first() else { continue };
        match settings.iter_mut().find(|setting| setting.key.name == *name) {
            Some(setting) => setting.renewed = true,
            None => {
                let kind = if path.len() > 1 { Kind::Json } else { Kind::Text };
                let key = ConfigKey::optional(name, "tokens that runs keep up to date").secret();
                settings.push(Setting { key, kind, renewed: true });
            }
        }
    }
    settings
}

fn of_spec(schema: &Value) -> Vec<Setting> {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, property)| setting(name, property, required.contains(&name.as_str())))
        .collect()
}

fn setting(name: &str, property: &Value, required: bool) -> Setting {
    let text = |field: &str| property.get(field).and_then(Value::as_str).unwrap_or_default();
    let help = if text("description").is_empty() { text("title") } else { text("description") };
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let names: Vec<&str> = match property.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let kind = match names.contains(&"string") || (names.is_empty() && property.get("oneOf").is_none()) {
        true => Kind::Text,
        false => Kind::Json,
    };
    let help = if matches!(kind, Kind::Json) && names.iter().any(|name| matches!(*name, "object" | "array")) {
        format!("{help} (JSON)")
    } else {
        help
    };
    let mut key = match (property.get("default"), required) {
        (Some(default), _) if !default.is_null() => ConfigKey::with_default(name, help, as_text(default)),
        (_, true) => ConfigKey::required(name, help),
        (_, false) => ConfigKey::optional(name, help),
    };
    if has_secret(property, 0) {
        key = key.secret();
    }
    Setting { key, kind, renewed: false }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn has_secret(schema: &Value, depth: usize) -> bool {
    if depth > 16 {
        return false;
    }
    let secret = schema.get("airbyte_secret").and_then(Value::as_bool) == Some(true);
    let branches = ["oneOf", "anyOf", "allOf"].iter().filter_map(|name| schema.get(*name)).filter_map(Value::as_array);
    let properties = schema.get("properties").and_then(Value::as_object);
    secret
        || branches.flatten().any(|branch| has_secret(branch, depth + 1))
        || properties.into_iter().flatten().any(|(_, property)| has_secret(property, depth + 1))
}

/// The members of `config` that are among the changes, as the secrets to keep: a mapping as a whole.
pub(super) fn secrets_of(
    settings: &[Setting],
    config: &Value,
    changes: Vec<(Vec<String>, Value)>,
) -> Vec<(String, Secret)> {
    let names: BTreeSet<String> = changes.iter().filter_map(|(path, _)| path.first().cloned()).collect();
    let mut members = config.as_object().cloned().unwrap_or_default();
    for (path, value) in changes {
        nest(&mut members, &path, value);
    }
    let written = |name: String| {
        let value = members.get(&name)?;
        let json = settings.iter().any(|setting| setting.key.name == name && setting.kind == Kind::Json);
        let text = if json { value.to_string() } else { python_text(value) };
        Some((name, Secret::new(text)))
    };
    names.into_iter().filter_map(written).collect()
}

/// The config out of settings and secrets.
pub(super) fn config_of(
    settings: &[Setting],
    given: &BTreeMap<String, String>,
    secret: impl Fn(&str) -> Option<String>,
) -> Result<Value> {
    let mut config = Map::new();
    for setting in settings {
        let name = &setting.key.name;
        let text = if setting.key.secret || setting.renewed { secret(name) } else { None };
        let Some(text) = text.or_else(|| given.get(name).cloned()).or_else(|| setting.key.default.clone()) else {
            continue;
        };
        let value = match setting.kind {
            Kind::Text => Value::String(text),
            Kind::Json => serde_json::from_str(&text).map_err(|_| {
                Error::new(
                    ErrorKind::Invalid,
                    format!("the setting `{name}` is not JSON: write a number, true, or a mapping"),
                )
            })?,
        };
        config.insert(name.clone(), value);
    }
    // Settings that the spec does not know are handed on as text.
    for (name, text) in given {
        if !config.contains_key(name) {
            config.insert(name.clone(), Value::String(python_text(&Value::from(text.as_str()))));
        }
    }
    Ok(Value::Object(config))
}
