//! Creating an integration, and changing one.

use std::sync::Arc;

use clap::Args;
use highwater::engine::integrations::DeleteMode;
use highwater::{Engine, ErrorKind, IntegrationHandle, IntegrationSettings, MemoryStore, Result, Secret, Store};

use super::{IntegrationName, next_of, tell};
use crate::args::StoreOptions;
use crate::args::values::key_value;
use crate::commands::account::{read_stdin, read_token};
use crate::commands::connect::find;
use crate::output::Output;
use crate::{stores, vaults};

#[derive(Debug, Args)]
pub(super) struct CreateOptions {
    /// The key that you choose, such as `github-work`.
    integration: String,
    /// The provider, such as `github`.
    provider: String,
    #[command(flatten)]
    definition: Definition,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Args)]
pub(super) struct UpdateOptions {
    #[command(flatten)]
    name: IntegrationName,
    #[command(flatten)]
    definition: Definition,
}

/// What an integration says of its application and its connections.
#[derive(Debug, Args)]
struct Definition {
    /// What people call it.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The id of the application that users sign in to, as the provider gave it.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The environment variable with the application's secret. It is stored encrypted.
    #[arg(long, value_name = "NAME", conflicts_with = "client_secret_stdin")]
    client_secret_env: Option<String>,
    /// Read the application's secret from standard input. It is stored encrypted.
    #[arg(long)]
    client_secret_stdin: bool,
    /// The environment variable with the secret that signs the provider's webhooks. It is stored encrypted.
    #[arg(long, value_name = "NAME")]
    webhook_secret_env: Option<String>,
    /// A scope to ask users for. May be given several times.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// The API's base URL, if it is not the usual one.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Settings for its connections: `owner=rust-lang`.
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',', value_parser = key_value)]
    config: Vec<(String, String)>,
}

impl Definition {
    /// Applies what was given. An empty text removes what was there.
    fn apply(&self, mut settings: IntegrationSettings) -> IntegrationSettings {
        let given = |old: &mut Option<String>, new: &Option<String>| {
            if let Some(text) = new {
                *old = Some(text.clone()).filter(|text| !text.is_empty());
            }
        };
        given(&mut settings.display_name, &self.display_name);
        given(&mut settings.client_id, &self.client_id);
        settings = match self.base_url.as_deref() {
            None => settings,
            Some("") => settings.public_base_url(None),
            Some(url) => settings.base_url(url),
        };
        if !self.scope.is_empty() {
            settings.scopes = self.scope.iter().filter(|scope| !scope.is_empty()).cloned().collect();
        }
        for (name, value) in &self.config {
            match value.as_str() {
                "" => settings.config.remove(name),
                _ => settings.config.insert(name.clone(), value.clone()),
            };
        }
        settings
    }

    fn tell_secrets(&self, output: &Output) {
        for (given, what) in [
            (self.client_secret_stdin || self.client_secret_env.is_some(), "client secret"),
            (self.webhook_secret_env.is_some(), "webhook secret"),
        ] {
            if given {
                output.line(format!("  the {what} is stored, encrypted"));
            }
        }
    }

    fn secrets(&self) -> Result<Secrets> {
        let read = |name: &Option<String>| name.as_deref().map(read_token).transpose();
        let client = match self.client_secret_stdin {
            true => Some(read_stdin("client secret")?),
            false => read(&self.client_secret_env)?,
        };
        Ok(Secrets { client, webhook: read(&self.webhook_secret_env)? })
    }
}

struct Secrets {
    client: Option<Secret>,
    webhook: Option<Secret>,
}

impl Secrets {
    fn are_given(&self) -> bool {
        self.client.is_some() || self.webhook.is_some()
    }

    /// Keeps the secrets in the store's vault, which is made if there is none.
    async fn keep(self, key: &str, store: &Arc<dyn Store>, options: &StoreOptions) -> Result<()> {
        if !self.are_given() {
            return Ok(());
        }
        vaults::open(store, options).await?;
        let integration = vaults::engine(store, options).await?.integration(key)?;
        if self.client.is_some() {
            integration.set_client_secret(self.client).await?;
        }
        if self.webhook.is_some() {
            integration.set_webhook_secret(self.webhook).await?;
        }
        Ok(())
    }
}

pub(super) async fn create(options: &CreateOptions, output: &Output) -> Result<()> {
    let secrets = options.definition.secrets()?;
    if secrets.are_given() {
        vaults::check_key(&options.store).await?;
    }
    let settings = options.definition.apply(IntegrationSettings::new(&options.integration, &options.provider));
    check(&settings, &options.store).await?;
    let store = stores::open(&options.store)?;
    let engine = vaults::engine(&store, &options.store).await?;
    let is_new = is_missing(&engine.integration(&options.integration)?).await?;
    let integration = engine.create_integration(settings).await?;
    if let Err(error) = secrets.keep(&options.integration, &store, &options.store).await {
        if is_new {
            // The reason why nothing was stored is the better one.
            let _ = integration.delete(DeleteMode::IfUnused).await;
        }
        return Err(error);
    }
    tell(&integration.settings().await?, output);
    options.definition.tell_secrets(output);
    output.line(next_of(&integration, &options.store).await?);
    store.close().await
}

/// Refuses settings that cannot be before there is a file for them.
async fn check(settings: &IntegrationSettings, options: &StoreOptions) -> Result<()> {
    let scratch: Arc<dyn Store> = Arc::new(MemoryStore::new()?);
    let engine: Engine = stores::engine(&scratch, options)?;
    find(&engine, &settings.provider)?;
    engine.create_integration(settings.clone()).await.map(drop)
}

async fn is_missing(integration: &IntegrationHandle) -> Result<bool> {
    match integration.settings().await {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

pub(super) async fn update(options: &UpdateOptions, output: &Output) -> Result<()> {
    let name = &options.name;
    let secrets = options.definition.secrets()?;
    if secrets.are_given() {
        vaults::check_key(&name.store).await?;
    }
    let store = stores::open_existing(&name.store)?;
    let integration = vaults::engine(&store, &name.store).await?.integration(&name.integration)?;
    let settings = integration.update(|settings| options.definition.apply(settings)).await?;
    secrets.keep(&name.integration, &store, &name.store).await?;
    tell(&settings, output);
    options.definition.tell_secrets(output);
    store.close().await
}
