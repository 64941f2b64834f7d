//! A connection is one account: a sign-in to another one is refused unless the host allows it.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Environment, Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::connections::{Account, AccountChange};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, CredentialStore, Credentials, Engine, Secret};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Provider, Verification};
use scripted::{Script, json};
use world::Clock;

#[derive(Debug, Default)]
struct Keychain(Mutex<BTreeMap<String, Credentials>>);

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        Ok(self.0.lock().unwrap().get(connection).cloned())
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        self.0.lock().unwrap().insert(connection.to_owned(), credentials.clone());
        Ok(())
    }

    async fn remove(&self, connection: &str) -> Result<()> {
        self.0.lock().unwrap().remove(connection);
        Ok(())
    }
}

fn forge() -> Provider {
    let oauth = OAuth2::new("https://forge.example/agree", "https://forge.example/token", DesktopSignIn::PkcePublic)
        .revocation_url("https://forge.example/revoke");
    Provider::new("forge", "https://forge.example/api")
        .auth(AuthKind::bearer("a token"))
        .auth(AuthKind::OAuth2(oauth))
        .verification(Verification::get("/me").id("/team").id("/id").name("/login"))
}

/// The account of each token; a number is a status.
fn answer(request: &HttpRequest) -> Result<HttpResponse> {
    let authorization = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let token = authorization.and_then(|(_, value)| value.strip_prefix("Bearer key-")).unwrap_or_default();
    Ok(match (request.url.as_str(), token) {
        ("https://forge.example/token", _) => {
            json(200, r#"{"access_token":"key-anna-renewed","refresh_token":"refresh-2","expires_in":3600}"#)
        }
        ("https://forge.example/revoke", _) => json(200, "{}"),
        (_, "anna" | "anna-again" | "anna-renewed") => json(200, r#"{"team":"t","id":1,"login":"anna"}"#),
        (_, "anna-renamed") => json(200, r#"{"team":"t","id":1,"login":"anna.b"}"#),
        (_, "ben") => json(200, r#"{"team":"t","id":2,"login":"ben"}"#),
        // The same number, and another team.
        (_, "anna-elsewhere") => json(200, r#"{"team":"u","id":1,"login":"anna"}"#),
        (_, "nameless") => json(200, r#"{"team":"t"}"#),
        (_, "echo-t0ken") => json(200, r#"{"team":"t","id":3,"login":"key-echo-t0ken"}"#),
        (_, "down") => json(503, "{}"),
        _ => json(401, "{}"),
    })
}

struct World {
    engine: Engine,
    keychain: Arc<Keychain>,
    script: Arc<Script>,
    store: Arc<dyn Store>,
}

async fn world(provider: Provider) -> World {
    let clock = Clock::new() as Arc<dyn Environment>;
    let options = StoreOptions::new().environment(Arc::clone(&clock));
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
    let (script, keychain) = (Script::new(answer), Arc::new(Keychain::default()));
    let builder = Engine::builder(Arc::clone(&store)).transport(Arc::clone(&script) as Arc<dyn Transport>);
    let builder = builder.environment(clock).credential_store(Arc::clone(&keychain) as _).provider(provider);
    let engine = builder.build().unwrap();
    engine.connect(ConnectionSettings::new("c", "forge")).await.unwrap();
    World { engine, keychain, script, store }
}

impl World {
    fn kept(&self) -> Option<Credentials> {
        self.keychain.0.lock().unwrap().get("c").cloned()
    }

    async fn account(&self) -> Account {
        self.engine.connection_state("c").await.unwrap().account
    }

    async fn sign_in(&self, token: &str) -> Result<(), Error> {
        self.engine.sign_in("c", credentials(token)).await
    }
}

fn credentials(token: &str) -> Credentials {
    Credentials::token(Secret::new(format!("key-{token}")))
}

fn anna() -> Account {
    Account::new(Some("t/1"), Some("anna"))
}

#[tokio::test(start_paused = true)]
async fn another_account_is_refused_and_nothing_changes() {
    for (token, kind, text) in [
        ("ben", ErrorKind::Conflict, "account: anna, other: ben"),
        ("anna-elsewhere", ErrorKind::Conflict, "under an id of its own, or allow the change of the account"),
        ("stolen", ErrorKind::Unauthorized, "the API refused the token"),
        ("down", ErrorKind::Remote, "503"),
    ] {
        let world = world(forge()).await;
        world.sign_in("anna").await.unwrap();
        assert_eq!(world.account().await, anna());
        let error = world.sign_in(token).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{token}: {error}");
        assert!(error.to_string().contains(text) && !error.to_string().contains('\n'), "{token}: {error}");
        assert_eq!((world.kept(), world.account().await), (Some(credentials("anna")), anna()), "{token}");
        assert_eq!(world.engine.proxy("c", HttpRequest::get("/me")).await.unwrap().status, 200, "{token}");
        // The account may renew its sign-in, and change its name.
        world.sign_in("anna-renamed").await.unwrap();
        assert_eq!(world.account().await, Account::new(Some("t/1"), Some("anna.b")), "{token}");
        assert_eq!(world.kept(), Some(credentials("anna-renamed")), "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_host_may_allow_another_account() {
    let world = world(forge()).await;
    world.sign_in("anna").await.unwrap();
    for (token, expected) in
        [("ben", Account::new(Some("t/2"), Some("ben"))), ("down", Account::default()), ("anna", anna())]
    {
        world.engine.sign_in_with("c", credentials(token), AccountChange::Allow).await.unwrap();
        assert_eq!((world.kept(), world.account().await), (Some(credentials(token)), expected), "{token}");
    }
    assert_eq!(world.sign_in("ben").await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_refuses_nobody() {
    let world = world(forge()).await;
    for token in ["down", "stolen", "nameless"] {
        world.sign_in(token).await.unwrap();
        assert_eq!((world.kept(), world.account().await), (Some(credentials(token)), Account::default()), "{token}");
    }
    // The first verification finds out.
    world.engine.use_credentials("c", credentials("anna"));
    assert_eq!(world.engine.verify_connection("c").await.unwrap(), anna());
    assert_eq!(world.account().await, anna());
    assert_eq!(world.sign_in("ben").await.unwrap_err().kind(), ErrorKind::Conflict);
    for account in [anna(), Account::default()] {
        world.engine.check_account("c", &account).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_a_request_for_it_is_not_asked() {
    let mut silent = forge();
    silent.verification = None;
    let world = world(silent).await;
    for token in ["anna", "ben"] {
        world.sign_in(token).await.unwrap();
    }
    assert!(world.script.seen().is_empty());
    assert_eq!(world.account().await, Account::default());
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_renewed_for_the_question_are_the_ones_that_are_kept() {
    let world = world(forge()).await;
    let tokens = OAuthTokens::new("app").refresh(Secret::new("refresh-1"));
    world.engine.sign_in("c", Credentials::oauth2(tokens)).await.unwrap();
    let kept = world.kept().unwrap().to_secret().unwrap();
    assert!(kept.expose().contains("refresh-2") && !kept.expose().contains("refresh-1"));
    assert_eq!(world.account().await, anna());
    assert_eq!(world.engine.proxy("c", HttpRequest::get("/me")).await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_new_sign_in_revokes_nothing_by_itself() {
    let tokens =
        |token: &str| Credentials::oauth2(OAuthTokens::new("app").access(Secret::new(format!("key-{token}")), None));
    let world = world(forge()).await;
    let revoked = |world: &World| world.script.seen().iter().filter(|asked| asked.url.ends_with("/revoke")).count();
    world.engine.sign_in("c", tokens("anna")).await.unwrap();
    world.engine.sign_in("c", tokens("anna-again")).await.unwrap();
    world.engine.sign_in_with("c", tokens("ben"), AccountChange::Allow).await.unwrap();
    assert_eq!(revoked(&world), 0, "a provider may end the new sign-in with the former one");
    world.engine.revoke_credentials("c").await.unwrap();
    world.engine.sign_in_with("c", tokens("anna"), AccountChange::Allow).await.unwrap();
    assert_eq!(revoked(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_holds_a_secret_is_not_kept() {
    let world = world(forge()).await;
    world.sign_in("echo-t0ken").await.unwrap();
    let account = world.account().await;
    assert!(account.id.is_some() && !account.name.unwrap().contains("t0ken"));
    for document in world.store.documents("", "", 1000).await.unwrap() {
        assert!(!document.value.as_str().contains("t0ken"), "{}", document.key);
    }
}

/// An API that tells the account of one token a second late.
#[derive(Debug)]
struct Late {
    script: Arc<Script>,
    token: String,
}

#[async_trait]
impl Transport for Late {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        if request.headers.iter().any(|(_, value)| value.ends_with(&self.token)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.script.send(request).await
    }
}

/// A keychain that takes three seconds to save.
#[derive(Debug)]
struct Slow(Arc<Keychain>);

#[async_trait]
impl CredentialStore for Slow {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        self.0.load(connection).await
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.0.save(connection, credentials).await
    }
}

#[tokio::test(start_paused = true)]
async fn two_first_sign_ins_at_one_moment_are_not_of_two_accounts() {
    use AccountChange::{Allow, Refuse};
    // The API names the second account while the first sign-in is still saving its credentials, before any account is stored.
    for (first, second, changes, refused) in [
        ("anna", "ben", [Refuse, Refuse], Some((ErrorKind::Conflict, "account: anna, other: ben"))),
        ("ben", "anna", [Allow, Refuse], Some((ErrorKind::Conflict, "account: ben, other: anna"))),
        ("anna", "down", [Refuse, Refuse], Some((ErrorKind::Remote, "503"))),
        ("down", "anna", [Refuse, Refuse], None),
        ("anna", "anna-renamed", [Refuse, Refuse], None),
        ("anna", "ben", [Refuse, Allow], None),
    ] {
        let world = world(forge()).await;
        let clock = Clock::new() as Arc<dyn Environment>;
        let late = Arc::new(Late { script: Arc::clone(&world.script), token: format!("key-{second}") });
        let slow = Arc::new(Slow(Arc::clone(&world.keychain)));
        // Each as in a process of its own.
        let engines = [(); 2].map(|()| {
            let builder = Engine::builder(Arc::clone(&world.store)).transport(Arc::clone(&late) as Arc<dyn Transport>);
            let builder = builder.environment(Arc::clone(&clock)).credential_store(Arc::clone(&slow) as _);
            builder.provider(forge()).build().unwrap()
        });
        let (one, two) = tokio::join!(
            engines[0].sign_in_with("c", credentials(first), changes[0]),
            engines[1].sign_in_with("c", credentials(second), changes[1]),
        );
        let told = format!("{first} {second} {changes:?}: {one:?} {two:?}");
        one.unwrap_or_else(|_| panic!("{told}"));
        let last = match (two, refused) {
            (Err(error), Some((kind, text))) => {
                assert!(error.kind() == kind && error.to_string().contains(text), "{told}");
                first
            }
            (Ok(()), None) => second,
            _ => panic!("{told}"),
        };
        assert_eq!(world.kept(), Some(credentials(last)), "{told}");
        let name = match last {
            "anna-renamed" => "anna.b",
            last => last,
        };
        assert_eq!(world.account().await.name.as_deref(), Some(name), "{told}");
        for engine in &engines {
            assert_eq!(engine.connection_state("c").await.unwrap().account, world.account().await, "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_somebody_else_signs_in_meanwhile_stays_theirs() {
    for (second, kind) in [("ben", ErrorKind::Conflict), ("down", ErrorKind::Remote)] {
        let world = world(forge()).await;
        let clock = Clock::new() as Arc<dyn Environment>;
        let late = Arc::new(Late { script: Arc::clone(&world.script), token: format!("key-{second}") });
        let builder =
            Engine::builder(Arc::clone(&world.store)).transport(late as Arc<dyn Transport>).environment(clock);
        let builder = builder.credential_store(Arc::clone(&world.keychain) as Arc<dyn CredentialStore>);
        let engine = builder.provider(forge()).build().unwrap();
        let (theirs, ours) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                engine.sign_in("new", credentials("anna")).await
            },
            engine.connect_and_sign_in(ConnectionSettings::new("new", "forge"), credentials(second)),
        );
        theirs.unwrap();
        assert_eq!(ours.unwrap_err().kind(), kind);
        assert_eq!(world.keychain.load("new").await.unwrap(), Some(credentials("anna")), "{second}");
        let state = engine.connection_state("new").await.unwrap();
        assert_eq!(state.account.name.as_deref(), Some("anna"), "{second}");
    }
}
