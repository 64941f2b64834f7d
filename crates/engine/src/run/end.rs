//! The end of a run: deletes, checkpoint, report, status and lease in one commit (P27).

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Json, Result, Timestamp, WriteBatch};
use highwater_template::LogLevel;

use super::begin::Begun;
use super::host::Host;
use crate::documents::{
    CountsBeforeDeletes, IncompleteModel, OpenRefresh, RunMode, RunReport, RunState, SyncKey, SyncSettings, SyncStatus,
};
use crate::engine::Engine;
use crate::logs;

/// The first retry after the API was unreachable, and the longest time between two.
const PROBE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Ends a run according to its outcome; returns the caller's result.
pub(super) async fn finish(engine: &Engine, begun: &Begun, host: &Host<'_>, outcome: Result<()>) -> Result<RunReport> {
    let error = match outcome {
        Ok(()) => match succeed(engine, begun, host).await {
            Ok(report) => return Ok(report),
            Err(error) => error,
        },
        Err(error) => error,
    };
    match fail(engine, begun, host, &error).await {
        Ok(()) => Err(error),
        // Another holder may write now. If it stopped the run on purpose, its record says so.
        Err(fenced) if fenced.kind() == ErrorKind::Fenced => {
            engine.end_fenced_off(host.key, host.run).await?;
            let stored = logs::read_run(host.store(), host.key, host.run).await?;
            match stored.filter(|report| report.state == RunState::Cancelled) {
                Some(report) => {
                    host.change_report(|own| *own = report);
                    host.tell(None);
                    Err(Error::new(ErrorKind::Cancelled, "the sync was paused or disabled: the run stopped")
                        .with("connection", &host.key.connection)
                        .with("sync", host.key.sync_name()))
                }
                None => {
                    host.tell_end();
                    Err(fenced)
                }
            }
        }
        Err(other) => {
            host.tell_end();
            Err(if error.kind() == ErrorKind::Cancelled { error } else { other })
        }
    }
}

async fn succeed(engine: &Engine, begun: &Begun, host: &Host<'_>) -> Result<RunReport> {
    let settlement = host.take_settlement();
    let now = host.now();
    let before = CountsBeforeDeletes::of(&host.report());
    let expected = settlement.models.iter().map(|settled| (settled.model.as_str(), settled.deletes));
    host.change_report(|report| {
        report.set_final_deletes(&before, expected);
        report.succeed(now);
    });
    let mut report = host.report();
    let commit = {
        let stale = host.forget_older(settlement.models.iter().map(|settled| settled.model.as_str()));
        let (mut batch, status) = ending(engine, begun, host, &report, None, now).await?;
        for key in stale {
            batch.remove_document(key);
        }
        promote_checkpoint(host, &host.open(), &mut batch)?;
        settlement.write(host, &mut batch)?;
        host.conclude(&report, None, &mut batch)?;
        host.write(batch).await.map(|commit| (commit, status))
    };
    let (commit, status) = match commit {
        Ok(written) => written,
        Err(error) => {
            // The commit failed: the report is reset to the running state.
            host.change_report(|report| {
                report.state = RunState::Running;
                report.ended_at = None;
                if error.kind() == ErrorKind::AwaitingApproval {
                    report.held = settlement.held();
                }
                report.set_final_deletes(&before, None);
            });
            return Err(error);
        }
    };
    if report.correct_final_deletes(&before, &commit.streams) {
        // Another writer wrote between the count and the deletes.
        let mut batch = WriteBatch::new();
        logs::put_run(&mut batch, host.key, &report, false)?;
        engine.store().commit(batch).await?;
        host.change_report(|own| *own = report.clone());
    }
    host.tell_now().await;
    host.tell(None);
    engine.publish_status(host.key, &begun.run.status, &status);
    Ok(report)
}

