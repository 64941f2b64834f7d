//! Connect sessions: links on which somebody without a key connects an account.
#![allow(clippy::disallowed_methods)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use highwater_core::{Environment, Inline, MemoryBackend, Store, StoreOptions, SystemEnvironment, Timestamp};
use highwater_engine::credentials::SignInMethod;
use highwater_engine::{ConnectionSettings, Credentials, Engine, IntegrationSettings, Secret};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::{ConfigKey, Provider, Verification};
use serde_json::{Value, json};
use support::keychain::Keychain;
use support::{Answer, Running, start_with};

/// The system's clock, which a test sets forward.
#[derive(Debug, Default)]
struct Clock(Mutex<Duration>);

impl Environment for Clock {
    fn now(&self) -> Timestamp {
        SystemEnvironment.now() + *self.0.lock().unwrap()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        SystemEnvironment.fill_random(bytes);
    }
}

/// A token endpoint that gives a token for the code `good`, and what it was sent.
async fn token_endpoint() -> (String, Arc<Mutex<Vec<BTreeMap<String, String>>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<BTreeMap<String, String>>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let answer = post(move |body: String| async move {
        let address = format!("/?{body}").parse().unwrap();
        let Query(form) = Query::<BTreeMap<String, String>>::try_from_uri(&address).unwrap();
        let good = form.get("code").is_some_and(|code| code == "good");
        noted.lock().unwrap().push(form);
        let status = if good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        let token = json!({"access_token": "at-of-the-user", "token_type": "bearer", "refresh_token": "rt-1"});
        (status, Json(if good { token } else { json!({"error": "invalid_grant"}) }))
    });
    // The account is in the key.
    let me = get(|headers: HeaderMap| async move {
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer key-").unwrap().to_owned();
        Json(json!({"id": token, "login": token}))
    });
    let router = Router::new().route("/token", answer).route("/me", me);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, seen)
}

struct World {
    running: Running,
    engine: Engine,
    clock: Arc<Clock>,
    seen: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

async fn world() -> World {
    let (url, seen) = token_endpoint().await;
    let clock = Arc::new(Clock::default());
    let environment = Arc::clone(&clock) as Arc<dyn Environment>;
    let options = StoreOptions::new().environment(Arc::clone(&environment));
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
    let oauth =
        OAuth2::new("https://acme.example/authorize", format!("{url}/token"), DesktopSignIn::PkcePublic).scope("read");
    let acme = Provider::new("acme", "https://api.acme.example").auth(AuthKind::OAuth2(oauth));
    let keys = Provider::new("keys", "https://{site}.keys.example/{shelf}")
        .config(ConfigKey::required("site", "the site's name"))
        .config(ConfigKey::required("shelf", "which shelf"))
        .auth(AuthKind::bearer("a key, from the settings"));
    let people = Provider::new("people", &*url)
        .auth(AuthKind::bearer("a key, from the settings"))
        .verification(Verification::get("/me").id("/id").name("/login"));
    let engine = Engine::builder(store)
        .provider(people)
        .provider(acme)
        .provider(keys)
        .environment(environment)
        .credential_store(Arc::new(Keychain::default()))
        .build()
        .unwrap();
    let work = IntegrationSettings::new("acme-work", "acme").client_id("the-app");
    let work = engine.create_integration(work).await.unwrap();
    work.set_client_secret(Some(Secret::new("client-s3cret"))).await.unwrap();
    engine.create_integration(IntegrationSettings::new("keys", "keys").config("shelf", "a")).await.unwrap();
    engine.create_integration(IntegrationSettings::new("people", "people")).await.unwrap();
    let running = start_with(engine.clone(), |server| server).await;
    World { running, engine, clock, seen }
}

/// A browser with the cookies that it was given.
struct Guest<'w> {
    world: &'w World,
    cookies: Mutex<Vec<String>>,
}

impl<'w> Guest<'w> {
    fn new(world: &'w World) -> Self {
        Guest { world, cookies: Mutex::default() }
    }

