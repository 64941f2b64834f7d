//! Providers without a template: connections, requests, the account's name, and the end of a sign-in.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Environment, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::credentials::{OAuthTokens, Revocation, SignIn};
use highwater_engine::{ConnectionSettings, Credentials, Engine, Secret};
use highwater_template::auth::{AuthKind, BaseUrlLookup, ClientAuth, DesktopSignIn, OAuth2, TokenBaseUrl};
use highwater_template::http::Transport;
use highwater_template::{ConfigKey, HttpRequest, HttpResponse, Provider, Verification};
use scripted::{Script, json};
use world::Clock;

const REVOKE: &str = "https://auth.forge.example/revoke";

fn oauth() -> OAuth2 {
    OAuth2::new("https://auth.forge.example/authorize", "https://auth.forge.example/token", DesktopSignIn::PkcePublic)
}

fn forge(oauth: OAuth2) -> Provider {
    Provider::new("forge", "https://{host}/api")
        .config(ConfigKey::with_default("host", "the server's name", "forge.example"))
        .auth(AuthKind::header("x-key", "Key ", "a key"))
        .auth(AuthKind::OAuth2(oauth))
        .verification(Verification::get("/me").name("/login").name("/id").refusal("/error"))
}

fn engine(
    providers: impl IntoIterator<Item = Provider>,
    answer: impl FnMut(&HttpRequest) -> Result<HttpResponse> + Send + 'static,
) -> (Result<Engine>, Arc<Script>) {
    let clock = Clock::new() as Arc<dyn Environment>;
    let options = StoreOptions::new().environment(Arc::clone(&clock));
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
    let script = Script::new(answer);
    let builder = Engine::builder(store).transport(Arc::clone(&script) as Arc<dyn Transport>).environment(clock);
    (providers.into_iter().fold(builder, |builder, provider| builder.provider(provider)).build(), script)
}

async fn connected(
    provider: Provider,
    answer: impl FnMut(&HttpRequest) -> Result<HttpResponse> + Send + 'static,
) -> (Engine, Arc<Script>) {
    let (engine, script) = engine([provider], answer);
    let engine = engine.unwrap();
    engine.connect(ConnectionSettings::new("c", "forge")).await.unwrap();
    (engine, script)
}

fn header<'r>(request: &'r HttpRequest, wanted: &str) -> Option<&'r str> {
    request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
}

fn form(request: &HttpRequest) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(request.body.as_deref().unwrap_or_default()).into_owned().collect()
}

fn signed_in() -> Credentials {
    let tokens = OAuthTokens::new("app").client_secret(Secret::new("h4sh-of-app"));
    Credentials::oauth2(tokens.access(Secret::new("acc3ss-token"), None).refresh(Secret::new("r3fresh-token")))
}

