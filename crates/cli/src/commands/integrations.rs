//! `highwater integrations`

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use highwater::engine::integrations::{DeleteMode, Endpoint};
use highwater::engine::{DisableMode, DisconnectMode, Schedule};
use highwater::{IntegrationSettings, Result, SyncOptions};
use serde_json::json;

use super::account;
use super::connections;
use super::enable::cron;
use crate::args::StoreOptions;
use crate::args::values::{duration, key_value};
use crate::output::{Output, counted};
use crate::{stores, vaults};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct IntegrationsOptions {
    #[command(subcommand)]
    action: Option<IntegrationsAction>,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
enum IntegrationsAction {
    /// List the integrations (the default without a subcommand).
    List(StoreOptions),
    /// Show one, with its endpoints and connections.
    Show(IntegrationName),
    /// Create one.
    Create(Box<CreateOptions>),
    /// Sync a template for every connection, now and later.
    Enable(EndpointOptions),
    /// Stop syncing a template for its connections.
    Disable {
        #[command(flatten)]
        name: EndpointName,
        /// Clear its records too.
        #[arg(long)]
        clear: bool,
    },
    /// Delete one.
    Delete {
        #[command(flatten)]
        name: IntegrationName,
        /// Remove its connections too; their records stay.
        #[arg(long)]
        disconnect: bool,
        /// Remove its connections and their records too.
        #[arg(long)]
        clear: bool,
    },
}

#[derive(Debug, Args)]
struct IntegrationName {
    /// The integration's key.
    integration: String,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Args)]
struct EndpointName {
    /// The integration's key.
    integration: String,
    /// The template, such as `issues`, and perhaps a variant: `issues::closed`.
    sync: String,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Args)]
struct EndpointOptions {
    #[command(flatten)]
    name: EndpointName,
    /// Run at this interval, such as `5m`; defaults to the template's own.
    #[arg(long, value_parser = duration, conflicts_with = "cron")]
    every: Option<Duration>,
    /// Run by this cron expression, in UTC.
    #[arg(long, value_parser = cron)]
    cron: Option<Schedule>,
}

#[derive(Debug, Args)]
struct CreateOptions {
    /// The key that you choose, such as `github-work`.
    integration: String,
    /// The provider, such as `github`.
    provider: String,
    /// What people call it.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The id of the application that users sign in to.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The environment variable with the application's secret. It is stored encrypted.
    #[arg(long, value_name = "NAME")]
    client_secret_env: Option<String>,
    /// The environment variable with the secret that signs the provider's webhooks. It is stored encrypted.
    #[arg(long, value_name = "NAME")]
    webhook_secret_env: Option<String>,
    /// A scope to ask users for. May be given several times.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Where the API is, if not at its usual place.
    #[arg(long)]
    base_url: Option<String>,
    /// Settings for its connections: `owner=rust-lang`.
    #[arg(long, value_delimiter = ',', value_parser = key_value)]
    config: Vec<(String, String)>,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &IntegrationsOptions, output: &Output) -> Result<()> {
    match &options.action {
        None => list(&options.store, output).await,
        Some(IntegrationsAction::List(store)) => list(store, output).await,
        Some(IntegrationsAction::Show(name)) => show(name, output).await,
        Some(IntegrationsAction::Create(options)) => create(options, output).await,
        Some(IntegrationsAction::Enable(options)) => enable(options, output).await,
        Some(IntegrationsAction::Disable { name, clear }) => disable(name, *clear, output).await,
        Some(IntegrationsAction::Delete { name, disconnect, clear }) => {
            let mode = match (disconnect, clear) {
                (_, true) => DeleteMode::disconnect(DisconnectMode::ClearRecords),
                (true, false) => DeleteMode::disconnect(DisconnectMode::KeepRecords),
                (false, false) => DeleteMode::IfUnused,
            };
            delete(name, mode, output).await
        }
    }
}

async fn list(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    let integrations = stores::engine(&store, options)?.integrations().await?;
    for settings in &integrations {
        tell(settings, output);
    }
    if integrations.is_empty() {
        output.note("No integrations: `highwater integrations create KEY PROVIDER` makes one.");
    }
    store.close().await
}

fn tell(settings: &IntegrationSettings, output: &Output) {
    output.object("integration", settings);
    let name = settings.display_name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    output.line(format!("{}{name}: {}", settings.key, settings.provider));
}

