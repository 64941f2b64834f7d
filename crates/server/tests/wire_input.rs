//! Bad input to the routes of the peer's clients: each is refused with a stable code and the parameter at fault, and changes nothing.
#![allow(clippy::disallowed_methods)]

#[path = "support/crm.rs"]
mod crm;
#[allow(unused)]
mod support;

use crm::TOKEN;
use highwater_server::Scope;
use serde_json::{Value, json};
use support::{Running, start_with};

async fn server() -> (Running, crm::Api) {
    let (engine, api) = crm::crm().await;
    (start_with(engine, |server| server).await, api)
}

/// Method, path, body, and what is answered: the status, the code, and the parameter at fault with the fault, if one is.
type Case<'c> = (&'c str, &'c str, Option<String>, u16, &'c str, Option<(&'c str, &'c str)>);

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_request_is_refused_by_its_name() {
    let (running, _api) = server().await;
    let body = |value: Value| Some(value.to_string());
    let long = "x".repeat(300);
    let named = json!({"syncs": ["contacts"], "provider_config_key": "crm", "connection_id": "main"});
    let with = |name: &str, value: Value| {
        let mut changed = named.clone();
        changed[name] = value;
        body(changed)
    };
    let metadata = |id: Value, metadata: Value| {
        body(json!({"connection_id": id, "provider_config_key": "crm", "metadata": metadata}))
    };
    let frequency = |value: Value| {
        body(
            json!({"sync_name": "contacts", "provider_config_key": "crm", "connection_id": "main", "frequency": value}),
        )
    };
    let import = |credentials: Value| {
        body(json!({"provider_config_key": "crm", "connection_id": "new", "credentials": credentials}))
    };
    let variant = || body(json!({"provider_config_key": "crm", "connection_id": "main"}));
    let cases: Vec<Case<'_>> = vec![
        ("POST", "/sync/trigger", None, 415, "invalid_content_type", None),
        ("POST", "/sync/trigger", Some("{".into()), 400, "invalid_body", None),
        ("POST", "/sync/trigger", Some("[".repeat(5000)), 400, "invalid_body", None),
        ("POST", "/sync/trigger", body(json!({})), 400, "invalid_body", None),
        ("POST", "/sync/trigger", with("syncs", json!("contacts")), 400, "invalid_body", Some(("syncs", "invalid"))),
        ("POST", "/sync/trigger", with("syncs", json!([7])), 400, "invalid_body", Some(("syncs[0]", "invalid"))),
        ("POST", "/sync/trigger", with("syncs", json!([""])), 400, "invalid_body", Some(("syncs", "empty"))),
        ("POST", "/sync/trigger", with("syncs", json!([long])), 400, "invalid_body", Some(("syncs", "too_long"))),
        (
            "POST",
            "/sync/trigger",
            with("syncs", json!(vec!["a"; 257])),
            400,
            "invalid_body",
            Some(("syncs", "too_long")),
        ),
        ("POST", "/sync/trigger", with("extra", json!(1)), 400, "invalid_body", Some(("extra", "invalid"))),
        (
            "POST",
            "/sync/trigger",
            with("opts", json!({"reset": "yes"})),
            400,
            "invalid_body",
            Some(("opts.reset", "invalid")),
        ),
        ("POST", "/sync/trigger", with("sync_mode", json!("all")), 400, "invalid_body", Some(("sync_mode", "invalid"))),
        ("POST", "/sync/trigger", with("connection_id", json!("nobody")), 404, "unknown_connection", None),
        ("POST", "/sync/trigger", with("provider_config_key", json!("nobody")), 400, "unknown_provider_config", None),
        ("POST", "/sync/trigger?a=1", with("syncs", json!([])), 400, "invalid_query_params", Some(("a", "unknown"))),
        ("POST", "/sync/start", with("syncs", json!(["other"])), 400, "no_syncs_found", None),
        (
            "POST",
            "/sync/pause",
            with("provider_config_key", json!("")),
            400,
            "invalid_body",
            Some(("provider_config_key", "empty")),
        ),
        (
            "POST",
            "/sync/pause",
            with("connection_id", json!(long)),
            400,
            "invalid_body",
            Some(("connection_id", "too_long")),
        ),
        ("GET", "/sync/status", None, 400, "invalid_query_params", Some(("syncs", "missing"))),
        (
            "GET",
            "/sync/status?syncs=*&syncs=a&provider_config_key=crm",
            None,
            400,
            "invalid_query_params",
            Some(("syncs", "repeated")),
        ),
        ("GET", "/sync/status?syncs=*&provider_config_key=crm&connection_id=nobody", None, 400, "invalid_body", None),
        (
            "GET",
            "/sync/status?syncs=%ff&provider_config_key=crm",
            None,
            400,
            "invalid_query_params",
            Some(("syncs", "invalid")),
        ),
        (
            "PUT",
            "/sync/update-connection-frequency",
            frequency(json!(7)),
            400,
            "invalid_body",
            Some(("frequency", "invalid")),
        ),
        (
            "PUT",
            "/sync/update-connection-frequency",
            frequency(json!("")),
            400,
            "invalid_body",
            Some(("frequency", "empty")),
        ),
        ("PUT", "/sync/update-connection-frequency", frequency(json!("0s")), 400, "invalid_body", None),
        ("PUT", "/sync/update-connection-frequency", with("syncs", json!([])), 400, "invalid_body", None),
        ("POST", "/sync/nothing/variant/v", variant(), 400, "unknown_sync", None),
        ("POST", "/sync/contacts/variant/BASE", variant(), 400, "invalid_variant", None),
        ("DELETE", "/sync/contacts/variant/v", None, 415, "invalid_content_type", None),
        ("DELETE", "/sync/contacts/variant/v", variant(), 404, "not_found", None),
        ("GET", "/connections?limit=0", None, 400, "invalid_query_params", Some(("limit", "invalid"))),
        ("GET", "/connections?limit=2001", None, 400, "invalid_query_params", Some(("limit", "invalid"))),
        ("GET", "/connections?page=-1", None, 400, "invalid_query_params", Some(("page", "invalid"))),
        ("GET", "/connections?search=", None, 400, "invalid_query_params", Some(("search", "empty"))),
        ("GET", "/connections?tags[1]=a", None, 400, "invalid_query_params", Some(("tags.1", "invalid"))),
        ("GET", "/connections?tags[a]=1&tags[A]=2", None, 400, "invalid_query_params", Some(("tags[A]", "repeated"))),
        ("GET", "/connections?nonsense=1", None, 400, "invalid_query_params", Some(("nonsense", "unknown"))),
        ("GET", "/connections/main", None, 400, "invalid_query_params", Some(("provider_config_key", "missing"))),
        ("GET", "/connections/main?provider_config_key=other", None, 400, "unknown_provider_config", None),
        ("GET", "/connections/nobody?provider_config_key=crm", None, 404, "not_found", None),
        (
            "GET",
            "/connections/main?provider_config_key=crm&force_refresh=maybe",
            None,
            400,
            "invalid_query_params",
            Some(("force_refresh", "invalid")),
        ),
        ("DELETE", "/connections/nobody?provider_config_key=crm", None, 400, "unknown_connection", None),
        (
            "PATCH",
            "/connections/main?provider_config_key=crm",
            body(json!({"end_user": {"id": ""}})),
            400,
            "invalid_body",
            Some(("end_user.id", "empty")),
        ),
        (
            "PATCH",
            "/connections/main?provider_config_key=crm",
            body(json!({"tags": {"1a": "x"}})),
            400,
            "invalid_body",
            Some(("tags.1a", "invalid")),
        ),
        (
            "PATCH",
            "/connections/main?provider_config_key=crm",
            body(json!({"webhook_url_override": "https://a.example"})),
            400,
            "invalid_body",
            Some(("webhook_url_override", "invalid")),
        ),
        (
            "POST",
            "/connections/metadata",
            metadata(json!(7), json!({})),
            400,
            "invalid_body",
            Some(("connection_id", "invalid")),
        ),
        (
            "POST",
            "/connections/metadata",
            metadata(json!("main"), json!([])),
            400,
            "invalid_body",
            Some(("metadata", "invalid")),
        ),
        (
            "POST",
            "/connections/metadata",
            metadata(json!(["main", "nobody"]), json!({"a": 1})),
            404,
            "unknown_connection",
            None,
        ),
        (
            "PATCH",
            "/connections/metadata",
            metadata(json!("main"), json!({"a": "x".repeat(70_000)})),
            400,
            "invalid_body",
            None,
        ),
        ("POST", "/connections", import(json!({"type": "OAUTH1"})), 400, "invalid_body", None),
        ("POST", "/connections", import(json!({"type": "API_KEY"})), 400, "invalid_body", None),
        (
            "POST",
            "/connections",
            import(json!({"type": "API_KEY", "apiKey": ""})),
            400,
            "invalid_body",
            Some(("credentials.apiKey", "empty")),
        ),
        (
            "POST",
            "/connections",
            import(json!({"type": "OAUTH2", "access_token": "a", "expires_at": "soon"})),
            400,
            "invalid_body",
            Some(("credentials.expires_at", "invalid")),
        ),
        (
            "POST",
            "/connections",
            body(
                json!({"provider_config_key": "crm", "credentials": {"type": "NONE"}, "connection_config": {"nonsense": "1"}}),
            ),
            400,
            "invalid_body",
            None,
        ),
        (
            "POST",
            "/connections",
            body(json!({"provider_config_key": "nobody", "credentials": {"type": "NONE"}})),
            404,
            "not_found",
            None,
        ),
        ("GET", "/integrations/nobody", None, 404, "not_found", None),
        ("GET", "/integrations/crm?include=all", None, 400, "invalid_query_params", Some(("include", "invalid"))),
        (
            "POST",
            "/integrations",
            body(json!({"provider": "nobody", "unique_key": "k"})),
            400,
            "invalid_body",
            Some(("provider", "invalid")),
        ),
        ("POST", "/integrations", body(json!({"provider": "crm", "unique_key": "a/b"})), 400, "invalid_body", None),
        (
            "PATCH",
            "/integrations/crm",
            body(json!({"unique_key": "other"})),
            400,
            "invalid_body",
            Some(("unique_key", "invalid")),
        ),
        ("GET", "/integrations/crm/functions?limit=101", None, 400, "invalid_query_params", Some(("limit", "invalid"))),
        (
            "DELETE",
            "/integrations/crm/functions/contacts",
            None,
            400,
            "invalid_query_params",
            Some(("type", "missing")),
        ),
        ("GET", "/providers?search=", None, 400, "invalid_query_params", Some(("search", "empty"))),
        ("GET", "/scripts/config?format=xml", None, 400, "invalid_query_params", Some(("format", "invalid"))),
        ("POST", "/action/trigger", body(json!({})), 400, "invalid_body", None),
        (
            "POST",
            "/action/trigger",
            body(json!({"action_name": ""})),
            400,
            "invalid_body",
            Some(("action_name", "empty")),
        ),
        (
            "POST",
            "/action/trigger",
            body(json!({"action_name": "create_contact", "input": {}})),
            400,
            "invalid_body",
            None,
        ),
        ("GET", "/action/nonsense", None, 404, "not_found", None),
    ];
    for (method, path, body, status, code, fault) in cases {
        let answer = running.call(method, path, body.as_deref()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path} {}", answer.text());
        if let Some((name, what)) = fault {
            assert_eq!(answer.fault(), (name.to_owned(), what.to_owned()), "{method} {path} {}", answer.text());
        }
        assert!(!answer.text().contains(TOKEN), "{}", answer.text());
    }
    let connections = running.get("/connections").await.json();
    assert_eq!(connections["connections"].as_array().unwrap().len(), 1, "nothing was connected: {connections}");
    let main = &connections["connections"][0];
    assert_eq!((&main["metadata"], &main["tags"]), (&Value::Null, &json!({})), "nothing was changed: {main}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scope_ends_where_it_should_and_no_answer_holds_a_secret() {
    let (running, _api) = server().await;
    let keys = running.server.keys();
    let read = keys.create("read", Scope::Read).await.unwrap().secret.expose().to_owned();
    let write = keys.create("write", Scope::Write).await.unwrap().secret.expose().to_owned();
    let with = async |key: &str, method: &str, path: &str, body: Option<&str>| {
        running.call_with(method, path, body, &[("Authorization", &format!("Bearer {key}"))]).await
    };
    let named = json!({"syncs": ["contacts"], "provider_config_key": "crm", "connection_id": "main"}).to_string();
    for (key, method, path, body) in [
        (&read, "POST", "/sync/trigger", Some(&*named)),
        (&read, "DELETE", "/connections/main?provider_config_key=crm", None),
        (&read, "GET", "/proxy/echo", None),
        (&read, "GET", "/connections/main?provider_config_key=crm&refresh_token=true", None),
        (&write, "GET", "/connections/main?provider_config_key=crm&force_refresh=1", None),
        (&write, "POST", "/integrations", Some(r#"{"provider":"crm","unique_key":"k"}"#)),
        (&write, "DELETE", "/integrations/crm", None),
    ] {
        let answer = with(key, method, path, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{method} {path}");
    }
    for (key, method, path, body) in [
        (&read, "GET", "/connections/main?provider_config_key=crm", None),
        (&read, "GET", "/connections/main/?provider_config_key=crm&force_refresh=false", None),
        (&read, "GET", "/sync/status/?syncs=*&provider_config_key=crm", None),
        (&read, "GET", "/integrations/crm?include=credentials", None),
        (&write, "POST", "/sync/trigger/", Some(&*named)),
        (&write, "GET", "/proxy/echo", None),
    ] {
        let answer = with(key, method, path, body).await;
        assert_eq!(answer.status, 200, "{method} {path} {}", answer.text());
        assert!(!answer.text().contains(TOKEN), "{path} {}", answer.text());
        if path.starts_with("/connections") {
            assert_eq!(answer.json()["credentials"], json!({}));
        }
    }
    let admin = running.get("/connections/main?provider_config_key=crm").await;
    assert_eq!(admin.json()["credentials"], json!({"type": "API_KEY", "apiKey": TOKEN}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_reaches_the_providers_origins_only_and_no_private_address_that_a_client_chose() {
    let (running, api) = server().await;
    let echo = running.get("/proxy/a%2Fb/../c?x=%20&x=2").await;
    assert_eq!((echo.json()["path"].as_str(), echo.json()["query"].as_str()), (Some("/c"), Some("x=%20&x=2")));
    for name in ["set-cookie", "access-control-allow-origin"] {
        assert_eq!(echo.header(name), None, "{name}");
    }
    let whole = running.get("/proxy/http://169.254.169.254/latest").await;
    assert_eq!(whole.json()["path"], "/http://169.254.169.254/latest", "a whole URL is a path of the provider");
    for path in ["/proxy/away", "/proxy/private"] {
        let answer = running.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_failed"), "{path}");
    }
    for (name, value, status, code) in [
        ("Base-Url-Override", "http://127.0.0.1:1", 403, "base_url_override_not_allowed"),
        ("Base-Url-Override", "http://169.254.169.254", 403, "base_url_override_not_allowed"),
        ("Base-Url-Override", "file:///etc/passwd", 400, "invalid_headers"),
        ("Base-Url-Override", "https://a@b", 400, "invalid_headers"),
        ("Retries", "11", 400, "invalid_headers"),
        ("Retries", "-1", 400, "invalid_headers"),
        ("Retry-On", "404,x", 400, "invalid_headers"),
        ("Decompress", "perhaps", 400, "invalid_headers"),
        ("Connection-Id", "nobody", 400, "unknown_connection"),
    ] {
        let answer = running.call_with("GET", "/proxy/echo", None, &[(name, value)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}: {value} {}", answer.text());
    }
    let own = running.call_with("GET", "/proxy/echo", None, &[("Base-Url-Override", &api.url)]).await;
    assert_eq!(own.json()["signed"], true, "an origin of the connection is no other one");
    let from = running.call_with("GET", "/proxy/flaky", None, &[("Retries", "2")]).await;
    assert_eq!((from.status, api.flaky.load(std::sync::atomic::Ordering::Relaxed)), (200, 3));
    // A setting that is part of the address, as a client may give one.
    for (number, host) in ["localhost", "127.0.0.1", "2130706433", "0x7f000001", "169.254.169.254", "10.0.0.1", "0"]
        .into_iter()
        .enumerate()
    {
        let id = format!("site-{number}");
        let body = json!({"provider_config_key": "site", "connection_id": id, "credentials": {"type": "NONE"}, "connection_config": {"host": host}});
        let made = running.call("POST", "/connections", Some(&body.to_string())).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let named = [("Connection-Id", &*id), ("Provider-Config-Key", "site")];
        let answer = running.call_with("GET", "/proxy/", None, &named).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "address_not_allowed"), "{host} {}", answer.text());
    }
}
