//! Credentials stay with the origins of their own connection, whatever asks for a request.
//!
//! A transport records where each secret went. Whatever the connection, the template and the way in, no secret may reach an
//! origin that is not one of the connection's.

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::{
    Environment, ErrorKind, Inline, MemoryBackend, RecordId, Result, Store, StoreOptions, Timestamp, WriteBatch,
};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::transport::RequestLimits;
use highwater_engine::{ConnectionSettings, Credentials, Engine, RunOptions, Secret, SyncOptions, TriggerMode};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::auth::{AuthKind, CredentialUse, DesktopSignIn, OAuth2};
use highwater_template::http::Transport;
use highwater_template::webhooks::{WebhookEvent, WebhookReaction, WebhookScheme};
use highwater_template::{HttpRequest, HttpResponse, Provider, SyncContext, Template, TemplateInfo};
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;
use world::{Clock, sleep};

/// Every secret of the connection under test.
const SECRETS: [&str; 6] =
    ["token-7Qx91", "password-4Lk02", "access-9Rt55", "refresh-3Mn77", "client-secret-8Zw", "key-of-the-template-6Yp"];

/// The webhooks' secret; it goes nowhere at all.
const SIGNS: &str = "signing-secret-2Vb";

/// Where a request went, and every text in it.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<(String, String)>>);

#[async_trait]
impl Transport for Recorder {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let url = url::Url::parse(&request.url).unwrap();
        let body = request.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
        let headers: Vec<String> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let text = format!("{}\n{}\n{body}", request.url, headers.join("\n"));
        self.0.lock().unwrap().push((url.origin().ascii_serialization(), text));
        let answer = match url.path() {
            "/token" => r#"{"access_token":"access-9Rt55","expires_in":3600}"#,
            _ => r#"[{"id":1}]"#,
        };
        Ok(HttpResponse::new(200, Vec::new(), answer))
    }
}

/// The origins that each kind of secret reached.
fn strangers(recorder: &Recorder, own: &[&str]) -> BTreeSet<String> {
    let basic = highwater_base64("someone:password-4Lk02");
    let seen = recorder.0.lock().unwrap();
    let leaks = seen.iter().filter(|(_, text)| {
        SECRETS.iter().any(|secret| text.contains(secret)) || text.contains(SIGNS) || text.contains(&basic)
    });
    leaks.map(|(origin, _)| origin.clone()).filter(|origin| !own.contains(&origin.as_str())).collect()
}

fn highwater_base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Asks its own API by path, its other origin, and puts its own secret setting into a header.
#[derive(Debug)]
struct Items(TemplateInfo);

impl Items {
    async fn ask(&self, context: &SyncContext<'_>) -> Result<HttpResponse> {
        let mut request = HttpRequest::get("/items");
        if let Some(key) = context.secret("api_key") {
            request = request.header("x-key", key.expose());
        }
        for other in &self.0.provider.origins {
            context.send(HttpRequest::get(format!("{other}/files"))).await?;
        }
        context.send(request).await
    }
}

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let page = self.ask(context).await?;
        context.save("Item", page.elements()?).await?;
        if context.is_full_refresh() {
            context.complete("Item").await?;
        }
        Ok(())
    }

    async fn verify(&self, context: &mut SyncContext<'_>, _: &str, _: &[RecordId]) -> Result<Option<Vec<Bytes>>> {
        self.ask(context).await?;
        Ok(Some(Vec::new()))
    }

    fn webhook(&self, _: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        Ok(WebhookReaction::new().request_run())
    }
}

#[derive(Debug)]
struct AddItem(ActionInfo);

#[async_trait]
impl ActionTemplate for AddItem {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value> {
        context.send(HttpRequest::post_json("/items", &input)?).await?.json()
    }
}

fn provider(name: &str, base_url: &str, token_host: &str, place: usize) -> Provider {
    let provider = Provider::new(name, base_url).webhooks(WebhookScheme::GitHub);
    let oauth = OAuth2::new(
        "https://sign-in.example/authorize",
        format!("https://{token_host}/token"),
        DesktopSignIn::PkcePublic,
    );
    let provider = match place {
        0 => provider.auth(AuthKind::bearer("")),
        1 => provider.auth(AuthKind::header("X-Key", "Key ", "")),
        2 => provider.auth(AuthKind::query("key", "")),
        _ => provider.auth(AuthKind::basic("")),
    };
    provider.auth(AuthKind::OAuth2(oauth))
}

/// The providers there are, and what they call themselves.
fn providers(place: usize) -> [Provider; 4] {
    [
        provider("alpha", "https://alpha.example/api", "auth.alpha.example", place)
            .origin("https://files.alpha.example"),
        provider("beta", "https://beta.example", "auth.beta.example", place),
        // Another crate that calls its provider by the same name.
        provider("alpha", "https://evil.example", "auth.alpha.example", place),
        provider("alpha", "https://alpha.example/api", "auth.alpha.example", place).origin("https://evil.example"),
    ]
}

