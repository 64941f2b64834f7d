//! `highwater status`

use std::sync::Arc;

use highwater::engine::Phase;
use highwater::{Engine, Result};
use serde_json::json;

use crate::args::StoreOptions;
use crate::commands::consumers;
use crate::output::{Output, counted};
use crate::stores;

pub(crate) async fn run(options: &StoreOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(options)?;
    stores::tell_unfinished(&*store, output).await?;
    let heads = store.streams().await?;
    if heads.is_empty() {
        output.line("No streams yet. Begin with: highwater sync github issues --config owner=..,repo=..");
    }
    for head in &heads {
        output.object(&json!({ "stream": head }));
        output.line(format!(
            "{}: {}, {} deleted, {} KiB, high water {}",
            head.stream,
            counted(head.live, "record"),
            head.deleted,
            head.bytes / 1024,
            head.high_water
        ));
        for status in consumers::of_stream(&*store, &head.stream).await? {
            output.object(&consumers::object(&head.stream, &status));
            output.line(format!("  consumer {}: {}", status.name, consumers::standing(&status)));
        }
    }
    let engine = Engine::builder(Arc::clone(&store)).templates(highwater::templates::all()).build()?;
    for reader in engine.idle_readers().await? {
        output.object(&json!({ "idle_reader": reader }));
        output.note(format!("{}: no sync writes it, and its reader {} waits for ever", reader.stream, reader.name));
    }
    for connection in engine.connections().await? {
        for info in engine.templates().filter(|info| info.provider.name == connection.provider) {
            let state = engine.sync(&connection.id, info.id())?.state().await?;
            let (phase, status) = (state.phase, state.status);
            if status.last_started_at.is_none() {
                continue;
            }
            output.object(
                &json!({ "connection": connection.id, "template": info.id(), "phase": phase, "status": status }),
            );
            let outcome = match &status.last_error {
                None => "succeeded".to_owned(),
                Some(error) if status.failures <= 1 => format!("failed: {error}"),
                Some(error) => format!("failed, {} in a row: {error}", status.failures),
            };
            let ended = if phase == Phase::Ended { "; its schedule has no further slot" } else { "" };
            output.line(format!("{} {}: last run {outcome}{ended}", connection.id, info.id()));
            for (model, count) in &status.set_aside {
                output.line(format!("  {} set aside: could not be saved", counted(*count, &format!("{model} record"))));
            }
            for (model, incomplete) in &status.incomplete {
                output.line(format!("  not all of {model} was read (run {}): {}", incomplete.run, incomplete.reason));
            }
        }
    }
    store.close().await
}
