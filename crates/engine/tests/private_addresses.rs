//! Which requests for a connection reach addresses of this machine: over the real transport, by every way in.
#![allow(clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use highwater_core::{Error, ErrorKind, MemoryStore, Result, Timestamp};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::transport::{PrivateAddresses, RequestLimits};
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{
    ConnectionSettings, CredentialStore, Credentials, Engine, IntegrationSettings, RunOptions, Secret,
};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::async_trait::async_trait;
use highwater_template::auth::{AuthKind, BaseUrlLookup, CredentialUse, DesktopSignIn, OAuth2};
use highwater_template::{ConfigKey, HttpRequest, Provider, SyncContext, Template, TemplateInfo, Verification};
use serde_json::{Value, json};

#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        context.send(HttpRequest::get("/items")).await.map(drop)
    }
}

#[derive(Debug)]
struct Act(ActionInfo);

#[async_trait]
impl ActionTemplate for Act {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, _: Value) -> Result<Value> {
        context.send(HttpRequest::get("/act")).await?.json()
    }
}

/// A server on this machine that counts what reaches it.
fn listen() -> (u16, Arc<AtomicUsize>) {
    listen_with(r#"{"access_token":"at-2","token_type":"bearer"}"#)
}

fn listen_with(body: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, reached) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&reached);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = connection.write_all(format!("{head}{body}").as_bytes());
        }
    });
    (port, reached)
}

/// `host` is part of the addresses; `auth` of the token endpoint's alone.
fn provider(name: &str, base: &str, token: &str) -> Provider {
    let mut oauth = OAuth2::new("https://acme.example/authorize", format!("{token}/token"), DesktopSignIn::PkcePublic);
    oauth.revocation_url = Some(format!("{token}/revoke"));
    Provider::new(name, base)
        .config(host())
        .auth(AuthKind::OAuth2(oauth))
        .verification(Verification::get("/me").name("/access_token"))
}

fn host() -> ConfigKey {
    ConfigKey::required("host", "the host's name")
}

fn engine(
    provider: &Provider,
    change: impl FnOnce(highwater_engine::EngineBuilder) -> highwater_engine::EngineBuilder,
) -> Engine {
    let items = provider.template("items").credentials(CredentialUse::Optional).model("Item", "an item").config(host());
    let builder = Engine::builder(Arc::new(MemoryStore::new().unwrap()))
        .template(Arc::new(Items(items)))
        .actions([Arc::new(Act(provider.action("act").config(host()))) as Arc<dyn ActionTemplate>])
        .limits(RequestLimits::default().attempts(1));
    change(builder).build().unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Run,
    Act,
    Proxy,
    Verify,
    Renewal,
    Revocation,
}

const ENTRIES: [Entry; 6] = [Entry::Run, Entry::Act, Entry::Proxy, Entry::Verify, Entry::Renewal, Entry::Revocation];

async fn enter(engine: &Engine, entry: Entry) -> Result<()> {
    let tokens = OAuthTokens::new("app").access(Secret::new("at-1"), None).refresh(Secret::new("rt-1"));
    let old = tokens.clone().access(Secret::new("at-0"), Some(Timestamp::from_unix_ms(1)));
    let tokens = if matches!(entry, Entry::Renewal) { old } else { tokens };
    engine.use_credentials("c", Credentials::oauth2(tokens));
    match entry {
        Entry::Run => engine.sync("c", "acme/items")?.run_once(RunOptions::default()).await.map(drop),
        Entry::Act => engine.act("c", "acme/act", json!({})).await.map(drop),
        Entry::Proxy | Entry::Renewal => engine.proxy("c", HttpRequest::get("/any")).await.map(drop),
        Entry::Verify => engine.verify_connection("c").await.map(drop),
        Entry::Revocation => engine.revoke_credentials("c").await.map(drop),
    }
}

