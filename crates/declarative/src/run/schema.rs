//! The JSON schemas of streams that only the API knows.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

use super::context::Run;
use super::pages::PageReader;
use super::slice::Slice;
use super::transform::apply_all;
use crate::dpath::dpath_get;
use crate::json;
use crate::model::{DynamicSchema, SchemaLoader, Stream, path_of};
use crate::schema::{combined, from_file};

/// The schema, asking the API where the manifest says so.
pub(crate) async fn schema_of(stream: &Stream, run: &Run<'_>) -> Result<Value> {
    let mut schemas = Vec::new();
    for loader in &stream.schema {
        match loader {
            SchemaLoader::Inline(schema) => schemas.push(schema.clone()),
            SchemaLoader::File { path, name } => {
                schemas.extend(from_file(run.manifest, path.as_ref(), name, &run.scope())?)
            }
            SchemaLoader::Dynamic(dynamic) => schemas.push(dynamic.schema(run).await?),
        }
    }
    Ok(combined(schemas))
}

impl DynamicSchema {
    async fn schema(&self, run: &Run<'_>) -> Result<Value> {
        let scope = run.scope();
        let mut pages = PageReader::plain(run, &self.retriever, Slice::whole());
        let mut first = None;
        while let (None, Some(page)) = (&first, Box::pin(pages.next()).await?) {
            first = page.records.first().map(|record| record.read()).transpose()?;
        }
        let path = path_of(&self.schema_pointer, &scope)?;
        let key = path_of(&self.key_pointer, &scope)?;
        let kind = path_of(&self.type_pointer, &scope)?;
        let definitions =
            first.as_ref().and_then(|record| dpath_get(record, &path)).cloned().unwrap_or(Value::Array(Vec::new()));
        let mut properties = Map::new();
        for definition in definitions.as_array().into_iter().flatten() {
            let Some(name) = dpath_get(definition, &key).and_then(Value::as_str) else {
                return Err(Error::new(ErrorKind::Remote, "a property of the schema has no name: check `key_pointer`"));
            };
            let found = match kind.is_empty() {
                true => Value::from("string"),
                false => dpath_get(definition, &kind).cloned().unwrap_or_else(|| Value::from("string")),
            };
            let mut target = found.clone();
            for map in &self.types {
                let holds = match &map.condition {
                    Some(condition) => condition.holds(&scope.with("raw_schema", definition))?,
                    None => true,
                };
                if map.current == found && holds {
                    target = map.target.clone();
                    break;
                }
            }
            properties.insert(name.to_owned(), type_of(&target)?);
        }
        if let Some(filter) = &self.filter {
            let mut kept = Map::new();
            for (name, property) in properties {
                let record = Value::Object(Map::from_iter([(name.clone(), property.clone())]));
                if filter.holds(&scope.with("record", &record))? {
                    kept.insert(name, property);
                }
            }
            properties = kept;
        }
        apply_all(&mut properties, &self.transformations, &scope)?;
        Ok(json!({
            "$schema": "https://json-schema.org/draft-07/schema#",
            "type": "object",
            "additionalProperties": true,
            "properties": properties,
        }))
    }
}

/// The schema of a type of the language.
fn type_of(target: &Value) -> Result<Value> {
    let unknown = || Error::new(ErrorKind::Invalid, format!("{target} is not a data type: map it in `types_mapping`"));
    match target {
        Value::String(name) => Ok(match name.as_str() {
            "string" | "boolean" | "integer" | "number" | "array" | "object" => json!({"type": ["null", name]}),
            "date" => json!({"type": ["null", "string"], "format": "date"}),
            "timestamp_with_timezone" => json!({"type": ["null", "string"], "format": "date-time"}),
            "timestamp_without_timezone" => {
                json!({"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_without_timezone"})
            }
            "time_with_timezone" => {
                json!({"type": ["null", "string"], "format": "time", "airbyte_type": "time_with_timezone"})
            }
            "time_without_timezone" => {
                json!({"type": ["null", "string"], "format": "time", "airbyte_type": "time_without_timezone"})
            }
            _ => return Err(unknown()),
        }),
        Value::Array(names) => match names.as_slice() {
            [first, second] => Ok(json!({"oneOf": [type_of(first)?, type_of(second)?]})),
            _ => Err(unknown()),
        },
        Value::Object(complex) => {
            let mut schema = type_of(complex.get("field_type").ok_or_else(unknown)?)?;
            if let (Some(items), Value::Object(members)) = (complex.get("items"), &mut schema) {
                members.insert("items".to_owned(), type_of(items)?);
            }
            Ok(schema)
        }
        _ => Err(unknown()),
    }
}
