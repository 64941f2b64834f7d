//! The engine's way to an API: signing in, refreshing, budgets, what never leaves. In process, under a clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Environment, ErrorKind, Result};
use highwater_engine::Credentials;
use highwater_engine::credentials::{OAuthTokens, SignIn};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::http::Validator;
use highwater_template::limits::RateLimits;
use highwater_template::{HttpRequest, HttpResponse, LogLevel, Provider, Secret, SyncContext, Template, TemplateInfo};
use highwater_testkit::{
    Cassette, FakeRequest, FakeTransport, Fault, Hostile, ServedApi, TestEnvironment, Trial, json, with_header,
};

/// Asks `/items` a few times, and says what came.
#[derive(Debug)]
struct Asker {
    info: TemplateInfo,
    requests: usize,
}

#[async_trait]
impl Template for Asker {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        for _ in 0..self.requests {
            let page = context.send(HttpRequest::get("/items").query("q", "1")).await?;
            context.save("Item", page.elements()?).await?;
        }
        if let Some(key) = context.secret("api_key") {
            // A careless template: the log must not have it all the same.
            context.log(LogLevel::Info, format!("the key is {}", key.expose()));
        }
        Ok(())
    }
}

fn asker(provider: Provider, requests: usize) -> Arc<dyn Template> {
    Arc::new(Asker { info: provider.template("items").model("Item", "an item"), requests })
}

fn provider() -> Provider {
    Provider::new("acme", "https://api.acme.example/v1")
}

