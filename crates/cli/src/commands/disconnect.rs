//! `highwater disconnect`

use clap::Args;
use highwater::Result;

use super::connections;
use crate::args::StoreOptions;
use crate::output::Output;
use crate::{stores, vaults};

#[derive(Debug, Args)]
pub(crate) struct DisconnectOptions {
    /// The connection's id.
    connection: String,
    /// Remove its records too.
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &DisconnectOptions, output: &Output) -> Result<()> {
    let store = stores::open_existing(&options.store)?;
    let engine = vaults::engine(&store, &options.store).await?;
    connections::remove(&engine, &options.connection, options.clear, output).await?;
    store.close().await
}