fn is_refused(outcome: &Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error: &Error| {
        error.kind() == ErrorKind::Invalid && error.to_string().contains("globally routable")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_not_reached_through_a_setting_by_any_way_in() {
    let (port, reached) = listen();
    let base = format!("http://{{host}}:{port}");
    let engine = engine(&provider("acme", &base, &base), |builder| builder);
    for host in ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001"] {
        engine.connect(ConnectionSettings::new("c", "acme").config("host", host)).await.unwrap();
        for entry in ENTRIES {
            let outcome = enter(&engine, entry).await;
            assert!(is_refused(&outcome), "{host} {entry:?}: {outcome:?}");
        }
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn destination_of_others_leads_to_the_internet_alone() {
    let local = provider("acme", "https://acme.example", "https://acme.example");
    let outbox = Outbox::new(&engine(&local, |builder| builder));
    for url in ["http://127.0.0.1:9/", "https://localhost/", "http://[::1]/", "https://10.0.0.1/", "https://[fd00::1]/"]
    {
        let refused = outbox.add_public(Destination::new("a", url)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{url}");
    }
    let resolved = Destination::new("a", "https://hooks.example/").allow_private(true);
    assert!(outbox.add_public(resolved.clone()).await.is_err());
    outbox.add_public(Destination::new("a", "https://hooks.example/")).await.unwrap();
    assert!(outbox.add_public(resolved).await.is_err(), "what others said is not the program's word");
    // What the program itself allowed stays, with other options.
    outbox.add(Destination::new("own", "http://127.0.0.1:9/")).await.unwrap();
    outbox.add_public(Destination::new("own", "http://127.0.0.1:9/").on_error(false)).await.unwrap();
    assert!(outbox.add_public(Destination::new("own", "http://127.0.0.1:10/")).await.is_err());
    let any = engine(&local, |builder| builder.private_addresses(PrivateAddresses::OfAnyone));
    Outbox::new(&any).add_public(Destination::new("a", "http://127.0.0.1:9/")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_of_the_program_itself_are_reached() {
    let (port, reached) = listen();
    let own = format!("http://127.0.0.1:{port}");
    for entry in ENTRIES {
        // Written into the provider; as its base URL; and where the program allows all.
        let written = engine(&provider("acme", &format!("{own}/{{host}}"), &own), |builder| builder);
        written.connect(ConnectionSettings::new("c", "acme").config("host", "a")).await.unwrap();
        let by_base_url = engine(&provider("acme", "https://{host}", &own), |builder| builder);
        by_base_url.connect(ConnectionSettings::new("c", "acme").config("host", "a").base_url(&own)).await.unwrap();
        let base = format!("http://{{host}}:{port}");
        let any = |builder: highwater_engine::EngineBuilder| builder.private_addresses(PrivateAddresses::OfAnyone);
        let allowed = engine(&provider("acme", &base, &base), any);
        allowed.connect(ConnectionSettings::new("c", "acme").config("host", "127.0.0.1")).await.unwrap();
        for engine in [written, by_base_url, allowed] {
            let before = reached.load(Ordering::SeqCst);
            let outcome = enter(&engine, entry).await;
            assert!(reached.load(Ordering::SeqCst) > before, "{entry:?}: {outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_not_reached_beside_a_base_url_of_the_program() {
    let (port, reached) = listen();
    // The token endpoint's host is a setting, whatever the base URL is.
    let engine =
        engine(&provider("acme", "https://acme.example", &format!("http://{{host}}:{port}")), |builder| builder);
    let settings = ConnectionSettings::new("c", "acme").config("host", "localhost");
    engine.connect(settings.base_url("http://127.0.0.1:1")).await.unwrap();
    for entry in [Entry::Renewal, Entry::Revocation] {
        let outcome = enter(&engine, entry).await;
        assert!(is_refused(&outcome), "{entry:?}: {outcome:?}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_not_reached_through_a_base_url_of_others() {
    let (port, reached) = listen();
    let own = format!("http://127.0.0.1:{port}");
    let engine = engine(&provider("acme", "https://acme.example/{host}", "https://acme.example"), |builder| builder);
    let settings = IntegrationSettings::new("i", "acme").config("host", "a").public_base_url(Some(own.clone()));
    let integration = engine.create_integration(settings).await.unwrap();
    engine.connect(ConnectionSettings::of_integration("c", "i")).await.unwrap();
    let ways = [Entry::Run, Entry::Act, Entry::Proxy, Entry::Verify];
    for entry in ways {
        let outcome = enter(&engine, entry).await;
        assert!(is_refused(&outcome), "{entry:?}: {outcome:?}");
    }
    // The same URL, from somebody else again, does not take back what the program said, nor the other way round.
    integration.update(|settings| settings.base_url(&own)).await.unwrap();
    integration.update(|settings| settings.public_base_url(Some(own.clone()))).await.unwrap();
    for entry in ways {
        let outcome = enter(&engine, entry).await;
        assert!(!is_refused(&outcome), "{entry:?}: {outcome:?}");
    }
    let before = reached.load(Ordering::SeqCst);
    assert!(before > 0);
    integration.update(|settings| settings.public_base_url(Some(format!("{own}/v2")))).await.unwrap();
    let outcome = enter(&engine, Entry::Proxy).await;
    assert!(is_refused(&outcome), "{outcome:?}");
    assert_eq!(reached.load(Ordering::SeqCst), before);
}

#[derive(Debug, Default)]
struct Keychain(Mutex<Option<Credentials>>);

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, _: &str) -> Result<Option<Credentials>> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn save(&self, _: &str, credentials: &Credentials) -> Result<()> {
        *self.0.lock().unwrap() = Some(credentials.clone());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_not_reached_through_a_base_url_that_an_api_told() {
    let (asked, questions) = listen_with(r#"[{"url":"https://acme.example/a","id":"localhost"}]"#);
    let (port, reached) = listen();
    let mut told = provider("acme", "https://acme.example/{host}", "https://acme.example");
    told = told.origin(format!("http://127.0.0.1:{asked}"));
    let lookup =
        BaseUrlLookup::new(format!("http://127.0.0.1:{asked}/sites"), "/url", "/id", format!("http://{{id}}:{port}"));
    for kind in &mut told.auth {
        if let AuthKind::OAuth2(oauth) = kind {
            oauth.base_url = Some(Box::new(lookup.clone()));
        }
    }
    let keychain = Arc::new(Keychain::default());
    let engine = engine(&told, |builder| builder.credential_store(Arc::clone(&keychain) as _));
    engine.connect(ConnectionSettings::new("c", "acme").config("host", "a")).await.unwrap();
    let tokens = Credentials::oauth2(OAuthTokens::new("app").access(Secret::new("at-1"), None));
    // Whose account it is cannot be asked there either.
    engine.sign_in("c", tokens).await.unwrap();
    let found = engine.connection("c").await.unwrap().found_base_url.unwrap();
    assert_eq!(found.url, format!("http://localhost:{port}"));
    for entry in [Entry::Run, Entry::Act, Entry::Proxy, Entry::Verify] {
        let outcome = enter(&engine, entry).await;
        assert!(is_refused(&outcome), "{entry:?}: {outcome:?}");
    }
    assert_eq!((questions.load(Ordering::SeqCst), reached.load(Ordering::SeqCst)), (1, 0));
}
