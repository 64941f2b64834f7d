//! The npm package `@nangohq/node`, unmodified, against a running `highwater serve --compat nango`: every method of it, with the
//! values that it returns. Behind it is a stand-in for GitHub, written after GitHub's documentation.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
#![cfg(unix)]

#[path = "client/github.rs"]
mod github;
mod support;

use github::TOKEN;
use serde_json::{Value, json};
use support::served::Served;
use support::{npm, text};

const PACKAGE: &str = "@nangohq/node@0.71.4";

#[test]
fn every_method_of_the_peers_client_gets_what_it_expects_from_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    if !npm::install(here, PACKAGE) {
        return;
    }
    std::fs::write(here.join("methods.mjs"), include_str!("client/methods.mjs")).unwrap();
    let api = github::start();
    let store = ["--db", "app.db"];
    let of = |arguments: &[&str]| text(here, &[arguments, &store].concat());
    of(&["integrations", "create", "work", "github", "--config", "owner=o,repo=r", "--base-url", &api]);
    of(&["integrations", "enable", "work", "issues"]);
    let served = Served::start(here, &["--compat", "nango", "--allow-private-addresses"]);
    let printed: Value =
        serde_json::from_str(&npm::node(here, &["methods.mjs", &served.url, &served.key, TOKEN])).unwrap();
    check(&printed["results"]);
    let (methods, called) = (names(&printed["methods"]), names(&printed["called"]));
    assert!(methods.len() > 40, "{methods:?}");
    let missed: Vec<&str> = methods.into_iter().filter(|method| !called.contains(method)).collect();
    assert!(missed.is_empty(), "the package has methods that nothing calls: {missed:?}");
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

/// Compares results with what each method is to return; a member that is not named may be anything.
fn check(results: &Value) {
    for (name, expected) in expected().as_object().unwrap() {
        let found = &results[name];
        assert!(fits(found, expected), "{name}\n  expected {expected}\n  found {found}");
    }
    let text = results.to_string();
    for (secret, most) in [(TOKEN, 4), ("s3cret", 1), ("refresh-1", 2)] {
        let count = text.matches(secret).count();
        assert!(count <= most, "{secret} stands in {count} places: {text}");
    }
}

fn fits(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| fits(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, value)| fits(found, value))
        }
        (Value::String(found), Value::String(expected)) if expected == "*" => !found.is_empty(),
        _ => found == expected,
    }
}

/// A delivery that the package accepts with the destination's secret, and with no other.
fn delivery(mut told: Value) -> Value {
    told["from"] = json!("nango");
    told["providerConfigKey"] = json!("work");
    json!({"told": told, "request": true, "changed": false, "strangers": false, "plain": true, "plainStrangers": false})
}

