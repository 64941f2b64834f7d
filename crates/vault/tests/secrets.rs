//! No secret is in a log line, an error, `Debug`, an event, a webhook or a file, whichever way a connection signs in and whatever
//! the provider echoes, when a vault keeps the credentials.

mod support;
#[path = "support/told.rs"]
mod told;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_core::{Error, ErrorKind, Result, Store, SystemEnvironment};
use highwater_engine::credentials::{DeviceSignIn, OAuthTokens, SignIn};
use highwater_engine::logs::LogFilter;
use highwater_engine::transport::RequestLimits;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{
    ConnectionSettings, CredentialStore, Credentials, DisconnectMode, Engine, IntegrationSettings, RunOptions, Secret,
    SyncOptions,
};
use highwater_template::auth::{AuthKind, ClientAuth, DesktopSignIn, OAuth2};
use highwater_template::http::{Transport, escape};
use highwater_template::webhooks::{WebhookEvent, WebhookReaction, WebhookScheme};
use highwater_template::{
    HttpRequest, HttpResponse, LogLevel, Provider, SyncContext, Template, TemplateInfo, Verification,
};
use highwater_vault::Vault;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::json;
use sha2::Sha256;
use support::{block_on, given, open_file};
use told::{Heard, tell, tell_error};

/// Ways to sign in.
const WAYS: [Way; 11] = [
    Way::Bearer,
    Way::Header,
    Way::Query,
    Way::Basic,
    Way::Code,
    Way::Refresh,
    Way::Application,
    Way::ApplicationByHeader,
    Way::Device,
    Way::ServiceAccount,
    Way::GitHubApp,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bearer,
    Header,
    Query,
    Basic,
    /// A code is exchanged for tokens, then these are used.
    Code,
    Refresh,
    Application,
    ApplicationByHeader,
    Device,
    /// A key signs a request for tokens.
    ServiceAccount,
    /// The same, for an installation.
    GitHubApp,
}

/// What answers with what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Echoes {
    /// The API refuses.
    Api,
    /// The API answers with HTML.
    ApiPage,
    /// The token endpoint refuses for good.
    Tokens,
    /// The token endpoint answers with HTML.
    TokensPage,
    /// Nothing arrives, and the transport says why.
    Transport,
    /// The revocation endpoint refuses.
    Revocation,
    /// Nobody.
    Nobody,
}

const ECHOES: [Echoes; 7] = [
    Echoes::Api,
    Echoes::ApiPage,
    Echoes::Tokens,
    Echoes::TokensPage,
    Echoes::Transport,
    Echoes::Revocation,
    Echoes::Nobody,
];

/// Whatever a request carries.
fn sent(request: &HttpRequest) -> String {
    let headers: Vec<&str> = request.headers.iter().map(|(_, value)| value.as_str()).collect();
    let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
    format!("{} {} {body}", request.url, headers.join(" "))
}

