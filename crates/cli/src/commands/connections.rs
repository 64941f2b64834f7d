//! `highwater connections`

use clap::{Args, Subcommand};
use highwater::engine::connections::{DisconnectReport, PendingRemoval};
use highwater::engine::credentials::Revocation;
use highwater::engine::{CancelToken, DisconnectMode, SyncState};
use highwater::{ConnectionSettings, Engine, Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::connect::sign_in::SignInOptions;
use super::connect::{self, application_of, sign_in_to};
use crate::args::StoreOptions;
use crate::output::Output;
use crate::{stores, vaults};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ConnectionsOptions {
    #[command(subcommand)]
    action: Option<ConnectionsAction>,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
enum ConnectionsAction {
    /// List the connections (the default without a subcommand).
    List(StoreOptions),
    /// Show one, with its syncs.
    Show(ConnectionName),
    /// Remove one: end its sign-in at the provider, remove its credentials, stop its syncs.
    Delete {
        #[command(flatten)]
        name: ConnectionName,
        /// Remove its records too.
        #[arg(long)]
        clear: bool,
    },
    /// Sign in again; syncs and records stay.
    Reconnect {
        #[command(flatten)]
        name: ConnectionName,
        #[command(flatten)]
        sign_in: Box<SignInOptions>,
    },
    /// Print the metadata of one, or replace it.
    Metadata {
        #[command(flatten)]
        name: ConnectionName,
        /// The new metadata: a JSON object.
        value: Option<String>,
        /// Change only the members that are given; null removes one.
        #[arg(long, requires = "value")]
        merge: bool,
    },
}

#[derive(Debug, Args)]
struct ConnectionName {
    /// The connection's id.
    connection: String,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &ConnectionsOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    match &options.action {
        None => list(&options.store, output).await,
        Some(ConnectionsAction::List(store)) => list(store, output).await,
        Some(ConnectionsAction::Show(name)) => show(name, output).await,
        Some(ConnectionsAction::Delete { name, clear }) => delete(name, *clear, output).await,
        Some(ConnectionsAction::Reconnect { name, sign_in }) => reconnect(name, sign_in, output, cancel).await,
        Some(ConnectionsAction::Metadata { name, value, merge }) => {
            metadata(name, value.as_deref(), *merge, output).await
        }
    }
}

async fn list(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    let engine = stores::engine(&store, options)?;
    let connections = engine.connections().await?;
    for settings in &connections {
        output.object("connection", settings);
        output.line(line(settings));
    }
    for removal in &engine.pending_removals().await? {
        tell_removal(removal, output);
    }
    if connections.is_empty() {
        output.note("No connections: `highwater connect PROVIDER` makes one.");
    }
    store.close().await
}

/// Tells that the credentials of a removed connection, or the secrets of a deleted integration, are still stored.
pub(super) fn tell_removal(removal: &PendingRemoval, output: &Output) {
    output.object("removal", removal);
    let (what, name, command) = match (&removal.connection, &removal.integration) {
        (Some(connection), _) => ("credentials", connection, "connections"),
        (None, Some(integration)) => ("secrets", integration, "integrations"),
        (None, None) => return,
    };
    let why = removal.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.message));
    output.line(format!("{name} is removed, its {what} are not yet{why}"));
    output.note(format!("`highwater {command} delete {name}` tries again."));
}

/// A connection, for people.
pub(super) fn line(settings: &ConnectionSettings) -> String {
    let integration = settings.integration.as_ref().map_or_else(String::new, |key| format!(", of integration {key}"));
    let name = settings.display_name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    format!("{}{name}: {}{integration}", settings.id, settings.provider)
}

