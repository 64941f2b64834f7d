//! `highwater enable`

use std::time::Duration;

use clap::Args;
use highwater::Result;
use highwater::engine::{Schedule, SyncOptions};

use crate::args::SyncName;
use crate::args::values::duration;
use crate::output::Output;
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct EnableOptions {
    #[command(flatten)]
    name: SyncName,
    /// Run at this interval, such as `5m`. Defaults to the template's own.
    #[arg(long, value_parser = duration, conflicts_with = "cron")]
    every: Option<Duration>,
    /// Run by this cron expression, in UTC.
    #[arg(long, value_parser = cron)]
    cron: Option<Schedule>,
    /// Delay each run randomly by up to this much.
    #[arg(long, value_parser = duration)]
    jitter: Option<Duration>,
    /// Wait for `highwater resume`.
    #[arg(long)]
    paused: bool,
}

pub(crate) async fn run(options: &EnableOptions, output: &Output) -> Result<()> {
    let mut wanted = SyncOptions::default().auto_start(!options.paused).jitter(options.jitter.unwrap_or_default());
    if let Some(every) = options.every {
        wanted = wanted.schedule(every);
    }
    if let Some(cron) = &options.cron {
        wanted = wanted.schedule(cron.clone());
    }
    let name = &options.name;
    let store = stores::open_existing(&name.store)?;
    let settings = stores::engine(&store, &name.store)?.sync(&name.connection, &name.sync)?.enable(wanted).await?;
    output.object("sync_settings", &settings);
    output.line(format!("{} {} is enabled", name.connection, name.sync));
    store.close().await
}

pub(super) fn cron(text: &str) -> Result<Schedule, String> {
    Schedule::cron(text).map_err(|error| error.to_string())
}
