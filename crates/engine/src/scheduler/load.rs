//! Loads syncs from the store, and the changes by other processes.

use std::collections::BTreeSet;

use highwater_core::{Json, Result};

use super::{LOOK, Scheduler};
use crate::documents::{CHANGES_KEY, Changes, SyncKey, SyncSettings, SyncStatus};
use crate::walk::Walk;

impl Scheduler {
    /// Reads every enabled sync, once.
    pub(super) async fn load(&mut self) -> Result<()> {
        self.read_all().await?;
        for reader in self.engine.idle_readers().await? {
            let (stream, reader) = (reader.stream, reader.name);
            tracing::warn!(target: "highwater::schedule", %stream, %reader, "no sync writes the stream: its reader waits forever");
        }
        Ok(())
    }

    /// Reads every enabled sync, page by page, and drops from the schedule what is enabled no more.
    async fn read_all(&mut self) -> Result<()> {
        self.seen_changes = self.changes().await?.count;
        let engine = self.engine.clone();
        let store = engine.store().as_ref();
        let (mut enabled, mut statuses, mut triggers) =
            (Walk::new(store, "sync/"), Walk::new(store, "status/"), Walk::new(store, "trigger/"));
        let mut gone: BTreeSet<SyncKey> = self.schedules.keys().cloned().collect();
        while let Some(document) = enabled.next().await? {
            let settings: SyncSettings = document.value.to()?;
            let key = settings.key()?;
            gone.remove(&key);
            let (status, trigger) = (statuses.find(&key.path()).await?, triggers.find(&key.path()).await?);
            if self.running.contains(&key) {
                self.changed.insert(key);
            } else {
                self.place(&key, settings, status.as_ref(), trigger.is_some())?;
            }
        }
        gone.iter().for_each(|key| self.drop_sync(key));
        Ok(())
    }

    fn drop_sync(&mut self, key: &SyncKey) {
        if self.running.contains(key) {
            self.changed.insert(key.clone());
            return;
        }
        self.due.remove(key);
        self.offline.remove(key);
        self.schedules.remove(key);
    }

    /// Puts a sync into the schedule.
    fn place(&mut self, key: &SyncKey, settings: SyncSettings, status: Option<&Json>, triggered: bool) -> Result<()> {
        let status: SyncStatus = status.map(Json::to).transpose()?.unwrap_or_default();
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
            match settings.due(&status, now)? {
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
            let store = self.engine.store();
            let Some(settings) = store.document(&key.settings_key()).await? else {
                self.drop_sync(key);
                return Ok(());
            };
            let status = store.document(&key.status_key()).await?;
            let triggered = store.document(&key.trigger_key()).await?.is_some();
            self.place(key, settings.to()?, status.as_ref(), triggered)
        };
        if let Err(error) = outcome.await {
            tracing::warn!(target: "highwater::schedule", sync = %key, "{error}");
            let at = self.now() + LOOK;
            self.due.set(key, at);
        }
    }

    /// Tries a connection's syncs that failed for want of a sign-in, now that this engine has other credentials.
    pub(super) async fn try_again(&mut self, connection: &str) {
        let of_it = self.schedules.iter().filter(|(key, _)| key.connection == connection);
        let keys: Vec<(SyncKey, bool)> = of_it.map(|(key, settings)| (key.clone(), settings.paused)).collect();
        for (key, paused) in keys {
            self.reload(&key).await;
            let status = self.engine.store().document(&key.status_key()).await;
            let status = status.and_then(|status| status.map(|stored| stored.to::<SyncStatus>()).transpose());
            let failed = status.is_ok_and(|status| status.is_some_and(|status| status.lacks_sign_in()));
            if failed && !paused && !self.running.contains(&key) {
                let now = self.now();
                self.due.set(&key, now);
                self.early.insert(key);
            }
        }
    }

    pub(super) async fn reload_all(&mut self) {
        if let Err(error) = self.read_all().await {
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
