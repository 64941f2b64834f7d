//! The commands: a file for each, with its options and what it does. To add one, add its file, a variant and an arm.

mod account;
mod act;
mod completions;
mod consumers;
mod demo;
mod disable;
mod disconnect;
mod doctor;
mod dryrun;
mod enable;
mod get;
mod logs;
mod maintain;
mod pause;
mod proxy;
mod recode;
mod records;
mod resume;
mod runs;
mod scaffold;
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
    /// Sync a template into a store, once or again and again.
    Sync(sync::SyncOptions),
    /// Show what a template would save, without a store.
    #[command(name = "dryrun")]
    DryRun(dryrun::DryRunOptions),
    /// Do an action of a provider, such as opening an issue.
    Act(act::ActOptions),
    /// Send any request with a provider's credentials.
    Proxy(proxy::ProxyOptions),
    /// Print records: a page of the modification log.
    Records(records::RecordsOptions),
    /// Print single records by id.
    Get(get::GetOptions),
    /// Print each modification as it lands; goes on where it stopped.
    Tail(tail::TailOptions),
    /// Show streams, syncs and consumers of a store.
    Status(StoreOptions),
    /// List the readers whose position the store keeps; show, move or remove one.
    Consumers(consumers::ConsumersOptions),
    /// List runs, show one with its log, approve or reject its deletes.
    Runs(runs::RunsOptions),
    /// Print log lines of runs.
    Logs(logs::LogsOptions),
    /// List where webhooks go, what waits and what was given up; try that again.
    Webhooks(webhooks::WebhooksOptions),
    /// Let a template run by schedule for a connection.
    Enable(enable::EnableOptions),
    /// Turn a sync off.
    Disable(disable::DisableOptions),
    /// Remove a connection with its syncs and their schedules.
    Disconnect(disconnect::DisconnectOptions),
    /// Keep a sync from running until it is resumed.
    Pause(SyncName),
    /// Let a paused sync run again.
    Resume(SyncName),
    /// Ask for a run of an enabled sync.
    Trigger(trigger::TriggerOptions),
    /// Recount every stream and compare.
    Doctor(StoreOptions),
    /// Write every payload anew: encrypted, with another key, with another dictionary, or plainly.
    Recode(recode::RecodeOptions),
    /// Accept the clock, remove what is not to be kept, give space back.
    Maintain(maintain::MaintainOptions),
    /// Make an SQL view of a model's records (SQLite).
    SqlView(sql_view::SqlViewOptions),
    /// Watch an embedded demo API being synced: no account, no internet.
    Demo(demo::DemoOptions),
    /// Print completions for a shell.
    Completions(completions::CompletionsOptions),
}

impl Command {
    /// Runs until it is done or cancelled.
    pub(crate) async fn run(&self, output: &Output, cancel: &CancelToken) -> Result<()> {
        match self {
            Command::Templates(options) => templates::run(options, output).await,
            Command::Sync(options) => sync::run(options, output, cancel).await,
            Command::DryRun(options) => dryrun::run(options, output, cancel).await,
            Command::Act(options) => act::run(options, output).await,
            Command::Proxy(options) => proxy::run(options, output).await,
            Command::Records(options) => records::run(options, output).await,
            Command::Get(options) => get::run(options, output).await,
            Command::Tail(options) => tail::run(options, output, cancel).await,
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
            Command::Doctor(options) => doctor::run(options, output).await,
            Command::Recode(options) => recode::run(options, output).await,
            Command::Maintain(options) => maintain::run(options, output).await,
            Command::SqlView(options) => sql_view::run(options, output).await,
            Command::Demo(options) => demo::run(options, output, cancel).await,
            Command::Completions(options) => completions::run(options, output),
        }
    }

    /// Whether an interruption is how it ends when all went well.
    pub(crate) fn ends_by_interruption(&self) -> bool {
        matches!(self, Command::Demo(_))
    }
}