async fn show(name: &IntegrationName, output: &Output) -> Result<()> {
    let store = stores::open_reading(&name.store)?;
    let integration = stores::engine(&store, &name.store)?.integration(&name.integration)?;
    let settings = integration.settings().await?;
    tell(&settings, output);
    if let Some(id) = &settings.client_id {
        output.line(format!("  client    {id}"));
    }
    if !settings.scopes.is_empty() {
        output.line(format!("  scopes    {}", settings.scopes.join(" ")));
    }
    for (setting, value) in &settings.config {
        output.line(format!("  config    {setting}: {value}"));
    }
    for endpoint in integration.endpoints().await? {
        output.object("endpoint", &endpoint);
        output.line(format!("  endpoint  {:28} {}", endpoint.sync, standing(&endpoint)));
    }
    for connection in integration.connections().await? {
        output.object("connection", &connection);
        output.line(format!("  {}", connections::line(&connection)));
    }
    store.close().await
}

/// How an endpoint stands, for people.
fn standing(endpoint: &Endpoint) -> String {
    let mut text = if endpoint.is_enabled() { "enabled".to_owned() } else { "disabled".to_owned() };
    if endpoint.connections > 0 {
        text += &format!(" for {}", counted(endpoint.connections, "connection"));
    }
    if endpoint.waiting > 0 {
        let names: Vec<&str> = endpoint.missing_settings.keys().map(String::as_str).collect();
        text += &format!(", {} waiting for {}", endpoint.waiting, names.join(", "));
    }
    text
}

async fn create(options: &CreateOptions, output: &Output) -> Result<()> {
    let read = |name: &Option<String>| name.as_deref().map(account::read_token).transpose();
    let (client_secret, webhook_secret) = (read(&options.client_secret_env)?, read(&options.webhook_secret_env)?);
    let secrets = client_secret.is_some() || webhook_secret.is_some();
    if secrets {
        vaults::check_key(&options.store).await?;
    }
    let mut settings = IntegrationSettings::new(&options.integration, &options.provider).scopes(&options.scope);
    settings.display_name.clone_from(&options.display_name);
    settings.client_id.clone_from(&options.client_id);
    settings.base_url.clone_from(&options.base_url);
    settings.config = options.config.iter().cloned().collect::<BTreeMap<_, _>>();
    let store = stores::open(&options.store)?;
    if secrets {
        vaults::open(&store, &options.store).await?;
    }
    let engine = vaults::engine(&store, &options.store).await?;
    let integration = engine.create_integration(settings).await?;
    if client_secret.is_some() {
        integration.set_client_secret(client_secret).await?;
    }
    if webhook_secret.is_some() {
        integration.set_webhook_secret(webhook_secret).await?;
    }
    tell(&integration.settings().await?, output);
    let db = options.store.db.display();
    output.line(format!("Next: highwater connect --integration {} --db {db}", options.integration));
    store.close().await
}

async fn enable(options: &EndpointOptions, output: &Output) -> Result<()> {
    let mut wanted = SyncOptions::default();
    if let Some(every) = options.every {
        wanted = wanted.schedule(every);
    }
    if let Some(cron) = &options.cron {
        wanted = wanted.schedule(cron.clone());
    }
    let name = &options.name;
    let store = stores::open_existing(&name.store)?;
    stores::engine(&store, &name.store)?.integration(&name.integration)?.enable(&name.sync, wanted).await?;
    output.done("endpoint_enabled", &json!({ "integration": name.integration, "sync": name.sync }));
    output.line(format!("{} is enabled for every connection of {}", name.sync, name.integration));
    store.close().await
}

async fn disable(name: &EndpointName, clear: bool, output: &Output) -> Result<()> {
    let store = stores::open_existing(&name.store)?;
    let mode = if clear { DisableMode::Clear } else { DisableMode::Keep };
    stores::engine(&store, &name.store)?.integration(&name.integration)?.disable(&name.sync, mode).await?;
    output.done("endpoint_disabled", &json!({ "integration": name.integration, "sync": name.sync }));
    output.line(format!("{} is disabled for the connections of {}", name.sync, name.integration));
    store.close().await
}

async fn delete(name: &IntegrationName, mode: DeleteMode, output: &Output) -> Result<()> {
    let store = stores::open_existing(&name.store)?;
    let integration = vaults::engine(&store, &name.store).await?.integration(&name.integration)?;
    let report = integration.delete(mode).await?;
    for (connection, ended) in &report.disconnected {
        if connections::was_revoked(ended, output) {
            output.line(format!("{connection} is removed; its sign-in was revoked"));
        }
    }
    output.done("integration_deleted", &json!({ "integration": name.integration }));
    output.line(format!("integration {} is deleted", name.integration));
    store.close().await
}
