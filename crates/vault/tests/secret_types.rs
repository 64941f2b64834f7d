//! Every public type that holds a secret is listed here, and shows it to nobody.
#![allow(clippy::disallowed_methods)] // reads the sources

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use highwater_codec::{Codec, CodecBuilder, EncryptionKey, KeyRing};
use highwater_core::{MemoryStore, Result, Store, SystemEnvironment};
use highwater_engine::credentials::{BrowserSignIn, CodeSignIn, DeviceSignIn, OAuthTokens, SignIn, SignInMethod};
use highwater_engine::webhooks::Outbox;
use highwater_engine::{ConnectionSettings, Credentials, Engine, Secret};
use highwater_sign_in::{ForwardedRedirect, Forwarder, Redirect, RedirectStrategy};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2, Placement};
use highwater_template::http::Transport;
use highwater_template::redact::Redactor;
use highwater_template::rsa::RsaKey;
use highwater_template::{HttpRequest, HttpResponse, Provider};
use highwater_vault::{GivenKeys, Vault};
use support::block_on;

/// In every secret below.
const SECRET: &str = "s3cr3t-4711-aaaabbbb";

/// A key that was made for tests alone.
const NOBODYS_KEY: &str = include_str!("../../engine/tests/support/nobodys-key.pem");

/// Fails to compile where the type has the trait: then it could be printed, or written as JSON, by accident.
macro_rules! cannot_be {
    ($wanted:path: $($secret:ty),+ $(,)?) => {$(
        const _: fn() = || {
            trait Ambiguous<A> { fn item() {} }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $wanted> Ambiguous<Has> for T {}
            let _ = <$secret as Ambiguous<_>>::item;
        };
    )+};
}

cannot_be!(fmt::Display: Secret, HttpResponse, Redactor, Placement, EncryptionKey, KeyRing, Codec, CodecBuilder, Credentials, OAuthTokens,
    SignInMethod, SignIn, DeviceSignIn, BrowserSignIn, CodeSignIn, Outbox, highwater_engine::blocking::Outbox, Redirect, ForwardedRedirect, Forwarder, GivenKeys, Vault,
    RsaKey);
cannot_be!(serde::Serialize: Secret, HttpResponse, Redactor, Placement, EncryptionKey, KeyRing, Codec, CodecBuilder, Credentials, OAuthTokens,
    SignInMethod, SignIn, DeviceSignIn, BrowserSignIn, CodeSignIn, Outbox, highwater_engine::blocking::Outbox, Redirect, ForwardedRedirect, Forwarder, GivenKeys, Vault,
    RsaKey);

#[derive(Debug)]
struct GivesCodes;

#[async_trait]
impl Transport for GivesCodes {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse> {
        let body =
            format!(r#"{{"device_code":"{SECRET}","user_code":"AB-CD","verification_uri":"https://a.example/d"}}"#);
        Ok(HttpResponse::new(200, Vec::new(), body))
    }
}

fn shown(value: &impl fmt::Debug) -> String {
    format!("{value:?} {value:#?}")
}

/// Each type by its crate and name, and how its `Debug` shows one that holds the secret.
async fn listed() -> BTreeMap<&'static str, String> {
    let secret = || Secret::new(SECRET);
    let key = EncryptionKey::from_bytes(&[b'k'; 32]).unwrap();
    let tokens = OAuthTokens::new("app").access(secret(), None).refresh(secret()).client_secret(secret());
    let oauth = OAuth2::new("https://a.example/agree", "https://a.example/token", DesktopSignIn::PkcePublic)
        .device_url("https://a.example/device");
    let environment = &SystemEnvironment;
    let signing_in = SignIn::begin(&oauth, tokens.clone(), "http://127.0.0.1:1/", &[], environment).unwrap();
    let device = DeviceSignIn::begin(&oauth, tokens.clone(), &[], &GivesCodes, environment).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new().unwrap());
    let keys = Arc::new(GivenKeys::default());
    let vault = Vault::open(Arc::clone(&store), Arc::clone(&keys) as _).await.unwrap();
    let master = keys.secrets().remove(0);
    let engine = Engine::builder(store)
        .provider(Provider::new("acme", "https://a.example").auth(AuthKind::OAuth2(oauth)))
        .transport(Arc::new(GivesCodes))
        .credential_store(Arc::new(vault.clone()))
        .build()
        .unwrap();
    engine.connect(ConnectionSettings::new("anna", "acme")).await.unwrap();
    engine.use_credentials("anna", Credentials::oauth2(tokens.clone()));
    let anna = ConnectionSettings::new("anna", "acme");
    let in_browser = engine.begin_browser_sign_in(&anna, "http://127.0.0.1:1/").await.unwrap();
    let by_code = engine.begin_code_sign_in(&anna).await.unwrap();
    let outbox = Outbox::new(&engine);
    outbox.set_secrets("crm", vec![Secret::new(format!("whsec_{}", "4711".repeat(8)))]).unwrap();
    let (mut forwarded, forwarder) = ForwardedRedirect::new("com.example:/in");
    forwarder.forward(format!("com.example:/in?code={SECRET}&state=s"));
    let waiting = shown(&forwarded);
    let redirect = forwarded.receive("s").await.unwrap();
    assert_eq!(redirect.code.expose(), SECRET);
    assert!(!shown(&(&vault, &keys)).contains(master.expose()));
    let ring = || KeyRing::new(1, key.clone());
    BTreeMap::from([
        ("template::RsaKey", shown(&RsaKey::from_pem(&Secret::new(NOBODYS_KEY)).unwrap())),
        ("template::Secret", shown(&secret())),
        ("template::Redactor", shown(&Redactor::new([&secret()]))),
        (
            "template::HttpResponse",
            shown(&HttpResponse::new(200, Vec::new(), SECRET).redactor(Redactor::new([&secret()]))),
        ),
        ("template::Placement", shown(&Placement::Header { name: "X-Key".into(), value: secret() })),
        ("codec::EncryptionKey", shown(&key)),
        ("codec::KeyRing", shown(&ring())),
        ("codec::CodecBuilder", shown(&Codec::builder().encrypt(ring()))),
        ("codec::Codec", shown(&Codec::builder().encrypt(ring()).build())),
        ("engine::OAuthTokens", shown(&tokens)),
        (
            "engine::Credentials",
            shown(&[
                Credentials::oauth2(tokens.clone()).secret("setting", secret()),
                Credentials::token(secret()),
                Credentials::basic("anna", secret()),
            ]),
        ),
        (
            "engine::SignInMethod",
            shown(&[
                Credentials::oauth2(tokens.clone()).method().clone(),
                Credentials::token(secret()).method().clone(),
                Credentials::basic("anna", secret()).method().clone(),
            ]),
        ),
        ("engine::SignIn", shown(&signing_in)),
        ("engine::DeviceSignIn", shown(&device)),
        ("engine::BrowserSignIn", shown(&in_browser)),
        ("engine::CodeSignIn", shown(&by_code)),
        ("engine::Outbox", shown(&outbox)),
        ("sign-in::Redirect", shown(&redirect)),
        ("sign-in::ForwardedRedirect", waiting),
        ("sign-in::Forwarder", shown(&forwarder)),
        ("vault::GivenKeys", shown(&GivenKeys::new([secret()]))),
        ("vault::Vault", shown(&vault)),
    ])
}

