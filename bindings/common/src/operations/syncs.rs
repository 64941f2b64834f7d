//! Syncs: toggles, runs, states, and the background work.

use std::time::Duration;

use highwater::engine::syncs::{DeletePolicy, SyncSettings};
use highwater::engine::{DisableMode, RunReport, Schedule, SyncState, TriggerMode};
use highwater::{Result, RunOptions, SyncHandle, SyncOptions};
use serde::Deserialize;

use super::{Done, Nothing, RecordsMode};
use crate::engine::Open;

/// The longest that `shutdown` waits by default.
const STOPPING: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    connection: String,
    sync: String,
}

impl Named {
    fn handle(&self, open: &Open) -> Result<SyncHandle> {
        open.engine.sync(&self.connection, &self.sync)
    }
}

/// `SyncOptions`, strictly.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SyncOptionsRead {
    schedule: Option<Schedule>,
    jitter_ms: Option<u64>,
    auto_start: Option<bool>,
    timeout_ms: Option<u64>,
    deletes: Option<DeletesRead>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeletesRead {
    count: Option<u64>,
    fraction: Option<f64>,
    confirm_empty: Option<bool>,
    strikes: Option<u32>,
    verify: Option<bool>,
}

impl SyncOptionsRead {
    pub(super) fn read(&self) -> SyncOptions {
        let mut options = SyncOptions::default();
        options.schedule.clone_from(&self.schedule);
        if let Some(jitter) = self.jitter_ms {
            options = options.jitter(Duration::from_millis(jitter));
        }
        if let Some(start) = self.auto_start {
            options = options.auto_start(start);
        }
        if let Some(timeout) = self.timeout_ms {
            options = options.timeout(Duration::from_millis(timeout));
        }
        if let Some(deletes) = &self.deletes {
            options = options.deletes(deletes.read());
        }
        options
    }
}

impl DeletesRead {
    fn read(&self) -> DeletePolicy {
        let policy = DeletePolicy::default();
        let (count, fraction) = (self.count.unwrap_or(policy.count), self.fraction.unwrap_or(policy.fraction));
        policy
            .guard(count, fraction)
            .confirm_empty(self.confirm_empty.unwrap_or(policy.confirm_empty))
            .strikes(self.strikes.unwrap_or(policy.strikes))
            .verify(self.verify.unwrap_or(policy.verify))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enable {
    connection: String,
    sync: String,
    #[serde(default)]
    options: SyncOptionsRead,
}

pub(super) async fn enable(open: &Open, given: Enable) -> Result<SyncSettings> {
    open.engine.sync(&given.connection, &given.sync)?.enable(given.options.read()).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disable {
    connection: String,
    sync: String,
    records: RecordsMode,
}

pub(super) async fn disable(open: &Open, given: Disable) -> Done {
    let mode = match given.records {
        RecordsMode::Keep => DisableMode::Keep,
        RecordsMode::Clear => DisableMode::Clear,
    };
    open.engine.sync(&given.connection, &given.sync)?.disable(mode).await
}

pub(super) async fn pause(open: &Open, given: Named) -> Done {
    given.handle(open)?.pause().await
}

pub(super) async fn resume(open: &Open, given: Named) -> Done {
    given.handle(open)?.resume().await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetSchedule {
    connection: String,
    sync: String,
    schedule: Option<Schedule>,
}

pub(super) async fn set_schedule(open: &Open, given: SetSchedule) -> Result<SyncSettings> {
    open.engine.sync(&given.connection, &given.sync)?.set_schedule(given.schedule).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerRead {
    connection: String,
    sync: String,
    #[serde(default)]
    mode: ModeRead,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModeRead {
    #[default]
    Plain,
    Reset,
    ResetAndClear,
}

pub(super) async fn trigger(open: &Open, given: TriggerRead) -> Done {
    let mode = match given.mode {
        ModeRead::Plain => TriggerMode::Plain,
        ModeRead::Reset => TriggerMode::Reset,
        ModeRead::ResetAndClear => TriggerMode::ResetAndClear,
    };
    open.engine.sync(&given.connection, &given.sync)?.trigger(mode).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    connection: String,
    sync: String,
    #[serde(default)]
    full: bool,
    #[serde(default)]
    clear: bool,
    #[serde(default)]
    approve_deletes: bool,
}

pub(super) async fn run(open: &Open, given: Run) -> Result<RunReport> {
    let options = RunOptions::default().full(given.full).clear(given.clear).approve_deletes(given.approve_deletes);
    open.engine.sync(&given.connection, &given.sync)?.run_once(options).await
}

pub(super) async fn cancel(open: &Open, given: Named) -> Result<bool> {
    given.handle(open)?.cancel().await
}

pub(super) async fn follow_integration(open: &Open, given: Named) -> Done {
    given.handle(open)?.follow_integration().await
}

pub(super) async fn state(open: &Open, given: Named) -> Result<SyncState> {
    given.handle(open)?.state().await
}

pub(super) async fn states(open: &Open, _: Nothing) -> Result<Vec<SyncState>> {
    open.engine.sync_states().await
}

pub(super) async fn start(open: &Open, _: Nothing) -> Done {
    open.start();
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shutdown {
    timeout_ms: Option<u64>,
}

pub(super) async fn shutdown(open: &Open, given: Shutdown) -> Done {
    let timeout = given.timeout_ms.map_or(STOPPING, Duration::from_millis);
    match open.take_background() {
        Some(background) => background.shutdown(timeout).await,
        None => Ok(()),
    }
}

pub(super) async fn notify_online(open: &Open, _: Nothing) -> Done {
    match open.background() {
        Some(background) => background.notify_online().await,
        None => Ok(()),
    }
}

pub(super) async fn notify_resumed(open: &Open, _: Nothing) -> Done {
    match open.background() {
        Some(background) => background.notify_resumed().await,
        None => Ok(()),
    }
}