const TEMPLATE_NAMES: [&str; 4] = ["items", "items", "twin", "cousin"];

/// The way in.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Enable,
    Scheduled,
    StoredLongAgo,
    RunOnce,
    Verify,
    Act,
    Proxy,
    Trigger,
    Receive,
    Blocking,
}

const ENTRIES: [Entry; 10] = [
    Entry::Enable,
    Entry::Scheduled,
    Entry::StoredLongAgo,
    Entry::RunOnce,
    Entry::Verify,
    Entry::Act,
    Entry::Proxy,
    Entry::Trigger,
    Entry::Receive,
    Entry::Blocking,
];

#[derive(Clone, Debug)]
struct Case {
    /// Which of the providers the connection names, and which one the template asked for has.
    connection: usize,
    template: usize,
    entry: Entry,
    /// Bearer, header, query, Basic; OAuth 2 by refresh and by access token.
    sign_in: usize,
    base_url: bool,
    /// Whether the one that shares a name is in the catalogue at all.
    twins: bool,
    /// Whether the connection was one to the other provider before, with these credentials.
    reconnected: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    (0..2_usize, 0..4_usize, 0..ENTRIES.len(), 0..6_usize, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(connection, template, entry, sign_in, base_url, twins, reconnected)| Case {
            connection,
            template,
            entry: ENTRIES[entry],
            sign_in,
            base_url,
            twins: twins || template > 1,
            reconnected,
        },
    )
}

fn credentials(sign_in: usize) -> Credentials {
    let credentials = match sign_in {
        0..=2 => Credentials::token(Secret::new(SECRETS[0])),
        3 => Credentials::basic("someone", Secret::new(SECRETS[1])),
        _ => {
            let end = (sign_in == 4).then_some(Timestamp::from_unix_ms(1));
            let tokens = OAuthTokens::new("app").access(Secret::new(SECRETS[2]), end);
            let tokens = tokens.refresh(Secret::new(SECRETS[3])).client_secret(Secret::new(SECRETS[4]));
            Credentials::oauth2(tokens)
        }
    };
    credentials.secret("api_key", Secret::new(SECRETS[5])).secret("webhook_secret", Secret::new(SIGNS))
}

fn engine(clock: &Arc<Clock>, store: &Arc<dyn Store>, recorder: &Arc<Recorder>, case: &Case) -> Engine {
    let all = providers(case.sign_in.min(3));
    let known = if case.twins { 4 } else { 2 };
    let mut builder = Engine::builder(Arc::clone(store))
        .environment(Arc::clone(clock) as Arc<dyn Environment>)
        .transport(Arc::clone(recorder) as Arc<dyn Transport>)
        .limits(RequestLimits::default().attempts(1));
    for (provider, name) in all.into_iter().zip(TEMPLATE_NAMES).take(known) {
        let info = provider
            .template(name)
            .model("Item", "an item")
            .credentials(CredentialUse::Optional)
            .interval(Duration::from_secs(1));
        builder = builder.template(Arc::new(Items(info)));
        let action: Arc<dyn ActionTemplate> = Arc::new(AddItem(provider.action(format!("add_{name}"))));
        builder = builder.actions([action]);
    }
    builder.build().unwrap()
}

/// Enables a sync as a version without the check did.
async fn store_sync(store: &Arc<dyn Store>, sync: &str) -> Result<()> {
    let (name, timeout_ms) = (format!("sync/me/{sync}"), 60_000);
    let schedule = json!({"every_ms": 1000});
    let settings = json!({"connection": "me", "template": sync, "schedule": schedule, "timeout_ms": timeout_ms});
    let mut batch = WriteBatch::new();
    batch.put_document(name, &settings)?;
    store.commit(batch).await.map(drop)
}

