//! What an endpoint that is on means for one connection: the settings of its sync.

use std::time::Duration;

use highwater_core::{Result, Timestamp};

use crate::documents::ConnectionSettings;
use crate::documents::{MOST_SPREAD, SyncKey, SyncOptions, SyncOrigin, SyncSettings, SyncStatus};
use crate::engine::Engine;
use crate::walk::Walk;

/// The first runs of so many connections begin this far from each other, on average.
const APART: Duration = Duration::from_millis(20);

/// The settings that an endpoint's options mean for a connection. Whoever puts options into an integration puts their schedule.
pub(super) fn settings_of(key: &SyncKey, options: &SyncOptions) -> SyncSettings {
    SyncSettings {
        connection: key.connection.clone(),
        template: key.template.clone(),
        variant: key.variant.clone(),
        schedule: options.schedule.clone().unwrap_or_else(|| MOST_SPREAD.into()),
        jitter: options.jitter,
        paused: !options.auto_start,
        deletes: options.deletes,
        timeout: options.timeout,
        origin: SyncOrigin::Integration,
        first_due_at: None,
    }
}

/// How far the first runs of a number of connections are spread, so that they do not begin at once.
pub(super) fn spread_of(connections: usize) -> Duration {
    let others = u32::try_from(connections.saturating_sub(1)).unwrap_or(u32::MAX);
    APART.saturating_mul(others).min(MOST_SPREAD)
}

/// When the first run under new settings is due: a sync that has run keeps its rhythm, all others begin within the spread.
pub(super) fn first_due(
    engine: &Engine,
    settings: &SyncSettings,
    status: &SyncStatus,
    spread: Duration,
    now: Timestamp,
) -> Result<Timestamp> {
    let first = settings.schedule.first(now)?;
    let jitter = engine.random_below(settings.jitter);
    let started = status.last_started_at.filter(|_| status.last_success_at.is_some());
    let next = started.map(|started| settings.schedule.next(started, now)).transpose()?.flatten();
    Ok(match next.filter(|next| *next > now) {
        Some(next) => next + jitter,
        None => first + jitter.max(engine.random_below(spread)),
    })
}

impl Engine {
    /// The connections of an integration, each as it says itself.
    pub(super) async fn members(&self, key: &str) -> Result<Vec<ConnectionSettings>> {
        self.each_member(key, |connection| connection).await
    }

    /// The ids of an integration's connections: of many, the settings would take most of the memory.
    pub(super) async fn member_ids(&self, key: &str) -> Result<Vec<String>> {
        self.each_member(key, |connection| connection.id).await
    }

    async fn each_member<T>(&self, key: &str, keep: impl Fn(ConnectionSettings) -> T) -> Result<Vec<T>> {
        let (mut connections, mut found) = (Walk::new(self.store().as_ref(), "connection/"), Vec::new());
        while let Some(document) = connections.next().await? {
            let connection: ConnectionSettings = document.value.to()?;
            if connection.integration.as_deref() == Some(key) {
                found.push(keep(connection));
            }
        }
        Ok(found)
    }
}
