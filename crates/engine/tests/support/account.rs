//! An account at an API that may refuse it, a keychain that may fail, and engines on one store.
#![allow(unreachable_pub, dead_code)] // shared by several test binaries

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Environment, Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::connections::ConnectionHealth;
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{ConnectionSettings, CredentialStore, Credentials, Engine, RunOptions, RunReport, Secret};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::auth::{AuthKind, CredentialUse, DesktopSignIn, OAuth2};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Provider, SyncContext, Template, TemplateInfo};
use serde_json::{Value, json};

use crate::world::Clock;

pub const SYNC: &str = "acme/items";

/// What the API takes. Every refusal echoes what was sent.
#[derive(Debug, Default)]
pub struct Api {
    /// Access tokens that it takes.
    pub takes: BTreeSet<String>,
    /// Refresh tokens that it takes, once each, and the access token that comes of them.
    pub renews: BTreeMap<String, String>,
    /// The code with which it refuses a refresh.
    pub refuses_with: &'static str,
    /// Whether what comes of a renewal is taken.
    pub takes_renewed: bool,
    /// How long a renewed access token lasts, in seconds.
    pub lifetime: u64,
    /// Requests with credentials, in order: the token of each.
    pub asked: Vec<String>,
    pub refreshes: usize,
    /// Tokens that it was asked to revoke.
    pub revoked: Vec<String>,
    /// Whether it answers requests for revocation with an error.
    pub revocation_fails: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Account(pub Arc<Mutex<Api>>);

impl Account {
    pub fn api(&self) -> MutexGuard<'_, Api> {
        self.0.lock().unwrap()
    }
}

#[async_trait]
impl Transport for Account {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let mut api = self.api();
        let answer = |status, body: Value| Ok(HttpResponse::new(status, Vec::new(), body.to_string()));
        let form = request.body.clone().unwrap_or_default();
        let fields: BTreeMap<String, String> = url::form_urlencoded::parse(&form).into_owned().collect();
        if request.url.contains("/revoke") {
            api.revoked.push(fields["token"].clone());
            return if api.revocation_fails { answer(503, json!({})) } else { answer(200, json!({})) };
        }
        if request.url.contains("/token") {
            api.refreshes += 1;
            let sent = fields.get("refresh_token").cloned().unwrap_or_default();
            return match api.renews.remove(&sent) {
                Some(token) => {
                    if api.takes_renewed {
                        api.takes.insert(token.clone());
                    }
                    answer(200, json!({"access_token": token, "expires_in": api.lifetime, "token_type": "bearer"}))
                }
                None => answer(400, json!({"error": api.refuses_with, "error_description": format!("bad {sent}")})),
            };
        }
        let sent = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let token = sent.and_then(|(_, value)| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
        api.asked.push(token.clone());
        if api.takes.contains(&token) {
            answer(200, json!([{"id": 1}]))
        } else {
            answer(401, json!({"message": format!("bad token {token}")}))
        }
    }
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
        context.save("Item", page.elements()?).await.map(drop)
    }
}

#[derive(Debug)]
struct Look(ActionInfo);

#[async_trait]
impl ActionTemplate for Look {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, _: Value) -> Result<Value> {
        context.send(HttpRequest::get("/me")).await?.json()
    }
}

/// A keychain of the host's, shared by engines as by processes.
#[derive(Debug, Clone, Default)]
pub struct Keychain(pub Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
pub struct Kept {
    pub credentials: BTreeMap<String, Credentials>,
    pub load_fails: Option<ErrorKind>,
    pub save_fails: bool,
    /// How long each save takes.
    pub save_takes: Duration,
    pub remove_fails: bool,
    pub removals: usize,
    /// How long each removal takes.
    pub remove_takes: Duration,
}

impl Keychain {
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }
}

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        let fails = self.kept().load_fails;
        match fails {
            Some(kind) => Err(Error::new(kind, "the row was changed: sign in again").with("connection", connection)),
            None => Ok(self.kept().credentials.get(connection).cloned()),
        }
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        let takes = self.kept().save_takes;
        tokio::time::sleep(takes).await;
        if self.kept().save_fails {
            let quoted = credentials.to_secret()?.expose().to_owned();
            return Err(Error::new(ErrorKind::PermissionDenied, "the keychain is locked").with("quoted", quoted));
        }
        self.kept().credentials.insert(connection.to_owned(), credentials.clone());
        self.kept().load_fails = None;
        Ok(())
    }

    async fn remove(&self, connection: &str) -> Result<()> {
        let takes = self.kept().remove_takes;
        tokio::time::sleep(takes).await;
        if self.kept().remove_fails {
            let quoted = self.kept().credentials.get(connection).map(|kept| kept.to_secret().unwrap());
            let quoted = quoted.map_or_else(String::new, |quoted| quoted.expose().to_owned());
            return Err(Error::new(ErrorKind::PermissionDenied, "the keychain is locked").with("quoted", quoted));
        }
        self.kept().removals += 1;
        self.kept().credentials.remove(connection);
        Ok(())
    }
}

