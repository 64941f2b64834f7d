//! An engine with what the features add to it.

use std::sync::Arc;
use std::time::Duration;

use highwater::{ConnectionSettings, Engine, Result, Store, SyncOptions};

/// Connects, enables a sync, runs in the background, stops.
pub(crate) async fn run(store: Arc<dyn Store>) -> Result<()> {
    let builder = Engine::builder(Arc::clone(&store));
    #[cfg(feature = "default-facade")]
    let builder = builder.templates(highwater::templates::all()).actions(highwater::templates::actions());
    #[cfg(feature = "provider-files")]
    let builder = builder.provider(highwater::provider_file::read("provider.yaml")?);
    #[cfg(feature = "declarative")]
    let builder = builder.templates(manifest()?);
    #[cfg(feature = "vault")]
    let builder = builder.credential_store(Arc::new(vault(Arc::clone(&store)).await?));
    let engine = builder.build()?;
    engine.connect(ConnectionSettings::new("main", "github").config("owner", "rust-lang")).await?;
    #[cfg(feature = "sign-in")]
    sign_in(&engine).await?;
    #[cfg(not(feature = "sign-in"))]
    engine.use_token("main", highwater::Secret::new("token"));
    let sync = engine.sync("main", "github/issues")?;
    sync.enable(SyncOptions::default().schedule(highwater::engine::Schedule::cron("30 3 * * *")?)).await?;
    let background = engine.start(&tokio::runtime::Handle::current());
    #[cfg(feature = "server")]
    serve(engine.clone()).await?;
    sync.state().await?;
    background.shutdown(Duration::from_secs(10)).await?;
    store.close().await
}

#[cfg(feature = "vault")]
async fn vault(store: Arc<dyn Store>) -> Result<highwater::vault::Vault> {
    #[cfg(feature = "keychain")]
    let key = highwater::vault::Keychain::new("host", "main");
    #[cfg(not(feature = "keychain"))]
    let key = highwater::vault::KeyFile::new("host.key");
    highwater::vault::Vault::open(store, Arc::new(key)).await
}

#[cfg(feature = "sign-in")]
async fn sign_in(engine: &Engine) -> Result<()> {
    use highwater::engine::credentials::OAuthTokens;
    use highwater::sign_in::{LoopbackRedirect, open_browser, sign_in};
    use highwater::template::auth::{DesktopSignIn, OAuth2};
    let oauth = OAuth2::new("https://example.com/authorize", "https://example.com/token", DesktopSignIn::PkcePublic);
    let mut redirect = LoopbackRedirect::builder("Host").bind().await?;
    let transport = highwater::engine::transport::UreqTransport::new();
    let client = OAuthTokens::new("client");
    let tokens = sign_in(
        &oauth,
        client,
        &["repo"],
        &mut redirect,
        open_browser,
        &transport,
        &highwater::store::SystemEnvironment,
    );
    engine.sign_in("main", highwater::engine::Credentials::oauth2(tokens.await?)).await
}

#[cfg(feature = "server")]
async fn serve(engine: Engine) -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|source| {
        highwater::Error::new(highwater::ErrorKind::Unavailable, "the port is not free").because(source)
    })?;
    highwater::server::Server::builder(engine).build()?.serve(listener, std::future::ready(())).await
}

#[cfg(feature = "declarative")]
fn manifest() -> Result<Vec<Arc<dyn highwater::template::Template>>> {
    use highwater::declarative::{Files, Manifest, templates};
    let files = Files::of_folder("manifest".as_ref())?;
    templates("example", &Manifest::parse("", &files)?)
}
