//! What a host can watch: its runs, and every change of its syncs.

use highwater_core::{ErrorKind, RunId};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::engine::Engine;
use crate::run::{RunEvent, RunState};
use crate::sync::{SyncKey, SyncStatus};

/// What changed about a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncChange {
    /// It was enabled.
    Enabled,
    /// It was disabled, or its connection was removed.
    Disabled,
    /// It was paused.
    Paused,
    /// It is no longer paused.
    Resumed,
    /// It was enabled already, and has other settings now.
    SettingsChanged,
    /// Somebody asked for a run.
    Triggered,
    /// The background work takes it up: it is time for a run.
    Due,
    /// Its run waits for its turn.
    Queued,
    /// Its run has begun.
    Started,
    /// Its run has ended, or was parked.
    Ended,
    /// Its API cannot be reached: it is tried again soon.
    Offline,
    /// Its API can be reached again.
    Online,
    /// Somebody has to do something before it can succeed, such as signing in again.
    NeedsAction,
}

/// A change of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SyncEvent {
    /// The connection.
    pub connection: String,
    /// The template, and the variant behind it.
    pub sync: String,
    /// What changed.
    pub change: SyncChange,
    /// The run that began or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// How the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// Why it failed, was stopped, or needs action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

impl SyncEvent {
    pub(crate) fn new(key: &SyncKey, change: SyncChange) -> Self {
        SyncEvent {
            connection: key.connection.clone(),
            sync: key.sync_name(),
            change,
            run: None,
            state: None,
            error_kind: None,
        }
    }
}

impl Engine {
    /// Returns a receiver of what happens in runs of this engine: how far each has come, every line of its log, its end. A
    /// receiver that falls more than 1,024 events behind loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<RunEvent> {
        self.parts().events.subscribe()
    }

    /// Returns a receiver of every change of a sync that this engine makes or notices, each once. Begin to receive, then read
    /// [`sync_states`](Engine::sync_states): nothing is missed. Changes by engines of other processes are in the state alone.
    ///
    /// An offline sync is looked at again and again; `Offline` and `Online` are told once each, and the attempts in between not
    /// at all. A receiver that falls more than 1,024 events behind loses the oldest.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) {
    /// use highwater_engine::syncs::SyncChange;
    /// let mut events = engine.sync_events();
    /// while let Ok(event) = events.recv().await {
    ///     match event.change {
    ///         SyncChange::NeedsAction => println!("{}: sign in again", event.connection),
    ///         change => println!("{} {}: {change:?}", event.connection, event.sync),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn sync_events(&self) -> broadcast::Receiver<SyncEvent> {
        self.parts().sync_events.subscribe()
    }

    pub(crate) fn publish(&self, event: RunEvent) {
        // Nobody watching is fine.
        let _ = self.parts().events.send(event);
    }

    pub(crate) fn publish_change(&self, event: SyncEvent) {
        // Nobody watching is fine.
        let _ = self.parts().sync_events.send(event);
    }

    /// Tells watchers what a new status says that the last one did not.
    pub(crate) fn publish_status(&self, key: &SyncKey, before: &SyncStatus, now: &SyncStatus) {
        match (before.offline_since, now.offline_since) {
            (None, Some(_)) => self.publish_change(SyncEvent::new(key, SyncChange::Offline)),
            (Some(_), None) => self.publish_change(SyncEvent::new(key, SyncChange::Online)),
            _ => {}
        }
        if now.needs_action() && before.last_error_kind != now.last_error_kind {
            let error_kind = now.last_error_kind;
            self.publish_change(SyncEvent { error_kind, ..SyncEvent::new(key, SyncChange::NeedsAction) });
        }
    }
}
