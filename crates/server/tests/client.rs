//! The npm package `@nangohq/node`, unmodified, against a running server: every method of it, with the values that it returns.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "support/crm.rs"]
mod crm;
#[allow(unused)]
mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crm::TOKEN;
use highwater_engine::webhooks::{Destination, Outbox, WebhookFormat};
use highwater_engine::{ConnectionSettings, Credentials, IntegrationSettings, RunOptions, Secret};
use highwater_server::Compat;
use serde_json::{Value, json};
use support::start_with;

const PACKAGE: &str = "@nangohq/node@0.71.4";

/// Methods that send nothing: the others call the first, and the next test calls the rest.
const ELSEWHERE: [&str; 5] = [
    "enrichHeaders",
    "proxy",
    "updateSyncConnectionFrequency",
    "verifyIncomingWebhookRequest",
    "verifyWebhookSignature",
];

fn run(program: &str, folder: &Path, arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new(program).current_dir(folder).args(arguments).output();
    let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() { Ok(output) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Installs the package into a folder of its own; an error says why that is not possible here.
fn install(folder: &Path) -> Result<(), String> {
    std::fs::write(folder.join("package.json"), r#"{"type": "module"}"#).unwrap();
    for program in ["methods.mjs", "signatures.mjs"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client").join(program);
        std::fs::copy(source, folder.join(program)).unwrap();
    }
    let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", PACKAGE];
    run("npm", folder, &install).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_the_peers_client_gets_what_it_expects() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(why) = install(folder.path()) {
        println!("skipped: {PACKAGE} cannot be installed: {why}");
        return;
    }
    let (engine, _api) = crm::crm().await;
    let background = engine.start(&tokio::runtime::Handle::current());
    let running = start_with(engine, |server| server.compat(Compat::Nango)).await;
    let (url, key) = (format!("http://{}/", running.address), running.key.clone());
    let place = folder.path().to_owned();
    let output = tokio::task::spawn_blocking(move || run("node", &place, &["methods.mjs", &url, &key, TOKEN])).await;
    let output = output.unwrap().unwrap_or_else(|error| panic!("{error}"));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    check(&printed["results"]);
    let script = include_str!("client/methods.mjs");
    for method in printed["methods"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
        let called = script.contains(&format!("nango.{method}("));
        assert!(called || ELSEWHERE.contains(&method), "the package has a method that nothing calls: {method}");
    }
    background.shutdown(Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_peers_client_verifies_deliveries_in_its_format() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(why) = install(folder.path()) {
        println!("skipped: {PACKAGE} cannot be installed: {why}");
        return;
    }
    let (engine, api) = crm::crm().await;
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let app = axum::Router::new().fallback(move |headers: axum::http::HeaderMap, body: String| async move {
        let headers: serde_json::Map<String, Value> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
        sender.send((headers, body)).unwrap();
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let outbox = Outbox::new(&engine);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    outbox.set_secrets("host", vec![Secret::new(secret)]).unwrap();
    let destination = Destination::new("host", url).format(WebhookFormat::Nango).integration("crm-eu").on_auth(false);
    outbox.add(destination).await.unwrap();
    // An integration whose key is not its provider's name.
    engine.create_integration(IntegrationSettings::new("crm-eu", "crm").base_url(&api.url)).await.unwrap();
    for (id, key) in [("eu", "crm-eu"), ("other", "crm")] {
        engine.connect(ConnectionSettings::of_integration(id, key)).await.unwrap();
        engine.sign_in(id, Credentials::token(Secret::new(TOKEN))).await.unwrap();
        engine.sync(id, "crm/contacts").unwrap().run_once(RunOptions::default()).await.unwrap();
    }
    assert_eq!(outbox.deliver_due().await.unwrap().delivered, 1);
    let (headers, body) = received.recv().await.unwrap();
    let told: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({
        "from": "nango", "type": "sync", "connectionId": "eu", "providerConfigKey": "crm-eu", "syncName": "contacts", "syncVariant": "base",
        "model": "Contact", "syncType": "INITIAL", "success": true, "responseResults": {"added": 2, "updated": 0, "deleted": 0}, "modifiedAfter": "*",
    });
    assert!(fits(&told, &expected), "{told}");
    let file = folder.path().join("delivery.json");
    std::fs::write(&file, json!({ "headers": headers, "body": body }).to_string()).unwrap();
    let place = folder.path().to_owned();
    let checked = move || run("node", &place, &["signatures.mjs", secret, file.to_str().unwrap()]);
    let output = tokio::task::spawn_blocking(checked).await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({"request": true, "changed": false, "otherKey": false, "plain": true, "plainOtherKey": false});
    assert_eq!(checks, expected);
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

#[allow(clippy::too_many_lines)] // one line for each call
fn expected() -> Value {
    let user = json!({"id": "user-1", "email": "ann@example.com", "display_name": "Ann", "organization": null});
    let one = json!({
        "connection_id": "one", "provider_config_key": "crm", "provider": "crm", "errors": [], "end_user": user,
        "tags": {"plan": "team", "end_user_id": "user-1"}, "created": "*",
    });
    let failed = |status: u16, code: &str| json!({"failed": status, "code": code});
    let done = json!({"status": 200, "data": {"success": true}});
    let pairs = [
        ("listProviders", json!({"data": [{"name": "crm", "auth_mode": "API_KEY"}]})),
        ("getProvider", json!({"data": {"name": "crm"}})),
        ("getProviderUnknown", failed(404, "not_found")),
        (
            "getProviderTemplates",
            json!({"data": [{"name": "contacts", "type": "sync"}, {"name": "create_contact", "type": "action"}]}),
        ),
        (
            "createIntegration",
            json!({"data": {"unique_key": "crm-two", "provider": "crm", "display_name": "CRM", "created_at": "*"}}),
        ),
        ("createIntegrationTwice", failed(400, "invalid_body")),
        ("createQuickstartIntegration", failed(400, "invalid_body")),
        ("updateIntegration", json!({"data": {"unique_key": "crm-two", "display_name": "CRM 2"}})),
        ("listIntegrations", json!({"configs": [{"unique_key": "crm"}, {"unique_key": "crm-two"}]})),
        (
            "getIntegration",
            json!({"data": {"unique_key": "crm-two", "credentials": {"type": "OAUTH2", "client_id": "app", "client_secret": "s3cret", "scopes": "a,b"}}}),
        ),
        (
            "listFunctions",
            json!({"data": [{"name": "contacts", "type": "sync", "enabled": true, "returns": ["Contact"], "source": "catalog"}], "pagination": {"total": 1, "page": 0, "limit": 20}}),
        ),
        ("getFunction", json!({"data": {"name": "create_contact", "type": "action"}})),
        ("getFunctionCode", failed(404, "not_found")),
        ("deleteFunction", failed(400, "function_managed_by_deploy")),
        ("deleteIntegration", done.clone()),
        (
            "getScriptsConfig",
            json!([{"providerConfigKey": "crm", "provider": "crm", "syncs": [{"name": "contacts"}], "actions": [{"name": "create_contact"}], "on-events": []}]),
        ),
        (
            "getScriptsConfigOpenAi",
            json!({"data": [{"name": "contacts"}, {"name": "create_contact", "parameters": {"type": "object", "required": ["name"]}}]}),
        ),
        ("getEnvironmentVariables", json!([])),
        ("import", json!({"status": 201, "data": {"connection_id": "one", "credentials": {}}})),
        ("importTokens", json!({"status": 201, "data": {"connection_id": "two", "credentials": {}}})),
        ("listConnections", json!({"connections": [one]})),
        ("listConnectionsOld", json!({"connections": [{"connection_id": "two"}]})),
        ("listConnectionsPage", json!({"connections": [{"connection_id": "main"}]})),
        (
            "getConnection",
            json!({"connection_id": "one", "provider": "crm", "connection_config": {}, "webhook_url_override": null, "created_at": "*", "credentials": {"type": "API_KEY", "apiKey": TOKEN}}),
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
            json!({"status": 201, "data": {"connection_id": ["one", "two"], "provider_config_key": "crm", "metadata": {"team": "core", "level": 1}}}),
        ),
        ("updateMetadata", json!({"status": 200, "data": {"connection_id": "one", "metadata": {"level": 2}}})),
        ("getMetadata", json!({"team": "core", "level": 2})),
        ("setMetadataUnknown", failed(404, "unknown_connection")),
        ("waitForConnection", json!({"connection_id": "two", "tags": {"plan": "solo", "end_user_id": "user-2"}})),
        (
            "listRecords",
            json!({"records": [{"id": "1", "name": "Ann", "_nango_metadata": {"last_action": "ADDED", "deleted_at": null, "cursor": "*"}}], "next_cursor": "*"}),
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
        ("syncStatusPaused", json!({"syncs": [{"name": "contacts", "status": "PAUSED"}]})),
        ("startSync", done.clone()),
        (
            "syncStatus",
            json!({"syncs": [{"id": "*", "connection_id": "one", "name": "contacts", "variant": "base", "type": "INCREMENTAL", "status": "SUCCESS", "frequency": "1h", "finishedAt": "*", "nextScheduledSyncAt": "*", "latestExecutionStatus": "SUCCESS", "recordCount": {"Contact": 2}, "checkpoint": null}]}),
        ),
        (
            "syncStatusAll",
            json!({"syncs": [{"connection_id": "main"}, {"connection_id": "one"}, {"connection_id": "two"}]}),
        ),
        ("updateFrequency", json!({"frequency": "2h"})),
        ("updateFrequencyWrong", failed(400, "invalid_body")),
        ("updateFrequencyBack", json!({"frequency": "1h"})),
        ("createSyncVariant", json!({"id": "*", "name": "contacts", "variant": "v"})),
        ("createSyncVariantTwice", failed(400, "sync_variant_already_exists")),
        ("createSyncVariantBase", failed(400, "invalid_variant")),
        ("deleteSyncVariant", json!({"success": true})),
        ("deleteSyncVariantTwice", failed(404, "not_found")),
        ("pruneRecords", json!({"count": 2, "has_more": false})),
        ("triggerAction", json!({"name": "Cid"})),
        ("triggerActionUnknown", failed(404, "not_found")),
        ("triggerActionRefused", failed(424, "script_http_error")),
        ("triggerActionAsync", json!({"id": "*", "statusUrl": "*"})),
        ("getAsyncActionResult", json!({"name": "Dee"})),
        ("getAsyncActionResultById", json!({"name": "Dee"})),
        ("getAsyncActionResultUnknown", failed(404, "not_found")),
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
        ("deleteConnection", done.clone()),
        ("deleteConnectionTwice", failed(400, "unknown_connection")),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}
