//! An application with one connection at the provider.

#[path = "provider.rs"]
mod provider;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use highwater::engine::{ConnectionSettings, Engine, RunOptions};
use highwater::template::async_trait::async_trait;
use highwater::template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater::template::{HttpRequest, Provider as ProviderInfo, SyncContext, Template, TemplateInfo};
use highwater::vault::{KeyFile, Vault};
use highwater::{Result, SqliteStore, Store};

pub(crate) use provider::{Provider, browser, child, rounds};

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

impl Provider {
    pub(crate) fn oauth(&self) -> OAuth2 {
        let url = |path: &str| format!("{}{path}", self.issuer);
        OAuth2::new(url("/auth"), url("/token"), DesktopSignIn::PkcePublic)
            .device_url(url("/device/auth"))
            .revocation_url(url("/token/revocation"))
            .authorize_parameter("prompt", "consent")
    }
}

/// Saves one record, or four slowly.
#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let model = self.0.models[0].name.clone();
        let (count, wait) = if model == "Slow" { (4, 1_200) } else { (1, 0) };
        for id in 0..count {
            let page = context.send(HttpRequest::get(format!("/items?id={id}&wait={wait}"))).await?;
            context.save(&model, page.elements()?).await?;
        }
        Ok(())
    }
}

/// A program of the user's: a store, a vault in it, an engine on both, one connection.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Vault,
    pub(crate) engine: Engine,
}

impl App {
    pub(crate) async fn open(provider: &Provider, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.join("app.db")).unwrap());
        let vault = Vault::open(Arc::clone(&store), Arc::new(KeyFile::new(folder.join("keys/app.key")))).await.unwrap();
        let info =
            ProviderInfo::new("acme", format!("{}/api", provider.issuer)).auth(AuthKind::OAuth2(provider.oauth()));
        let template = |name: &str, model: &str| Arc::new(Items(info.template(name).model(model, "an item"))) as _;
        let engine = Engine::builder(Arc::clone(&store))
            .templates([template("items", "Item"), template("slow", "Slow")])
            .credential_store(Arc::new(vault.clone()))
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
        App { store, vault, engine }
    }

    pub(crate) async fn run(&self) -> Result<()> {
        loop {
            match self.engine.sync("c", "acme/items")?.run_once(RunOptions::default()).await {
                // The other process is at it.
                Err(error) if error.kind() == highwater::ErrorKind::Busy => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                outcome => return outcome.map(drop),
            }
        }
    }
}
