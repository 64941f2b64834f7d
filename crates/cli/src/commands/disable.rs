//! `highwater disable`

use clap::Args;
use highwater::Result;
use highwater::engine::DisableMode;

use crate::args::SyncName;
use crate::output::Output;
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct DisableOptions {
    #[command(flatten)]
    name: SyncName,
    /// Clear its streams too.
    #[arg(long)]
    clear: bool,
}

pub(crate) async fn run(options: &DisableOptions, output: &Output) -> Result<()> {
    let name = &options.name;
    let mode = if options.clear { DisableMode::Clear } else { DisableMode::Keep };
    let store = stores::open_existing(&name.store)?;
    stores::engine(&store, &name.store)?.sync(&name.connection, &name.sync)?.disable(mode).await?;
    output.done_with_sync("disabled", name);
    output.line(format!("{} {} is disabled", name.connection, name.sync));
    store.close().await
}
