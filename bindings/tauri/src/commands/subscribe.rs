//! Subscriptions of a window.

use std::sync::Arc;

use highwater::{Engine, Result};
use serde::Serialize;
use tauri::ipc::{Channel, InvokeResponseBody};
use tauri::{Runtime, Webview};
use tokio::sync::broadcast::error::RecvError;

use super::read::{PageArguments, Reading};
use super::{Answer, answer, done, opened};
use crate::subscriptions::{Outlet, follow};

/// How many messages are on their way to a window at most.
const IN_FLIGHT: usize = 2;

/// Sends the pages of a stream from a cursor on, and then each change. Returns the subscription's number.
#[tauri::command]
pub(crate) async fn subscribe<R: Runtime>(
    webview: Webview<R>,
    request: PageArguments,
    channel: Channel<InvokeResponseBody>,
) -> Answer {
    let highwater = opened(&webview)?;
    let (store, reading) = (Arc::clone(highwater.store()), Reading::try_from(request)?);
    let id = highwater.subscriptions().begin(webview.label(), channel, IN_FLIGHT, |outlet| {
        follow(store, move |store| reading.records(store), outlet)
    })?;
    answer(&id)
}

/// Sends what happens to syncs, runs, connections and integrations, from now on. Returns the subscription's number.
#[tauri::command]
pub(crate) async fn watch<R: Runtime>(webview: Webview<R>, channel: Channel<InvokeResponseBody>) -> Answer {
    let highwater = opened(&webview)?;
    let engine = highwater.engine().clone();
    let id = highwater.subscriptions().begin(webview.label(), channel, IN_FLIGHT, |outlet| events(engine, outlet))?;
    answer(&id)
}

/// Says that a message was handled, so that the next one is sent.
#[tauri::command]
pub(crate) async fn acknowledge<R: Runtime>(webview: Webview<R>, subscription: u32) -> Answer {
    opened(&webview)?.subscriptions().acknowledge(webview.label(), subscription, IN_FLIGHT);
    done()
}

#[tauri::command]
pub(crate) async fn unsubscribe<R: Runtime>(webview: Webview<R>, subscription: u32) -> Answer {
    answer(&opened(&webview)?.subscriptions().end(webview.label(), subscription))
}

/// An event, or the note that some were missed.
#[derive(Serialize)]
struct Event<T> {
    about: &'static str,
    #[serde(flatten)]
    event: T,
}

#[derive(Serialize)]
struct Missed {
    events: u64,
}

async fn events(engine: Engine, outlet: Outlet) -> Result<()> {
    let (mut syncs, mut runs) = (engine.sync_events(), engine.events());
    let (mut connections, mut integrations) = (engine.connection_events(), engine.integration_events());
    loop {
        outlet.ready().await?;
        let missed = tokio::select! {
            event = syncs.recv() => pass(&outlet, "sync", event)?,
            event = runs.recv() => pass(&outlet, "run", event)?,
            event = connections.recv() => pass(&outlet, "connection", event)?,
            event = integrations.recv() => pass(&outlet, "integration", event)?,
        };
        match missed {
            Passed::Sent => {}
            Passed::Missed(events) => outlet.send("event", &Event { about: "missed", event: Missed { events } })?,
            Passed::Ended => return Ok(()),
        }
    }
}

enum Passed {
    Sent,
    /// The window was slower than the engine.
    Missed(u64),
    Ended,
}

fn pass<T: Serialize>(
    outlet: &Outlet,
    about: &'static str,
    event: std::result::Result<T, RecvError>,
) -> Result<Passed> {
    match event {
        Ok(event) => outlet.send("event", &Event { about, event }).map(|()| Passed::Sent),
        Err(RecvError::Lagged(events)) => Ok(Passed::Missed(events)),
        Err(RecvError::Closed) => Ok(Passed::Ended),
    }
}