#[tokio::test(start_paused = true)]
async fn a_connection_and_requests_need_no_template() {
    let (engine, script) = connected(forge(oauth()), |_| Ok(json(200, r#"{"ok":true}"#))).await;
    engine.use_token("c", Secret::new("k1"));
    assert_eq!(engine.proxy("c", HttpRequest::get("/things")).await.unwrap().status, 200);
    let seen = script.seen();
    assert_eq!(seen[0].url, "https://forge.example/api/things");
    assert_eq!(header(&seen[0], "x-key"), Some("Key k1"));

    engine.connect(ConnectionSettings::new("own", "forge").config("host", "git.acme.example")).await.unwrap();
    engine.proxy("own", HttpRequest::get("/things")).await.unwrap();
    assert_eq!(script.seen()[1].url, "https://git.acme.example/api/things");
    let names: Vec<&str> = engine.providers().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["forge"]);
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_one_line_that_says_what_to_do() {
    let (twice, _) = engine([forge(oauth()), forge(oauth())], |_| Ok(json(200, "{}")));
    let error = twice.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), "two providers have the same name: rename one, or leave one out (provider: forge)");

    let (engine, _) = engine([forge(oauth())], |_| Ok(json(200, "{}")));
    let engine = engine.unwrap();
    let error = engine.connect(ConnectionSettings::new("c", "gitbuh")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "no such provider: add it, or one of its templates, to the engine (provider: gitbuh, known: forge)"
    );
    let error = engine.connect(ConnectionSettings::new("c", "forge").config("hots", "a")).await.unwrap_err();
    assert!(error.to_string().contains("setting: hots, known: host"), "{error}");

    let clock = Clock::new();
    let named = oauth().registered("an application", "https://forge.example/apps");
    let error = SignIn::begin(&named, OAuthTokens::new(" "), "http://127.0.0.1/", &[], &*clock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "the sign-in has no client id: register an application with the provider, and set its client id \
         (page: https://forge.example/apps)"
    );
    let alone = OAuth2::client_credentials("https://forge.example/token");
    let error = SignIn::begin(&alone, OAuthTokens::new("app"), "http://127.0.0.1/", &[], &*clock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_at_another_origin_gets_nothing() {
    let (engine, script) = connected(forge(oauth()), |_| Ok(json(200, "{}"))).await;
    let tokens = || OAuthTokens::new("app").refresh(Secret::new("r3fresh-token"));
    engine.use_credentials("c", Credentials::oauth2(tokens().token_url("https://evil.example/token")));
    let error = engine.proxy("c", HttpRequest::get("/things")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "refused a token endpoint at another origin than the provider's: the refresh token would leak; correct the token \
         URL of the credentials (origin: https://evil.example, expected: https://auth.forge.example, connection: c)"
    );
    assert!(script.seen().is_empty());
    // The API's own origin is one of the provider's.
    engine.use_credentials("c", Credentials::oauth2(tokens().token_url("https://forge.example/token")));
    let error = engine.proxy("c", HttpRequest::get("/things")).await.unwrap_err();
    assert_eq!((error.kind(), script.seen().len()), (ErrorKind::Remote, 1), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_account_is_named_or_the_error_says_what_to_do() {
    let cases = [
        (200, r#"{"login":"octocat","id":7}"#, Ok(Some("octocat"))),
        (200, r#"{"id":7}"#, Ok(Some("7"))),
        (200, r#"{"login":"a\u0007b\n"}"#, Ok(Some("a b"))),
        (200, r#"{"error":"invalid_auth"}"#, Err((ErrorKind::Unauthorized, "sign in again"))),
        (200, "{}", Err((ErrorKind::Remote, "did not tell whose account"))),
        (200, "<html>Log in</html>", Err((ErrorKind::Remote, "a web page answered in place of the API"))),
        (401, "{}", Err((ErrorKind::Unauthorized, "refused the token"))),
        (503, "{}", Err((ErrorKind::Remote, "503"))),
    ];
    for (status, body, expected) in cases {
        let (engine, script) = connected(forge(oauth()), move |_| Ok(json(status, body))).await;
        engine.use_token("c", Secret::new("k1"));
        match (engine.verify_connection("c").await, expected) {
            (Ok(account), Ok(expected)) => assert_eq!(account.name.as_deref(), expected, "{body}"),
            (Err(error), Err((kind, text))) => {
                assert_eq!(error.kind(), kind, "{body}: {error}");
                assert!(error.to_string().contains(text) && !error.to_string().contains('\n'), "{body}: {error}");
            }
            (found, expected) => panic!("{body}: {found:?}, expected {expected:?}"),
        }
        let seen = script.seen();
        assert_eq!((seen.len(), &*seen[0].url, &*seen[0].method), (1, "https://forge.example/api/me", "GET"));
    }
    let (engine, script) = connected(forge(oauth()), |_| Ok(json(200, "{}"))).await;
    assert_eq!(engine.verify_connection("c").await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(engine.verify_connection("x").await.unwrap_err().kind(), ErrorKind::NotFound);
    let mut silent = forge(oauth());
    silent.verification = None;
    let (without, _) = connected(silent, |_| Ok(json(200, "{}"))).await;
    assert_eq!(without.verify_connection("c").await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(script.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_is_revoked_as_the_client_authenticates() {
    for (client, by_header) in [(ClientAuth::Body, false), (ClientAuth::Basic, true), (ClientAuth::BasicWithJson, true)]
    {
        let (engine, script) = connected(forge(oauth().revocation_url(REVOKE).client(client)), |request| {
            assert_eq!(request.url, REVOKE);
            Ok(HttpResponse::new(200, Vec::new(), ""))
        })
        .await;
        engine.use_credentials("c", signed_in());
        assert_eq!(engine.revoke_credentials("c").await.unwrap(), Revocation::Revoked);
        let seen = script.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(header(&seen[0], "authorization").is_some(), by_header);
        if client == ClientAuth::BasicWithJson {
            let body: serde_json::Value = serde_json::from_slice(seen[0].body.as_deref().unwrap()).unwrap();
            assert_eq!(body["token"], "r3fresh-token");
            continue;
        }
        let (first, second) = (form(&seen[0]), form(&seen[1]));
        assert_eq!((&*first["token"], &*first["token_type_hint"]), ("r3fresh-token", "refresh_token"));
        assert_eq!((&*second["token"], &*second["token_type_hint"]), ("acc3ss-token", "access_token"));
        assert_eq!(first.get("client_secret").map(String::as_str), (!by_header).then_some("h4sh-of-app"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_revocation_ends_with() {
    let cases = [
        (400, r#"{"error":"invalid_token"}"#, Ok(Revocation::Revoked)),
        (
            401,
            r#"{"error":"invalid_client","error_description":"r3fresh-token"}"#,
            Err((ErrorKind::Unauthorized, "client id")),
        ),
        (302, "", Err((ErrorKind::Remote, "revocation URL"))),
        (503, "<html>", Err((ErrorKind::Remote, "try again later"))),
    ];
    for (status, body, expected) in cases {
        let (engine, _) = connected(forge(oauth().revocation_url(REVOKE)), move |_| Ok(json(status, body))).await;
        engine.use_credentials("c", signed_in());
        match (engine.revoke_credentials("c").await, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err((kind, text))) => {
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.to_string().contains(text), "{error}");
                assert!(!format!("{error:?} {error}").contains("r3fresh"), "{error:?}");
            }
            (found, expected) => panic!("{status}: {found:?}, expected {expected:?}"),
        }
    }
    let (engine, script) = connected(forge(oauth()), |_| Ok(json(200, "{}"))).await;
    engine.use_credentials("c", signed_in());
    assert_eq!(engine.revoke_credentials("c").await.unwrap(), Revocation::Unsupported);
    engine.use_token("c", Secret::new("k1"));
    assert_eq!(engine.revoke_credentials("c").await.unwrap(), Revocation::NothingToRevoke);
    assert_eq!(engine.revoke_credentials("x").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(script.seen().is_empty());
    let (engine, _) =
        connected(forge(oauth().revocation_url("http://auth.forge.example/revoke")), |_| Ok(json(200, "{}"))).await;
    engine.use_credentials("c", signed_in());
    assert_eq!(engine.revoke_credentials("c").await.unwrap_err().kind(), ErrorKind::Invalid);
}

/// Never answers.
#[derive(Debug)]
struct Silent;

#[highwater_template::async_trait::async_trait]
impl Transport for Silent {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_holds_up_nobody() {
    let clock = Clock::new();
    let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
    let builder = Engine::builder(store).provider(forge(oauth().revocation_url(REVOKE))).transport(Arc::new(Silent));
    let engine = builder.environment(Arc::clone(&clock) as Arc<dyn Environment>).build().unwrap();
    engine.connect(ConnectionSettings::new("c", "forge")).await.unwrap();
    engine.use_credentials("c", signed_in());
    let began = clock.now();
    let error = engine.revoke_credentials("c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(clock.now().duration_since(began), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_base_url_of_a_sign_in_is_that_of_its_site() {
    let lookup =
        BaseUrlLookup::new("https://api.forge.example/sites", "/url", "/id", "https://api.forge.example/ex/{id}");
    let provider = || forge(oauth().base_url(lookup.clone())).origin("https://api.forge.example");
    let tokens = || Credentials::oauth2(OAuthTokens::new("app").access(Secret::new("t0ken-of-a-user"), None));
    let settings = ConnectionSettings::new("c", "forge");
    let sites = r#"[{"id":"1f-2","url":"https://other.example"},{"id":"9a-7","url":"https://forge.example/api/"}]"#;
    for (status, body, expected) in [
        (200, sites, Ok("https://api.forge.example/ex/9a-7")),
        (
            200,
            r#"[{"id":"1","url":"https://other.example"}]"#,
            Err((ErrorKind::NotFound, "allowed: https://other.example")),
        ),
        (
            200,
            r#"[{"id":"../x","url":"https://forge.example/api"}]"#,
            Err((ErrorKind::Remote, "did not tell the sites")),
        ),
        (200, "<html>t0ken-of-a-user</html>", Err((ErrorKind::Remote, "did not tell the sites"))),
        (401, "{}", Err((ErrorKind::Unauthorized, "refused the token"))),
    ] {
        let (engine, script) = connected(provider(), move |_| Ok(json(status, body))).await;
        match (engine.find_base_url(&settings, &tokens()).await, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), Some(expected), "{body}"),
            (Err(error), Err((kind, text))) => {
                assert_eq!(error.kind(), kind, "{body}: {error}");
                assert!(error.to_string().contains(text) && !error.to_string().contains("t0ken"), "{body}: {error}");
            }
            (found, expected) => panic!("{body}: {found:?}, expected {expected:?}"),
        }
        let seen = script.seen();
        assert_eq!((seen.len(), seen[0].url.as_str()), (1, "https://api.forge.example/sites"), "{body}");
        assert_eq!(header(&seen[0], "authorization"), Some("Bearer t0ken-of-a-user"), "{body}");
        // A token that a user pasted, and a connection with a base URL of its own, need no lookup.
        let own = settings.clone().base_url("https://api.forge.example/ex/1");
        assert_eq!(engine.find_base_url(&settings, &Credentials::token(Secret::new("k1"))).await.unwrap(), None);
        assert_eq!(engine.find_base_url(&own, &tokens()).await.unwrap(), None);
        assert_eq!(script.seen().len(), 1, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_base_url_that_came_with_the_tokens_is_theirs() {
    let provider = || forge(oauth().token_base_url(TokenBaseUrl::new("instance_url").path("/data/v1")));
    let settings = ConnectionSettings::new("c", "forge");
    // Salesforce's, as in "OAuth 2.0 Web Server Flow for Web App Integration" of its help.
    let told = |url: &str| {
        format!(
            r#"{{"access_token":"a2","signature":"c2ln","scope":"api","instance_url":{url},
                "id":"https://login.example/id/00D/005","token_type":"Bearer","issued_at":"1558553873237"}}"#
        )
    };
    for (url, expected) in [
        (r#""https://acme.my.forge.example""#, Ok("https://acme.my.forge.example/data/v1")),
        (r#""https://acme.my.forge.example/""#, Ok("https://acme.my.forge.example/data/v1")),
        (r#""http://acme.my.forge.example""#, Err(ErrorKind::Remote)),
        (r#""https://anna:pw@acme.forge.example""#, Err(ErrorKind::Remote)),
        (r#""https://acme.forge.example?x=""#, Err(ErrorKind::Remote)),
        (r#""acme""#, Err(ErrorKind::Remote)),
        (r#""""#, Err(ErrorKind::Invalid)),
        ("null", Err(ErrorKind::Invalid)),
        ("7", Err(ErrorKind::Invalid)),
    ] {
        let body = told(url);
        let (engine, script) = connected(provider(), move |_| Ok(json(200, &body))).await;
        let found = engine.find_base_url(&settings, &signed_in()).await;
        assert_eq!(found.as_ref().map(Option::as_deref).map_err(|error| error.kind()), expected.map(Some), "{url}");
        assert_eq!(script.seen().len(), 1, "{url}: they are renewed once");
        assert_eq!(form(&script.seen()[0])["grant_type"], "refresh_token");
        let own = settings.clone().base_url("https://own.example");
        assert_eq!(engine.find_base_url(&own, &signed_in()).await.unwrap(), None, "{url}");
    }
    // An access token alone tells nothing.
    let (engine, script) = connected(provider(), |_| Ok(json(200, "{}"))).await;
    let alone = Credentials::oauth2(OAuthTokens::new("app").access(Secret::new("a1"), None));
    assert_eq!(engine.find_base_url(&settings, &alone).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(script.seen().is_empty());
    // It is kept with the tokens.
    let mut known = OAuthTokens::new("app").access(Secret::new("a1"), None);
    known.base_url = Some("https://acme.my.forge.example".into());
    let known = Credentials::from_secret(&Credentials::oauth2(known).to_secret().unwrap()).unwrap();
    let found = engine.find_base_url(&settings, &known).await.unwrap();
    assert_eq!(found.as_deref(), Some("https://acme.my.forge.example/data/v1"));
}
