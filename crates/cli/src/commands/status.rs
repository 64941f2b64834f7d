//! `highwater status`

use highwater::engine::{Phase, SyncState};
use highwater::{Result, Store};
use serde_json::json;

use crate::args::StoreOptions;
use crate::commands::consumers;
use crate::output::{Output, counted};
use crate::stores;

pub(crate) async fn run(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    stores::tell_unfinished(&*store, output).await?;
    streams(&*store, output).await?;
    let engine = stores::engine(&store, options)?;
    for reader in engine.idle_readers().await? {
        output.object("idle_reader", &json!({ "stream": reader.stream, "consumer": reader.name }));
        output.note(format!("{}: no sync writes it, so its reader {} waits forever", reader.stream, reader.name));
    }
    for state in engine.sync_states().await? {
        output.object("sync", &state);
        sync(&state, output);
    }
    store.close().await
}

/// A line for each stream, and one for each of its consumers.
async fn streams(store: &dyn Store, output: &Output) -> Result<()> {
    let heads = store.streams().await?;
    if heads.is_empty() {
        output.line("No streams yet. Start with: highwater sync github issues --config owner=..,repo=..");
    }
    for head in &heads {
        output.object("stream", head);
        output.line(format!(
            "{}: {}, {} deleted, {} KiB, high water {}",
            head.stream,
            counted(head.live, "record"),
            head.deleted,
            head.bytes / 1024,
            head.high_water
        ));
        for status in consumers::of_stream(store, &head.stream).await? {
            output.object("consumer", &consumers::object(&head.stream, &status));
            output.line(format!("  consumer {}: {}", status.name, consumers::standing(&status)));
        }
    }
    Ok(())
}

/// The state of a sync, for people.
fn sync(state: &SyncState, output: &Output) {
    let status = &state.status;
    let outcome = match &status.last_error {
        _ if status.last_started_at.is_none() => "has not run yet".to_owned(),
        None => "last run succeeded".to_owned(),
        Some(error) if status.failures <= 1 => format!("last run failed: {error}"),
        Some(error) => format!("last run failed, {} in a row: {error}", status.failures),
    };
    let phase = match state.phase {
        Phase::Paused => "; paused",
        Phase::NeedsSetting => "; waits for a setting of its connection",
        Phase::Offline => "; the API cannot be reached",
        Phase::Ended => "; its schedule has no further slot",
        _ => "",
    };
    output.line(format!("{} {}: {outcome}{phase}", state.connection, state.sync));
    for (model, count) in &status.set_aside {
        output.line(format!("  {} set aside: could not be saved", counted(*count, &format!("{model} record"))));
    }
    for (model, incomplete) in &status.incomplete {
        output.line(format!("  not all of {model} was read (run {}): {}", incomplete.run, incomplete.reason));
    }
}
