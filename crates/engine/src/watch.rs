//! Watching an engine, and telling those who watch.

use highwater_core::ErrorKind;
use tokio::sync::broadcast;

use crate::counters::EngineCounters;
use crate::documents::{SyncKey, SyncStatus};
use crate::engine::Engine;
use crate::events::{ConnectionEvent, IntegrationEvent, RunEvent, SyncChange, SyncEvent};

impl Engine {
    /// Returns a receiver for events of this engine's runs: their progress, every log line, their end. A receiver that falls more
    /// than 1,024 events behind loses the oldest.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) {
    /// let mut events = engine.events();
    /// while let Ok(event) = events.recv().await {
    ///     println!("{} {:?}: {} fetched", event.template, event.state, event.progress.fetched);
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> broadcast::Receiver<RunEvent> {
        self.parts().events.subscribe()
    }

    /// Returns a receiver for every change of a sync that this engine makes or notices, each once. To miss nothing, subscribe first
    /// and then read [`sync_states`](Engine::sync_states). Changes by engines of other processes appear only in the state.
    ///
    /// An offline sync is retried repeatedly; `Offline` and `Online` are sent once each, and the attempts in between are not
    /// reported. A receiver that falls more than 1,024 events behind loses the oldest.
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

    /// Returns a receiver of every change of a connection that this engine makes or notices, each once. Begin to receive, then
    /// read [`connection_states`](Engine::connection_states): nothing is missed. Changes by engines of other processes are in
    /// the state alone; webhooks tell of both. A receiver that falls more than 1,024 events behind loses the oldest.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) {
    /// let mut events = engine.connection_events();
    /// while let Ok(event) = events.recv().await {
    ///     if event.health.is_some_and(|health| health.needs_sign_in()) {
    ///         println!("{}: please sign in again", event.connection);
    ///     }
    /// }
    /// # }
    /// ```
    pub fn connection_events(&self) -> broadcast::Receiver<ConnectionEvent> {
        self.parts().connection_events.subscribe()
    }

    /// Returns a receiver of every change of an integration that this engine makes. The effect of an endpoint on each connection
    /// comes through [`sync_events`](Engine::sync_events). Changes by engines of other processes are in
    /// [`integrations`](Engine::integrations) alone. A receiver that falls more than 1,024 events behind loses the oldest.
    pub fn integration_events(&self) -> broadcast::Receiver<IntegrationEvent> {
        self.parts().integration_events.subscribe()
    }

    /// Returns what this engine has done since it was built.
    ///
    /// ```no_run
    /// # fn example(engine: highwater_engine::Engine) {
    /// let counters = engine.counters();
    /// println!("{} requests were throttled", counters.requests.get(&429).unwrap_or(&0));
    /// # }
    /// ```
    pub fn counters(&self) -> EngineCounters {
        self.parts().counting.so_far()
    }

    pub(crate) fn publish_integration(&self, event: IntegrationEvent) {
        // It is fine if there are no receivers.
        let _ = self.parts().integration_events.send(event);
    }

    pub(crate) fn publish(&self, event: RunEvent) {
        // It is fine if there are no receivers.
        let _ = self.parts().events.send(event);
    }

    pub(crate) fn publish_change(&self, event: SyncEvent) {
        if let (SyncChange::Ended, Some(state)) = (event.change, event.state) {
            let template = event.sync.split("::").next().unwrap_or_default();
            self.parts().counting.run_ended(template, state);
        }
        // It is fine if there are no receivers.
        let _ = self.parts().sync_events.send(event);
    }

    pub(crate) fn publish_connection(&self, event: ConnectionEvent) {
        // Nobody watching is fine.
        let _ = self.parts().connection_events.send(event);
    }

    /// Sends events for the differences between a new status and the last one.
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

    /// Notifies watchers that a sync cannot run before its connection has a setting.
    pub(crate) fn publish_missing_setting(&self, key: &SyncKey) {
        let error_kind = Some(ErrorKind::Invalid);
        self.publish_change(SyncEvent { error_kind, ..SyncEvent::new(key, SyncChange::NeedsAction) });
    }

    /// Notifies watchers that a run waits for a slot.
    pub(crate) fn publish_queued(&self, key: &SyncKey) {
        self.publish(RunEvent::queued(key));
        self.publish_change(SyncEvent::new(key, SyncChange::Queued));
    }
}
