//! `highwater disconnect`

use clap::Args;
use highwater::Result;
use highwater::engine::DisconnectMode;
use serde_json::json;

use crate::args::StoreOptions;
use crate::output::Output;
use crate::stores;

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
    let mode = if options.clear { DisconnectMode::ClearRecords } else { DisconnectMode::KeepRecords };
    let store = stores::open_existing(&options.store)?;
    stores::engine(&store)?.disconnect(&options.connection, mode).await?;
    let records = if options.clear { "cleared" } else { "kept" };
    output.done("disconnected", &json!({ "connection": options.connection, "records": records }));
    output.line(format!("{} is removed; its records are {records}", options.connection));
    store.close().await
}
