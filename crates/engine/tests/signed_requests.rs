//! Tokens for which a private key signs. A server of the test's own verifies each signature with OpenSSL, as a provider would.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a server and a clock of the test's own

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use highwater_core::{Environment, ErrorKind, MemoryStore, SystemEnvironment};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, Credentials, Engine, Secret};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::{HttpRequest, Provider};
use serde_json::{Value, json};

/// A pair of keys that OpenSSL made.
struct Keys {
    folder: tempfile::TempDir,
    private: String,
}

fn openssl(folder: &Path, arguments: &[&str]) -> bool {
    Command::new("openssl").args(arguments).current_dir(folder).output().unwrap().status.success()
}

impl Keys {
    /// `None`, and said so, where there is no OpenSSL.
    fn make(bits: &str) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("skipped: there is no openssl on this machine");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let bits = format!("rsa_keygen_bits:{bits}");
        assert!(openssl(here, &["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits, "-out", "private.pem"]));
        assert!(openssl(here, &["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]));
        let private = std::fs::read_to_string(here.join("private.pem")).unwrap();
        Some(Keys { folder, private })
    }

    /// The key in the older form, which GitHub gives.
    fn traditional(&self) -> String {
        assert!(openssl(self.folder.path(), &["rsa", "-in", "private.pem", "-traditional", "-out", "old.pem"]));
        let text = std::fs::read_to_string(self.folder.path().join("old.pem")).unwrap();
        assert!(text.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
        text
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// What Google gives for download.
    fn file(&self, token_uri: &str) -> Secret {
        let file = json!({
            "type": "service_account", "client_email": "robot@project.example", "private_key": self.private,
            "private_key_id": "key-1", "token_uri": token_uri, "project_id": "project",
        });
        Secret::new(file.to_string())
    }
}

/// The claims of a token, if OpenSSL finds its signature right.
fn verified(folder: &Path, token: &str) -> Option<(Value, Value)> {
    let (text, signature) = token.rsplit_once('.')?;
    std::fs::write(folder.join("text"), text).unwrap();
    std::fs::write(folder.join("signature"), URL_SAFE_NO_PAD.decode(signature).ok()?).unwrap();
    if !openssl(folder, &["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "text"]) {
        return None;
    }
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let (header, claims) = text.split_once('.')?;
    Some((part(header), part(claims)))
}

#[derive(Clone)]
struct Api {
    folder: PathBuf,
    seen: Arc<Mutex<Vec<(Value, Value)>>>,
}

async fn answer(State(api): State<Api>, request: Request) -> (StatusCode, String) {
    let path = request.uri().path().to_owned();
    let header = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let bearer = header.unwrap_or_default().trim_start_matches("Bearer ").to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let form = |wanted: &str| {
        let mut fields = url::form_urlencoded::parse(&body);
        fields.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    match path.as_str() {
        "/token" => {
            assert_eq!(form("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
            assert!(form("client_id").is_empty());
            match verified(&api.folder, &form("assertion")) {
                Some(seen) => {
                    api.seen.lock().unwrap().push(seen);
                    (StatusCode::OK, r#"{"access_token":"of-robot","expires_in":3599,"token_type":"Bearer"}"#.to_owned())
                }
                // It echoes what it got, as some do.
                None => (
                    StatusCode::BAD_REQUEST,
                    json!({"error": "invalid_grant", "error_description": format!("Invalid JWT Signature {}", form("assertion"))}).to_string(),
                ),
            }
        }
        "/app/installations/42/access_tokens" => match verified(&api.folder, &bearer) {
            Some(seen) => {
                api.seen.lock().unwrap().push(seen);
                let end = SystemEnvironment.now().unix_ms() / 1000 + 3600;
                (StatusCode::CREATED, json!({"token": "ghs_1", "expires_at": end.to_string()}).to_string())
            }
            None => (StatusCode::UNAUTHORIZED, json!({"message": format!("could not decode {bearer}")}).to_string()),
        },
        "/items" if bearer == "of-robot" || bearer == "ghs_1" => (StatusCode::OK, "[]".to_owned()),
        "/html" => (StatusCode::OK, "<html>Sign in to continue</html>".to_owned()),
        _ => (StatusCode::NOT_FOUND, "{}".to_owned()),
    }
}

struct Scene {
    origin: String,
    engine: Engine,
    seen: Arc<Mutex<Vec<(Value, Value)>>>,
}

/// A provider on this machine that knows the public key in a folder.
async fn scene(folder: PathBuf) -> Scene {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let router = Router::new().fallback(answer).with_state(Api { folder, seen: Arc::clone(&seen) });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let oauth = OAuth2::new(format!("{origin}/authorize"), format!("{origin}/token"), DesktopSignIn::PkceWithSecret);
    let provider = Provider::new("acme", &*origin)
        .auth(AuthKind::OAuth2(oauth.scope("read")))
        .auth(AuthKind::service_account("a key file"))
        .auth(AuthKind::github_app("a private key"));
    let engine = Engine::builder(Arc::new(MemoryStore::new().unwrap())).provider(provider).build().unwrap();
    engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
    Scene { origin, engine, seen }
}

impl Scene {
    async fn status(&self, tokens: OAuthTokens) -> highwater_core::Result<u16> {
        self.engine.use_credentials("c", Credentials::oauth2(tokens));
        self.engine.proxy("c", HttpRequest::get("/items")).await.map(|answer| answer.status)
    }
}

#[tokio::test]
async fn a_service_account_signs_for_its_tokens() {
    let Some(keys) = Keys::make("2048") else { return };
    let scene = scene(keys.folder()).await;
    let url = format!("{}/token", scene.origin);
    let tokens = OAuthTokens::service_account(&keys.file(&url)).unwrap().scope("write").subject("boss@acme.example");
    assert_eq!(scene.status(tokens).await.unwrap(), 200);
    assert_eq!(scene.engine.proxy("c", HttpRequest::get("/items")).await.unwrap().status, 200);
    let seen = scene.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "one token serves until it ends");
    let (header, claims) = &seen[0];
    assert_eq!(*header, json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("robot@project.example"), &json!(url)));
    assert_eq!((&claims["scope"], &claims["sub"]), (&json!("read write"), &json!("boss@acme.example")));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
}

#[tokio::test]
async fn an_app_signs_for_the_tokens_of_an_installation() {
    let Some(keys) = Keys::make("2048") else { return };
    let scene = scene(keys.folder()).await;
    for key in [keys.private.clone(), keys.traditional()] {
        let tokens = OAuthTokens::github_app("Iv23.app", "42", Secret::new(key)).unwrap();
        assert_eq!(scene.status(tokens).await.unwrap(), 200);
    }
    let (header, claims) = scene.seen.lock().unwrap()[1].clone();
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
    assert_eq!(claims["iss"], "Iv23.app");
    let lasting = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!(lasting <= 600, "GitHub accepts ten minutes at most: {lasting}");
}

#[tokio::test]
async fn refusals_say_what_to_check_and_show_nothing() {
    let (Some(keys), Some(others)) = (Keys::make("2048"), Keys::make("2048")) else { return };
    let scene = scene(others.folder()).await;
    let url = format!("{}/token", scene.origin);
    let app = |installation| OAuthTokens::github_app("app", installation, Secret::new(&*keys.private)).unwrap();
    for (tokens, text) in [
        (OAuthTokens::service_account(&keys.file(&url)).unwrap(), "refused the key's signature"),
        (app("42"), "does not accept the App's signature"),
        (app("43"), "no such installation"),
    ] {
        let error = scene.status(tokens).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        let told = format!("{error} {error:?}");
        assert!(told.contains(text) && !error.to_string().contains('\n'), "{told}");
        assert!(!told.contains("eyJ") && !told.contains("PRIVATE KEY"), "{told}");
    }
    let strange = OAuthTokens::service_account(&keys.file(&format!("{}/html", scene.origin))).unwrap();
    let error = scene.status(strange).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote, "{error}");
    assert!(error.to_string().contains("is not a token"), "{error}");
    let elsewhere = OAuthTokens::service_account(&keys.file("https://evil.example/token")).unwrap();
    let error = scene.status(elsewhere).await.unwrap_err();
    assert!(error.to_string().contains("another origin"), "{error}");
}

#[test]
fn keys_and_files_that_cannot_be_used() {
    let Some(keys) = Keys::make("2048") else { return };
    let text = |error: highwater_core::Error| {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let told = format!("{error} {error:?}");
        assert!(!told.contains("s3cret") && !told.contains("PRIVATE"), "{told}");
        error.to_string()
    };
    let file = |file: Value| text(OAuthTokens::service_account(&Secret::new(file.to_string())).unwrap_err());
    let sound = || serde_json::from_str::<Value>(keys.file("https://oauth2.googleapis.com/token").expose()).unwrap();
    assert!(text(OAuthTokens::service_account(&Secret::new("s3cret")).unwrap_err()).contains("not the key file"));
    let mut user = sound();
    user["type"] = json!("authorized_user");
    assert!(file(user).contains("make a key for a service account"));
    let mut plain = sound();
    plain["token_uri"] = json!("http://oauth2.example/token");
    assert!(file(plain).contains("https://"));
    let mut broken = sound();
    broken["private_key"] = json!("s3cret");
    assert!(file(broken).contains("not a PEM text"));
    let app = |key: &str| text(OAuthTokens::github_app("app", "1", Secret::new(key)).unwrap_err());
    assert!(app("s3cret").contains("not a PEM text"));
    if let Some(small) = Keys::make("1024") {
        assert!(app(&small.private).contains("2048 bits"));
    }
    assert!(
        text(OAuthTokens::github_app("app", "42/x", Secret::new(&*keys.private)).unwrap_err()).contains("is a number")
    );

    let tokens =
        OAuthTokens::service_account(&keys.file("https://oauth2.googleapis.com/token")).unwrap().subject("a@b.example");
    for tokens in [tokens, OAuthTokens::github_app("app", "42", Secret::new(&*keys.private)).unwrap()] {
        let credentials = Credentials::oauth2(tokens.clone());
        assert_eq!(Credentials::from_secret(&credentials.to_secret().unwrap()).unwrap(), credentials);
        assert!(!format!("{credentials:?} {tokens:?}").contains("PRIVATE"));
    }
}
