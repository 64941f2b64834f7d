//! `highwater trigger`

use clap::{Args, ValueEnum};
use highwater::Result;
use highwater::engine::TriggerMode;

use crate::args::SyncName;
use crate::output::Output;
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct TriggerOptions {
    #[command(flatten)]
    name: SyncName,
    /// The kind of run.
    #[arg(long, value_enum, default_value = "plain")]
    mode: Mode,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// The same as the next scheduled run.
    Plain,
    /// Drop the checkpoint and read everything.
    Reset,
    /// Also clear the streams.
    ResetAndClear,
}

pub(crate) async fn run(options: &TriggerOptions, output: &Output) -> Result<()> {
    let mode = match options.mode {
        Mode::Plain => TriggerMode::Plain,
        Mode::Reset => TriggerMode::Reset,
        Mode::ResetAndClear => TriggerMode::ResetAndClear,
    };
    let name = &options.name;
    let store = stores::open_existing(&name.store)?;
    stores::engine(&store, &name.store)?.sync(&name.connection, &name.sync)?.trigger(mode).await?;
    output.done_with_sync("triggered", name);
    output.line(format!("{} {} runs as soon as a running scheduler has a free slot", name.connection, name.sync));
    store.close().await
}