    async fn send(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let cookies = self.cookies.lock().unwrap().join("; ");
        let origin = format!("http://{}", self.world.running.address);
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let pairs: Vec<String> =
            form.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let headers = [
            ("Authorization", ""),
            ("Connection-Id", ""),
            ("Provider-Config-Key", ""),
            ("Cookie", &*cookies),
            ("Origin", if method == "POST" { &*origin } else { "" }),
            ("Content-Type", if method == "POST" { "application/x-www-form-urlencoded" } else { "" }),
        ];
        let body = pairs.join("&");
        let body = (method == "POST").then_some(body.as_str());
        let answer = self.world.running.call_with(method, path, body, &headers).await;
        if let Some(set) = answer.header("set-cookie") {
            assert!(set.contains("HttpOnly; SameSite=Lax"), "{set}");
            self.cookies.lock().unwrap().push(set.split(';').next().unwrap().to_owned());
        }
        answer
    }

    /// Opens a link, and returns the address of the page that it leads to.
    async fn open(&self, link: &str) -> String {
        let (_, path) = link.split_once("/connect").unwrap();
        let answer = self.send("GET", &format!("/connect{path}"), &[]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        answer.header("location").unwrap().to_owned()
    }

    /// Sends a form of a page.
    async fn submit(&self, page: &str, form: &[(&str, &str)]) -> Answer {
        let shown = self.send("GET", page, &[]).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        let (_, rest) = shown.text().split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("{}", shown.text()));
        let csrf = rest.split('"').next().unwrap();
        self.send("POST", page, &[form, &[("csrf", csrf)]].concat()).await
    }

