//! No secret is in a log line, an error, `Debug`, an event, a webhook or a file, whichever way a connection signs in and whatever
//! the provider echoes, when a vault keeps the credentials.

mod support;

use std::fmt::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_core::{Error, ErrorKind, Result, Store, SystemEnvironment};
use highwater_engine::credentials::{DeviceSignIn, OAuthTokens, SignIn};
use highwater_engine::transport::RequestLimits;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{
    ConnectionSettings, CredentialStore, Credentials, DisconnectMode, Engine, RunOptions, Secret, SyncOptions,
};
use highwater_template::auth::{AuthKind, ClientAuth, DesktopSignIn, OAuth2};
use highwater_template::http::{Transport, escape};
use highwater_template::{HttpRequest, HttpResponse, Provider, SyncContext, Template, TemplateInfo};
use highwater_vault::Vault;
use proptest::prelude::*;
use support::{block_on, given, open_file};

/// Ways to sign in.
const WAYS: [Way; 9] = [
    Way::Bearer,
    Way::Header,
    Way::Query,
    Way::Basic,
    Way::Code,
    Way::Refresh,
    Way::Application,
    Way::ApplicationByHeader,
    Way::Device,
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
    /// Nobody.
    Nobody,
}

const ECHOES: [Echoes; 6] =
    [Echoes::Api, Echoes::ApiPage, Echoes::Tokens, Echoes::TokensPage, Echoes::Transport, Echoes::Nobody];

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
    posted: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Echo {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        if request.url.contains("crm.example") {
            self.posted.lock().unwrap().push(sent(&request));
            return Ok(HttpResponse::new(200, Vec::new(), ""));
        }
        let plain = sent(&request);
        let secrets: Vec<&str> = SECRETS.iter().filter(|secret| plain.contains(**secret)).copied().collect();
        let echoed = match self.form {
            0 => plain.clone(),
            1 => escape(&plain),
            2 => secrets.iter().map(|secret| STANDARD.encode(secret)).collect::<Vec<_>>().join(" "),
            _ => secrets.join("\\u0020"),
        };
        let text = serde_json::to_string(&echoed).unwrap();
        let answer = |status, body: String| Ok(HttpResponse::new(status, Vec::new(), body));
        let of_tokens = request.url.contains("/token") || request.url.contains("/device");
        match self.echoes {
            Echoes::Transport => {
                let cause = std::io::Error::other(format!("no route for {plain}"));
                Err(Error::new(ErrorKind::Unavailable, format!("no answer to {plain}")).because(cause))
            }
            Echoes::Tokens if of_tokens => {
                answer(400, format!(r#"{{"error":"invalid_grant","error_description":{text}}}"#))
            }
            Echoes::TokensPage if of_tokens => answer(200, format!("<html>{echoed}</html>")),
            _ if request.url.contains("/device") => answer(
                200,
                format!(
                    r#"{{"device_code":"{DEVICE}","user_code":"AB-CD","verification_uri":"https://echo.example/d","interval":1}}"#
                ),
            ),
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
const SECRETS: [&str; 7] = [TOKEN, PASSWORD, ACCESS, REFRESH, CLIENT, DEVICE, CODE];

#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let page = context.send(HttpRequest::get("/items")).await?;
        context.save("Item", page.elements()?).await?;
        context.complete("Item").await
    }
}

/// Every text that `tracing` is given.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<String>>);

impl tracing::field::Visit for Heard {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}: {value:?}");
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

fn tell(told: &mut String, text: impl fmt::Debug) {
    let _ = writeln!(told, "{text:?}");
}

fn tell_error(told: &mut String, error: &Error) {
    let _ = writeln!(told, "{error} {error:?} {error:#?} {}", serde_json::to_string(error).unwrap());
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let _ = writeln!(told, "{next} {next:?}");
        cause = next.source();
    }
}

fn provider(way: Way) -> Provider {
    let oauth = OAuth2::new("https://echo.example/agree", "https://echo.example/token", DesktopSignIn::PkcePublic)
        .device_url("https://echo.example/device")
        .client(if way == Way::ApplicationByHeader { ClientAuth::Basic } else { ClientAuth::Body });
    Provider::new("echo", "https://echo.example").auth(match way {
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
    let transport = Arc::new(Echo { echoes, form, posted: Mutex::default() });
    let provider = provider(way);
    let vault = Vault::open(Arc::clone(&store), given() as _).await.unwrap();
    let engine = Engine::builder(Arc::clone(&store))
        .transport(Arc::clone(&transport) as Arc<dyn Transport>)
        .credential_store(Arc::new(vault.clone()))
        .template(Arc::new(Items(provider.template("items").model("Item", "an item"))))
        .limits(RequestLimits::default().attempts(1).backoff(Duration::from_millis(1)))
        .build()
        .unwrap();
    engine.connect(ConnectionSettings::new("c", "echo")).await.unwrap();
    let outbox = Outbox::new(&engine);
    outbox.add(Destination::new("crm", "https://crm.example/hook").on_error(true)).await.unwrap();
    outbox.set_secrets("crm", vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).unwrap();
    let (mut events, mut syncs) = (engine.events(), engine.sync_events());
    let mut told = String::new();
    if let Some(credentials) = sign_in(way, &provider, &*transport, &mut told).await {
        tell(&mut told, &credentials);
        vault.save("c", &credentials).await.unwrap();
    }
    engine.sync("c", "echo/items").unwrap().enable(SyncOptions::default()).await.unwrap();
    match engine.sync("c", "echo/items").unwrap().run_once(RunOptions::default()).await {
        Ok(report) => tell(&mut told, report),
        Err(error) => tell_error(&mut told, &error),
    }
    // The answer to a request of the host's own is its own to keep.
    if let Err(error) = engine.proxy("c", HttpRequest::get("/me")).await {
        tell_error(&mut told, &error);
    }
    vault.rotate().await.unwrap();
    tell(&mut told, engine.sync("c", "echo/items").unwrap().state().await.unwrap());
    outbox.deliver_due().await.unwrap();
    tell(&mut told, transport.posted.lock().unwrap());
    while let Ok(event) = events.try_recv() {
        tell(&mut told, serde_json::to_string(&event).unwrap());
    }
    while let Ok(event) = syncs.try_recv() {
        tell(&mut told, event);
    }
    tell(&mut told, (&engine, &vault, vault.load("c").await));
    if way == Way::Basic {
        engine.disconnect("c", DisconnectMode::KeepRecords).await.unwrap();
    }
    store.close().await.unwrap();
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_secret_is_told_or_stored_whichever_way_a_connection_signs_in(
        way in 0..WAYS.len(), echoes in 0..ECHOES.len(), form in 0..4_usize, kind in 0..support::KINDS.len()
    ) {
        let (way, echoes, kind) = (WAYS[way], ECHOES[echoes], support::KINDS[kind]);
        let folder = tempfile::tempdir().unwrap();
        let heard = Heard::default();
        let told = tracing::subscriber::with_default(heard.clone(), || {
            block_on(all_told(kind, folder.path(), way, echoes, form))
        });
        let told = format!("{told}{}", heard.0.lock().unwrap());
        let bytes = highwater_conformance::bytes_below(folder.path());
        for secret in SECRETS {
            for text in [secret.to_owned(), STANDARD.encode(secret), secret.chars().take(14).collect()] {
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
        let found: Vec<&str> = SECRETS.into_iter().filter(|secret| told.contains(secret)).collect();
        assert!(found.is_empty(), "{way:?}: {found:?} in {told}");
    }
}