fn items(_: &FakeRequest) -> HttpResponse {
    json(200, r#"[{"id":1}]"#)
}

#[tokio::test(start_paused = true)]
async fn credentials_go_where_the_provider_wants_them() {
    let secret = || Secret::new("s3cr&t");
    for (kind, credentials, header, value) in [
        (AuthKind::bearer(""), Credentials::token(secret()), "authorization", "Bearer s3cr&t"),
        (AuthKind::header("X-Key", "Key ", ""), Credentials::token(secret()), "x-key", "Key s3cr&t"),
        (AuthKind::basic(""), Credentials::basic("me", secret()), "authorization", "Basic bWU6czNjciZ0"),
    ] {
        let trial = Trial::new(asker(provider().auth(kind), 1), items).await.unwrap();
        trial.use_credentials(credentials);
        trial.run().await.unwrap();
        assert_eq!(trial.api.seen()[0].header(header), Some(value));
    }
    let trial = Trial::new(asker(provider().auth(AuthKind::query("key", "")), 1), items).await.unwrap();
    trial.use_credentials(Credentials::token(secret()));
    trial.run().await.unwrap();
    assert_eq!(trial.api.seen()[0].query("key"), Some("s3cr&t"));
    assert_eq!(trial.api.seen()[0].path, "/v1/items");
}

#[tokio::test(start_paused = true)]
async fn a_template_that_needs_credentials_says_so() {
    let trial = Trial::new(asker(provider().auth(AuthKind::bearer("")), 1), items).await.unwrap();
    trial.use_credentials(Credentials::none());
    assert_eq!(trial.run().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert!(trial.api.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn secrets_reach_no_log_and_no_error() {
    let api = Hostile::new(items).faults([Fault::None, Fault::Status(404)]);
    let trial = Trial::new(asker(provider().auth(AuthKind::query("key", "")), 1), api).await.unwrap();
    trial.use_credentials(Credentials::token(Secret::new("t0ken")).secret("api_key", Secret::new("k3y-of-keys")));
    let report = trial.run().await.unwrap();
    let error = trial.run().await.unwrap_err();
    let documents = trial.store.documents("", "", 1000).await.unwrap();
    let told = format!("{report:?} {error:?} {error} {documents:?} {:?}", trial.engine);
    assert!(told.contains("the key is [secret]"), "{told}");
    assert!(!told.contains("t0ken") && !told.contains("k3y-of-keys"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_with_pkce() {
    let clock = TestEnvironment::new(1_767_225_600_000);
    let oauth = OAuth2::new("https://acme.example/authorize", "https://acme.example/token", DesktopSignIn::PkcePublic)
        .scope("read")
        .authorize_parameter("prompt", "consent");
    let sign_in = SignIn::begin(&oauth, OAuthTokens::new("app"), "http://127.0.0.1:9/cb", &["write"], &clock).unwrap();
    let url: BTreeMap<String, String> = url::Url::parse(sign_in.url()).unwrap().query_pairs().into_owned().collect();
    assert_eq!((url["scope"].as_str(), url["code_challenge_method"].as_str()), ("read write", "S256"));
    let challenge = url["code_challenge"].clone();
    let api = FakeTransport::new(move |request: &FakeRequest| {
        let form = request.form();
        assert_eq!((form["code"].as_str(), form["redirect_uri"].as_str()), ("c0de", "http://127.0.0.1:9/cb"));
        assert!(form["code_verifier"].len() >= 43 && form["code_verifier"] != challenge);
        json(200, r#"{"access_token":"a","refresh_token":"r","expires_in":60}"#)
    });
    let error = sign_in.finish("c0de", "other", &api, &clock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(api.seen().is_empty());
    let tokens = sign_in.finish("c0de", &url["state"], &api, &clock).await.unwrap();
    assert_eq!(tokens.expires_at, Some(clock.now() + Duration::from_secs(60)));
    let other = SignIn::begin(&oauth, OAuthTokens::new("app"), "http://127.0.0.1:9/cb", &[], &clock).unwrap();
    assert_ne!(other.url(), sign_in.url());
}

#[tokio::test(start_paused = true)]
async fn one_budget_for_all_syncs_of_a_connection() {
    let habits = RateLimits::new().rate(5, Duration::from_secs(1));
    let trial = Trial::new(asker(provider().limits(habits), 20), items).await.unwrap();
    let begun_ms = trial.environment.now().unix_ms();
    trial.run().await.unwrap();
    trial.run().await.unwrap();
    let took_ms = trial.environment.now().unix_ms() - begun_ms;
    // 40 requests, of which 5 are the burst.
    assert!((6_900..8_000).contains(&took_ms), "{took_ms} ms");
}

#[tokio::test(start_paused = true)]
async fn unchanged_answers_cost_no_body() {
    let api = |request: &FakeRequest| match request.header("if-none-match") {
        Some("\"v1\"") => json(304, ""),
        _ => with_header(json(200, "[]"), "etag", "\"v1\""),
    };
    #[derive(Debug)]
    struct Conditional(TemplateInfo);
    #[async_trait]
    impl Template for Conditional {
        fn info(&self) -> &TemplateInfo {
            &self.0
        }
        async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
            let known: Option<Validator> = context.last_checkpoint()?;
            let request = HttpRequest::get("/items");
            let request = known.iter().fold(request, HttpRequest::if_changed_since);
            let page = context.send(request).await?;
            context.log(LogLevel::Info, format!("unchanged: {}", page.is_unchanged()));
            if let Some(validator) = page.validator() {
                context.checkpoint(&validator)?;
            }
            Ok(())
        }
    }
    let template = Arc::new(Conditional(provider().template("items").model("Item", "an item")));
    let trial = Trial::new(template, api).await.unwrap();
    trial.run().await.unwrap();
    trial.run().await.unwrap();
    assert_eq!(trial.api.seen()[1].header("if-none-match"), Some("\"v1\""));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_brings_any_status_once_and_keeps_the_pause() {
    #[derive(Debug)]
    struct Judge(TemplateInfo);
    #[async_trait]
    impl Template for Judge {
        fn info(&self) -> &TemplateInfo {
            &self.0
        }
        async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
            let statuses = [
                context.send(HttpRequest::get("/a").any_status()).await?.status,
                context.send(HttpRequest::get("/b").any_status()).await?.status,
                context.send(HttpRequest::get("https://files.acme.example/c").any_status()).await?.status,
            ];
            assert_eq!(statuses, [404, 429, 200]);
            let error = context.send(HttpRequest::get("https://evil.example/c").any_status()).await.unwrap_err();
            assert!(error.context("origin").is_some());
            Ok(())
        }
    }
    let api = Hostile::new(items).faults([Fault::Status(404), Fault::RetryAfter(40)]);
    let provider = provider().origin("https://files.acme.example");
    let trial = Trial::new(Arc::new(Judge(provider.template("items").model("Item", "an item"))), api).await.unwrap();
    let begun_ms = trial.environment.now().unix_ms();
    trial.run().await.unwrap();
    assert!(trial.environment.now().unix_ms() - begun_ms >= 40_000);
    assert_eq!(trial.api.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_proxy_keeps_to_the_providers_origins() {
    let api = |_: &FakeRequest| json(418, "short and stout");
    let trial = Trial::new(asker(provider().auth(AuthKind::bearer("")), 1), api).await.unwrap();
    let answer = trial.engine.proxy("trial", HttpRequest::new("DELETE", "/teapot")).await.unwrap();
    assert_eq!((answer.status, trial.api.seen()[0].header("authorization")), (418, Some("Bearer token")));
    let error = trial.engine.proxy("trial", HttpRequest::get("https://evil.example/")).await.unwrap_err();
    assert_eq!((error.kind(), trial.api.seen().len()), (ErrorKind::Remote, 1));
}

#[tokio::test]
async fn a_cassette_has_no_secrets_and_plays_what_was_recorded() {
    let api = FakeTransport::new(|request: &FakeRequest| match request.query("page") {
        None => with_header(json(200, r#"[{"id":1,"owner":"s3cret"}]"#), "set-cookie", "session=s3cret"),
        Some(_) => json(200, r#"{"access_token":"fresh","rows":[2]}"#),
    });
    let served = ServedApi::new(api).await.unwrap();
    let transport = Arc::new(highwater_engine::transport::UreqTransport::new());
    let cassette = Cassette::record(transport, [Secret::new("s3cret")]);
    use highwater_template::http::Transport;
    let ask =
        |path: &str| HttpRequest::get(format!("{}{path}", served.base_url())).header("authorization", "Bearer s3cret");
    cassette.send(ask("/items?api_key=k3y")).await.unwrap();
    cassette.send(ask("/items?page=2")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.json");
    cassette.save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("s3cret") && !text.contains("k3y") && !text.contains("fresh"), "{text}");

    let played = Cassette::load(&path).unwrap();
    let anywhere = |path: &str| HttpRequest::get(format!("https://other.example{path}"));
    assert_eq!(played.send(anywhere("/items?page=2")).await.unwrap().status, 200);
    assert_eq!(played.unplayed(), ["GET /items?api_key=%5Bsecret%5D"]);
    let first = played.send(anywhere("/items?api_key=other")).await.unwrap();
    assert_eq!(first.body, r#"[{"id":1,"owner":"[secret]"}]"#);
    let error = played.send(anywhere("/items?page=2")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("url")), (ErrorKind::NotFound, Some("/items?page=2")));
}