    /// Begins a sign-in in the browser, and returns the parameters of the provider's page.
    async fn begin(&self, page: &str) -> BTreeMap<String, String> {
        let answer = self.submit(page, &[("integration", "acme-work"), ("way", "browser")]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let (_, rest) = answer.text().split_once("0;url=").unwrap();
        let url = rest.split('"').next().unwrap().replace("&amp;", "&");
        let (place, query) = url.split_once('?').unwrap();
        assert_eq!(place, "https://acme.example/authorize");
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }
}

async fn create(world: &World, path: &str, body: &Value) -> Value {
    let answer = world.running.call("POST", path, Some(&body.to_string())).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["data"].clone()
}

async fn link(world: &World, body: &Value) -> String {
    create(world, "/connect/sessions", body).await["connect_link"].as_str().unwrap().to_owned()
}

async fn connections(world: &World) -> Vec<Value> {
    world.running.get("/connections").await.json()["connections"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_signs_a_user_in_at_the_provider_once() {
    let world = world().await;
    let body = json!({"end_user": {"id": "u-1", "email": "ann@example.com"}, "allowed_integrations": ["acme-work"]});
    let made = create(&world, "/connect/sessions", &body).await;
    let (token, link) = (made["token"].as_str().unwrap(), made["connect_link"].as_str().unwrap());
    let bearer = format!("Bearer {token}");
    let told = world.running.call_with("GET", "/connect/session", None, &[("Authorization", &bearer)]).await;
    assert_eq!(told.json()["data"]["end_user"]["id"], "u-1");
    let guest = Guest::new(&world);
    let page = guest.open(link).await;
    assert!(!page.contains(token), "the token is in no later address");
    let sent = guest.begin(&page).await;
    let redirect_uri = format!("http://{}/oauth/callback", world.running.address);
    assert_eq!(sent["redirect_uri"].replace("%3A", ":").replace("%2F", "/"), redirect_uri);
    assert_eq!((&*sent["code_challenge_method"], &*sent["client_id"]), ("S256", "the-app"));
    let back = format!("/oauth/callback?code=good&state={}", sent["state"]);
    // Another browser, and another state.
    assert_eq!(Guest::new(&world).send("GET", &back, &[]).await.status, 400);
    assert_eq!(guest.send("GET", "/oauth/callback?code=good&state=of-nobody", &[]).await.status, 400);
    assert!(world.seen.lock().unwrap().is_empty() && connections(&world).await.is_empty());
    let done = guest.send("GET", &back, &[]).await;
    assert!(done.status == 200 && done.text().contains("Connected"), "{}", done.text());
    let sent = world.seen.lock().unwrap()[0].clone();
    assert!(sent["code_verifier"].len() >= 43 && sent["redirect_uri"] == redirect_uri, "{sent:?}");
    let found = connections(&world).await;
    assert_eq!((found.len(), &found[0]["end_user"]["id"]), (1, &json!("u-1")), "{found:?}");
    let id = found[0]["connection_id"].as_str().unwrap();
    let credentials = world.engine.fetch_credentials(id, Default::default()).await.unwrap();
    let SignInMethod::OAuth2(tokens) = credentials.method() else { panic!("{credentials:?}") };
    assert_eq!(tokens.access_token.as_ref().unwrap().expose(), "at-of-the-user");
    // All of it works once.
    assert_eq!(guest.send("GET", &back, &[]).await.status, 400);
    assert_eq!(guest.send("GET", &page, &[]).await.status, 410);
    let again = guest.send("GET", &format!("/connect?session_token={token}"), &[]).await;
    assert_eq!(again.status, 410);
    for text in [done.text(), again.text()] {
        assert!(!text.contains("at-of-the-user") && !text.contains("client-s3cret") && !text.contains(token));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_takes_a_key_and_the_settings_that_it_asked_for() {
    let world = world().await;
    let guest = Guest::new(&world);
    let page = guest.open(&link(&world, &json!({"tags": {"plan": "team"}})).await).await;
    let choice = guest.send("GET", &page, &[]).await;
    assert!(choice.text().contains("acme-work") && choice.text().contains("integration=keys"), "{}", choice.text());
    let page = format!("{page}?integration=keys");
    let form = [("integration", "keys"), ("way", "token"), ("token", "k-1")];
    let missing = guest.submit(&page, &form).await;
    assert_eq!(missing.status, 400, "{}", missing.text());
    let given = [("config.site", "a"), ("config.shelf", "of-others")];
    let done = guest.submit(&page, &[&form[..], &given].concat()).await;
    assert!(done.status == 200 && done.text().contains("Connected"), "{}", done.text());
    let id = connections(&world).await[0]["connection_id"].as_str().unwrap().to_owned();
    let settings = world.engine.connection(&id).await.unwrap();
    assert_eq!(
        (&*settings.config["site"], &*settings.config["shelf"]),
        ("a", "a"),
        "the user says what is asked alone"
    );
    assert_eq!(settings.tags["plan"], "team");
    // Signed in again, it is the same connection.
    let body = json!({"connection_id": id, "integration_id": "keys"});
    let again = create(&world, "/connect/sessions/reconnect", &body).await;
    let page = guest.open(again["connect_link"].as_str().unwrap()).await;
    let done = guest.submit(&page, &[("integration", "acme-work"), ("way", "token"), ("token", "k-2")]).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let credentials = world.engine.fetch_credentials(&id, Default::default()).await.unwrap();
    assert!(matches!(credentials.method(), SignInMethod::Token(token) if token.expose() == "k-2"));
    assert_eq!(connections(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_refuses_what_is_not_the_links() {
    let world = world().await;
    let guest = Guest::new(&world);
    let only = link(&world, &json!({"allowed_integrations": ["acme-work"]})).await;
    let page = guest.open(&only).await;
    let form = [("integration", "acme-work"), ("way", "browser")];
    for csrf in ["", "of-others"] {
        let answer = guest.send("POST", &page, &[&form[..], &[("csrf", csrf)]].concat()).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    let other =
        guest.submit(&page, &[("integration", "keys"), ("way", "token"), ("token", "k"), ("config.site", "a")]).await;
    assert_eq!(other.status, 404, "{}", other.text());
    assert_eq!(Guest::new(&world).send("GET", &page, &[]).await.status, 410, "the address alone lets nobody in");
    let refused = guest.begin(&page).await;
    let answer =
        guest.send("GET", &format!("/oauth/callback?error=access_denied&state={}", refused["state"]), &[]).await;
    assert!(answer.status >= 400 && answer.text().contains("refused"), "{}", answer.text());
    let bad = guest.begin(&page).await;
    let answer = guest.send("GET", &format!("/oauth/callback?code=bad&state={}", bad["state"]), &[]).await;
    assert!(answer.status >= 400, "{}", answer.text());
    assert!(connections(&world).await.is_empty());
    // The link itself is good until it is used or has expired.
    *world.clock.0.lock().unwrap() = Duration::from_secs(30 * 60 + 1);
    assert_eq!(guest.send("GET", &page, &[]).await.status, 410);
    *world.clock.0.lock().unwrap() = Duration::ZERO;
    for _ in 0..100 {
        guest.submit(&page, &[("integration", "acme-work"), ("way", "nonsense")]).await;
    }
    assert_eq!(guest.submit(&page, &form).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_sessions_are_made_of_what_is_there() {
    let world = world().await;
    for (path, body, name) in [
        ("/connect/sessions", json!({"allowed_integrations": ["nobody"]}), "allowed_integrations"),
        ("/connect/sessions", json!({"end_user": {"id": ""}}), "end_user.id"),
        ("/connect/sessions", json!({"surprise": 1}), "surprise"),
        ("/connect/sessions/reconnect", json!({"connection_id": "c", "integration_id": "keys"}), "connection_id"),
    ] {
        let answer = world.running.call("POST", path, Some(&body.to_string())).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_body"), "{body}");
        assert!(answer.text().contains(name), "{}", answer.text());
    }
    let made = create(&world, "/connect/sessions", &json!({})).await;
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let with = [("Authorization", bearer.as_str())];
    assert_eq!(world.running.call_with("GET", "/connections", None, &with).await.status, 401, "it is no key");
    assert_eq!(world.running.call_with("DELETE", "/connect/session", None, &with).await.status, 204);
    let answer = world.running.call_with("GET", "/connect/session", None, &with).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_connect_session_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_to_another_account_is_refused_asked_or_allowed() {
    let world = world().await;
    world.engine.connect(ConnectionSettings::of_integration("c", "people")).await.unwrap();
    world.engine.sign_in("c", Credentials::token(Secret::new("key-anna"))).await.unwrap();
    let account = || async { world.engine.connection_state("c").await.unwrap().account.name.unwrap() };
    let reconnect = |rule: Value| {
        let body = json!({"connection_id": "c", "integration_id": "people", "account_change": rule});
        let world = &world;
        async move { create(world, "/connect/sessions/reconnect", &body).await["connect_link"].as_str().unwrap().to_owned() }
    };
    let sign_in = |token: &'static str| [("integration", "people"), ("way", "token"), ("token", token)];
    let guest = Guest::new(&world);

    // Refused: the link is still good for the right account.
    let page = guest.open(&reconnect(json!("refuse")).await).await;
    let refused = guest.submit(&page, &sign_in("key-ben")).await;
    assert!(refused.status == 409 && refused.text().contains("another account"), "{}", refused.text());
    assert!(!refused.text().contains("replace_account"), "{}", refused.text());
    assert_eq!(guest.submit(&page, &[("way", "replace_account")]).await.status, 400);
    assert_eq!(account().await, "anna");
    assert_eq!(guest.submit(&page, &sign_in("key-anna")).await.status, 200);

    // Asked: kept, then replaced.
    for (way, words, expected) in [("keep_account", "Nothing changed", "anna"), ("replace_account", "Connected", "ben")]
    {
        let page = guest.open(&reconnect(json!("ask")).await).await;
        let asked = guest.submit(&page, &sign_in("key-ben")).await;
        for part in ["This is another account", "Keep anna", "Replace it by ben"] {
            assert!(asked.status == 409 && asked.text().contains(part), "{part}: {}", asked.text());
        }
        assert_eq!(account().await, "anna");
        let decided = guest.submit(&page, &[("way", way)]).await;
        assert!(decided.status == 200 && decided.text().contains(words), "{}", decided.text());
        assert_eq!(account().await, expected);
        assert_eq!(guest.send("GET", &page, &[]).await.status, 410, "the session is over");
    }
    let credentials = world.engine.fetch_credentials("c", Default::default()).await.unwrap();
    assert!(matches!(credentials.method(), SignInMethod::Token(token) if token.expose() == "key-ben"));

    // Allowed beforehand.
    let page = guest.open(&reconnect(json!("allow")).await).await;
    assert_eq!(guest.submit(&page, &sign_in("key-anna")).await.status, 200);
    assert_eq!(account().await, "anna");
    let body = json!({"connection_id": "c", "integration_id": "people", "account_change": "perhaps"});
    let answer = world.running.call("POST", "/connect/sessions/reconnect", Some(&body.to_string())).await;
    assert_eq!((answer.status, answer.fault().0.as_str()), (400, "account_change"));
}
