//! Compares answers with the OpenAPI document: each test that calls a route proves its description too.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::Answer;

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(highwater_server::openapi()).unwrap())
}

/// The operation that a request is for, unless its path is of none.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let known: Vec<&str> = template.split('/').collect();
        known.len() == parts.len()
            && known
                .iter()
                .zip(&parts)
                .all(|(known, part)| known == part || (known.starts_with('{') && !part.is_empty()))
    };
    let paths = document()["paths"].as_object().unwrap();
    // What is written out comes before what is a parameter.
    let found =
        paths.iter().filter(|(template, _)| fits(template)).min_by_key(|(template, _)| template.matches('{').count());
    found.and_then(|(_, methods)| methods.get(method.to_ascii_lowercase()))
}

/// Panics if the document does not describe this answer.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let Some(operation) = operation(method, path) else { return };
    let responses = &operation["responses"];
    let Some(response) = responses.get(answer.status.to_string()).or_else(|| responses.get("default")) else {
        panic!("{method} {path}: {} is not described: {}", answer.status, String::from_utf8_lossy(&answer.body));
    };
    let kind = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let Some(content) = response["content"].as_object() else { return };
    // What is too much even to be read is refused below the router, without a body.
    if kind.is_empty() && answer.body.is_empty() {
        return;
    }
    if content.contains_key("*/*") {
        return;
    }
    let content =
        content.get(kind).unwrap_or_else(|| panic!("{method} {path}: {} as {kind} is not described", answer.status));
    if kind != "application/json" {
        return;
    }
    // In the peer's words the metadata of records has another name, and the document's one may be a record's own member.
    if answer.text().contains("_nango_metadata") {
        return;
    }
    let body = answer.json();
    let faults: Vec<String> = with_validator(&content["schema"], |validator| {
        validator.iter_errors(&body).map(|fault| format!("{} at {}", fault, fault.instance_path)).collect()
    });
    assert!(faults.is_empty(), "{method} {path}: {} is not as described: {faults:?} {body}", answer.status);
}

/// Validators are made once for each schema.
fn with_validator<T>(schema: &Value, run: impl FnOnce(&Validator) -> T) -> T {
    static KNOWN: OnceLock<Mutex<HashMap<String, &'static Validator>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap();
    let validator = *known.entry(schema.to_string()).or_insert_with(|| {
        let whole = json!({ "allOf": [schema], "components": document()["components"] });
        Box::leak(Box::new(jsonschema::draft202012::new(&whole).unwrap()))
    });
    drop(known);
    run(validator)
}
