//! Refreshing tokens where refresh tokens work once: kept before they are used, by one at a time, lost by no stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Environment, Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::transport::RequestLimits;
use highwater_engine::{CancelToken, ConnectionSettings, CredentialStore, Credentials, Engine, RunOptions};
use highwater_template::auth::{AuthKind, ClientAuth, DesktopSignIn, OAuth2};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Provider, Secret, SyncContext, Template, TemplateInfo};
use highwater_testkit::{FakeApi, FakeRequest, FakeTransport, TestEnvironment, json};
use tokio::sync::Semaphore;

/// Asks `/items` twice.
#[derive(Debug)]
struct Asker(TemplateInfo);

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
struct Rotating {
    serial: u32,
    revoked: bool,
    basic: bool,
    /// The refresh token before the present one works too, as some APIs have it for some minutes.
    forgiving: bool,
    token_requests: u32,
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
struct Keychain {
    kept: Mutex<BTreeMap<String, Secret>>,
    locked: AtomicBool,
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
        self.kept.lock().unwrap().insert(connection.to_owned(), credentials.to_secret()?);
        Ok(())
    }
}

/// A way to the API on which answers of the token endpoint wait for a permit; the API has acted on the request by then.
#[derive(Debug)]
struct SlowTokens {
    api: FakeTransport<Rotating>,
    answers: Arc<Semaphore>,
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
struct World {
    api: FakeTransport<Rotating>,
    keychain: Arc<Keychain>,
    clock: Arc<TestEnvironment>,
    store: Arc<dyn Store>,
    answers: Arc<Semaphore>,
    client: ClientAuth,
}

/// On the caller's thread: a paused clock would run ahead of another.
fn store() -> Arc<dyn Store> {
    Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::default()).unwrap())
}

impl World {
    fn new(api: Rotating) -> Self {
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
    async fn signed_in(api: Rotating) -> Self {
        let world = World::new(api);
        let tokens = OAuthTokens::new("app").refresh(Secret::new("refresh-0"));
        world.keychain.save("c", &Credentials::oauth2(tokens)).await.unwrap();
        world
    }

    async fn engine_on(&self, store: &Arc<dyn Store>) -> Engine {
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

    async fn engine(&self) -> Engine {
        self.engine_on(&self.store).await
    }

    fn serial(&self) -> u32 {
        self.api.with(|api| api.serial)
    }

    fn keeps(&self, refresh_token: &str) -> bool {
        self.keychain.kept.lock().unwrap()["c"].expose().contains(&format!("\"{refresh_token}\""))
    }
}

async fn run(engine: &Engine) -> Result<()> {
    engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.map(drop)
}

#[tokio::test]
async fn rotating_tokens_are_refreshed_early_and_kept_before_they_are_used() {
    let world = World::signed_in(Rotating::default()).await;
    let engine = world.engine().await;
    run(&engine).await.unwrap();
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 1, "one refresh serves until the token ends");
    world.clock.skip(Duration::from_secs(560));
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 2, "a minute before the end");
    // The API ends a token before its time: one 401, one refresh.
    world.api.with(|api| api.serial = 7);
    world.keychain.kept.lock().unwrap().clear();
    let known = OAuthTokens::new("app").access(Secret::new("access-6"), None).refresh(Secret::new("refresh-7"));
    engine.use_credentials("c", Credentials::oauth2(known));
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 8);
    // Another process goes on with what the keychain has.
    run(&world.engine().await).await.unwrap();
    assert_eq!(world.serial(), 8);
}

#[tokio::test]
async fn client_credentials_by_basic_auth() {
    let world = World { client: ClientAuth::Basic, ..World::new(Rotating { basic: true, ..Rotating::default() }) };
    let engine = world.engine().await;
    engine.use_credentials("c", Credentials::oauth2(OAuthTokens::client_credentials("app", Secret::new("h4sh"))));
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 1);
}

