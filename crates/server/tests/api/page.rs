//! `docs/api.md` from the OpenAPI document.

use std::collections::BTreeMap;

use serde_json::Value;

const HEAD: &str = "# HTTP routes

Every route of the [server](server.md) with its parameters, answers and errors. This page is made from `GET /openapi.json`, which is made from the code:
`HIGHWATER_REFRESH=1 cargo test -p highwater-server --test api` writes it anew.

Each route may also answer with the errors that all have: ";

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// The codes of an answer that is an error.
fn codes(response: &Value) -> Vec<String> {
    let parts = response["content"]["application/json"]["schema"]["allOf"].as_array();
    let listed =
        parts.and_then(|parts| parts.get(1)).map(|part| &part["properties"]["error"]["properties"]["code"]["enum"]);
    let listed = listed.and_then(Value::as_array).cloned().unwrap_or_default();
    listed.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn errors(operation: &Value) -> Vec<(String, String)> {
    let responses = operation["responses"].as_object().unwrap();
    responses
        .iter()
        .flat_map(|(status, response)| codes(response).into_iter().map(move |code| (status.clone(), code)))
        .collect()
}

/// How a value is written, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return format!("`{}`", name.rsplit('/').next().unwrap_or_default());
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_str().unwrap_or_default())).collect();
        return words.join(", ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(any) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        return any.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), _) => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "number".to_owned(),
        },
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (Some("string"), _) => "text".to_owned(),
        (Some("array"), _) => format!("array of {}", kind(&schema["items"])),
        (Some("object"), _) => members(schema),
        (Some("boolean"), _) => "true or false".to_owned(),
        (Some(other), _) => other.to_owned(),
        (None, _) => "any JSON".to_owned(),
    }
}

fn members(schema: &Value) -> String {
    let Some(properties) = schema["properties"].as_object() else { return "object".to_owned() };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let listed = properties.iter().map(|(name, of)| {
        let optional = if required.contains(&name.as_str()) { "" } else { "?" };
        match kind(of).as_str() {
            "object" | "text" | "any JSON" => format!("`{name}`{optional}"),
            known => format!("`{name}`{optional} ({known})"),
        }
    });
    listed.collect::<Vec<_>>().join(", ")
}

pub(crate) fn page(document: &Value) -> String {
    let paths = document["paths"].as_object().unwrap();
    let health = errors(&paths["/health"]["get"]);
    let common: Vec<String> = health.iter().map(|(status, code)| format!("{status} `{code}`")).collect();
    let mut page = format!("{HEAD}{}. What they mean: [server.md](server.md#errors).\n", common.join(", "));
    let mut tags: BTreeMap<&str, Vec<(String, &Value)>> = BTreeMap::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let tag = operation["tags"][0].as_str().unwrap();
            tags.entry(tag).or_default().push((format!("{} {path}", method.to_uppercase()), operation));
        }
    }
    for (tag, operations) in tags {
        page.push_str(&format!("\n## {tag}\n"));
        for (name, operation) in operations {
            page.push_str(&format!(
                "\n### `{name}`\n\n{} {}\n",
                text(operation, "summary"),
                text(operation, "description")
            ));
            route(&mut page, operation, &health);
        }
    }
    page.push_str("\n## Forms\n\n| form | members |\n|---|---|\n");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        page.push_str(&format!("| `{name}` | {} |\n", members(schema).replace('|', "\\|")));
    }
    page
}

fn route(page: &mut String, operation: &Value, health: &[(String, String)]) {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    if !parameters.is_empty() {
        page.push_str("\n| parameter | in | | |\n|---|---|---|---|\n");
    }
    for parameter in &parameters {
        let needed = if parameter["required"] == true && parameter["in"] != "path" { " (required)" } else { "" };
        let (name, place) = (text(parameter, "name"), text(parameter, "in"));
        let about = text(parameter, "description");
        page.push_str(&format!("| `{name}`{needed} | {place} | {} | {about} |\n", kind(&parameter["schema"])));
    }
    page.push('\n');
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        match content.get("application/json") {
            Some(json) => {
                page.push_str(&format!("* Body: {}. Example: `{}`\n", kind(&json["schema"]), json["example"]));
            }
            None => page.push_str("* Body: any.\n"),
        }
    }
    for (status, response) in operation["responses"].as_object().unwrap() {
        if !codes(response).is_empty() {
            continue;
        }
        let content = response["content"].as_object().and_then(|content| content.iter().next());
        let form = match content {
            Some((name, json)) if name == "application/json" => format!(" {}.", kind(&json["schema"])),
            Some((name, _)) => format!(" As `{name}`."),
            None => String::new(),
        };
        page.push_str(&format!("* {status}: {}{form}\n", text(response, "description")));
    }
    let further: Vec<String> = errors(operation)
        .iter()
        .filter(|error| !health.contains(error))
        .map(|(status, code)| format!("{status} `{code}`"))
        .collect();
    if !further.is_empty() {
        page.push_str(&format!("* Errors: {}\n", further.join(", ")));
    }
}
