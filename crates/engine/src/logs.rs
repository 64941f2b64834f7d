//! Runs and their log lines in the store: their keys, how to find them, and when they are removed.
//!
//! A run's report is stored under its sync, newest first, and a pointer to it in the order of time. Lines
//! are packed: the lines of one commit are one document, written with that commit.

mod filter;
mod find;
mod lines;
mod traces;

pub use filter::LogFilter;
pub use find::{LinePage, RunLine, RunPage};
pub(crate) use lines::Lines;
pub(crate) use traces::Trace;

pub use crate::documents::LogLine;
pub use crate::log_policy::LogPolicy;

use highwater_core::{Maintenance, MaintenanceReport, Result, RunId, Store, Timestamp, WriteBatch};

use crate::documents::{RunMode, RunReport, SyncKey};
use crate::engine::Engine;

/// Documents read at a time.
const PAGE: usize = 200;

/// Documents removed in one commit.
const SWEEP: usize = 500;

const POINTERS: &str = "op/";

impl Engine {
    /// Removes runs that the policy no longer keeps, and returns how many. The background work calls it once a day.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn sweep_logs(&self) -> Result<u64> {
        let oldest = self.believed_time().await? - self.parts().logs.max_age;
        let after = pointer_key(RunId::new(oldest, 0));
        let mut removed = 0;
        loop {
            let old = self.store().documents(POINTERS, &after, SWEEP).await?;
            if old.is_empty() {
                return Ok(removed);
            }
            let mut batch = WriteBatch::new();
            for pointer in &old {
                let Some(id) = id_of(&pointer.key) else { continue };
                let path: String = pointer.value.to()?;
                remove_run(self.store().as_ref(), &mut batch, &SyncKey::from_path(&path)?, id).await?;
                removed += 1;
            }
            self.store().commit(batch).await?;
        }
    }

    /// The clock's time if it is plausible, otherwise the time of the log's last position: by a clock that jumped everything would
    /// be old.
    async fn believed_time(&self) -> Result<Timestamp> {
        let now = self.parts().environment.now();
        match self.store().maintain(Maintenance::CheckClock).await? {
            MaintenanceReport::Clock(health) if health.implausible => {
                Ok(health.last_position_at.unwrap_or_default().min(now))
            }
            _ => Ok(now),
        }
    }
}

/// The keys of a run's documents, so that later runs come first.
fn backwards(id: RunId) -> String {
    format!("{:032x}", !id.as_u128())
}

fn id_of(key: &str) -> Option<RunId> {
    let digits = key.rsplit('/').next()?;
    u128::from_str_radix(digits, 16).ok().map(|number| RunId::from_u128(!number))
}

fn pointer_key(id: RunId) -> String {
    format!("{POINTERS}{}", backwards(id))
}

fn run_key(key: &SyncKey, id: RunId) -> String {
    format!("{}{}", key.runs_prefix(), backwards(id))
}

fn lines_prefix(id: RunId) -> String {
    format!("log/{}/", backwards(id))
}

/// Stores a report, and makes it findable by time.
pub(crate) fn put_run(batch: &mut WriteBatch, key: &SyncKey, report: &RunReport, new: bool) -> Result<()> {
    let id = report.id;
    batch.put_document(run_key(key, id), report)?;
    if new {
        batch.put_document(pointer_key(id), &key.path())?;
    }
    Ok(())
}

/// Stores lines: number `chunk` of the run's attempt.
pub(crate) fn put_lines(batch: &mut WriteBatch, id: RunId, attempt: u32, chunk: u32, lines: &[LogLine]) -> Result<()> {
    batch.put_document(format!("{}{attempt:04}-{chunk:06}", lines_prefix(id)), lines).map(drop)
}

pub(crate) async fn read_run(store: &dyn Store, key: &SyncKey, id: RunId) -> Result<Option<RunReport>> {
    store.document(&run_key(key, id)).await?.map(|document| document.to()).transpose()
}

pub(crate) async fn find_run(store: &dyn Store, id: RunId) -> Result<Option<RunReport>> {
    let Some(path) = store.document(&pointer_key(id)).await? else { return Ok(None) };
    read_run(store, &SyncKey::from_path(&path.to::<String>()?)?, id).await
}

async fn lines_of(store: &dyn Store, id: RunId) -> Result<Vec<LogLine>> {
    let (prefix, mut after, mut lines) = (lines_prefix(id), String::new(), Vec::new());
    loop {
        let page = store.documents(&prefix, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(lines) };
        after.clone_from(&last.key);
        for document in &page {
            lines.extend(document.value.to::<Vec<LogLine>>()?);
        }
    }
}

/// Removes a run with its lines and its trace.
pub(crate) async fn remove_run(store: &dyn Store, batch: &mut WriteBatch, key: &SyncKey, id: RunId) -> Result<()> {
    batch.remove_document(run_key(key, id)).remove_document(pointer_key(id));
    for prefix in [traces::traces_prefix(id), lines_prefix(id)] {
        let mut after = String::new();
        loop {
            let page = store.documents(&prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.key);
            for document in page {
                batch.remove_document(document.key);
            }
        }
    }
    Ok(())
}

/// Removes the runs of a sync beyond the policy's count and age. Webhooks, actions and requests are counted separately, so that
/// many of them displace no run.
pub(crate) async fn prune_runs(engine: &Engine, batch: &mut WriteBatch, key: &SyncKey, coming: usize) -> Result<()> {
    let (store, policy) = (engine.store().as_ref(), engine.parts().logs);
    let mut oldest = engine.parts().environment.now() - policy.max_age;
    let kept = store.documents(&key.runs_prefix(), "", 2 * policy.runs_per_sync + 20).await?;
    // The clock is checked only if something would be removed by age.
    if kept.last().and_then(|oldest| id_of(&oldest.key)).is_some_and(|last| last.time() < oldest) {
        oldest = engine.believed_time().await? - policy.max_age;
    }
    let (mut runs, mut others) = (0, coming);
    for document in &kept {
        let Some(id) = id_of(&document.key) else { continue };
        let report: RunReport = document.value.to()?;
        let is_run = matches!(report.mode, RunMode::Initial | RunMode::Incremental);
        let count = if is_run { &mut runs } else { &mut others };
        *count += 1;
        if *count > policy.runs_per_sync || id.time() < oldest {
            remove_run(store, batch, key, id).await?;
        }
    }
    Ok(())
}