#[tokio::test]
async fn a_refresh_token_that_is_over_asks_for_a_sign_in_and_is_not_sent_again() {
    let world = World::signed_in(Rotating { revoked: true, ..Rotating::default() }).await;
    let engine = world.engine().await;
    for _ in 0..2 {
        let error = run(&engine).await.unwrap_err();
        assert_eq!((error.kind(), error.context("connection")), (ErrorKind::Unauthorized, Some("c")));
        assert!(error.to_string().contains("sign in again") && !format!("{error:?}").contains("refresh-"), "{error:?}");
        assert_eq!(world.api.with(|api| api.token_requests), 1);
    }
    // The user signs in again: in this process, or in one that writes to the keychain alone.
    world.api.with(|api| (api.revoked, api.serial) = (false, 4));
    let tokens =
        |serial| Credentials::oauth2(OAuthTokens::new("app").refresh(Secret::new(format!("refresh-{serial}"))));
    engine.use_credentials("c", tokens(4));
    run(&engine).await.unwrap();
    world.api.with(|api| api.serial = 6);
    world.keychain.save("c", &tokens(6)).await.unwrap();
    run(&engine).await.unwrap();
    assert_eq!(world.serial(), 7);
}

#[tokio::test]
async fn every_spelling_of_a_refused_refresh_token_asks_for_a_sign_in() {
    for (status, body, over) in [
        (400, r#"{"error":"invalid_grant"}"#, true),
        (403, r#"{"error":"unauthorized_client","error_description":"refresh_token is invalid"}"#, true),
        (
            200,
            r#"{"error":"bad_refresh_token","error_description":"The refresh token is incorrect or expired."}"#,
            true,
        ),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#, true),
        (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#, true),
        (401, r#"{"error":"invalid_client"}"#, false),
        (403, r#"{"error":"unauthorized_client","error_description":"no such client"}"#, false),
        (500, "", false),
    ] {
        let world = World::signed_in(Rotating::default()).await;
        let transport = FakeTransport::new(move |_: &FakeRequest| json(status, body));
        let oauth = OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::Broker);
        let provider = Provider::new("acme", "https://api.acme.example").auth(AuthKind::OAuth2(oauth));
        let engine = Engine::builder(Arc::clone(&world.store))
            .template(Arc::new(Asker(provider.template("items").model("Item", "an item"))))
            .transport(Arc::new(transport))
            .credential_store(Arc::clone(&world.keychain) as Arc<dyn CredentialStore>)
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
        let error = run(&engine).await.unwrap_err();
        assert_eq!(error.to_string().contains("sign in again"), over, "{body}: {error}");
    }
}

#[tokio::test]
async fn syncs_at_once_refresh_once_in_one_process_and_in_two() {
    let world = World::signed_in(Rotating::default()).await;
    let (first, second) = (world.engine().await, world.engine().await);
    let runs = |engine: Engine| async move {
        let others = engine.sync("c", "acme/others").unwrap();
        let (items, others) = tokio::join!(run(&engine), others.run_once(RunOptions::default()));
        items.and(others.map(drop))
    };
    runs(first.clone()).await.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
    run(&second).await.unwrap();
    for round in 2..6 {
        world.clock.skip(Duration::from_secs(600));
        let others = second.sync("c", "acme/others").unwrap();
        let (one, other) = tokio::join!(run(&first), others.run_once(RunOptions::default()));
        one.and(other.map(drop)).unwrap();
        assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (round, round));
    }
    let left = world.store.documents("renewal/", "", 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_turn_left_by_a_dead_process_ends() {
    let world = World::signed_in(Rotating::default()).await;
    world.answers.forget_permits(Semaphore::MAX_PERMITS);
    let dead = world.engine().await;
    tokio::select! {
        biased;
        _ = run(&dead) => panic!("the answer cannot be there"),
        () = until(|| world.serial() == 1) => {}
    }
    drop(dead);
    assert_eq!(world.store.documents("renewal/", "", 10).await.unwrap().len(), 1);
    world.answers.add_permits(10);
    world.clock.skip(Duration::from_secs(61));
    // What the dead process had asked for is lost with its answer: this API says so, a forgiving one gives new tokens.
    let error = run(&world.engine().await).await.unwrap_err();
    assert!(error.to_string().contains("sign in again"), "{error}");
    world.api.with(|api| api.forgiving = true);
    run(&world.engine().await).await.unwrap();
    assert!(world.keeps("refresh-2"));
}

/// Waits until something has happened, which other tasks see to.
async fn until(happened: impl Fn() -> bool) {
    while !happened() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_kept_are_held_and_not_used() {
    let world = World::signed_in(Rotating::default()).await;
    let engine = world.engine().await;
    world.keychain.locked.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = run(&engine).await.unwrap_err();
        assert_eq!((error.kind(), error.context("connection")), (ErrorKind::PermissionDenied, Some("c")));
    }
    assert!(world.api.seen().iter().all(|request| request.path == "/token"), "nothing is sent before it is kept");
    world.keychain.locked.store(false, Ordering::SeqCst);
    run(&engine).await.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
    assert!(world.keeps("refresh-1"));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_not_kept_yet_are_waited_for_by_another_process() {
    let world = World::signed_in(Rotating::default()).await;
    let (one, two) = (world.engine().await, world.engine().await);
    world.keychain.locked.store(true, Ordering::SeqCst);
    assert_eq!(run(&one).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    world.keychain.locked.store(false, Ordering::SeqCst);
    // What the keychain has is used up: who sends it ends the sign-in.
    let later = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        one.sync("c", "acme/others").unwrap().run_once(RunOptions::default()).await
    };
    let (two, one) = tokio::join!(run(&two), later);
    two.unwrap();
    one.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
}

#[tokio::test]
async fn a_process_that_dies_between_refresh_and_use_leaves_good_tokens() {
    let world = World::signed_in(Rotating::default()).await;
    let dead = world.engine().await;
    tokio::select! {
        biased;
        () = until(|| world.keeps("refresh-1")) => {}
        _ = run(&dead) => {}
    }
    drop(dead);
    let engine = world.engine().await;
    engine.sync("c", "acme/others").unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!(world.serial(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_tokens_are_on_their_way_loses_none() {
    for answered_in_time in [true, false] {
        let world = World::signed_in(Rotating::default()).await;
        world.answers.forget_permits(Semaphore::MAX_PERMITS);
        let engine = world.engine().await;
        let cancel = CancelToken::new();
        let options = RunOptions::default().cancel(cancel.clone());
        let items = engine.sync("c", "acme/items").unwrap();
        let (outcome, ()) = tokio::join!(items.run_once(options), async {
            until(|| world.serial() == 1).await;
            cancel.cancel();
            if answered_in_time {
                tokio::time::sleep(Duration::from_secs(2)).await;
                world.answers.add_permits(10);
            }
        });
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(world.keeps("refresh-1"), answered_in_time);
        // The next run awaits the answer that nobody took.
        world.answers.add_permits(10);
        run(&engine).await.unwrap();
        assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
        assert!(world.keeps("refresh-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_the_host_drops_leaves_its_answer_to_the_next() {
    let world = World::signed_in(Rotating::default()).await;
    world.answers.forget_permits(Semaphore::MAX_PERMITS);
    let engine = world.engine().await;
    let items = engine.sync("c", "acme/items").unwrap();
    tokio::select! {
        biased;
        _ = items.run_once(RunOptions::default()) => panic!("the answer cannot be there"),
        () = until(|| world.serial() == 1) => {}
    }
    world.answers.add_permits(10);
    engine.sync("c", "acme/others").unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
}

#[tokio::test]
async fn tokens_that_another_process_renewed_meanwhile_are_taken() {
    let world = World::signed_in(Rotating::default()).await;
    run(&world.engine().await).await.unwrap();
    // On a store of its own, told by its host what was good before: the API refuses it, the keychain knows better.
    let engine = world.engine_on(&store()).await;
    engine.use_credentials("c", Credentials::oauth2(OAuthTokens::new("app").refresh(Secret::new("refresh-0"))));
    run(&engine).await.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_moved_takes_what_the_keychain_has_for_it_then() {
    let world = World::signed_in(Rotating::default()).await;
    let engine = world.engine().await;
    engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.unwrap();
    engine.connect(ConnectionSettings::new("c", "acme").base_url("https://elsewhere.example")).await.unwrap();
    let error = engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let signed_in_there = OAuthTokens::new("app").access(Secret::new("access-1"), None);
    world.keychain.save("c", &Credentials::oauth2(signed_in_there)).await.unwrap();
    engine.sync("c", "acme/items").unwrap().run_once(RunOptions::default()).await.unwrap();
}
