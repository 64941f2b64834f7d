//! Changes to a record.

use std::sync::Arc;

use highwater_core::Result;
use highwater_interpolation::LiteralTypes;

use super::decode::{Context, Node};
use super::{Condition, Template};
use crate::registry::CustomTransformation;

#[derive(Debug)]
pub(crate) enum Transformation {
    Add {
        fields: Vec<AddedField>,
        condition: Option<Condition>,
    },
    Remove {
        pointers: Vec<Vec<String>>,
        condition: Option<Condition>,
    },
    KeysToLower,
    KeysToSnakeCase,
    KeysReplace {
        old: Template,
        new: Template,
    },
    Flatten {
        lists: bool,
    },
    FlattenAt {
        path: Vec<Template>,
        delete_origin: bool,
        replace: bool,
        prefix: Option<Template>,
        suffix: Option<Template>,
    },
    Custom(Arc<dyn CustomTransformation>),
}

#[derive(Debug)]
pub(crate) struct AddedField {
    pub path: Vec<String>,
    pub value: Template,
    pub value_type: Option<LiteralTypes>,
}

pub(crate) fn transformations(node: &Node<'_>, context: &Context<'_>, name: &str) -> Result<Vec<Transformation>> {
    node.list(name)?.iter().map(|node| Transformation::decode(node, context)).collect()
}

/// What kind of literal a value is read as.
pub(crate) fn value_type(node: &Node<'_>) -> Result<Option<LiteralTypes>> {
    let Some(node) = node.get("value_type") else { return Ok(None) };
    Ok(Some(match node.text()?.as_str() {
        "string" => LiteralTypes::TEXT,
        "number" => LiteralTypes::FLOAT,
        "integer" => LiteralTypes::INTEGER,
        "boolean" => LiteralTypes::BOOLEAN,
        other => {
            return Err(node.invalid(format!("`{other}` is not a value type: use string, number, integer or boolean")));
        }
    }))
}

impl Transformation {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        Ok(match node.kind()? {
            "AddFields" => Transformation::Add {
                fields: added_fields(node, context)?,
                condition: node.condition(context, "condition")?,
            },
            "RemoveFields" => {
                Transformation::Remove { pointers: pointers(node)?, condition: node.condition(context, "condition")? }
            }
            "KeysToLower" => Transformation::KeysToLower,
            "KeysToSnakeCase" => Transformation::KeysToSnakeCase,
            "KeysReplace" => Transformation::KeysReplace {
                old: node.required_template(context, "old", "give the text to replace")?,
                new: node.required_template(context, "new", "give the text to put there")?,
            },
            "FlattenFields" => Transformation::Flatten { lists: node.boolean("flatten_lists")?.unwrap_or(true) },
            "DpathFlattenFields" => {
                let key = node.get("key_transformation");
                let part = |name: &str| match &key {
                    Some(key) => key.get(name).map(|node| node.template(context, &key.parameters())).transpose(),
                    None => Ok(None),
                };
                Transformation::FlattenAt {
                    path: node.templates(context, "field_path")?,
                    delete_origin: node.boolean("delete_origin_value")?.unwrap_or(false),
                    replace: node.boolean("replace_record")?.unwrap_or(false),
                    prefix: part("prefix")?,
                    suffix: part("suffix")?,
                }
            }
            other => {
                if let Some(custom) = context.registry.transformation_of(node.value) {
                    return Ok(Transformation::Custom(custom));
                }
                match context.registry.component_of(node.value)? {
                    Some(replacement) => Transformation::decode(&Node::at(&replacement, &node.path), context)?,
                    None => {
                        let known = [
                            "AddFields",
                            "RemoveFields",
                            "KeysToLower",
                            "KeysToSnakeCase",
                            "KeysReplace",
                            "FlattenFields",
                            "DpathFlattenFields",
                        ];
                        return Err(node.unknown(other, &known));
                    }
                }
            }
        })
    }
}

pub(crate) fn added_fields(node: &Node<'_>, context: &Context<'_>) -> Result<Vec<AddedField>> {
    let field = |node: &Node<'_>| -> Result<AddedField> {
        let path = node.texts("path")?;
        if path.is_empty() {
            return Err(node.invalid("`path` is empty: say which field to add"));
        }
        let value = node.required_template(context, "value", "give the field's value")?;
        Ok(AddedField { path, value, value_type: value_type(node)? })
    };
    node.require("fields", "list the fields to add")?.items()?.iter().map(field).collect()
}

pub(crate) fn pointers(node: &Node<'_>) -> Result<Vec<Vec<String>>> {
    let pointers = node.require("field_pointers", "list the fields to remove")?.items()?;
    pointers.iter().map(|pointer| pointer.items()?.iter().map(Node::text).collect()).collect()
}
