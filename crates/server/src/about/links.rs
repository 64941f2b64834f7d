//! What programs find out by example: values that paths have in the demo, and which answer names a thing that another route takes.

use serde_json::{Map, Value, json};

/// Returns a value that a part of a path has in the demo, where there is one. What is to be deleted is better said by a link.
pub(crate) fn path_example(method: &str, path: &str, name: &str) -> Option<&'static str> {
    if method == "delete" {
        return None;
    }
    Some(match name {
        "connection" => "demo",
        "key" => "demo-crm",
        "provider" => "crm",
        "variant" => "mine",
        "name" if path.starts_with("/consumers/") => "backend",
        "name" => "records",
        "id" if path.starts_with("/webhooks/") => "backend",
        _ => return None,
    })
}

/// A route's answer that names something, the parameter of other routes that takes it, and those routes.
struct Link {
    from: (&'static str, &'static str, u16),
    /// Names of parameters, or `body`, each with an expression of OpenAPI.
    parameters: &'static [(&'static str, &'static str)],
    to: &'static [&'static str],
}

const LINKS: &[Link] = &[
    Link {
        from: ("post", "/action/trigger", 202),
        parameters: &[("path.id", "$response.body#/id")],
        to: &["get_action_id"],
    },
    Link {
        from: ("get", "/runs", 200),
        parameters: &[("path.id", "$response.body#/runs/0/id")],
        to: &["get_runs_id", "get_runs_id_lines"],
    },
    Link {
        from: ("get", "/approvals", 200),
        parameters: &[("path.id", "$response.body#/runs/0/id")],
        to: &["post_approvals_id_approve", "post_approvals_id_reject"],
    },
    Link {
        from: ("post", "/webhooks", 201),
        parameters: &[("path.id", "$response.body#/destination/id")],
        to: &[
            "get_webhooks_id",
            "patch_webhooks_id",
            "delete_webhooks_id",
            "post_webhooks_id_secret",
            "post_webhooks_id_test",
            "get_webhooks_id_waiting",
            "get_webhooks_id_dead",
            "post_webhooks_id_replay",
        ],
    },
    Link {
        from: ("get", "/webhooks/{id}/dead", 200),
        parameters: &[("path.id", "$request.path.id"), ("path.delivery", "$response.body#/deliveries/0/id")],
        to: &["delete_webhooks_id_dead_delivery"],
    },
    Link {
        from: ("post", "/connections", 201),
        parameters: &[
            ("path.connection", "$response.body#/connection_id"),
            ("query.provider_config_key", "$response.body#/provider_config_key"),
        ],
        to: &["get_connections_connection", "patch_connections_connection", "delete_connections_connection"],
    },
    Link {
        from: ("post", "/integrations", 200),
        parameters: &[("path.key", "$response.body#/data/unique_key")],
        to: &[
            "get_integrations_key",
            "patch_integrations_key",
            "delete_integrations_key",
            "get_integrations_key_functions",
        ],
    },
    Link {
        from: ("post", "/sync/{name}/variant/{variant}", 200),
        parameters: &[("path.name", "$response.body#/name"), ("path.variant", "$response.body#/variant")],
        to: &["delete_sync_name_variant_variant"],
    },
];

/// Links that carry the token of a batch.
const TOKENS: [&str; 3] = ["post_consumers_name_ack", "post_consumers_name_nack", "post_consumers_name_renew"];

/// Returns the links of an answer, by their names.
pub(crate) fn of_answer(method: &str, path: &str, status: u16) -> Map<String, Value> {
    let mut links = Map::new();
    let own = LINKS.iter().filter(|link| link.from == (method, path, status));
    for link in own {
        let parameters: Map<String, Value> =
            link.parameters.iter().map(|(name, from)| ((*name).to_owned(), json!(from))).collect();
        for to in link.to {
            links.insert((*to).to_owned(), json!({ "operationId": to, "parameters": parameters }));
        }
    }
    let same = |name: &str, place: &str| (format!("{place}.{name}"), json!(format!("$request.{place}.{name}")));
    match (method, path, status) {
        ("post", "/consumers/{name}/fetch", 200) => {
            let parameters: Map<String, Value> = [
                same("name", "path"),
                same("model", "query"),
                same("Connection-Id", "header"),
                same("Provider-Config-Key", "header"),
            ]
            .into_iter()
            .collect();
            for to in TOKENS {
                let body = json!({ "token": "$response.body#/token" });
                let link = json!({ "operationId": to, "parameters": parameters, "requestBody": body });
                links.insert(to.to_owned(), link);
            }
        }
        ("get", "/records", 200) => {
            let parameters: Map<String, Value> =
                [same("Connection-Id", "header"), same("Provider-Config-Key", "header")].into_iter().collect();
            let body = json!({ "model": "$request.query.model", "until_cursor": "$response.body#/resume_cursor" });
            let link = json!({ "operationId": "patch_records_prune", "parameters": parameters, "requestBody": body });
            links.insert("patch_records_prune".to_owned(), link);
        }
        _ => {}
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_leads_from_an_answer_to_parameters_that_there_are() {
        let document: Value = serde_json::from_str(crate::openapi()).unwrap();
        let mut operations = Map::new();
        for methods in document["paths"].as_object().unwrap().values() {
            for operation in methods.as_object().unwrap().values() {
                operations.insert(operation["operationId"].as_str().unwrap().to_owned(), operation.clone());
            }
        }
        let mut count = 0;
        for operation in operations.values() {
            for answer in operation["responses"].as_object().unwrap().values() {
                for link in answer["links"].as_object().into_iter().flat_map(Map::values) {
                    let to = &operations[link["operationId"].as_str().unwrap()];
                    for name in link["parameters"].as_object().unwrap().keys() {
                        let (place, name) = name.split_once('.').unwrap();
                        let takes = |one: &Value| one["in"] == place && one["name"] == name;
                        assert!(to["parameters"].as_array().unwrap().iter().any(takes), "{link}");
                    }
                    count += 1;
                }
            }
        }
        let all = LINKS.iter().map(|link| link.to.len()).sum::<usize>() + TOKENS.len() + 1;
        assert_eq!(count, all, "every one of them stands at an answer");
    }
}
