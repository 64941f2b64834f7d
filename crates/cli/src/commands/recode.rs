//! `highwater recode`

use clap::Args;
use highwater::Result;
use highwater::maintenance::{Maintenance, MaintenanceReport};
use serde_json::json;

use crate::args::StoreOptions;
use crate::output::{Output, counted};
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct RecodeOptions {
    /// Write without encryption and dictionary; use the given keys and dictionaries for reading only.
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

pub(crate) async fn run(options: &RecodeOptions, output: &Output) -> Result<()> {
    let store = stores::open_recoding(&options.store, options.plain)?;
    let report = store.maintain(Maintenance::Recode).await?;
    // Erases the former bytes from the file, as far as the store can.
    store.maintain(Maintenance::Compact).await?;
    let needs = stores::codec_health(&*store).await?.needs;
    if let MaintenanceReport::Recoded { payloads } = report {
        output.done("recoded", &json!({ "payloads": payloads, "needs": needs }));
        let needs = if needs.is_empty() { "no key and no dictionary".to_owned() } else { needs.join(", ") };
        output.line(format!("rewrote {}; reading them now needs {needs}", counted(payloads, "payload")));
    }
    store.close().await
}
