//! A run's turn: a sync runs once at a time, when there is a place for it.

use std::sync::Arc;

use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};

use super::{Outcome, Run, RunOptions};
use crate::cancel::CancelToken;
use crate::documents::{RunReport, SyncKey};
use crate::engine::Engine;
use crate::errors::busy;
use crate::sync::SyncHandle;

impl Engine {
    /// Runs a sync once, if this engine is not already running it.
    pub(crate) async fn run_sync(&self, key: &SyncKey, options: RunOptions) -> Result<Option<Outcome>> {
        let template = Arc::clone(self.template(&key.template)?);
        let connection = self.connection(&key.connection).await?;
        if options.scheduled && !connection.missing(&template.info().config).is_empty() {
            self.publish_missing_setting(key);
            return Ok(Some(Outcome::NotWanted));
        }
        let Some(active) = Active::begin(self, key) else { return Ok(None) };
        let place = match self.parts().slots.try_enter(key.provider()) {
            Some(place) => place,
            None => {
                self.publish_queued(key);
                let _queued = Queued::begin(self, key);
                tokio::select! {
                    biased;
                    () = options.cancel.cancelled() => return Err(cancelled_in_queue()),
                    () = active.stop.cancelled() => return Err(cancelled_in_queue()),
                    place = self.parts().slots.enter(key.provider()) => place?,
                }
            }
        };
        let run = Run { engine: self, key, connection, template, options, stop: active.stop.clone() };
        let outcome = run.execute().await;
        drop(place);
        outcome.map(Some)
    }
}

impl SyncHandle {
    /// Runs the sync now, as soon as a slot is free, and returns its report. The sync need not be enabled.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::RunOptions;
    /// let report = engine.sync("main", "github/issues")?.run_once(RunOptions::default().full(true)).await?;
    /// println!("{} added", report.progress.counts.added);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The reason why the run failed, which its stored report contains too. [`ErrorKind::Busy`] while a run of this sync
    /// is in progress, [`ErrorKind::NotFound`] for an unknown connection or template, [`ErrorKind::Cancelled`] and
    /// [`ErrorKind::TimedOut`] for a run that was stopped, [`ErrorKind::AwaitingApproval`] for one whose deletes wait for
    /// [`Engine::approve`].
    pub async fn run_once(&self, options: RunOptions) -> Result<RunReport> {
        match self.engine.run_sync(&self.key, RunOptions { scheduled: false, ..options }).await? {
            Some(Outcome::Ran(outcome)) => outcome.map(|report| *report),
            Some(Outcome::NotDue(_) | Outcome::NotWanted) | None => Err(busy(&self.key)),
        }
    }
}

/// A sync's entry among those that are running; released when dropped.
struct Active<'e> {
    engine: &'e Engine,
    key: &'e SyncKey,
    stop: CancelToken,
}

impl<'e> Active<'e> {
    fn begin(engine: &'e Engine, key: &'e SyncKey) -> Option<Self> {
        let stop = CancelToken::new();
        let mut running = lock(&engine.parts().running);
        if running.contains_key(key) {
            return None;
        }
        running.insert(key.clone(), stop.clone());
        Some(Active { engine, key, stop })
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        lock(&self.engine.parts().running).remove(self.key);
        self.engine.parts().ended.notify_waiters();
    }
}

/// A sync that waits for a slot.
struct Queued<'e>(&'e Engine, &'e SyncKey);

impl<'e> Queued<'e> {
    fn begin(engine: &'e Engine, key: &'e SyncKey) -> Self {
        lock(&engine.parts().queued).insert(key.clone());
        Queued(engine, key)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        lock(&self.0.parts().queued).remove(self.1);
    }
}

fn cancelled_in_queue() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was cancelled before it began")
}

#[cfg(test)]
mod tests {
    use highwater_core::{MemoryStore, Store};

    use super::*;

    #[tokio::test]
    async fn those_who_wait_for_a_run_go_on_in_their_order() {
        let engine = Engine::builder(Arc::new(MemoryStore::new().unwrap()) as Arc<dyn Store>).build().unwrap();
        let key = SyncKey::new("c", "acme/items").unwrap();
        for _ in 0..10 {
            let active = Active::begin(&engine, &key).unwrap();
            let order = Arc::new(std::sync::Mutex::new(Vec::new()));
            let mut waiting = tokio::task::JoinSet::new();
            for number in 0..8 {
                let (engine, key, order) = (engine.clone(), key.clone(), Arc::clone(&order));
                waiting.spawn(async move {
                    engine.until_idle(&key).await;
                    lock(&order).push(number);
                });
            }
            tokio::task::yield_now().await;
            assert!(lock(&order).is_empty());
            drop(active);
            while waiting.join_next().await.is_some() {}
            assert_eq!(*lock(&order), (0..8).collect::<Vec<_>>());
        }
    }
}