async fn fail(engine: &Engine, begun: &Begun, host: &Host<'_>, error: &Error) -> Result<()> {
    let now = host.now();
    host.change_report(|report| report.fail(error, now));
    let level = if error.kind() == ErrorKind::Cancelled { LogLevel::Info } else { LogLevel::Error };
    if error.kind() != ErrorKind::Unavailable || begun.run.status.offline_since.is_none() {
        // The event about the run's end reports it to watchers.
        host.note(level, &error.to_string());
    }
    let report = host.report();
    let (mut batch, status) = ending(engine, begun, host, &report, Some(error), now).await?;
    if host.full {
        let mut open = OpenRefresh { progress: report.progress, ..host.open() };
        if error.kind() == ErrorKind::Fenced {
            // The run is no longer open in its stream: it can only start over.
            (open.checkpoint, open.complete) = (None, Default::default());
        }
        batch.put_document(host.key.open_key(), &open)?;
    }
    if report.state == RunState::AwaitingApproval {
        // Everything was read and saved; only the deletes wait.
        promote_checkpoint(host, &host.open(), &mut batch)?;
    }
    let nothing_came = report.progress.pages == 0 && report.resumed == 0;
    if error.kind() == ErrorKind::Unavailable && begun.run.status.offline_since.is_some() && nothing_came {
        // Offline is a state: repeated probes leave one record, not many.
        logs::remove_run(host.store(), &mut batch, host.key, host.run).await?;
        host.forget_trace(&mut batch);
    }
    let still_offline = begun.run.status.offline_since.is_some() && error.kind() == ErrorKind::Unavailable;
    if !still_offline {
        host.conclude(&report, Some(error), &mut batch)?;
    }
    host.write(batch).await?;
    host.tell_now().await;
    if !(still_offline && nothing_came) {
        host.tell(None);
    }
    engine.publish_status(host.key, &begun.run.status, &status);
    Ok(())
}

/// The common end of every run: report, status, release of the lease, removal of old runs. Returns the new status too.
async fn ending(
    engine: &Engine,
    begun: &Begun,
    host: &Host<'_>,
    report: &RunReport,
    error: Option<&Error>,
    now: Timestamp,
) -> Result<(WriteBatch, SyncStatus)> {
    let key = host.key;
    let mut status = begun.run.status.clone();
    status.current_run = None;
    status.last_run = Some(report.id);
    let settings: Option<SyncSettings> =
        engine.store().document(&key.settings_key()).await?.map(|stored| stored.to()).transpose()?;
    next_due(engine, &mut status, settings.as_ref(), report, error, now);
    if begun.interrupted && settings.is_some() {
        // The engine stopped, not the run: it continues when the engine starts again.
        status.next_due_at = Some(now);
    }
    if report.state == RunState::AwaitingApproval {
        status.parked_run = Some(report.id);
    }
    if let Some(kept) = host.kept_aside() {
        status.set_aside = kept;
    }
    note_incomplete(&mut status, report);
    let mut batch = host.batch();
    logs::put_run(&mut batch, key, report, false)?;
    host.put_trace(&mut batch)?;
    batch.put_document(key.status_key(), &status)?;
    batch.remove_document(key.holder_key());
    logs::prune_runs(engine, &mut batch, key, 0).await?;
    Ok((batch, status))
}

/// Gaps stay recorded until a run has read them: after a refresh, only another refresh does.
fn note_incomplete(status: &mut SyncStatus, report: &RunReport) {
    let full = report.mode == RunMode::Initial;
    if matches!(report.state, RunState::Success | RunState::AwaitingApproval) {
        status.incomplete.retain(|_, known| known.full && !full);
    }
    for (model, reason) in &report.incomplete {
        let noted = IncompleteModel { reason: reason.clone(), run: report.id, full };
        match status.incomplete.get_mut(model) {
            Some(known) if known.full && !full => {}
            _ => drop(status.incomplete.insert(model.clone(), noted)),
        }
    }
}