pub fn token(text: &str) -> Credentials {
    Credentials::token(Secret::new(text))
}

pub fn oauth(access: &str, refresh: Option<&str>) -> Credentials {
    let tokens = OAuthTokens::new("app").access(Secret::new(access), None);
    Credentials::oauth2(match refresh {
        Some(refresh) => tokens.refresh(Secret::new(refresh)),
        None => tokens,
    })
}

pub struct World {
    pub store: Arc<dyn Store>,
    pub clock: Arc<Clock>,
    pub account: Account,
    pub keychain: Keychain,
    pub engine: Engine,
}

impl World {
    /// An engine in virtual time on a store in memory, with connection `c` and a receiver of webhooks.
    pub async fn new() -> Self {
        let clock = Clock::new();
        let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
        World::on(Arc::new(Inline::open(MemoryBackend::default(), options).unwrap()), clock).await
    }

    pub async fn on(store: Arc<dyn Store>, clock: Arc<Clock>) -> Self {
        let (account, keychain) = (Account::default(), Keychain::default());
        account.api().refuses_with = "invalid_grant";
        account.api().lifetime = 3600;
        account.api().takes_renewed = true;
        let engine = engine_on(&store, &clock, &account, Some(&keychain));
        let world = World { store, clock, account, keychain, engine };
        world.engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
        let crm = Destination::new("crm", "https://crm.example/hook").on_error(false);
        Outbox::new(&world.engine).add(crm).await.unwrap();
        world
    }

    /// Another engine, as another process would have, with the same keychain.
    pub fn another(&self) -> Engine {
        engine_on(&self.store, &self.clock, &self.account, Some(&self.keychain))
    }

    /// One without a keychain.
    pub fn without_keychain(&self) -> Engine {
        engine_on(&self.store, &self.clock, &self.account, None)
    }

    pub fn now(&self) -> highwater_core::Timestamp {
        self.clock.now()
    }

    pub async fn health(&self) -> ConnectionHealth {
        health_in(&self.engine).await
    }

    /// The bodies of what is to be told of connections, oldest first.
    pub async fn told(&self) -> Vec<Value> {
        let rows = Outbox::new(&self.engine).waiting("crm", "", 1000).await.unwrap();
        let bodies = rows.iter().map(|row| serde_json::from_str::<Value>(&row.body).unwrap());
        bodies.filter(|body| body["type"] == "auth").collect()
    }

    /// What was told of the health, in short: the operation and the state.
    pub async fn told_in_short(&self) -> Vec<String> {
        let text = |body: &Value, name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let told = self.told().await;
        told.iter().map(|body| format!("{} {}", text(body, "operation"), text(body, "health"))).collect()
    }

    pub fn asked(&self) -> usize {
        self.account.api().asked.len()
    }
}

pub async fn health_in(engine: &Engine) -> ConnectionHealth {
    engine.connection_state("c").await.unwrap().health
}

pub async fn run(engine: &Engine) -> Result<RunReport> {
    engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await
}

pub async fn look(engine: &Engine) -> Result<Value> {
    engine.act("c", "acme/look", json!({})).await
}

pub fn engine_on(store: &Arc<dyn Store>, clock: &Arc<Clock>, account: &Account, keychain: Option<&Keychain>) -> Engine {
    let oauth = OAuth2::new("https://acme.example/authorize", "https://acme.example/token", DesktopSignIn::PkcePublic)
        .revocation_url("https://acme.example/revoke");
    let provider = Provider::new("acme", "https://api.acme.example").auth(AuthKind::OAuth2(oauth));
    let info = provider.template("items").credentials(CredentialUse::Required).model("Item", "an item");
    let builder = Engine::builder(Arc::clone(store))
        .template(Arc::new(Items(info)))
        .actions([Arc::new(Look(provider.action("look"))) as Arc<dyn ActionTemplate>])
        .transport(Arc::new(account.clone()))
        .environment(Arc::clone(clock) as Arc<dyn Environment>);
    let builder = match keychain {
        Some(keychain) => builder.credential_store(Arc::new(keychain.clone())),
        None => builder,
    };
    builder.build().unwrap()
}

pub async fn sleep(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
