//! What config a manifest asks for, and how it is brought up to date.

use highwater_core::Result;
use serde_json::{Map, Value};

use super::decode::{Context, Node};
use super::transformation::{added_fields, pointers};
use super::{AddedField, Condition, Template};

#[derive(Debug, Default)]
pub(crate) struct Spec {
    /// A JSON schema.
    pub connection: Value,
    pub documentation_url: Option<String>,
    pub migrations: Vec<ConfigChange>,
    pub validations: Vec<Validation>,
}

#[derive(Debug)]
pub(crate) enum ConfigChange {
    Remap { map: Map<String, Value>, path: Vec<Template> },
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
                let value = crate::manifest::read_value(text)?;
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
                spec.migrations.push(ConfigChange::decode(&change, context)?);
            }
        }
        for change in rules.list("transformations")? {
            spec.migrations.push(ConfigChange::decode(&change, context)?);
        }
        for validation in rules.list("validations")? {
            spec.validations.push(Validation::decode(&validation)?);
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
            other => return Err(node.unknown(other, &["ConfigRemapField", "ConfigAddFields", "ConfigRemoveFields"])),
        })
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
            Value::String(text) => serde_json::from_str(text).map_err(|_| schema.invalid("the schema is no JSON"))?,
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
