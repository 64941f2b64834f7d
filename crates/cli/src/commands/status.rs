//! `highwater status`

use std::sync::Arc;

use highwater::engine::Phase;
use highwater::{ConsumerCommand, ConsumerReply, Engine, Result, Store};
use serde_json::json;

use crate::args::StoreOptions;
use crate::output::Output;
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
            "{}: {} records, {} deleted, {} KiB, high water {}",
            head.stream,
            head.live,
            head.deleted,
            head.bytes / 1024,
            head.high_water
        ));
        for name in store.consumers(&head.stream).await? {
            let reply = store.consumer(&head.stream, &name, ConsumerCommand::Status).await?;
            if let ConsumerReply::Status(status) = reply {
                output.object(
                    &json!({ "consumer": name, "stream": head.stream.to_string(), "acknowledged": status.acknowledged,
                    "lag": status.lag, "leased": status.leased, "parked": status.parked, "evicted": status.evicted,
                    "backoff_ms": status.backoff.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)) }),
                );
                let parked = match status.parked.len() {
                    0 => String::new(),
                    count => format!(", {count} records set aside"),
                };
                let backoff = status.backoff.map_or_else(String::new, |left| {
                    format!(", waits another {} s after a failure", left.as_secs() + 1)
                });
                let evicted = if status.evicted { ", evicted: it has to start over" } else { "" };
                output.line(format!("  consumer {name}: {} behind{parked}{backoff}{evicted}", status.lag));
            }
        }
    }
    let engine = Engine::builder(Arc::clone(&store)).templates(highwater::templates::all()).build()?;
    for connection in engine.connections().await? {
        for info in engine.templates().filter(|info| info.provider.name == connection.provider) {
            let state = engine.sync_state(&connection.id, &info.id()).await?;
            let (phase, status) = (state.phase, state.status);
            if status.last_started_ms.is_none() {
                continue;
            }
            output.object(
                &json!({ "connection": connection.id, "template": info.id(), "phase": phase, "status": status }),
            );
            let outcome = match &status.last_error {
                None => "well".to_owned(),
                Some(error) if status.failures <= 1 => format!("failed: {error}"),
                Some(error) => format!("failed, {} in a row: {error}", status.failures),
            };
            let ended = if phase == Phase::Ended { "; its schedule has no further slot" } else { "" };
            output.line(format!("{} {}: last run {outcome}{ended}", connection.id, info.id()));
            for (model, count) in &status.set_aside {
                output.line(format!("  {count} {model} records are set aside: they could not be saved"));
            }
            for (model, incomplete) in &status.incomplete {
                output.line(format!("  not all of {model} was read (run {}): {}", incomplete.run, incomplete.reason));
            }
        }
    }
    store.close().await
}
