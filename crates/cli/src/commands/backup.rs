//! `highwater backup`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use highwater::engine::CancelToken;
use highwater::maintenance::{Backup, Maintenance, MaintenanceReport};
use highwater::{Result, Store};
use serde_json::json;

use crate::args::StoreOptions;
use crate::output::Output;
use crate::stores;

/// How often the progress is printed.
const INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct BackupOptions {
    /// The file to create. It must not exist.
    file: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &BackupOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let store = stores::open_reading(&options.store)?;
    let backup = Backup::to(&options.file);
    let progress = backup.progress().clone();
    let making = store.maintain(Maintenance::BackUp(backup));
    let telling = async {
        loop {
            tokio::select! {
                () = cancel.cancelled() => progress.cancel(),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if progress.is_cancelled() {
                // The backup ends by itself.
                return std::future::pending().await;
            }
            output.note(format!("{} of at most {} MB", progress.copied() >> 20, progress.total() >> 20));
        }
    };
    let report = tokio::select! {
        report = making => report?,
        () = telling => return Ok(()),
    };
    if let MaintenanceReport::BackedUp(report) = report {
        output.done("backed_up", &json!({ "file": options.file, "bytes": report.bytes }));
        output.line(format!("{}: {} bytes", options.file.display(), report.bytes));
        output.note("Whoever has the file can read the records, settings and log lines in it, unless the store is encrypted. Credentials are encrypted.");
    }
    store.close().await
}
