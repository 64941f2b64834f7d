//! The commands: one file for each, with its options. To add one, add its file, a variant and an arm.

mod account;
mod act;
mod backup;
mod completions;
mod connect;
mod connections;
mod consumers;
mod demo;
mod disable;
mod disconnect;
mod doctor;
mod dryrun;
mod enable;
mod get;
mod integrations;
mod keys;
mod logs;
mod maintain;
mod pause;
mod providers;
mod proxy;
mod recode;
mod records;
mod resume;
mod runs;
mod scaffold;
mod serve;
mod sql_view;
mod status;
mod sync;
mod tail;
mod templates;
mod trigger;
mod webhooks;

use clap::Subcommand;
use highwater::Result;
use highwater::engine::CancelToken;

use crate::args::{StoreOptions, SyncName};
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the templates, show one, and work with declarative manifests.
    Templates(templates::TemplatesOptions),
    /// List the providers, show one's sign-in methods, and check a provider's file.
    Providers(providers::ProvidersOptions),
    /// Sign in at a provider, in the browser, by a code or with a token, and store the credentials.
    Connect(Box<connect::ConnectOptions>),
    /// List the connections; show, reconnect or delete one.
    Connections(connections::ConnectionsOptions),
    /// List the integrations; create one, enable its endpoints, delete it.
    Integrations(integrations::IntegrationsOptions),
    /// Sync a template into a store, once or repeatedly.
    Sync(sync::SyncOptions),
    /// Show what a template would save, without a store.
    #[command(name = "dryrun")]
    DryRun(dryrun::DryRunOptions),
    /// Run an action of a provider, such as opening an issue.
    Act(act::ActOptions),
    /// Send any request with a provider's credentials.
    Proxy(proxy::ProxyOptions),
    /// Print records: a page of the modification log.
    Records(records::RecordsOptions),
    /// Print single records by id.
    Get(get::GetOptions),
    /// Print each modification as it lands; continues where it stopped.
    Tail(tail::TailOptions),
    /// Serve records over HTTP, and run the enabled syncs.
    Serve(Box<serve::ServeOptions>),
    /// List the keys of the server; create or revoke one.
    Keys(keys::KeysOptions),
    /// Show streams, syncs and consumers of a store.
    Status(StoreOptions),
    /// List the readers whose position the store keeps; show, move or remove one.
    Consumers(consumers::ConsumersOptions),
    /// List runs, show one with its log, approve or reject its deletes.
    Runs(runs::RunsOptions),
    /// Print log lines of runs.
    Logs(logs::LogsOptions),
    /// List webhook destinations, waiting and failed deliveries; retry failed ones.
    Webhooks(webhooks::WebhooksOptions),
    /// Run a template on a schedule for a connection.
    Enable(enable::EnableOptions),
    /// Turn a sync off.
    Disable(disable::DisableOptions),
    /// Remove a connection with its syncs and their schedules.
    Disconnect(disconnect::DisconnectOptions),
    /// Keep a sync from running until it is resumed.
    Pause(SyncName),
    /// Resume a paused sync.
    Resume(SyncName),
    /// Request a run of an enabled sync.
    Trigger(trigger::TriggerOptions),
    /// Copy the whole store into a new file, while it is used.
    Backup(backup::BackupOptions),
    /// Check the store: its files, the counts of every stream, and the clock.
    Doctor(StoreOptions),
    /// Rewrite every payload: encrypted, with another key or dictionary, or unencrypted.
    Recode(recode::RecodeOptions),
    /// Remove old data, free space, correct positions after a wrong clock.
    Maintain(maintain::MaintainOptions),
    /// Create an SQL view of a model's records (SQLite).
    SqlView(sql_view::SqlViewOptions),
    /// Sync an embedded demo API and follow it live: no account, no internet.
    Demo(demo::DemoOptions),
    /// Print shell completions.
    Completions(completions::CompletionsOptions),
}

impl Command {
    /// Runs the command until it is done or cancelled.
    pub(crate) async fn run(&self, output: &Output, cancel: &CancelToken) -> Result<()> {
        match self {
            Command::Templates(options) => templates::run(options, output).await,
            Command::Providers(options) => providers::run(options, output),
            Command::Connect(options) => connect::run(options, output, cancel).await,
            Command::Connections(options) => connections::run(options, output, cancel).await,
            Command::Integrations(options) => integrations::run(options, output).await,
            Command::Sync(options) => sync::run(options, output, cancel).await,
            Command::DryRun(options) => dryrun::run(options, output, cancel).await,
            Command::Act(options) => act::run(options, output).await,
            Command::Proxy(options) => proxy::run(options, output).await,
            Command::Records(options) => records::run(options, output).await,
            Command::Get(options) => get::run(options, output).await,
            Command::Tail(options) => tail::run(options, output, cancel).await,
            Command::Serve(options) => serve::run(options, output, cancel).await,
            Command::Keys(options) => keys::run(options, output).await,
            Command::Status(options) => status::run(options, output).await,
            Command::Consumers(options) => consumers::run(options, output).await,
            Command::Runs(options) => runs::run(options, output).await,
            Command::Logs(options) => logs::run(options, output).await,
            Command::Webhooks(options) => webhooks::run(options, output).await,
            Command::Enable(options) => enable::run(options, output).await,
            Command::Disable(options) => disable::run(options, output).await,
            Command::Disconnect(options) => disconnect::run(options, output).await,
            Command::Pause(name) => pause::run(name, output).await,
            Command::Resume(name) => resume::run(name, output).await,
            Command::Trigger(options) => trigger::run(options, output).await,
            Command::Backup(options) => backup::run(options, output, cancel).await,
            Command::Doctor(options) => doctor::run(options, output).await,
            Command::Recode(options) => recode::run(options, output).await,
            Command::Maintain(options) => maintain::run(options, output).await,
            Command::SqlView(options) => sql_view::run(options, output).await,
            Command::Demo(options) => demo::run(options, output, cancel).await,
            Command::Completions(options) => completions::run(options, output),
        }
    }

    /// Whether the command normally ends with an interruption.
    pub(crate) fn ends_by_interruption(&self) -> bool {
        matches!(self, Command::Demo(_) | Command::Serve(_))
    }
}