/// Crates whose types hosts and authors of templates use.
const CRATES: [&str; 8] = ["core", "template", "codec", "engine", "vault", "sign-in", "provider-file", "declarative"];

/// Whoever holds one of these holds secrets. An engine and its parts are left out: everything holds those, and the property tests of
/// secrets print them. So is what holds a response, which is listed itself, and
/// a report that only has a member called `Codec`.
const HOLDERS: [&str; 4] = ["Secret", "Zeroizing", "EncryptionKey", "RsaKeyPair"];
const LEFT_OUT: [&str; 5] = ["Engine", "Parts", "FetchedPage", "Pages", "MaintenanceReport"];

struct Found {
    of: &'static str,
    name: String,
    public: bool,
    body: String,
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            into.push(path);
        }
    }
}

/// The types that a crate defines outside its tests.
fn types(of: &'static str) -> Vec<Found> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("src"), &mut files);
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        let mut lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        while let Some(line) = lines.next() {
            let public = line.starts_with("pub ");
            let bare =
                line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ").trim_start_matches("pub ");
            let Some(rest) = bare.strip_prefix("struct ").or_else(|| bare.strip_prefix("enum ")) else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let mut body = rest.get(name.len()..).unwrap_or_default().to_owned();
            while !body.ends_with(';') && !body.ends_with('}') {
                let Some(line) = lines.next() else { break };
                body.push('\n');
                body.push_str(if line == "}" || !line.ends_with('}') { line } else { line.trim_end_matches('}') });
            }
            found.push(Found { of, name, public, body });
        }
    }
    found
}

/// Whether a body names one of these types.
fn names(body: &str, wanted: &BTreeSet<&str>) -> bool {
    body.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| wanted.contains(word))
}

#[test]
fn every_type_that_holds_a_secret_is_listed_and_shows_nothing() {
    let found: Vec<Found> = CRATES.into_iter().flat_map(types).collect();
    let mut holds: BTreeSet<usize> = BTreeSet::new();
    loop {
        let before = holds.len();
        for (at, one) in found.iter().enumerate() {
            let known = holds.iter().map(|at| &found[*at]).filter(|other| other.public || other.of == one.of);
            let wanted = known.map(|other| other.name.as_str()).chain(HOLDERS).collect();
            if !LEFT_OUT.contains(&&*one.name) && names(&one.body, &wanted) {
                holds.insert(at);
            }
        }
        if holds.len() == before {
            break;
        }
    }
    let public: BTreeSet<String> = holds
        .into_iter()
        .map(|at| &found[at])
        .filter(|one| one.public)
        .map(|one| format!("{}::{}", one.of, one.name))
        .collect();
    let listed = block_on(listed());
    let expected: BTreeSet<String> = listed.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(public, expected, "types that hold a secret, and the list of this test");
    let key = format!("{:?}", [b'k'; 32]);
    for (name, shown) in listed {
        assert!(
            !shown.contains("4711") && !shown.contains(&key) && !shown.contains("kkkk"),
            "{name} shows it: {shown}"
        );
    }
}

/// A text is not wiped: secrets lie in `Secret`, or in what is made of it.
#[test]
fn no_member_that_is_called_a_secret_is_a_plain_text() {
    const CALLED: [&str; 9] = [
        "access_token",
        "refresh_token",
        "client_secret",
        "webhook_secret",
        "device_code",
        "private_key",
        "password",
        "verifier",
        "assertion",
    ];
    let mut plain = Vec::new();
    for one in CRATES.into_iter().flat_map(types) {
        for line in one.body.lines() {
            let member = line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let Some((name, kind)) = member.split_once(": ") else { continue };
            let text = ["String,", "Option<String>,", "Vec<u8>,", "Option<Vec<u8>>,"].contains(&kind.trim());
            if CALLED.contains(&name) && text {
                plain.push(format!("{}::{}.{name}", one.of, one.name));
            }
        }
    }
    assert_eq!(plain, Vec::<String>::new());
}