async fn enter(engine: &Engine, store: &Arc<dyn Store>, case: &Case) -> Result<()> {
    let names = ["alpha", "beta", "alpha", "alpha"];
    let sync = format!("{}/{}", names[case.template], TEMPLATE_NAMES[case.template]);
    let action = format!("{}/add_{}", names[case.template], TEMPLATE_NAMES[case.template]);
    let scheduled = || SyncOptions::default().schedule(Duration::from_secs(1));
    match case.entry {
        Entry::Enable => engine.sync("me", &sync).unwrap().enable(SyncOptions::default()).await.map(drop),
        Entry::Scheduled | Entry::StoredLongAgo => {
            if matches!(case.entry, Entry::StoredLongAgo) {
                store_sync(store, &sync).await?;
            } else {
                engine.sync("me", &sync).unwrap().enable(scheduled()).await?;
            }
            let running = engine.start(&tokio::runtime::Handle::current());
            sleep(5.0).await;
            drop(running);
            Ok(())
        }
        Entry::RunOnce => engine.sync("me", &sync).unwrap().run_once(RunOptions::default()).await.map(drop),
        Entry::Verify => {
            engine.sync("me", &sync).unwrap().run_once(RunOptions::default()).await?;
            engine.sync("me", &sync).unwrap().run_once(RunOptions::default().full(true)).await.map(drop)
        }
        Entry::Act => engine.act("me", &action, json!({"text": "a"})).await.map(drop),
        Entry::Proxy => {
            for url in ["/me", "https://evil.example/me", "https://beta.example/me"] {
                let _ = engine.proxy("me", HttpRequest::get(url)).await;
            }
            Ok(())
        }
        Entry::Trigger => {
            store_sync(store, &sync).await?;
            engine.sync("me", &sync).unwrap().trigger(TriggerMode::Plain).await?;
            let running = engine.start(&tokio::runtime::Handle::current());
            sleep(5.0).await;
            drop(running);
            Ok(())
        }
        Entry::Receive => {
            store_sync(store, &sync).await?;
            let body = "{}";
            let mut mac = Hmac::<Sha256>::new_from_slice(SIGNS.as_bytes()).unwrap();
            mac.update(body.as_bytes());
            let hex = hex::encode(mac.finalize().into_bytes());
            let headers = [("x-hub-signature-256", format!("sha256={hex}")), ("x-github-delivery", "d".to_owned())];
            engine.receive("me", &headers, body.as_bytes()).await?;
            let running = engine.start(&tokio::runtime::Handle::current());
            sleep(5.0).await;
            drop(running);
            Ok(())
        }
        Entry::Blocking => Ok(()),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// The strangers that got a secret, and how the call ended.
fn play(case: &Case) -> (BTreeSet<String>, Result<()>) {
    let runtime = runtime();
    let _inside = runtime.enter();
    let clock = Clock::new();
    let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
    let recorder = Arc::new(Recorder::default());
    let engine = engine(&clock, &store, &recorder, case);
    let settings = |provider: usize| {
        let settings = ConnectionSettings::new("me", ["alpha", "beta"][provider]);
        if case.base_url {
            settings.base_url(["https://alpha.corp.example", "https://beta.corp.example"][provider])
        } else {
            settings
        }
    };
    let own: &[&str] = match case.connection {
        0 => &[
            "https://alpha.example",
            "https://alpha.corp.example",
            "https://files.alpha.example",
            "https://auth.alpha.example",
        ],
        _ => &["https://beta.example", "https://beta.corp.example", "https://auth.beta.example"],
    };
    // The credentials are the first connection's; a later one of the same id must not get them.
    let connected = runtime.block_on(async {
        engine.connect(settings(case.connection)).await?;
        engine.use_credentials("me", credentials(case.sign_in));
        if case.reconnected {
            let _ = engine
                .sync("me", ["alpha/items", "beta/items"][case.connection])
                .unwrap()
                .run_once(RunOptions::default())
                .await;
            let _ = engine.connect(settings(1 - case.connection)).await;
        }
        Ok(())
    });
    let outcome = match connected {
        Err(error) => Err(error),
        Ok(()) if matches!(case.entry, Entry::Blocking) => {
            drop(_inside);
            let outside = highwater_engine::blocking::Engine::new(engine).unwrap();
            let names = ["alpha/items", "beta/items", "alpha/twin", "alpha/cousin"];
            outside.sync("me", names[case.template]).unwrap().run_once(RunOptions::default()).map(drop)
        }
        Ok(()) => runtime.block_on(enter(&engine, &store, case)),
    };
    (strangers(&recorder, own), outcome)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bound_credentials_reach_no_stranger(case in cases()) {
        let (strangers, outcome) = play(&case);
        prop_assert!(strangers.is_empty(), "a secret went to {strangers:?}; the call: {outcome:?}");
        // The rightful ones are served.
        if !case.twins && case.template == case.connection && !case.reconnected {
            prop_assert!(outcome.is_ok(), "{outcome:?}");
        }
    }
}

#[test]
fn a_template_of_another_provider_is_refused_by_name() {
    for entry in [Entry::Enable, Entry::RunOnce, Entry::Act] {
        let case =
            Case { connection: 0, template: 1, entry, sign_in: 0, base_url: false, twins: false, reconnected: false };
        let (strangers, outcome) = play(&case);
        let error = outcome.expect_err("it was let in");
        assert!(strangers.is_empty(), "{entry:?}: {strangers:?}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!((error.context("provider"), error.context("expected")), (Some("alpha"), Some("beta")), "{error}");
    }
}