/// The checkpoint that the next run continues from, if the run has one.
fn promote_checkpoint(host: &Host<'_>, open: &OpenRefresh, batch: &mut WriteBatch) -> Result<()> {
    // An incomplete refresh has gaps before its own checkpoint.
    if let Some(checkpoint) = open.checkpoint.as_ref().filter(|_| !(host.full && open.again)) {
        // Null means that there is no checkpoint: the next run reads everything.
        if checkpoint.get() == "null" {
            batch.remove_document(host.key.checkpoint_key());
        } else {
            batch.put_document(host.key.checkpoint_key(), &**checkpoint)?;
        }
    }
    if host.full {
        batch.remove_document(host.key.open_key());
    }
    Ok(())
}

/// How the run's end changes the sync's status, and when the next run is due.
fn next_due(
    engine: &Engine,
    status: &mut SyncStatus,
    settings: Option<&SyncSettings>,
    report: &RunReport,
    error: Option<&Error>,
    now: Timestamp,
) {
    status.last_error.clone_from(&report.error);
    status.last_error_kind = report.error_kind;
    status.not_before = None;
    let started = status.last_started_at.unwrap_or(now);
    let slot = settings.and_then(|settings| {
        let jitter = engine.random_below(settings.jitter);
        settings.schedule.next(started, now).ok().flatten().map(|next| next + jitter)
    });
    let offline = error.is_some_and(|error| error.kind() == ErrorKind::Unavailable);
    if !offline {
        (status.offline_since, status.offline_tries) = (None, 0);
    }
    let Some(error) = error else {
        status.last_success_at = Some(now);
        status.failures = 0;
        status.latest.clone_from(&report.models);
        status.next_due_at = slot;
        return;
    };
    let due = match error.kind() {
        ErrorKind::Cancelled => slot,
        ErrorKind::AwaitingApproval => {
            status.last_success_at = Some(now);
            slot
        }
        ErrorKind::Unavailable => {
            status.offline_since.get_or_insert(now);
            status.offline_tries += 1;
            let doublings = status.offline_tries.saturating_sub(1).min(10);
            let probe = PROBE.0.saturating_mul(1 << doublings).min(PROBE.1);
            let at = now + probe + engine.random_below(probe / 4);
            // A sync that runs more often than the probes needs none.
            Some(at)
        }
        _ => {
            status.failures += 1;
            let pause = error.retry_after().unwrap_or_else(|| backoff(status.failures));
            let not_before = now + pause;
            status.not_before = Some(not_before);
            if error.is_retryable() || error.kind() == ErrorKind::Remote {
                // It may succeed before the next slot.
                Some(not_before)
            } else {
                slot.map(|slot| slot.max(not_before))
            }
        }
    };
    status.next_due_at = due.filter(|_| settings.is_some());
}

/// The backoff after this many failures in a row: from half a minute to an hour.
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(30).saturating_mul(1 << failures.saturating_sub(1).min(7)).min(Duration::from_secs(3600))
}

impl Engine {
    /// Records in the status that a scheduled run could not begin, why, and when it is retried.
    /// Returns that time; `None` if the sync is no longer enabled.
    pub(crate) async fn note_not_begun(&self, key: &SyncKey, error: &Error) -> Result<Option<Timestamp>> {
        let settings = self.store().document(&key.settings_key()).await?;
        if settings.is_none() {
            return Ok(None);
        }
        let stored = self.store().document(&key.status_key()).await?;
        let before: SyncStatus = stored.as_ref().map(Json::to).transpose()?.unwrap_or_default();
        let mut status = before.clone();
        let now = self.parts().environment.now();
        tracing::warn!(target: "highwater::schedule", sync = %key, "the run could not begin: {error}");
        status.failures += 1;
        (status.last_error, status.last_error_kind) = (Some(error.to_string()), Some(error.kind()));
        let not_before = now + backoff(status.failures);
        (status.not_before, status.next_due_at) = (Some(not_before), Some(not_before));
        let mut batch = WriteBatch::new();
        batch.expect_document(key.settings_key(), settings.as_ref());
        batch.expect_document(key.status_key(), stored.as_ref()).put_document(key.status_key(), &status)?;
        self.store().commit(batch).await?;
        self.publish_status(key, &before, &status);
        Ok(Some(not_before))
    }
}
