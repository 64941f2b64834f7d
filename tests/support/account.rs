//! An API with a sign-in, a keychain in files, and an engine on both: what a process of an account's tests opens.
#![allow(dead_code)] // each test program uses its part

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use highwater::engine::credentials::OAuthTokens;
use highwater::engine::{CredentialStore, Credentials};
use highwater::template::async_trait::async_trait;
use highwater::template::auth::{AuthKind, CredentialUse, DesktopSignIn, OAuth2};
use highwater::template::http::Transport;
use highwater::template::{HttpRequest, HttpResponse, Provider, SyncContext, Template, TemplateInfo};
use highwater::{Engine, Error, ErrorKind, Result, Secret, SqliteStore, Store};
use serde_json::Value;

/// The templates of the provider, and the model of each.
pub(crate) const ENDPOINTS: [(&str, &str); 2] = [("acme/items", "Item"), ("acme/notes", "Note")];

/// Room for a kill.
fn linger() {
    std::thread::sleep(Duration::from_millis(1));
}

fn io(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "the keychain cannot be used").because(source)
}

/// A keychain in files, one for each name, that outlives the processes.
#[derive(Clone, Debug)]
pub(crate) struct Keychain(PathBuf);

impl Keychain {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let keychain = folder.join("keychain");
        std::fs::create_dir_all(&keychain).unwrap();
        Keychain(keychain)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name.replace('/', "+"))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        files.filter(|name| !name.ends_with(".new")).map(|name| name.replace('+', "/")).collect()
    }
}

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, name: &str) -> Result<Option<Credentials>> {
        match std::fs::read_to_string(self.file(name)) {
            Ok(text) => Credentials::from_secret(&Secret::new(text)).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(error)),
        }
    }

    async fn save(&self, name: &str, credentials: &Credentials) -> Result<()> {
        let new = self.0.join(format!("{}.new", name.replace('/', "+")));
        linger();
        std::fs::write(&new, credentials.to_secret()?.expose()).map_err(io)?;
        std::fs::rename(new, self.file(name)).map_err(io)?;
        linger();
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        linger();
        match std::fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
            _ => Ok(()),
        }
    }
}

/// The provider. It notes in a file which tokens it was asked to revoke, one a line.
#[derive(Clone, Debug)]
pub(crate) struct Api(PathBuf);

impl Api {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Api(folder.join("revoked"))
    }

    pub(crate) fn revoked(&self) -> Vec<String> {
        std::fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[async_trait]
impl Transport for Api {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        assert!(request.url.ends_with("/revoke"), "nothing else is sent: {}", request.url);
        let body = String::from_utf8(request.body.unwrap_or_default().to_vec()).unwrap();
        let token = body.split('&').find_map(|field| field.strip_prefix("token=")).unwrap();
        linger();
        let mut file = std::fs::File::options().create(true).append(true).open(&self.0).map_err(io)?;
        file.write_all(format!("{token}\n").as_bytes()).map_err(io)?;
        linger();
        Ok(HttpResponse::new(200, Vec::new(), "{}"))
    }
}

#[derive(Debug)]
struct Nothing(TemplateInfo);

#[async_trait]
impl Template for Nothing {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, _: &mut SyncContext<'_>) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn open(folder: &Path) -> (Arc<dyn Store>, Engine) {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.join("app.db")).unwrap());
    let oauth = OAuth2::new("https://acme.example/authorize", "https://acme.example/token", DesktopSignIn::PkcePublic)
        .revocation_url("https://acme.example/revoke");
    let provider = Provider::new("acme", "https://api.acme.example").auth(AuthKind::OAuth2(oauth));
    let mut builder = Engine::builder(Arc::clone(&store))
        .credential_store(Arc::new(Keychain::in_folder(folder)))
        .transport(Arc::new(Api::in_folder(folder)));
    for (endpoint, model) in ENDPOINTS {
        let info = provider.template(endpoint.trim_start_matches("acme/")).credentials(CredentialUse::Required);
        builder = builder.template(Arc::new(Nothing(info.model(model, "a thing"))));
    }
    (store, builder.build().unwrap())
}

/// The credentials whose token has this number, and back.
pub(crate) fn numbered(number: u64) -> Credentials {
    Credentials::oauth2(OAuthTokens::new("app").access(Secret::new(token(number)), None))
}

pub(crate) fn number_of(credentials: &Credentials) -> u64 {
    let text = credentials.to_secret().unwrap();
    let written: Value = serde_json::from_str(text.expose()).unwrap();
    let number = written.to_string().split_once("t0ken-").unwrap().1.split('"').next().unwrap().parse();
    number.unwrap()
}

pub(crate) fn token(number: u64) -> String {
    format!("t0ken-{number}")
}
