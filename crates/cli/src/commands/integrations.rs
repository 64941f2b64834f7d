//! `highwater integrations`

mod define;

use std::time::Duration;

use clap::{Args, Subcommand};
use highwater::engine::integrations::{DeleteMode, Endpoint};
use highwater::engine::{DisableMode, DisconnectMode, Schedule};
use highwater::{IntegrationHandle, IntegrationSettings, Result, SyncOptions};
use serde_json::json;

use super::enable::cron;
use super::{account, connections};
use crate::args::StoreOptions;
use crate::args::values::duration;
use crate::output::{Output, counted};
use crate::{stores, vaults};
use define::{CreateOptions, UpdateOptions, create, update};

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
    /// Create one: a provider with an application to sign in to, scopes and settings.
    Create(Box<CreateOptions>),
    /// Change one. What is not given stays; an empty text removes a value (`--base-url ''`, `--config owner=`).
    Update(Box<UpdateOptions>),
    /// Sync a template for every connection, now and later. Again, with another interval, changes it.
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

pub(crate) async fn run(options: &IntegrationsOptions, output: &Output) -> Result<()> {
    match &options.action {
        None => list(&options.store, output).await,
        Some(IntegrationsAction::List(store)) => list(store, output).await,
        Some(IntegrationsAction::Show(name)) => show(name, output).await,
        Some(IntegrationsAction::Create(options)) => create(options, output).await,
        Some(IntegrationsAction::Update(options)) => update(options, output).await,
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
        output.note("No integrations: `highwater integrations create KEY PROVIDER` creates one.");
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

/// What to do next with an integration.
pub(super) async fn next_of(integration: &IntegrationHandle, options: &StoreOptions) -> Result<String> {
    let (key, repeated) = (integration.key(), options.repeated());
    let endpoints = integration.endpoints().await?;
    let connections = integration.connections().await?;
    let enabled = endpoints.iter().find(|endpoint| endpoint.is_enabled());
    Ok(match (enabled, endpoints.first(), connections.first()) {
        (None, Some(first), _) => {
            let template = first.sync.split_once('/').map_or(first.sync.as_str(), |(_, template)| template);
            format!("Next: highwater integrations enable {key} {template}{repeated}")
        }
        (_, _, None) => format!("Next: highwater connect --integration {key}{repeated}"),
        (Some(endpoint), _, Some(connection)) => {
            let sync = endpoint.sync.replace('/', " ");
            format!("Next: highwater sync {sync} --connection {}{repeated}", connection.id)
        }
        (None, None, Some(_)) => format!("Next: highwater integrations show {key}{repeated}"),
    })
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
    let integration = stores::engine(&store, &name.store)?.integration(&name.integration)?;
    check_endpoint(&integration, &name.sync, &name.store).await?;
    integration.enable(&name.sync, wanted).await?;
    output.done("endpoint_enabled", &json!({ "integration": name.integration, "sync": name.sync }));
    output.line(format!("{} is enabled for every connection of {}", name.sync, name.integration));
    output.line(next_of(&integration, &name.store).await?);
    store.close().await
}

/// Names the templates of the provider where the wanted one is not among them.
async fn check_endpoint(integration: &IntegrationHandle, sync: &str, options: &StoreOptions) -> Result<()> {
    let provider = integration.settings().await?.provider;
    let name = sync.split("::").next().unwrap_or_default();
    let id = if name.contains('/') { name.to_owned() } else { format!("{provider}/{name}") };
    let templates = options.catalogue.templates()?;
    let infos = || templates.iter().map(|template| template.info());
    if infos().any(|info| info.id() == id) { Ok(()) } else { Err(account::no_such_template(&id, infos())) }
}

async fn disable(name: &EndpointName, clear: bool, output: &Output) -> Result<()> {
    let store = stores::open_existing(&name.store)?;
    let mode = if clear { DisableMode::Clear } else { DisableMode::Keep };
    let integration = stores::engine(&store, &name.store)?.integration(&name.integration)?;
    check_endpoint(&integration, &name.sync, &name.store).await?;
    integration.disable(&name.sync, mode).await?;
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