#[allow(clippy::too_many_lines)] // one line for each call
fn expected() -> Value {
    let user = json!({"id": "user-1", "email": "ann@example.com", "display_name": "Ann", "organization": null});
    let one = json!({
        "connection_id": "one", "provider_config_key": "work", "provider": "github", "errors": [], "end_user": user,
        "tags": {"plan": "team", "end_user_id": "user-1"}, "created": "*",
    });
    let named = |kind: &str, names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| json!({"name": name, "type": kind})).collect()
    };
    let syncs = named("sync", &["comments", "issues", "pull_requests", "releases", "repositories"]);
    let actions = named("action", &["close_issue", "comment", "create_issue"]);
    let failed = |status: u16, code: &str| json!({"failed": status, "code": code});
    let done = json!({"status": 200, "data": {"success": true}});
    let pairs = [
        ("listProviders", json!({"data": [{"name": "github", "auth_mode": "API_KEY"}]})),
        ("getProvider", json!({"data": {"name": "github"}})),
        ("getProviderUnknown", failed(404, "not_found")),
        ("getProviderTemplates", json!({"data": ([&syncs[..], &actions[..]].concat())})),
        (
            "createIntegration",
            json!({"data": {"unique_key": "work-two", "provider": "github", "display_name": "GitHub", "created_at": "*"}}),
        ),
        ("createIntegrationTwice", failed(400, "invalid_body")),
        ("createQuickstartIntegration", failed(400, "invalid_body")),
        ("updateIntegration", json!({"data": {"unique_key": "work-two", "display_name": "GitHub 2"}})),
        ("listIntegrations", json!({"configs": [{"unique_key": "work"}, {"unique_key": "work-two"}]})),
        (
            "getIntegration",
            json!({"data": {"unique_key": "work-two", "credentials": {"type": "OAUTH2", "client_id": "app", "client_secret": "s3cret", "scopes": "a,b"}}}),
        ),
        (
            "listFunctions",
            json!({"data": [
                {"name": "comments", "type": "sync", "enabled": false, "returns": ["Comment"]},
                {"name": "issues", "type": "sync", "enabled": true, "returns": ["Issue"], "source": "catalog"},
                {"name": "pull_requests"}, {"name": "releases"}, {"name": "repositories"},
            ], "pagination": {"total": 5, "page": 0, "limit": 20}}),
        ),
        ("getFunction", json!({"data": {"name": "create_issue", "type": "action"}})),
        ("getFunctionCode", failed(404, "not_found")),
        ("deleteFunction", failed(400, "function_managed_by_deploy")),
        ("deleteIntegration", done.clone()),
        (
            "getScriptsConfig",
            json!([{"providerConfigKey": "work", "provider": "github", "syncs": syncs, "actions": actions, "on-events": []}]),
        ),
        (
            "getScriptsConfigOpenAi",
            json!({"data": [
                {"name": "comments"}, {"name": "issues"}, {"name": "pull_requests"}, {"name": "releases"}, {"name": "repositories"},
                {"name": "close_issue"}, {"name": "comment"},
                {"name": "create_issue", "parameters": {"type": "object", "required": ["title"]}},
            ]}),
        ),
        ("getEnvironmentVariables", json!([])),
        ("destination", json!({"id": "host", "format": "nango"})),
        ("headers", json!({"x-own": "yes", "Authorization": "*"})),
        ("importMain", json!({"status": 201, "data": {"connection_id": "main"}})),
        ("import", json!({"status": 201, "data": {"connection_id": "one", "credentials": {}}})),
        ("importTokens", json!({"status": 201, "data": {"connection_id": "two", "credentials": {}}})),
        ("listConnections", json!({"connections": [one]})),
        ("listConnectionsOld", json!({"connections": [{"connection_id": "two"}]})),
        ("listConnectionsPage", json!({"connections": [{"connection_id": "main"}]})),
        (
            "getConnection",
            json!({"connection_id": "one", "provider": "github", "connection_config": {"owner": "o", "repo": "r"}, "webhook_url_override": null, "created_at": "*", "credentials": {"type": "API_KEY", "apiKey": TOKEN}}),
        ),
        (
            "getConnectionRefresh",
            json!({"credentials": {"type": "OAUTH2", "access_token": "access-1", "refresh_token": "refresh-1"}}),
        ),
        ("getConnectionUnknown", failed(404, "not_found")),
        ("getConnectionDetails", json!({"status": 200, "data": {"connection_id": "one"}})),
        ("getToken", json!("access-1")),
        ("getTokenOfKey", json!({"type": "API_KEY", "apiKey": TOKEN})),
        ("getRawTokenResponse", json!({"access_token": "access-1", "token_type": "bearer"})),
        ("patchConnection", json!({"success": true})),
        (
            "setMetadata",
            json!({"status": 201, "data": {"connection_id": ["one", "two"], "provider_config_key": "work", "metadata": {"team": "core", "level": 1}}}),
        ),
        ("updateMetadata", json!({"status": 200, "data": {"connection_id": "one", "metadata": {"level": 2}}})),
        ("getMetadata", json!({"team": "core", "level": 2})),
        ("setMetadataUnknown", failed(404, "unknown_connection")),
        ("waitForConnection", json!({"connection_id": "two", "tags": {"plan": "solo", "end_user_id": "user-2"}})),
        (
            "listRecords",
            json!({"records": [{"id": "1", "title": "Leak", "_nango_metadata": {"last_action": "ADDED", "deleted_at": null, "cursor": "*"}}], "next_cursor": "*"}),
        ),
        ("listRecordsNext", json!({"records": [{"id": "2"}], "next_cursor": null})),
        ("listRecordsIds", json!({"records": [{"id": "2"}], "next_cursor": null})),
        ("listRecordsUnknown", failed(400, "unknown_connection")),
        ("triggerSync", done.clone()),
        ("triggerSyncAll", done.clone()),
        ("triggerSyncOld", done.clone()),
        ("triggerSyncSwitch", done.clone()),
        ("triggerSyncUnknown", failed(400, "no_syncs_found")),
        ("pauseSync", done.clone()),
        ("syncStatusPaused", json!({"syncs": [{"name": "issues", "status": "PAUSED"}]})),
        ("startSync", done.clone()),
        (
            "syncStatus",
            json!({"syncs": [{"id": "*", "connection_id": "one", "name": "issues", "variant": "base", "type": "INCREMENTAL", "status": "SUCCESS", "frequency": "5m", "finishedAt": "*", "nextScheduledSyncAt": "*", "latestExecutionStatus": "SUCCESS", "recordCount": {"Issue": 2}, "checkpoint": null}]}),
        ),
        (
            "syncStatusAll",
            json!({"syncs": [{"connection_id": "main"}, {"connection_id": "one"}, {"connection_id": "two"}]}),
        ),
        ("updateFrequency", json!({"frequency": "2h"})),
        ("updateFrequencyWrong", failed(400, "invalid_body")),
        ("updateFrequencyBack", json!({"frequency": "5m"})),
        ("createSyncVariant", json!({"id": "*", "name": "issues", "variant": "v"})),
        ("createSyncVariantTwice", failed(400, "sync_variant_already_exists")),
        ("createSyncVariantBase", failed(400, "invalid_variant")),
        ("deleteSyncVariant", json!({"success": true})),
        ("deleteSyncVariantTwice", failed(404, "not_found")),
        ("pruneRecords", json!({"count": 2, "has_more": false})),
        ("triggerAction", json!({"title": "Cid", "number": 3})),
        ("triggerActionUnknown", failed(404, "not_found")),
        ("triggerActionRefused", failed(424, "script_http_error")),
        ("triggerActionAsync", json!({"id": "*", "statusUrl": "*"})),
        ("getAsyncActionResult", json!({"title": "Dee"})),
        ("getAsyncActionResultById", json!({"title": "Dee"})),
        ("getAsyncActionResultUnknown", failed(404, "not_found")),
        ("getAsyncActionResultRefused", failed(424, "script_http_error")),
        (
            "get",
            json!({"status": 200, "headers": {"x-request-id": "r1", "link": "*"}, "data": {"method": "GET", "path": "/echo", "query": "a=1&b=x+y&c=1%2C2", "signed": true, "headers": {"x-own": "yes", "accept": "text/plain"}}}),
        ),
        (
            "post",
            json!({"status": 200, "data": {"method": "POST", "signed": true, "body": "{\"name\":\"Eve\"}", "headers": {"content-type": "application/json"}}}),
        ),
        (
            "put",
            json!({"data": {"method": "PUT", "body": "a=1&b=2", "headers": {"content-type": "application/x-www-form-urlencoded"}}}),
        ),
        ("patch", json!({"data": {"method": "PATCH", "body": "{\"a\":1}"}})),
        ("delete", json!({"data": {"method": "DELETE", "body": "{\"a\":1}"}})),
        ("proxyRetries", json!({"status": 200})),
        ("proxyNotFound", json!({"failed": 404})),
        ("proxyElsewhere", failed(403, "base_url_override_not_allowed")),
        ("createConnectSession", json!({"data": {"token": "*", "connect_link": "*", "expires_at": "*"}})),
        ("createReconnectSession", json!({"data": {"token": "*", "connect_link": "*", "expires_at": "*"}})),
        (
            "deliveryOfSync",
            delivery(json!({
                "connectionId": "one", "syncName": "issues", "syncVariant": "base", "model": "Issue", "syncType": "INITIAL", "success": true,
                "responseResults": {"added": 2, "updated": 0, "deleted": 0}, "modifiedAfter": "*",
            })),
        ),
        (
            "deliveryOfSignIn",
            delivery(json!({
                "connectionId": "one", "provider": "github", "operation": "creation", "success": true, "authMode": "API_KEY",
                "endUser": {"endUserId": "user-1", "endUserEmail": "ann@example.com"},
            })),
        ),
        ("deliveryOfAction", delivery(json!({"connectionId": "one", "payload": {"id": "*", "statusUrl": "*"}}))),
        ("deliveryOfFailedAction", delivery(json!({"connectionId": "one", "payload": {"id": "*", "statusUrl": "*"}}))),
        ("deleteConnection", done.clone()),
        ("deleteConnectionTwice", failed(400, "unknown_connection")),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}
