//! `highwater enable`, `disable`, `pause`, `resume`, `trigger`: decisions that the next scheduler, or the one at work in
//! another process, follows.

use std::time::Duration;

use clap::{Args, ValueEnum};
use highwater::Result;
use highwater::engine::{DisableMode, DisconnectMode, Schedule, SyncOptions, TriggerMode};

use crate::args::StoreOptions;
use crate::args::values::duration;
use crate::commands::runs::engine;
use crate::output::Output;
use crate::stores;

#[derive(Clone, Debug, Args)]
pub(crate) struct SyncName {
    /// The connection's id.
    pub(crate) connection: String,
    /// The template, such as `github/issues`, and perhaps a variant: `github/issues::open`.
    pub(crate) sync: String,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Debug, Args)]
pub(crate) struct EnableOptions {
    #[command(flatten)]
    pub(crate) name: SyncName,
    /// Run at this interval, such as `5m`; the template's own unless given.
    #[arg(long, value_parser = duration, conflicts_with = "cron")]
    pub(crate) every: Option<Duration>,
    /// Run by this cron expression, in UTC.
    #[arg(long, value_parser = cron)]
    pub(crate) cron: Option<Schedule>,
    /// Up to this much later, by chance.
    #[arg(long, value_parser = duration)]
    pub(crate) jitter: Option<Duration>,
    /// Wait for `highwater resume`.
    #[arg(long)]
    pub(crate) paused: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DisableOptions {
    #[command(flatten)]
    pub(crate) name: SyncName,
    /// Empty its streams too.
    #[arg(long)]
    pub(crate) clear: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DisconnectOptions {
    /// The connection's id.
    pub(crate) connection: String,
    /// Remove its records too.
    #[arg(long)]
    pub(crate) clear: bool,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Debug, Args)]
pub(crate) struct TriggerOptions {
    #[command(flatten)]
    pub(crate) name: SyncName,
    /// What the run is to be.
    #[arg(long, value_enum, default_value = "plain")]
    pub(crate) mode: Mode,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// What the next run would be anyway.
    Plain,
    /// Drop the checkpoint and read everything.
    Reset,
    /// Empty the streams too.
    ResetAndClear,
}

pub(crate) async fn enable(options: &EnableOptions, output: &Output) -> Result<()> {
    let mut wanted = SyncOptions::default().auto_start(!options.paused).jitter(options.jitter.unwrap_or_default());
    if let Some(every) = options.every {
        wanted = wanted.schedule(every);
    }
    if let Some(cron) = &options.cron {
        wanted = wanted.schedule(cron.clone());
    }
    let name = &options.name;
    let store = stores::open_existing(&name.store)?;
    let settings = engine(&store)?.sync(&name.connection, &name.sync)?.enable(wanted).await?;
    output.object(&settings);
    output.line(format!("{} {} is enabled", name.connection, name.sync));
    store.close().await
}

pub(crate) async fn disable(options: &DisableOptions, output: &Output) -> Result<()> {
    let name = &options.name;
    let store = stores::open_existing(&name.store)?;
    engine(&store)?
        .sync(&name.connection, &name.sync)?
        .disable(if options.clear { DisableMode::Clear } else { DisableMode::Keep })
        .await?;
    done(name, output, "is disabled");
    store.close().await
}

pub(crate) async fn disconnect(options: &DisconnectOptions, output: &Output) -> Result<()> {
    let mode = if options.clear { DisconnectMode::ClearRecords } else { DisconnectMode::KeepRecords };
    let store = stores::open_existing(&options.store)?;
    engine(&store)?.disconnect(&options.connection, mode).await?;
    let records = if options.clear { "cleared" } else { "kept" };
    output.object(&serde_json::json!({ "connection": options.connection, "done": "is removed", "records": records }));
    output.line(format!("{} is removed; its records are {records}", options.connection));
    store.close().await
}

pub(crate) async fn pause(name: &SyncName, output: &Output) -> Result<()> {
    let store = stores::open_existing(&name.store)?;
    engine(&store)?.sync(&name.connection, &name.sync)?.pause().await?;
    done(name, output, "is paused");
    store.close().await
}

pub(crate) async fn resume(name: &SyncName, output: &Output) -> Result<()> {
    let store = stores::open_existing(&name.store)?;
    engine(&store)?.sync(&name.connection, &name.sync)?.resume().await?;
    done(name, output, "runs again");
    store.close().await
}

pub(crate) async fn trigger(options: &TriggerOptions, output: &Output) -> Result<()> {
    let mode = match options.mode {
        Mode::Plain => TriggerMode::Plain,
        Mode::Reset => TriggerMode::Reset,
        Mode::ResetAndClear => TriggerMode::ResetAndClear,
    };
    let name = &options.name;
    let store = stores::open_existing(&name.store)?;
    engine(&store)?.sync(&name.connection, &name.sync)?.trigger(mode).await?;
    done(name, output, "runs as soon as a scheduler has a place for it");
    store.close().await
}

fn cron(text: &str) -> Result<Schedule, String> {
    Schedule::cron(text).map_err(|error| error.to_string())
}

fn done(name: &SyncName, output: &Output, what: &str) {
    output.object(&serde_json::json!({ "connection": name.connection, "sync": name.sync, "done": what }));
    output.line(format!("{} {} {what}", name.connection, name.sync));
}