async fn show(name: &ConnectionName, output: &Output) -> Result<()> {
    let store = stores::open_reading(&name.store)?;
    let engine = stores::engine(&store, &name.store)?;
    let settings = engine.connection(&name.connection).await?;
    output.object("connection", &settings);
    output.line(line(&settings));
    if let Some(account) = engine.connection_state(&name.connection).await?.account.name {
        output.line(format!("  account   {account}"));
    }
    for (setting, value) in &settings.config {
        output.line(format!("  config    {setting}: {value}"));
    }
    for (tag, value) in &settings.tags {
        output.line(format!("  tag       {tag}: {value}"));
    }
    if !settings.metadata.is_empty() {
        output.line(format!("  metadata  {}", Value::Object(settings.metadata.clone())));
    }
    let states = engine.sync_states().await?;
    for state in states.iter().filter(|state| state.connection == name.connection) {
        output.object("sync", state);
        output.line(format!("  sync      {}: {}", state.sync, phase(state)));
    }
    store.close().await
}

/// The name of a phase, as JSON has it.
fn phase(state: &SyncState) -> String {
    let name = serde_json::to_value(state.phase).ok().and_then(|name| name.as_str().map(str::to_owned));
    name.unwrap_or_default().replace('_', " ")
}

async fn delete(name: &ConnectionName, clear: bool, output: &Output) -> Result<()> {
    let store = stores::open_existing(&name.store)?;
    let engine = vaults::engine(&store, &name.store).await?;
    remove(&engine, &name.connection, clear, output).await?;
    store.close().await
}

/// Removes a connection, and ends its sign-in at the provider.
pub(super) async fn remove(engine: &Engine, connection: &str, clear: bool, output: &Output) -> Result<()> {
    let mode = if clear { DisconnectMode::ClearRecords } else { DisconnectMode::KeepRecords };
    let report = engine.disconnect(connection, mode).await?;
    let revoked = was_revoked(&report, output);
    let records = if clear { "cleared" } else { "kept" };
    output.done("disconnected", &json!({ "connection": connection, "records": records, "revoked": revoked }));
    let ended = if revoked { "; its sign-in was revoked" } else { "" };
    output.line(format!("{connection} is removed; its records are {records}{ended}"));
    Ok(())
}

/// Whether the provider ended the sign-in of a removed connection. If it failed, a note says so.
pub(super) fn was_revoked(report: &DisconnectReport, output: &Output) -> bool {
    match &report.revocation {
        Some(Ok(outcome)) => *outcome == Revocation::Revoked,
        Some(Err(error)) => {
            output
                .note(format!("The provider did not end the sign-in; its tokens may work until they expire: {error}"));
            false
        }
        None => false,
    }
}

async fn reconnect(name: &ConnectionName, way: &SignInOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    vaults::check_key(&name.store).await?;
    let store = stores::open_existing(&name.store)?;
    let engine = vaults::engine(&store, &name.store).await?;
    let settings = engine.connection(&name.connection).await?;
    let application = application_of(&engine, &settings).await?;
    store.close().await?;
    let signed_in = sign_in_to(&settings, &name.store, application, way, output, cancel).await?;
    connect::store(&settings, &signed_in, way.account_change(), &name.store).await?;
    connect::tell(&settings, &signed_in, output);
    Ok(())
}

async fn metadata(name: &ConnectionName, json: Option<&str>, merge: bool, output: &Output) -> Result<()> {
    let given: Option<Value> = json.map(serde_json::from_str).transpose().map_err(|source| {
        Error::new(ErrorKind::Invalid, "the metadata is not JSON: write an object in quotes").because(source)
    })?;
    let store = match given {
        Some(_) => stores::open_existing(&name.store)?,
        None => stores::open_reading(&name.store)?,
    };
    let engine = stores::engine(&store, &name.store)?;
    match given {
        Some(metadata) if merge => engine.update_metadata(&name.connection, metadata).await?,
        Some(metadata) => engine.set_metadata(&name.connection, metadata).await?,
        None => {}
    }
    let settings = engine.connection(&name.connection).await?;
    output.object("connection", &settings);
    output.line(Value::Object(settings.metadata).to_string());
    store.close().await
}
