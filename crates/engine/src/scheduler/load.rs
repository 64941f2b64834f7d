//! Loads syncs from the store, and the changes by other processes.

use highwater_core::Result;

use super::{LOOK, Scheduler};
use crate::documents::{CHANGES_KEY, Changes, SyncKey, SyncSettings, SyncStatus};

impl Scheduler {
    /// Reads every enabled sync, once.
    pub(super) async fn load(&mut self) -> Result<()> {
        self.seen_changes = self.changes().await?.count;
        for settings in self.engine.enabled_syncs().await? {
            let key = settings.key()?;
            self.place(&key, settings).await?;
        }
        for reader in self.engine.idle_readers().await? {
            let (stream, reader) = (reader.stream, reader.name);
            tracing::warn!(target: "highwater::schedule", %stream, %reader, "no sync writes the stream: its reader waits forever");
        }
        Ok(())
    }

    /// Puts a sync into the schedule.
    pub(super) async fn place(&mut self, key: &SyncKey, settings: SyncSettings) -> Result<()> {
        let store = self.engine.store();
        let status = store.document(&key.status_key()).await?;
        let status: SyncStatus = status.map(|stored| stored.to()).transpose()?.unwrap_or_default();
        let triggered = store.document(&key.trigger_key()).await?.is_some();
        let now = self.now();
        if status.offline_since.is_some() {
            self.offline.insert(key.clone());
        } else {
            self.offline.remove(key);
        }
        if triggered {
            self.due.set(key, now);
        } else if settings.paused {
            self.due.remove(key);
        } else {
            match settings.schedule.due(&status, now)? {
                Some(at) => self.due.set(key, at),
                None => self.due.remove(key),
            }
        }
        self.schedules.insert(key.clone(), settings);
        Ok(())
    }

    /// Reads one sync again.
    pub(super) async fn reload(&mut self, key: &SyncKey) {
        if self.running.contains(key) {
            self.changed.insert(key.clone());
            return;
        }
        let outcome = async {
            match self.engine.store().document(&key.settings_key()).await? {
                Some(stored) => self.place(key, stored.to()?).await,
                None => {
                    self.due.remove(key);
                    self.offline.remove(key);
                    self.schedules.remove(key);
                    Ok(())
                }
            }
        };
        if let Err(error) = outcome.await {
            tracing::warn!(target: "highwater::schedule", sync = %key, "{error}");
            let at = self.now() + LOOK;
            self.due.set(key, at);
        }
    }

    pub(super) async fn reload_all(&mut self) {
        let known: Vec<SyncKey> = self.schedules.keys().cloned().collect();
        for key in known {
            self.reload(&key).await;
        }
        if let Err(error) = self.load().await {
            tracing::warn!(target: "highwater::schedule", "{error}");
        }
    }

    async fn changes(&self) -> Result<Changes> {
        let stored = self.engine.store().document(CHANGES_KEY).await?;
        Ok(stored.map(|stored| stored.to()).transpose()?.unwrap_or_default())
    }

    /// The changes by other processes since the last check: one small document.
    pub(super) async fn look_at_others(&mut self) {
        let changes = match self.changes().await {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!(target: "highwater::schedule", "{error}");
                return;
            }
        };
        let seen = std::mem::replace(&mut self.seen_changes, changes.count);
        if changes.count == seen {
            return;
        }
        if changes.recent.first().is_none_or(|(first, _)| *first > seen + 1)
            && changes.count - seen > changes.recent.len() as u64
        {
            self.reload_all().await;
            return;
        }
        for (_, path) in changes.recent.iter().filter(|(count, _)| *count > seen) {
            if let Ok(key) = SyncKey::from_path(path) {
                self.reload(&key).await;
            }
        }
    }
}
