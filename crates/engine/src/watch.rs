//! Watching an engine, and telling those who watch.

use tokio::sync::broadcast;

use crate::documents::{SyncKey, SyncStatus};
use crate::engine::Engine;
use crate::events::{RunEvent, SyncChange, SyncEvent};

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

    /// Tells watchers that a run waits for its place.
    pub(crate) fn publish_queued(&self, key: &SyncKey) {
        self.publish(RunEvent::queued(key));
        self.publish_change(SyncEvent::new(key, SyncChange::Queued));
    }
}
