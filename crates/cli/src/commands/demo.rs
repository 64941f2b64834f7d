//! `highwater demo`: a small CRM with an HTTP API, synced and followed live on this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use highwater::engine::{CancelToken, SyncOptions};
use highwater::stores::SqliteStore;
use highwater::{ConnectionSettings, Cursor, Engine, Error, ErrorKind, Result, RunOptions, Store, StoreExt, StreamKey};
use highwater_testkit::demo::{Crm, MODELS, Records};
use serde_json::json;

use super::records::Counts;
use crate::args::values::duration;
use crate::output::{Output, counted};

const CONNECTION: &str = "demo";
pub(super) const TEMPLATE: &str = "crm/records";

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// End after this long, such as `5s`. Runs until Ctrl-C by default.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    period: Option<Duration>,
    /// Keep the database here instead of in a temporary folder.
    #[arg(long)]
    db: Option<PathBuf>,
}

pub(crate) async fn run(options: &DemoOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let db = database(options)?;
    let (crm, base_url) = Crm::start().await?;
    let store = Arc::new(SqliteStore::open(&db)?);
    let engine =
        Engine::builder(Arc::clone(&store) as Arc<dyn Store>).template(Arc::new(Records::new(&base_url))).build()?;
    engine.connect(ConnectionSettings::new(CONNECTION, "crm").base_url(&base_url)).await?;
    output.line(format!("A demo CRM answers at {base_url}; its records arrive in {}", db.display()));
    output.line("Each line below is a modification, read from the store by cursor. Ctrl-C ends the demo.");

    let first = engine.sync(CONNECTION, TEMPLATE)?.run_once(RunOptions::default()).await?;
    let mut readers = Vec::new();
    for model in MODELS {
        readers.push(Reader {
            stream: StreamKey::new(CONNECTION, model),
            cursor: Cursor::START,
            counts: Counts::default(),
        });
    }
    for reader in &mut readers {
        reader.catch_up(&store, output, false).await?;
    }
    output.line(format!(
        "First sync: {}. Now the CRM's users get to work:",
        counted(first.progress.counts.added, "record")
    ));

    engine.sync(CONNECTION, TEMPLATE)?.enable(SyncOptions::default().schedule(Duration::from_millis(400))).await?;
    let background = engine.start(&tokio::runtime::Handle::current());
    let users = crm.work();
    let mut wakeups = store.subscribe();
    let end = async {
        match options.period {
            Some(period) => tokio::time::sleep(period).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            () = cancel.cancelled() => break,
            woken = wakeups.changed() => woken?,
        }
        for reader in &mut readers {
            reader.catch_up(&store, output, true).await?;
        }
        if output.is_closed() {
            break;
        }
    }
    users.abort();
    // Ended or aborted: either way the CRM's users have stopped.
    let _ = users.await;
    background.shutdown(Duration::from_secs(5)).await?;
    engine.sync(CONNECTION, TEMPLATE)?.run_once(RunOptions::default()).await?;
    let mut total = Counts::default();
    let (mut records, mut last) = (0, Cursor::START);
    for reader in &mut readers {
        reader.catch_up(&store, output, true).await?;
        let live = store.head(&reader.stream).await?.live;
        let there = crm.count(reader.stream.model());
        if live != there {
            return Err(Error::new(ErrorKind::Internal, "the store and the demo API differ: please report this")
                .with("model", reader.stream.model())
                .with("store", live)
                .with("api", there));
        }
        records += live;
        total.added += reader.counts.added;
        total.updated += reader.counts.updated;
        total.deleted += reader.counts.deleted;
        last = last.max(reader.cursor);
    }
    store.close().await?;
    output.line(format!(
        "{} added, {} updated, {} deleted; {}, the same as in the API. Last cursor {last}",
        total.added,
        total.updated,
        total.deleted,
        counted(records, "record")
    ));
    output.line(format!("Look around: highwater status --db {}", db.display()));
    output.object(
        "demo_total",
        &json!({ "added": total.added, "updated": total.updated, "deleted": total.deleted, "records": records,
        "last_cursor": last, "db": db.display().to_string() }),
    );
    Ok(())
}

/// A reader of one stream, with its own cursor.
struct Reader {
    stream: StreamKey,
    cursor: Cursor,
    counts: Counts,
}

impl Reader {
    async fn catch_up(&mut self, store: &SqliteStore, output: &Output, show: bool) -> Result<()> {
        loop {
            let page = store.records(&self.stream).since(self.cursor).limit(500).page().await?;
            for change in &page.changes {
                self.counts.count(change);
                if show {
                    output.change(self.stream.model(), change);
                }
            }
            self.cursor = page.next_cursor;
            if page.caught_up {
                return Ok(());
            }
        }
    }
}

/// The path of the demo's database: in a new temporary folder, unless the user names a file.
fn database(options: &DemoOptions) -> Result<PathBuf> {
    if let Some(db) = &options.db {
        if db.exists() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the demo needs a new database: remove the file or name another",
            )
            .with("db", db.display()));
        }
        return Ok(db.clone());
    }
    temporary_db()
}

/// The path of a database in a new temporary folder.
pub(super) fn temporary_db() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("highwater-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|source| {
        Error::new(ErrorKind::PermissionDenied, "the demo's folder cannot be created: name a file with --db")
            .with("folder", folder.display())
            .because(source)
    })?;
    Ok(folder.join("demo.db"))
}
