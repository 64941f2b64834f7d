//! The OpenAPI document of the routes, made from what each says of itself.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use highwater_core::MAX_NAME_BYTES;
use serde_json::{Map, Value, json};

use crate::about::{Parameter, forms, links, schema};
use crate::call::MAX_NAME;
use crate::keys::Scope;
use crate::route::{Access, Route};
use crate::routes;

/// Returns the OpenAPI 3.1 document of every route, in JSON: what `GET /openapi.json` answers.
pub fn openapi() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| format!("{:#}\n", document(&routes::all())))
}

/// The codes of errors that every route may answer with, each with its status.
const COMMON: &[(u16, &str)] = &[
    (400, "invalid_query_params"),
    (400, "invalid_headers"),
    (400, "invalid_uri_params"),
    (400, "invalid_request"),
    (400, "missing_host"),
    (401, "missing_auth_header"),
    (401, "malformed_auth_header"),
    (401, "invalid_secret_key_format"),
    (401, "unknown_account"),
    (403, "forbidden"),
    (403, "unknown_host"),
    (403, "origin_not_allowed"),
    (404, "not_found"),
    (409, "conflict"),
    (414, "uri_too_long"),
    (429, "too_many_request"),
    (431, "headers_too_large"),
    (500, "server_error"),
    (501, "unsupported"),
    (503, "busy"),
    (504, "timed_out"),
    (507, "storage_full"),
];

/// Those of routes with a body.
const OF_BODIES: &[(u16, &str)] = &[(400, "invalid_body"), (408, "body_timeout"), (413, "body_too_large")];

fn document(routes: &[Route]) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let path = route.path().replace("{*", "{");
        paths.entry(path).or_default().insert(route.method().to_owned(), operation(route));
    }
    let schemas: Map<String, Value> =
        forms::all().into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Highwater",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Records of third-party APIs, and everything about their syncs",
            "description": "Requests name a key: `Authorization: Bearer hwk_…`. Every error is `{\"error\": {\"code\", \"message\"}}`, and codes never change.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        // Where the document itself is: the router may be mounted under any path.
        "servers": [{ "url": "./" }],
        "security": [{ "key": [] }],
        "tags": tags(routes),
        "paths": paths,
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer", "description": "A key of this server." } },
            "schemas": schemas,
        },
    })
}

/// The first part of a path: the subject.
fn tag(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

fn tags(routes: &[Route]) -> Vec<Value> {
    let names: std::collections::BTreeSet<&str> = routes.iter().map(|route| tag(route.path())).collect();
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

fn operation(route: &Route) -> Value {
    let about = route.description();
    let needs = match route.access() {
        Access::Anyone => "Needs no key.".to_owned(),
        Access::Key(Scope::Admin) => "Needs a key of the scope `admin`.".to_owned(),
        Access::Key(scope) => format!("Needs a key of the scope `{scope}` or a higher one."),
    };
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [tag(route.path())],
        "summary": about.summary,
        "description": needs,
        "responses": responses(route),
    });
    if route.access() == Access::Anyone {
        operation["security"] = json!([]);
    }
    let mut parameters: Vec<Value> = path_parameters(route);
    parameters.extend(route.parameters().unwrap_or_default().iter().map(query_parameter));
    parameters.extend(about.headers.iter().map(|header| parameter("header", header)));
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some((schema, example)) = &about.body {
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if about.raw_body {
        operation["requestBody"] = json!({ "required": false, "content": { "*/*": { "schema": {} } } });
    }
    operation
}

/// `get_runs_id_lines` for `GET /runs/{id}/lines`.
fn operation_id(route: &Route) -> String {
    let parts = route.path().split(['/', '.']).map(|part| part.trim_matches(['{', '}', '*']).replace('-', "_"));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    format!("{}_{}", route.method(), parts.join("_"))
}

fn path_parameters(route: &Route) -> Vec<Value> {
    let path = route.path();
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let name = name.trim_start_matches('*');
            let most = if path.starts_with("/consumers/") { MAX_NAME_BYTES } else { MAX_NAME };
            let mut shown = json!({ "name": name, "in": "path", "required": true, "schema": schema::name(most) });
            if let Some(example) = links::path_example(route.method(), path, name) {
                shown["example"] = example.into();
            }
            shown
        })
        .collect()
}

