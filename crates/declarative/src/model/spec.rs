//! The spec: the schema of the config, and the rules that migrate an older one.

use std::collections::BTreeSet;

use highwater_core::{Error, Result};
use highwater_interpolation::{Map, Value};

use super::decode::{Context, Node, again};
use super::transformation::{added_fields, pointers};
use super::{AddedField, Condition, Template};

#[derive(Debug, Default)]
pub(crate) struct Spec {
    /// A JSON schema.
    pub connection: Value,
    pub documentation_url: Option<String>,
    pub migrations: Vec<ConfigChange>,
    /// A Python class that changes the config and has no replacement.
    pub missing: Option<Error>,
    pub validations: Vec<Validation>,
}

#[derive(Debug)]
pub(crate) enum ConfigChange {
    Remap { map: Map, path: Vec<Template> },
    Add { fields: Vec<AddedField>, condition: Option<Condition> },
    Remove { pointers: Vec<Vec<String>>, condition: Option<Condition> },
}

/// A part of the config that must fit a schema.
#[derive(Debug)]
pub(crate) struct Validation {
    pub path: String,
    pub field: Vec<String>,
    pub value: Option<Value>,
    pub schema: Value,
}

impl Spec {
    /// The manifest's own spec, or the one in a file beside it.
    pub(crate) fn decode(root: &Node<'_>, context: &Context<'_>) -> Result<Option<Self>> {
        if let Some(node) = root.get("spec") {
            return Spec::of(&node, context).map(Some);
        }
        for name in ["spec.yaml", "spec.json", "spec.yml"] {
            if let Some(text) = context.files.get(name) {
                let value = crate::document::read_value(text)?;
                return Spec::of(&Node::at(&value, name), context).map(Some);
            }
        }
        Ok(None)
    }

    fn of(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let connection = node.get("connection_specification").or_else(|| node.get("connectionSpecification"));
        let connection = connection.map_or_else(|| Value::Object(Map::new()), |node| node.value.clone());
        let documentation = node.get("documentation_url").or_else(|| node.get("documentationUrl"));
        let mut spec = Spec {
            connection,
            documentation_url: documentation.map(|node| node.text()).transpose()?,
            ..Spec::default()
        };
        let Some(rules) = node.get("config_normalization_rules") else { return Ok(spec) };
        for migration in rules.list("config_migrations")? {
            for change in migration.list("transformations")? {
                match ConfigChange::decode(&change, context) {
                    Err(_) if change.is_class() => {
                        context.note_class(&change, "that converts the config of an older version");
                    }
                    decoded => spec.migrations.push(decoded?),
                }
            }
        }
        for change in rules.list("transformations")? {
            match ConfigChange::decode(&change, context) {
                Err(error) if change.is_class() => {
                    context.fault(&error);
                    spec.missing.get_or_insert(error);
                }
                decoded => spec.migrations.push(decoded?),
            }
        }
        for validation in rules.list("validations")? {
            match validation.get("validation_strategy").filter(Node::is_class) {
                Some(strategy) => context.note_class(&strategy, "that checks the config"),
                None => spec.validations.push(Validation::decode(&validation)?),
            }
        }
        Ok(spec)
    }
}

impl ConfigChange {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        Ok(match node.kind()? {
            "ConfigRemapField" => {
                let map = node.require("map", "give old and new values")?;
                map.check_all(context)?;
                ConfigChange::Remap { map: map.members()?.clone(), path: node.templates(context, "field_path")? }
            }
            "ConfigAddFields" => ConfigChange::Add {
                fields: added_fields(node, context)?,
                condition: node.condition(context, "condition")?,
            },
            "ConfigRemoveFields" => {
                ConfigChange::Remove { pointers: pointers(node)?, condition: node.condition(context, "condition")? }
            }
            other => match context.registry.component_of(node.value)? {
                Some(replacement) => ConfigChange::decode(&Node::at(&replacement, &node.path), context)?,
                None => return Err(node.unknown(other, &["ConfigRemapField", "ConfigAddFields", "ConfigRemoveFields"])),
            },
        })
    }
}

impl Spec {
    /// Why a stream cannot run under this spec: it reads a member of the config that no property declares, and a Python
    /// class that has no replacement changes the config.
    pub(crate) fn problem_of(&self, stream: &Value) -> Option<Error> {
        let missing = self.missing.as_ref()?;
        let mut declared = BTreeSet::new();
        names_of(&self.connection, &mut declared, 0);
        for change in &self.migrations {
            if let ConfigChange::Add { fields, .. } = change {
                declared.extend(fields.iter().filter_map(|field| field.path.first().map(String::as_str)));
            }
        }
        reads_undeclared(stream, &declared).then(|| again(missing))
    }
}

fn names_of<'s>(schema: &'s Value, names: &mut BTreeSet<&'s str>, depth: usize) {
    let properties = schema.get("properties").and_then(Value::as_object);
    names.extend(properties.into_iter().flatten().map(|(name, _)| name.as_str()));
    let branches = ["oneOf", "anyOf", "allOf"].iter().filter_map(|name| schema.get(*name)).filter_map(Value::as_array);
    branches.flatten().filter(|_| depth < 8).for_each(|branch| names_of(branch, names, depth + 1));
}

/// Whether a template within reads a member of the config that is none of `declared`.
fn reads_undeclared(value: &Value, declared: &BTreeSet<&str>) -> bool {
    match value {
        Value::Object(members) => members.values().any(|member| reads_undeclared(member, declared)),
        Value::Array(items) => items.iter().any(|item| reads_undeclared(item, declared)),
        Value::String(text) if crate::wording::has_markup(text) => text.split("config").skip(1).any(|after| {
            let after = after.trim_start_matches([' ', '.', '[', '\'', '"']);
            let after = after.strip_prefix("get(").map_or(after, |after| after.trim_start_matches([' ', '\'', '"']));
            let name =
                after.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default();
            !name.is_empty() && !declared.contains(name)
        }),
        _ => false,
    }
}

impl Validation {
    fn decode(node: &Node<'_>) -> Result<Self> {
        let strategy = node.require("validation_strategy", "say what the value must fit")?;
        let schema = match strategy.kind()? {
            "ValidateAdheresToSchema" => strategy.require("base_schema", "give the schema")?,
            other => return Err(strategy.unknown(other, &["ValidateAdheresToSchema"])),
        };
        let schema = match schema.value {
            Value::String(text) => serde_json::from_str(text).map_err(|_| schema.invalid("the schema is not JSON"))?,
            other => other.clone(),
        };
        Ok(Validation {
            path: node.path.clone(),
            field: node.texts("field_path")?,
            value: node.get("value").map(|node| node.value.clone()),
            schema,
        })
    }
}
