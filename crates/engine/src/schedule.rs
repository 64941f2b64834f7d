//! The background: each enabled sync at its interval.

use std::collections::HashSet;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::run::RunOptions;
use crate::settings::{SyncSettings, SyncStatus};

/// How often the list of syncs is looked at, at least: others may change it.
const LOOK: Duration = Duration::from_secs(1);

/// An engine at work in the background.
#[derive(Debug)]
#[must_use = "dropping it stops the background work"]
pub struct Running {
    cancel: CancelToken,
    task: Option<JoinHandle<()>>,
}

impl Running {
    /// Asks every run to stop and waits for them. What was saved stays.
    pub async fn shutdown(mut self, timeout: Duration) -> Result<()> {
        self.cancel.cancel();
        let Some(task) = self.task.take() else { return Ok(()) };
        match tokio::time::timeout(timeout, task).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::Busy,
                "a run did not stop in time; it commits nothing more once the store closes",
            )),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Engine {
    /// Begins to run the enabled syncs, on the given runtime, until the returned value is dropped or
    /// shut down. Missed times collapse into one run; a sync that fails waits longer each time.
    pub fn start(&self, runtime: &Handle) -> Running {
        let cancel = CancelToken::new();
        let task = runtime.spawn(work(self.clone(), cancel.clone()));
        Running { cancel, task: Some(task) }
    }
}

async fn work(engine: Engine, cancel: CancelToken) {
    let mut runs: JoinSet<(String, String)> = JoinSet::new();
    let mut running = HashSet::new();
    while !cancel.is_cancelled() {
        // A store that cannot be read now may be readable later; the runs themselves report errors.
        let pause = match begin_due(&engine, &cancel, &mut runs, &mut running).await {
            Ok(pause) => pause.min(LOOK),
            Err(error) => {
                tracing::warn!(target: "highwater::schedule", "{error}");
                LOOK
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            Some(ended) = runs.join_next() => {
                if let Ok(key) = ended {
                    running.remove(&key);
                }
            }
        }
    }
    while runs.join_next().await.is_some() {}
}

/// Begins the runs that are due; returns the time until the next one is.
async fn begin_due(
    engine: &Engine,
    cancel: &CancelToken,
    runs: &mut JoinSet<(String, String)>,
    running: &mut HashSet<(String, String)>,
) -> Result<Duration> {
    let mut pause = LOOK;
    for sync in engine.enabled().await? {
        let key = (sync.connection.clone(), sync.template.clone());
        if running.contains(&key) {
            continue;
        }
        let status = engine.status(&sync.connection, &sync.template).await?;
        let now_ms = engine.parts().environment.now_ms();
        let due_ms = due(&sync, &status);
        if due_ms > now_ms {
            pause = pause.min(Duration::from_millis(due_ms - now_ms));
            continue;
        }
        running.insert(key.clone());
        let (engine, options) = (engine.clone(), RunOptions::default().cancel(cancel.clone()));
        runs.spawn(async move {
            // The run's own record tells how it went.
            let _ = engine.run_once(&key.0, &key.1, options).await;
            key
        });
    }
    Ok(pause)
}

/// When the next run is due: one interval after the last began, not before a pause is over.
fn due(sync: &SyncSettings, status: &SyncStatus) -> u64 {
    let next = status.last_started_ms.map_or(0, |started| started.saturating_add(sync.interval_ms));
    next.max(status.not_before_ms.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_times_collapse_and_pauses_hold() {
        let sync: SyncSettings =
            serde_json::from_str(r#"{"connection":"c","template":"p/t","interval_ms":1000}"#).unwrap();
        assert_eq!(due(&sync, &SyncStatus::default()), 0);
        let ran = SyncStatus { last_started_ms: Some(5000), ..SyncStatus::default() };
        assert_eq!(due(&sync, &ran), 6000);
        let paused = SyncStatus { not_before_ms: Some(90_000), ..ran };
        assert_eq!(due(&sync, &paused), 90_000);
    }
}