fn query_parameter(known: &Parameter) -> Value {
    match known.name.strip_suffix("[*]") {
        // `tags[plan]=free`
        Some(prefix) => json!({
            "name": prefix, "in": "query", "style": "deepObject", "explode": true, "description": known.about,
            "schema": known.schema,
        }),
        None => parameter("query", known),
    }
}

fn parameter(place: &str, known: &Parameter) -> Value {
    let mut shown = json!({ "name": known.name, "in": place, "description": known.about, "schema": known.schema });
    if known.required {
        shown["required"] = json!(true);
    }
    if let Some(example) = &known.example {
        shown["example"] = example.clone();
    }
    shown
}

fn responses(route: &Route) -> Value {
    let about = route.description();
    let mut responses = Map::new();
    for answer in &about.answers {
        let mut shown = json!({ "description": answer.about });
        if let Some((kind, schema)) = &answer.content {
            let mut content = json!({ "schema": schema });
            if let Some(example) = &answer.example {
                content["example"] = example.clone();
            }
            shown["content"] = json!({ *kind: content });
        }
        let links = links::of_answer(route.method(), route.path(), answer.status);
        if !links.is_empty() {
            shown["links"] = links.into();
        }
        // Some statuses have bodies of several types.
        let known: Option<&mut Value> = responses.get_mut(&answer.status.to_string());
        match known.and_then(|known| known["content"].as_object_mut()) {
            Some(kinds) => kinds.extend(shown["content"].as_object().cloned().unwrap_or_default()),
            None => drop(responses.insert(answer.status.to_string(), shown)),
        }
    }
    if about.foreign_answers {
        let any = json!({ "description": "The answer of the provider, or an error of this server.", "content": { "*/*": { "schema": {} } } });
        responses.insert("default".to_owned(), any);
        return responses.into();
    }
    let mut errors: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let has_body = about.body.is_some();
    let of_bodies =
        OF_BODIES.iter().filter(|_| has_body).chain([(415, "invalid_content_type")].iter().filter(|_| has_body));
    for (status, code) in COMMON.iter().chain(of_bodies).chain(&about.errors) {
        let codes = errors.entry(*status).or_default();
        if !codes.contains(code) {
            codes.push(code);
        }
    }
    for (status, codes) in errors {
        responses.insert(status.to_string(), error(&codes));
    }
    responses.into()
}

fn error(codes: &[&str]) -> Value {
    let code = schema::object([("error", schema::object([("code", schema::words(codes))]))]);
    let schema = json!({ "allOf": [schema::reference("Error"), code] });
    let listed: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let example = json!({ "error": { "code": codes.last(), "message": "what was refused, and the way out" } });
    json!({
        "description": listed.join(", "),
        "content": { "application/json": { "schema": schema, "example": example } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_says_what_it_does_and_what_it_answers() {
        let mut ids = std::collections::BTreeSet::new();
        for route in routes::all() {
            let (about, name) = (route.description(), format!("{} {}", route.method(), route.path()));
            assert!(about.summary.len() > 10 && about.summary.ends_with('.'), "{name} has no summary");
            assert!(
                about.foreign_answers || !about.answers.is_empty() || !about.errors.is_empty(),
                "{name} answers nothing"
            );
            assert!(ids.insert(operation_id(&route)), "{name} has the id of another");
            for parameter in route.parameters().unwrap_or_default().iter().chain(&about.headers) {
                assert!(parameter.about.ends_with('.'), "{name}: {} says nothing", parameter.name);
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let known: Vec<String> =
            forms::all().into_iter().map(|(name, _)| format!("#/components/schemas/{name}")).collect();
        fn walk(value: &Value, known: &[String]) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(to)) = members.get("$ref") {
                        assert!(known.contains(to), "{to}");
                    }
                    members.values().for_each(|member| walk(member, known));
                }
                Value::Array(elements) => elements.iter().for_each(|element| walk(element, known)),
                _ => {}
            }
        }
        walk(&document(&routes::all()), &known);
    }
}