#[derive(Debug)]
struct Echo {
    echoes: Echoes,
    /// A form of what is echoed beside the plain one.
    form: usize,
    /// It echoes what it has of the application too. While somebody signs in, no engine is there that could know that.
    knows: bool,
    posted: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Echo {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        if request.url.contains("crm.example") {
            self.posted.lock().unwrap().push(sent(&request));
            return Ok(HttpResponse::new(200, Vec::new(), ""));
        }
        let known = if self.knows { known_to_the_provider() } else { String::new() };
        let plain = format!("{} {known}", sent(&request));
        let secrets: Vec<&str> = SECRETS.iter().filter(|secret| plain.contains(**secret)).copied().collect();
        let echoed = match self.form {
            0 => plain.clone(),
            1 => escape(&plain),
            2 => secrets.iter().map(|secret| STANDARD.encode(secret)).collect::<Vec<_>>().join(" "),
            3 => plain.replace('&', "&amp;").replace('/', "&#x2f;").replace('-', "&#45;"),
            _ => secrets.join("\\u0020"),
        };
        let text = serde_json::to_string(&echoed).unwrap();
        let answer = |status, body: String| Ok(HttpResponse::new(status, Vec::new(), body));
        let of_tokens = ["/token", "/device", "/access_tokens"].iter().any(|path| request.url.contains(path));
        if request.url.contains("/revoke") {
            return match self.echoes {
                Echoes::Revocation => answer(400, format!(r#"{{"error":{text},"error_description":{text}}}"#)),
                Echoes::Transport => Err(Error::new(ErrorKind::Unavailable, format!("no answer to {plain}"))),
                _ => answer(200, echoed),
            };
        }
        match self.echoes {
            Echoes::Transport => {
                let cause = std::io::Error::other(format!("no route for {plain}"));
                Err(Error::new(ErrorKind::Unavailable, format!("no answer to {plain}")).because(cause))
            }
            Echoes::Tokens if of_tokens => {
                // A refusal for good, and one whose code is no code.
                let code = if self.form.is_multiple_of(2) { r#""invalid_grant""# } else { &text };
                answer(400, format!(r#"{{"error":{code},"error_description":{text},"message":{text}}}"#))
            }
            Echoes::TokensPage if of_tokens => answer(200, format!("<html>{echoed}</html>")),
            _ if request.url.contains("/device") => answer(
                200,
                format!(
                    r#"{{"device_code":"{DEVICE}","user_code":"AB-CD","verification_uri":"https://echo.example/d","interval":1}}"#
                ),
            ),
            _ if request.url.contains("/access_tokens") => {
                answer(201, format!(r#"{{"token":"{ACCESS}","expires_at":"2100-01-01T00:00:00Z"}}"#))
            }
            _ if of_tokens => {
                answer(200, format!(r#"{{"access_token":"{ACCESS}","refresh_token":"{REFRESH}","expires_in":3600}}"#))
            }
            Echoes::Api => answer(401, format!(r#"{{"message":{text}}}"#)),
            Echoes::ApiPage => answer(200, format!("<html>{echoed}</html>")),
            _ => answer(200, r#"[{"id":1}]"#.to_owned()),
        }
    }
}

const TOKEN: &str = "tok-4711-aaaabbbbcccc";
const PASSWORD: &str = "pass-4711-wwwwxxxxyyyy";
const ACCESS: &str = "acc-4711-ddddeeeeffff";
const REFRESH: &str = "ref-4711-gggghhhhiiii";
const CLIENT: &str = "cli-4711-jjjjkkkkllll";
const DEVICE: &str = "dev-4711-mmmmnnnnoooo";
const CODE: &str = "cod-4711-ppppqqqqrrrr";
/// Secrets of the integration.
const APPLICATION: &str = "app-4711-ssssttttuuuu";
const WEBHOOKS: &str = "hoo-4711-vvvvaaaabbbb";
/// How an assertion begins that RS256 signs: what follows is as good as a password for an hour.
const ASSERTION: &str = "eyJhbGciOiJSUzI1NiI";
const SECRETS: [&str; 10] = [TOKEN, PASSWORD, ACCESS, REFRESH, CLIENT, DEVICE, CODE, APPLICATION, WEBHOOKS, ASSERTION];

/// A private key that signs for nobody.
const KEY: &str = include_str!("../../engine/tests/support/nobodys-key.pem");

/// A provider has more than it is sent: the application's secrets, and a key that somebody pasted into its form.
fn known_to_the_provider() -> String {
    format!("{APPLICATION} {WEBHOOKS} {KEY}")
}

/// Every secret, and a part of each line of the key.
fn looked_for() -> Vec<String> {
    let lines = KEY.lines().filter(|line| !line.starts_with("-----") && line.len() > 30);
    SECRETS.iter().map(|secret| (*secret).to_owned()).chain(lines.map(|line| line[4..28].to_owned())).collect()
}

#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let page = context.send(HttpRequest::get("/items")).await?;
        context.log(LogLevel::Info, format!("it said {}", String::from_utf8_lossy(&page.body)));
        context.save("Item", page.elements()?).await?;
        context.complete("Item").await
    }

    fn webhook(&self, event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        Err(Error::new(ErrorKind::Invalid, format!("no such event: {}", String::from_utf8_lossy(event.body()))))
    }
}

fn provider(way: Way) -> Provider {
    let oauth = OAuth2::new("https://echo.example/agree", "https://echo.example/token", DesktopSignIn::PkcePublic)
        .device_url("https://echo.example/device")
        .revocation_url("https://echo.example/revoke")
        .client(if way == Way::ApplicationByHeader { ClientAuth::Basic } else { ClientAuth::Body });
    let provider = Provider::new("echo", "https://echo.example").webhooks(WebhookScheme::GitHub);
    let provider = provider.verification(Verification::get("/who").name("/name"));
    provider.auth(match way {
        Way::Bearer => AuthKind::bearer(""),
        Way::Header => AuthKind::header("X-Key", "Key ", ""),
        Way::Query => AuthKind::query("key", ""),
        Way::Basic => AuthKind::basic(""),
        _ => AuthKind::OAuth2(oauth),
    })
}

/// What the user's sign-in comes to; what goes wrong is told.
async fn sign_in(way: Way, provider: &Provider, transport: &dyn Transport, told: &mut String) -> Option<Credentials> {
    let oauth = provider.oauth2();
    let secret = |text: &str| Secret::new(text);
    let client = || OAuthTokens::new("app").client_secret(secret(CLIENT));
    let environment = &SystemEnvironment;
    let outcome = match (way, oauth) {
        (Way::Bearer | Way::Header | Way::Query, _) => return Some(Credentials::token(secret(TOKEN))),
        (Way::Basic, _) => return Some(Credentials::basic("anna", secret(PASSWORD))),
        (Way::Refresh, _) => return Some(Credentials::oauth2(client().refresh(secret(REFRESH)))),
        (Way::Application | Way::ApplicationByHeader, _) => {
            return Some(Credentials::oauth2(OAuthTokens::client_credentials("app", secret(CLIENT))));
        }
        (Way::ServiceAccount, _) => {
            let file = json!({
                "type": "service_account", "client_email": "robot@echo.example", "private_key": KEY,
                "private_key_id": "key-1", "token_uri": "https://echo.example/token",
            });
            return Some(Credentials::oauth2(OAuthTokens::service_account(&secret(&file.to_string())).unwrap()));
        }
        (Way::GitHubApp, _) => {
            return Some(Credentials::oauth2(OAuthTokens::github_app("app", "42", secret(KEY)).unwrap()));
        }
        (Way::Code, Some(oauth)) => {
            async {
                let begun = SignIn::begin(oauth, client(), "http://127.0.0.1:1/", &[], environment)?;
                tell(told, &begun);
                begun.finish(CODE, begun.state(), transport, environment).await
            }
            .await
        }
        (_, Some(oauth)) => {
            async {
                let begun = DeviceSignIn::begin(oauth, client(), &[], transport, environment).await?;
                tell(told, &begun);
                let patient = tokio::time::timeout(Duration::from_secs(3), begun.finish(transport, environment));
                patient.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, "nobody agreed")))
            }
            .await
        }
        (_, None) => return None,
    };
    match outcome {
        Ok(tokens) => {
            tell(told, &tokens);
            Some(Credentials::oauth2(tokens))
        }
        Err(error) => {
            tell_error(told, &error);
            None
        }
    }
}

async fn all_told(kind: &str, folder: &Path, way: Way, echoes: Echoes, form: usize) -> String {
    let store = open_file(kind, folder);
    let transport = Arc::new(Echo { echoes, form, knows: true, posted: Mutex::default() });
    let provider = provider(way);
    let vault = Vault::open(Arc::clone(&store), given() as _).await.unwrap();
    let engine = Engine::builder(Arc::clone(&store))
        .transport(Arc::clone(&transport) as Arc<dyn Transport>)
        .credential_store(Arc::new(vault.clone()))
        .template(Arc::new(Items(provider.template("items").model("Item", "an item"))))
        .limits(RequestLimits::default().attempts(1).backoff(Duration::from_millis(1)))
        .build()
        .unwrap();
    let outbox = Outbox::new(&engine);
    outbox.add(Destination::new("crm", "https://crm.example/hook").on_error(true)).await.unwrap();
    outbox.set_secrets("crm", vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).unwrap();
    let (mut events, mut syncs) = (engine.events(), engine.sync_events());
    let (mut connections, mut integrations) = (engine.connection_events(), engine.integration_events());
    let mut told = String::new();

    let integration =
        engine.create_integration(IntegrationSettings::new("main", "echo").client_id("app")).await.unwrap();
    integration.set_client_secret(Some(Secret::new(APPLICATION))).await.unwrap();
    integration.set_webhook_secret(Some(Secret::new(WEBHOOKS))).await.unwrap();
    integration.enable("items", SyncOptions::default()).await.unwrap();
    engine.connect(ConnectionSettings::of_integration("c", "main")).await.unwrap();
    let signing_in = Echo { echoes, form, knows: false, posted: Mutex::default() };
    if let Some(credentials) = sign_in(way, &provider, &signing_in, &mut told).await {
        tell(&mut told, &credentials);
        // A key of the provider's own form beside the sign-in: manifests sign with those.
        engine.sign_in("c", credentials.secret("private_key", Secret::new(KEY))).await.unwrap();
    }
    let sync = engine.sync("c", "echo/items").unwrap();
    match sync.run_once(RunOptions::default()).await {
        Ok(report) => tell(&mut told, report),
        Err(error) => tell_error(&mut told, &error),
    }
    // The answer to a request of the host's own is its own to keep.
    if let Err(error) = engine.proxy("c", HttpRequest::get("/me")).await {
        tell_error(&mut told, &error);
    }
    match engine.verify_connection("c").await {
        Ok(name) => tell(&mut told, name),
        Err(error) => tell_error(&mut told, &error),
    }
    match engine.revoke_credentials("c").await {
        Ok(outcome) => tell(&mut told, outcome),
        Err(error) => tell_error(&mut told, &error),
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOKS.as_bytes()).unwrap();
    let body = json!({"hook": {"config": {"secret": WEBHOOKS}}, "application": APPLICATION}).to_string();
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let headers = [("x-hub-signature-256", signature), ("x-github-delivery", "d".to_owned())];
    let refused = engine.receive("c", &headers, body.as_bytes()).await.unwrap_err();
    assert!(refused.to_string().contains("no such event"), "{refused}");
    tell_error(&mut told, &refused);
    engine.mark_revoked("c").await.unwrap();

    vault.rotate().await.unwrap();
    tell(&mut told, (sync.state().await.unwrap(), engine.connection_state("c").await.unwrap()));
    tell(&mut told, (integration.settings().await.unwrap(), integration.endpoints().await.unwrap()));
    tell(&mut told, engine.runs_matching(&LogFilter::default()).await.unwrap());
    tell(&mut told, outbox.waiting("crm", "", 100).await.unwrap());
    outbox.deliver_due().await.unwrap();
    let posted = transport.posted.lock().unwrap().clone();
    assert!(
        posted.iter().any(|body| body.contains(r#""type":"auth""#)),
        "how the connection stands is told: {posted:?}"
    );
    tell(&mut told, posted);
    while let Ok(event) = events.try_recv() {
        tell(&mut told, serde_json::to_string(&event).unwrap());
    }
    while let Ok(event) = syncs.try_recv() {
        tell(&mut told, event);
    }
    while let Ok(event) = connections.try_recv() {
        tell(&mut told, (serde_json::to_string(&event).unwrap(), event));
    }
    while let Ok(event) = integrations.try_recv() {
        tell(&mut told, (serde_json::to_string(&event).unwrap(), event));
    }
    for document in store.documents("", "", 10_000).await.unwrap() {
        // A record that was set aside is the API's data as it came.
        if !document.key.starts_with("quarantine/") {
            tell(&mut told, (&document.key, document.value.as_str()));
        }
    }
    tell(&mut told, (&engine, &vault, &integration, vault.load("c").await));
    if way == Way::Basic {
        engine.disconnect("c", DisconnectMode::KeepRecords).await.unwrap();
    }
    store.close().await.unwrap();
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_secret_is_told_or_stored_whichever_way_a_connection_signs_in(
        way in 0..WAYS.len(), echoes in 0..ECHOES.len(), form in 0..5_usize, kind in 0..support::KINDS.len()
    ) {
        let (way, echoes, kind) = (WAYS[way], ECHOES[echoes], support::KINDS[kind]);
        let folder = tempfile::tempdir().unwrap();
        let heard = Heard::default();
        let told = tracing::subscriber::with_default(heard.clone(), || {
            block_on(all_told(kind, folder.path(), way, echoes, form))
        });
        let told = format!("{told}{}", heard.0.lock().unwrap());
        let bytes = highwater_conformance::bytes_below(folder.path());
        for secret in looked_for() {
            for text in [secret.clone(), STANDARD.encode(&secret), secret.chars().take(14).collect()] {
                let line = told.lines().find(|line| line.contains(&text));
                prop_assert!(line.is_none(), "{way:?} {echoes:?} {form}: {text} got out: {line:?}");
                let stored = bytes.windows(text.len()).any(|window| window == text.as_bytes());
                prop_assert!(!stored, "{way:?} {echoes:?} {form} {kind}: {text} is in a file");
            }
        }
    }
}

/// Each way alone, against a token endpoint that echoes: quick to read when it fails.
#[test]
fn each_way_to_sign_in_keeps_its_secrets_from_a_provider_that_echoes_them() {
    for way in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let told = block_on(all_told("sqlite", folder.path(), way, Echoes::Tokens, 0));
        let found: Vec<String> = looked_for().into_iter().filter(|secret| told.contains(secret)).collect();
        assert!(found.is_empty(), "{way:?}: {found:?} in {told}");
    }
}
