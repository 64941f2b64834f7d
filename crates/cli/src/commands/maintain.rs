//! `highwater maintain`

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use highwater::maintenance::{Compaction, Maintenance, MaintenanceReport, PruneWhat};
use highwater::{Cursor, Error, ErrorKind, Result, Store, StoreExt, StreamKey};
use serde_json::json;

use crate::args::{StoreOptions, StreamOptions};
use crate::output::{Output, counted};
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct MaintainOptions {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Accept the clock's time, if syncs fail although the clock is right. Cursors stay valid.
    AcceptClock(StoreOptions),
    /// Give every record a new position, after the clock was far ahead. Every cursor expires.
    RebaseClock(StoreOptions),
    /// Remove deleted records, payloads or superseded versions of a model.
    Prune(PruneOptions),
    /// Free unused space, and erase removed data with it.
    Compact(StoreOptions),
}

#[derive(Debug, Args)]
struct PruneOptions {
    #[command(flatten)]
    stream: StreamOptions,
    /// What to remove.
    #[arg(long, value_enum)]
    what: What,
    /// Only what is older than this many days. Defaults to everything.
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Records that were deleted, with their superseded versions.
    Deleted,
    /// The contents of records and of their superseded versions: the records stay.
    Payloads,
    /// Only superseded versions.
    History,
}

pub(crate) async fn run(options: &MaintainOptions, output: &Output) -> Result<()> {
    match &options.task {
        Task::AcceptClock(store) => {
            simple(store, Maintenance::AcceptClock, output, "clock_accepted", "the clock is accepted").await
        }
        Task::RebaseClock(store) => {
            simple(
                store,
                Maintenance::RebaseClock,
                output,
                "clock_rebased",
                "every record has a new position: readers start over",
            )
            .await
        }
        Task::Compact(store) => compact(store, output).await,
        Task::Prune(options) => prune(options, output).await,
    }
}

async fn simple(options: &StoreOptions, task: Maintenance, output: &Output, done: &str, text: &str) -> Result<()> {
    let store = stores::open_existing(options)?;
    store.maintain(task).await?;
    output.done(done, &json!({}));
    output.line(text);
    store.close().await
}

async fn compact(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_existing(options)?;
    if let MaintenanceReport::Compacted(compaction) = store.maintain(Maintenance::Compact).await? {
        output.done("compacted", &json!({ "compaction": compaction }));
        output.line(match compaction {
            Compaction::Complete => "free space was released",
            Compaction::Held => "some free space was not released: an earlier read may still need it",
            Compaction::Automatic => "nothing to do: this kind of store releases free space by itself",
            _ => "done",
        });
        if compaction == Compaction::Held {
            output.note(
                "Until then files (for SQLite, the -wal) may contain removed data: run it again when that read has ended.",
            );
        }
    }
    if !store.capabilities().erases {
        output.note("This kind of store may keep removed data in its files until it reuses the space.");
    }
    store.close().await
}

async fn prune(options: &PruneOptions, output: &Output) -> Result<()> {
    let store = stores::open_existing(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let (what, noun) = match options.what {
        What::Deleted => (PruneWhat::Tombstones, "deleted record"),
        What::Payloads => (PruneWhat::Payloads, "payload"),
        What::History => (PruneWhat::History, "record"),
    };
    let up_to = match options.older_than {
        None => store.head(&stream).await?.high_water,
        Some(days) => last_before(&*store, &stream, days).await?,
    };
    let report = store.maintain(Maintenance::Prune { stream, what, up_to }).await?;
    if let MaintenanceReport::Pruned { removed, versions, held_by, .. } = report {
        output.done("pruned", &json!({ "removed": removed, "versions": versions, "held_by": held_by }));
        output.line(format!("removed {} and {}", counted(removed, noun), counted(versions, "superseded version")));
        if let Some(reader) = held_by {
            output.note(format!("It stopped at the position of the reader {reader}."));
        }
        output
            .note("Run `highwater maintain compact` to release the space: until then files may contain removed data.");
    }
    store.close().await
}

/// The last position that is older than this many days.
async fn last_before(store: &dyn Store, stream: &StreamKey, days: u32) -> Result<Cursor> {
    let now = match store.maintain(Maintenance::CheckClock).await? {
        MaintenanceReport::Clock(health) if !health.implausible => health.now,
        _ => {
            return Err(Error::new(
                ErrorKind::ClockImplausible,
                "the clock is implausible, so ages are unknown: set it first",
            ));
        }
    };
    let (mut from, mut last) = (Cursor::START, Cursor::START);
    loop {
        let page = store.records(stream).since(from).limit(1000).metadata_only().page().await?;
        for change in &page.changes {
            let age = now.duration_since(change.record.metadata.last_modified_at);
            if age < Duration::from_secs(u64::from(days) * 24 * 3600) {
                return Ok(last);
            }
            last = change.record.metadata.cursor;
        }
        if !page.has_more {
            return Ok(last);
        }
        from = page.next_cursor;
    }
}
