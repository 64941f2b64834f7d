//! The JSON schemas of streams, as far as a manifest and its files tell.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

use crate::json;
use crate::manifest::Manifest;
use crate::model::{SchemaLoader, Scope, Stream};

/// The schema as far as the manifest and its files tell.
pub(crate) fn static_schema(manifest: &Manifest, stream: &Stream, scope: &Scope<'_>) -> Result<Value> {
    let mut schemas = Vec::new();
    for loader in &stream.schema {
        match loader {
            SchemaLoader::Inline(schema) => schemas.push(schema.clone()),
            SchemaLoader::File { path, name } => schemas.extend(from_file(manifest, path.as_ref(), name, scope)?),
            SchemaLoader::Dynamic(_) => {}
        }
    }
    Ok(combined(schemas))
}

/// The schema of a file beside the manifest, where there is one.
pub(crate) fn from_file(
    manifest: &Manifest,
    path: Option<&crate::model::Template>,
    name: &str,
    scope: &Scope<'_>,
) -> Result<Option<Value>> {
    let path = match path {
        Some(path) if !path.source().is_empty() => path.text(scope)?,
        _ => format!("schemas/{name}.json"),
    };
    let Some(text) = manifest.files.get(&path) else { return Ok(None) };
    let mut schema: Value = serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("the schema file is not JSON: {error}")).with("file", &path)
    })?;
    inline_files(&mut schema, manifest, 0);
    Ok(Some(schema))
}

/// References to files of the `schemas/shared` folder are replaced by what is in them.
fn inline_files(schema: &mut Value, manifest: &Manifest, depth: usize) {
    if depth > 32 {
        return;
    }
    match schema {
        Value::Object(members) => {
            let file = members
                .get("$ref")
                .and_then(Value::as_str)
                .filter(|name| !name.starts_with('#'))
                .map(ToOwned::to_owned);
            if let Some(file) = file {
                let name = file.split('#').next().unwrap_or_default().trim_start_matches("./");
                let text = ["schemas/shared/", "schemas/"]
                    .iter()
                    .find_map(|folder| manifest.files.get(&format!("{folder}{name}")));
                if let Some(mut found) = text.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
                    inline_files(&mut found, manifest, depth + 1);
                    *schema = found;
                }
                return;
            }
            members.values_mut().for_each(|member| inline_files(member, manifest, depth + 1));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| inline_files(item, manifest, depth + 1)),
        _ => {}
    }
}

/// One schema out of several: the first that names a property decides.
pub(crate) fn combined(mut schemas: Vec<Value>) -> Value {
    if schemas.len() <= 1 {
        return schemas.pop().unwrap_or_else(|| Value::Object(Map::new()));
    }
    let mut properties = Map::new();
    for schema in schemas {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            properties.get_or_insert_with(name.clone(), || property.clone());
        }
    }
    json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": ["null", "object"], "properties": properties})
}
