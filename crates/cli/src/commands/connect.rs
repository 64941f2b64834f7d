//! `highwater connect`: signs a user in, and stores what comes of it.

pub(super) mod endpoints;
mod keys;
pub(super) mod sign_in;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use highwater::engine::connections::{Account, AccountChange};
use highwater::engine::{CancelToken, Credentials};
use highwater::template::Provider;
use highwater::{ConnectionSettings, Engine, Error, ErrorKind, IntegrationHandle, MemoryStore, Result, Store};
use serde_json::json;

use super::account::connection_id;
use crate::args::StoreOptions;
use crate::args::values::key_value;
use crate::output::Output;
use crate::{stores, vaults};
use sign_in::{Application, SignInOptions};

#[derive(Debug, Args)]
pub(crate) struct ConnectOptions {
    /// The provider, such as `github`; not needed with `--integration`.
    #[arg(required_unless_present = "integration")]
    provider: Option<String>,
    /// The connection's id. Defaults to one made from provider and settings.
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// The integration that the connection belongs to: application, scopes and settings are its own.
    #[arg(long, value_name = "KEY", conflicts_with = "provider")]
    integration: Option<String>,
    /// Settings: `owner=rust-lang,repo=cargo`.
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',', value_parser = key_value)]
    config: Vec<(String, String)>,
    /// The API's base URL, if it is not the usual one.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    sign_in: SignInOptions,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &ConnectOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    vaults::check_key(&options.store).await?;
    let config: BTreeMap<String, String> = options.config.iter().cloned().collect();
    let (mut settings, application) = match &options.integration {
        None => (ConnectionSettings::new("", options.provider.as_deref().unwrap_or_default()), Application::default()),
        Some(key) => of_integration(key, options).await?,
    };
    if let Some(url) = &options.base_url {
        settings = settings.base_url(url);
    }
    settings.config.extend(config);
    settings.id = options.connection.clone().unwrap_or_else(|| connection_id(&settings.provider, &options.config));
    let signed_in = sign_in_to(&settings, &options.store, application, &options.sign_in, output, cancel).await?;
    store(&settings, &signed_in, options.sign_in.account_change(), &options.store).await?;
    tell(&settings, &signed_in, output);
    endpoints::offer(&settings, &options.store, output).await
}

/// A connection of an integration as it will be, and the application of its users.
async fn of_integration(key: &str, options: &ConnectOptions) -> Result<(ConnectionSettings, Application)> {
    let store = stores::open_existing(&options.store)?;
    let integration = vaults::engine(&store, &options.store).await?.integration(key)?;
    let application = application(&integration).await?;
    let found = integration.settings().await?;
    store.close().await?;
    let mut settings = ConnectionSettings::of_integration("", key);
    settings.provider.clone_from(&found.provider);
    settings.base_url.clone_from(&found.base_url);
    settings.base_url_reach = found.base_url_reach;
    settings.config.clone_from(&found.config);
    Ok((settings, application))
}

/// The application of the users of a connection's integration.
pub(super) async fn application_of(engine: &Engine, settings: &ConnectionSettings) -> Result<Application> {
    let Some(key) = &settings.integration else { return Ok(Application::default()) };
    application(&engine.integration(key)?).await
}

async fn application(integration: &IntegrationHandle) -> Result<Application> {
    let found = integration.settings().await?;
    let client_secret = integration.client_secret().await?;
    Ok(Application { client_id: found.client_id, client_secret, scopes: found.scopes })
}

/// Who signed in, and with what.
pub(super) struct SignedIn {
    credentials: Credentials,
    account: Account,
}

/// Signs in and asks the API whose account it is. Nothing is stored yet: where any of it fails, nothing is left behind.
pub(super) async fn sign_in_to(
    settings: &ConnectionSettings,
    options: &StoreOptions,
    application: Application,
    way: &SignInOptions,
    output: &Output,
    cancel: &CancelToken,
) -> Result<SignedIn> {
    let scratch: Arc<dyn Store> = Arc::new(MemoryStore::new()?);
    let engine = options.catalogue.builder(&scratch)?.build()?;
    let provider = find(&engine, &settings.provider)?.filled_in(&settings.config)?;
    let mut alone = settings.clone();
    alone.integration = None;
    engine.connect(alone.clone()).await?;
    let transport = engine.transport_of(&alone)?;
    let credentials = way.sign_in(&provider, application, &*transport, output, cancel).await?;
    if let Some(url) = engine.find_base_url(&alone, &credentials).await? {
        engine.connect(alone.public_base_url(url)).await?;
    }
    engine.use_credentials(&settings.id, credentials.clone());
    let account = match engine.verify_connection(&settings.id).await {
        Ok(account) => account,
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            output.note(
                "The provider describes no request that checks a sign-in: the first sync shows whether it works.",
            );
            Account::default()
        }
        Err(error) => return Err(error),
    };
    Ok(SignedIn { credentials, account })
}

pub(super) fn find<'e>(engine: &'e Engine, name: &str) -> Result<&'e Provider> {
    engine.providers().find(|provider| provider.name == name).ok_or_else(|| {
        let mut known: Vec<&str> = engine.providers().map(|provider| provider.name.as_str()).collect();
        known.sort_unstable();
        Error::new(ErrorKind::NotFound, "no such provider; `highwater providers` lists them")
            .with("provider", name)
            .with("known", known.join(", "))
    })
}

/// Stores connection and credentials, or neither.
pub(super) async fn store(
    settings: &ConnectionSettings,
    signed_in: &SignedIn,
    change: AccountChange,
    options: &StoreOptions,
) -> Result<()> {
    let store = stores::open(options)?;
    // The engine keeps credentials in the vault that is there.
    vaults::open(&store, options).await?;
    let engine = vaults::engine(&store, options).await?;
    let is_new = match engine.connection(&settings.id).await {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(error),
    };
    let named = |error: Error| match error.kind() {
        ErrorKind::Conflict => error.with("option", "--allow-other-account"),
        _ => error,
    };
    if !is_new && change == AccountChange::Refuse {
        engine.check_account(&settings.id, &signed_in.account).await.map_err(named)?;
    }
    if is_new {
        engine.connect_and_sign_in(settings.clone(), signed_in.credentials.clone()).await.map_err(named)?;
    } else {
        engine.connect(settings.clone()).await?;
        engine.sign_in_with(&settings.id, signed_in.credentials.clone(), change).await.map_err(named)?;
    }
    store.close().await
}

/// Tells who signed in.
pub(super) fn tell(settings: &ConnectionSettings, signed_in: &SignedIn, output: &Output) {
    let name = &signed_in.account.name;
    output.done("connected", &json!({ "connection": settings.id, "provider": settings.provider, "account": name }));
    output.line(match name {
        Some(name) => format!("{}: signed in as {name}", settings.id),
        None => format!("{}: signed in", settings.id),
    });
}
