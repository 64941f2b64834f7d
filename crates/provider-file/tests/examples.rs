//! The examples, used for requests to a server on this machine.
#![allow(clippy::disallowed_methods)] // a server of the test's own

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use highwater_core::MemoryStore;
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, Credentials, Engine, Secret};
use highwater_provider_file::read;
use highwater_template::auth::{AuthKind, DesktopSignIn};
use highwater_template::{HttpRequest, Paging, Provider};

fn example(name: &str) -> Provider {
    read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers").join(format!("{name}.yaml"))).unwrap()
}

type Seen = Arc<Mutex<Vec<(String, BTreeMap<String, String>)>>>;

async fn answer(State(seen): State<Seen>, request: Request) -> impl IntoResponse {
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let target = request.uri().path_and_query().unwrap().to_string();
    seen.lock().unwrap().push((target.clone(), headers.collect()));
    let body = match target.split('?').next().unwrap() {
        "/api/v4/user" => r#"{"username":"octo"}"#,
        "/api/1.0/users/me" => r#"{"data":{"email":"octo@acme.example"}}"#,
        "/3.0/" => r#"{"account_name":"Acme"}"#,
        "/api/v2/users/me.json" => r#"{"user":{"id":1,"email":"agent@acme.example"}}"#,
        "/data/2.5/weather" => r#"{"main":{"temp":300}}"#,
        "/token" => r#"{"access_token":"fresh","expires_in":3600}"#,
        _ => return (StatusCode::NOT_FOUND, "<html>no such page</html>".to_owned()),
    };
    (StatusCode::OK, body.to_owned())
}

/// Asks whose account it is, at a server on this machine.
async fn verified(
    provider: Provider,
    path: &str,
    config: &[(&str, &str)],
    credentials: Credentials,
) -> (Option<String>, (String, BTreeMap<String, String>)) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let name = provider.name.clone();
    let engine = Engine::builder(Arc::new(MemoryStore::new().unwrap())).provider(provider).build().unwrap();
    let mut settings = ConnectionSettings::new("c", name).base_url(format!("{origin}{path}"));
    for (name, value) in config {
        settings = settings.config(*name, *value);
    }
    engine.connect(settings).await.unwrap();
    engine.use_credentials("c", credentials);
    let account = engine.verify_connection("c").await.unwrap().name;
    let missing = engine.proxy("c", HttpRequest::get("/none")).await.unwrap();
    assert_eq!(missing.status, 404);
    server.abort();
    let first = seen.lock().unwrap().remove(0);
    (account, first)
}

fn token(text: &str) -> Credentials {
    Credentials::token(Secret::new(text))
}

#[tokio::test]
async fn keys_and_passwords_stand_where_each_api_wants_them() {
    let (account, seen) = verified(example("gitlab"), "/api/v4", &[], token("glpat-1")).await;
    assert_eq!((account.as_deref(), seen.1["private-token"].as_str()), (Some("octo"), "glpat-1"));
    let tokens = OAuthTokens::new("app").access(Secret::new("granted"), None);
    let (_, seen) = verified(example("gitlab"), "/api/v4", &[], Credentials::oauth2(tokens)).await;
    assert_eq!((seen.1["authorization"].as_str(), seen.1.get("private-token")), ("Bearer granted", None));

    let (account, seen) = verified(example("asana"), "/api/1.0", &[], token("1/pat")).await;
    assert_eq!((account.as_deref(), seen.1["authorization"].as_str()), (Some("octo@acme.example"), "Bearer 1/pat"));

    let key = Credentials::basic("anything", Secret::new("key-us6"));
    let (account, seen) = verified(example("mailchimp"), "/3.0", &[("data_center", "us6")], key).await;
    // printf anything:key-us6 | base64
    assert_eq!(
        (account.as_deref(), seen.1["authorization"].as_str()),
        (Some("Acme"), "Basic YW55dGhpbmc6a2V5LXVzNg==")
    );

    let key = Credentials::basic("a@b.example/token", Secret::new("k"));
    let (account, seen) = verified(example("zendesk"), "/api/v2", &[("subdomain", "acme")], key).await;
    // printf a@b.example/token:k | base64
    assert_eq!(
        (account.as_deref(), seen.1["authorization"].as_str()),
        (Some("agent@acme.example"), "Basic YUBiLmV4YW1wbGUvdG9rZW46aw==")
    );

    let (account, seen) = verified(example("openweather"), "", &[], token("k1")).await;
    assert_eq!((account, seen.0.as_str()), (None, "/data/2.5/weather?lat=0&lon=0&appid=k1"));
}

#[tokio::test]
async fn settings_stand_in_the_urls_of_a_sign_in() {
    let own = BTreeMap::from([("host".to_owned(), "git.acme.example".to_owned())]);
    let provider = example("gitlab").filled_in(&own).unwrap();
    let oauth = provider.oauth2().unwrap();
    assert_eq!(oauth.token_url, "https://git.acme.example/oauth/token");
    assert_eq!(oauth.device_url.as_deref(), Some("https://git.acme.example/oauth/authorize_device"));
    let usual = example("gitlab").filled_in(&BTreeMap::new()).unwrap();
    assert_eq!(usual.oauth2().unwrap().revocation_url.as_deref(), Some("https://gitlab.com/oauth/revoke"));
    assert!(example("zendesk").filled_in(&BTreeMap::new()).is_err());
}

#[test]
fn what_the_examples_say() {
    let gitlab = example("gitlab");
    assert_eq!(gitlab.lists.unwrap().paging, Paging::Link);
    assert_eq!(gitlab.limits.remaining_headers, ["ratelimit-remaining"]);
    assert_eq!(gitlab.auth[1].oauth2().unwrap().desktop, DesktopSignIn::PkcePublic);
    let asana = example("asana");
    let lists = asana.lists.clone().unwrap();
    assert_eq!((lists.paging, lists.records.as_str()), (Paging::cursor("/next_page/offset", "offset"), "/data"));
    assert_eq!(asana.oauth2().unwrap().scopes[0], "tasks:read");
    assert_eq!(asana.auth[0].page_url(), Some("https://app.asana.com/0/my-apps"));
    let kinds = |name: &str| example(name).auth.iter().map(AuthKind::credential).collect::<Vec<_>>();
    assert_eq!(kinds("mailchimp"), kinds("zendesk"));
    assert_eq!(example("openweather").limits.rate.unwrap().requests, 60);
}
