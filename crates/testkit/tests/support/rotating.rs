//! An API whose refresh tokens work once, a keychain, and engines that share both.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Environment, Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::transport::RequestLimits;
use highwater_engine::{ConnectionSettings, CredentialStore, Credentials, Engine, RunOptions};
use highwater_template::auth::{AuthKind, ClientAuth, DesktopSignIn, OAuth2};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Provider, Secret, SyncContext, Template, TemplateInfo};
use highwater_testkit::{FakeApi, FakeRequest, FakeTransport, TestEnvironment, json};
use tokio::sync::Semaphore;

/// Asks `/items` twice.
#[derive(Debug)]
pub(crate) struct Asker(pub(crate) TemplateInfo);

#[async_trait]
impl Template for Asker {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        for _ in 0..2 {
            let page = context.send(HttpRequest::get("/items")).await?;
            context.save(&self.0.models[0].name, page.elements()?).await?;
        }
        Ok(())
    }
}

/// An API whose access tokens live for a time, and whose refresh tokens work once.
#[derive(Default)]
pub(crate) struct Rotating {
    pub(crate) serial: u32,
    pub(crate) revoked: bool,
    pub(crate) basic: bool,
    /// The refresh token before the present one works too, as some APIs have it for some minutes.
    pub(crate) forgiving: bool,
    pub(crate) token_requests: u32,
}

impl FakeApi for Rotating {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.path != "/token" {
            let good = request.header("authorization") == Some(&format!("Bearer access-{}", self.serial));
            return if good { json(200, r#"[{"id":1}]"#) } else { json(401, "{}") };
        }
        self.token_requests += 1;
        let form = request.form();
        let signed_in = match self.basic {
            true => request.header("authorization") == Some("Basic YXBwOmg0c2g="),
            false => form.get("client_id").map(String::as_str) == Some("app"),
        };
        let sent = form.get("refresh_token").cloned().unwrap_or_default();
        let granted = match form.get("grant_type").map(String::as_str) {
            Some("refresh_token") => {
                let before = self.serial.checked_sub(1).filter(|_| self.forgiving);
                [Some(self.serial), before].into_iter().flatten().any(|serial| sent == format!("refresh-{serial}"))
            }
            Some("client_credentials") => true,
            _ => false,
        };
        if !signed_in || !granted || self.revoked {
            return json(400, r#"{"error":"invalid_grant","error_description":"refresh-0 is over"}"#);
        }
        self.serial += 1;
        let body =
            format!(r#"{{"access_token":"access-{0}","refresh_token":"refresh-{0}","expires_in":"600"}}"#, self.serial);
        json(200, body)
    }
}

/// What a host's keychain would do.
#[derive(Debug, Default)]
pub(crate) struct Keychain {
    pub(crate) kept: Mutex<BTreeMap<String, Secret>>,
    pub(crate) locked: AtomicBool,
    /// How long it takes to keep something.
    pub(crate) slow: Mutex<Duration>,
}

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        self.kept.lock().unwrap().get(connection).map(Credentials::from_secret).transpose()
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        if self.locked.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::PermissionDenied, "the keychain is locked: unlock it"));
        }
        let slow = *self.slow.lock().unwrap();
        tokio::time::sleep(slow).await;
        self.kept.lock().unwrap().insert(connection.to_owned(), credentials.to_secret()?);
        Ok(())
    }
}

/// A way to the API on which answers of the token endpoint wait for a permit; the API has acted on the request by then.
#[derive(Debug)]
pub(crate) struct SlowTokens {
    pub(crate) api: FakeTransport<Rotating>,
    pub(crate) answers: Arc<Semaphore>,
}

#[async_trait]
impl Transport for SlowTokens {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let slow = request.url.ends_with("/token");
        let answer = self.api.send(request).await;
        if slow {
            // Long enough for everybody else who wants tokens to ask for them too.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.answers.acquire().await.unwrap().forget();
        }
        answer
    }
}

/// One API, one keychain, one clock, and whatever engines there are.
pub(crate) struct World {
    pub(crate) api: FakeTransport<Rotating>,
    pub(crate) keychain: Arc<Keychain>,
    pub(crate) clock: Arc<TestEnvironment>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) answers: Arc<Semaphore>,
    pub(crate) client: ClientAuth,
}

/// On the caller's thread: a paused clock would run ahead of another.
pub(crate) fn store() -> Arc<dyn Store> {
    Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::default()).unwrap())
}

impl World {
    pub(crate) fn new(api: Rotating) -> Self {
        World {
            api: FakeTransport::new(api),
            keychain: Arc::default(),
            clock: Arc::new(TestEnvironment::new(1_767_225_600_000)),
            store: store(),
            answers: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            client: ClientAuth::Body,
        }
    }

    /// The keychain has a refresh token alone.
    pub(crate) async fn signed_in(api: Rotating) -> Self {
        let world = World::new(api);
        let tokens = OAuthTokens::new("app").refresh(Secret::new("refresh-0"));
        world.keychain.save("c", &Credentials::oauth2(tokens)).await.unwrap();
        world
    }

    pub(crate) async fn engine_on(&self, store: &Arc<dyn Store>) -> Engine {
        let oauth =
            OAuth2::new("https://acme.example/authorize", "https://acme.example/token", DesktopSignIn::PkcePublic);
        let provider = Provider::new("acme", "https://api.acme.example/v1");
        let provider = provider.auth(AuthKind::OAuth2(oauth.client(self.client)));
        let template = |name: &str| Arc::new(Asker(provider.template(name).model(name, "an item"))) as _;
        let transport = SlowTokens { api: self.api.clone(), answers: Arc::clone(&self.answers) };
        let engine = Engine::builder(Arc::clone(store))
            .templates([template("items"), template("others")])
            .transport(Arc::new(transport))
            .environment(Arc::clone(&self.clock) as Arc<dyn Environment>)
            .credential_store(Arc::clone(&self.keychain) as Arc<dyn CredentialStore>)
            .limits(RequestLimits::default().attempts(2).backoff(Duration::from_millis(1)))
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
        engine
    }

    pub(crate) async fn engine(&self) -> Engine {
        self.engine_on(&self.store).await
    }

    pub(crate) fn serial(&self) -> u32 {
        self.api.with(|api| api.serial)
    }

    pub(crate) fn keeps(&self, refresh_token: &str) -> bool {
        self.keychain.kept.lock().unwrap()["c"].expose().contains(&format!("\"{refresh_token}\""))
    }
}

pub(crate) async fn run(engine: &Engine) -> Result<()> {
    engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.map(drop)
}

pub(crate) async fn run_others(engine: &Engine) -> Result<()> {
    engine.sync("c", "acme/others").unwrap().run_once(RunOptions::default()).await.map(drop)
}

/// Waits until something has happened, which other tasks see to.
pub(crate) async fn until(happened: impl Fn() -> bool) {
    while !happened() {
        tokio::task::yield_now().await;
    }
}
