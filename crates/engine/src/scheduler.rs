//! The scheduler: runs each enabled sync when it is due.

mod clock;
mod due;
mod load;
mod tidy;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use highwater_core::{ErrorKind, Result, Timestamp, Wakeups};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use crate::cancel::CancelToken;
use crate::documents::{SyncKey, SyncSettings};
use crate::engine::Engine;
use crate::events::{SyncChange, SyncEvent};
use crate::parts::Changed;
use crate::run::{Outcome, RunOptions};
use crate::timer::{self, JumpWatch};
use due::Due;

/// The longest sleep, so that a clock that jumped is noticed.
const LOOK: Duration = Duration::from_secs(15);

/// The shortest time between two checks for other processes' changes.
const REST: Duration = Duration::from_millis(100);

/// A request of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Stop every run and start none.
    Pause,
    /// Resume.
    Resume,
    /// The network is back: retry offline syncs at once.
    Online,
    /// The machine was asleep.
    Resumed,
}

pub(crate) struct Scheduler {
    engine: Engine,
    handle: Handle,
    cancel: CancelToken,
    /// Stops the current runs, but not the scheduler.
    runs_cancel: CancelToken,
    commands: mpsc::UnboundedReceiver<(Command, tokio::sync::oneshot::Sender<()>)>,
    changes: broadcast::Receiver<Changed>,
    wakeups: Option<Wakeups>,
    due: Due,
    runs: JoinSet<(SyncKey, Ended)>,
    running: BTreeSet<SyncKey>,
    /// Syncs that changed while they ran.
    changed: BTreeSet<SyncKey>,
    offline: BTreeSet<SyncKey>,
    /// Syncs whose watchers know that they are due.
    told_due: BTreeSet<SyncKey>,
    /// Syncs to be tried before they are due.
    early: BTreeSet<SyncKey>,
    schedules: BTreeMap<SyncKey, SyncSettings>,
    seen_changes: u64,
    paused: bool,
    watch: JumpWatch,
    next_sweep: Timestamp,
    next_calls: Timestamp,
    next_removals: Timestamp,
    /// Removals of credentials in progress: at most one task, which ends with the time of the next.
    removing: JoinSet<Timestamp>,
}

/// The outcome of a run, for the schedule.
enum Ended {
    /// Read from the store when the next run is due.
    Look,
    /// Retry at this time.
    At(Timestamp),
    /// The sync needs no more runs.
    Gone,
}

impl Scheduler {
    pub(crate) fn new(
        engine: Engine,
        handle: Handle,
        cancel: CancelToken,
        commands: mpsc::UnboundedReceiver<(Command, tokio::sync::oneshot::Sender<()>)>,
    ) -> Self {
        let changes = engine.parts().changes.subscribe();
        let wakeups = engine.store().capabilities().multi_process.then(|| engine.store().subscribe());
        let watch = JumpWatch::new(&*engine.parts().environment);
        Scheduler {
            engine,
            handle,
            cancel,
            runs_cancel: CancelToken::new(),
            commands,
            changes,
            wakeups,
            due: Due::default(),
            runs: JoinSet::new(),
            running: BTreeSet::new(),
            changed: BTreeSet::new(),
            offline: BTreeSet::new(),
            told_due: BTreeSet::new(),
            early: BTreeSet::new(),
            schedules: BTreeMap::new(),
            seen_changes: 0,
            paused: false,
            watch,
            next_sweep: Timestamp::UNIX_EPOCH,
            next_calls: Timestamp::UNIX_EPOCH,
            next_removals: Timestamp::UNIX_EPOCH,
            removing: JoinSet::new(),
        }
    }

    /// Works until it is cancelled, then stops every run and waits for their ends.
    pub(crate) async fn work(mut self) {
        while !self.cancel.is_cancelled() {
            match self.load().await {
                Ok(()) => break,
                // A store that is unreadable now may be readable later.
                Err(error) if error.kind() == ErrorKind::Closed => return,
                Err(error) => {
                    tracing::warn!(target: "highwater::schedule", "{error}");
                    tokio::select! {
                        biased;
                        () = self.cancel.cancelled() => return,
                        () = timer::sleep(LOOK) => {}
                    }
                }
            }
        }
        self.settle_calls(self.now()).await;
        self.begin_removals();
        let mut rested = true;
        while !self.cancel.is_cancelled() {
            self.look_at_clock();
            self.begin_due();
            let now = self.now();
            let due =
                self.due.next().filter(|_| !self.paused).map_or(self.next_removals, |due| due.min(self.next_removals));
            let pause = due.duration_since(now).min(LOOK);
            let watching = rested && self.wakeups.is_some();
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => {}
                Some((command, done)) = self.commands.recv() => {
                    self.obey(command).await;
                    // The caller may have stopped waiting.
                    let _ = done.send(());
                }
                Some(ended) = self.runs.join_next() => {
                    if let Ok((key, ended)) = ended {
                        self.after_run(&key, ended).await;
                    }
                }
                Some(removed) = self.removing.join_next() => self.after_removals(removed.ok()),
                changed = self.changes.recv() => match changed {
                    Ok(Changed::Sync(key)) => self.reload(&key).await,
                    Ok(Changed::Connection(connection)) => self.try_again(&connection).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.reload_all().await,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                outcome = woken(&mut self.wakeups), if watching => {
                    if outcome.is_err() {
                        break; // the store was closed
                    }
                    rested = false;
                    self.look_at_others().await;
                }
                () = timer::sleep(REST), if !rested => rested = true,
                () = timer::sleep(pause) => {}
            }
            self.sweep().await;
        }
        self.runs_cancel.cancel();
        while self.runs.join_next().await.is_some() {}
    }

    fn now(&self) -> Timestamp {
        self.engine.parts().environment.now()
    }

    fn begin_due(&mut self) {
        if self.paused {
            return;
        }
        let now = self.now();
        while let Some(key) = self.due.pop(now) {
            if !self.running.insert(key.clone()) {
                self.changed.insert(key);
                continue;
            }
            // Reported once, however often its run finds no free slot; retries of an offline API are not reported.
            if !self.offline.contains(&key) && self.told_due.insert(key.clone()) {
                self.engine.publish_change(SyncEvent::new(&key, SyncChange::Due));
            }
            let engine = self.engine.clone();
            let options = RunOptions::default().cancel(self.runs_cancel.clone()).scheduled(self.early.remove(&key));
            self.runs.spawn_on(run(engine, key, options), &self.handle);
        }
    }

    async fn after_run(&mut self, key: &SyncKey, ended: Ended) {
        self.running.remove(key);
        let changed = self.changed.remove(key);
        if !matches!(ended, Ended::At(_)) {
            self.told_due.remove(key);
        }
        match ended {
            Ended::At(at) if !changed => self.due.set(key, at),
            Ended::Gone if !changed => self.due.remove(key),
            _ => {
                let was_offline = self.offline.contains(key);
                self.reload(key).await;
                if was_offline && !self.offline.contains(key) {
                    self.wake_offline(|other| other.connection == key.connection);
                }
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Pause => {
                self.paused = true;
                self.runs_cancel.cancel();
                while let Some(ended) = self.runs.join_next().await {
                    if let Ok((key, ended)) = ended {
                        self.after_run(&key, ended).await;
                    }
                }
            }
            Command::Resume => {
                self.paused = false;
                if self.runs_cancel.is_cancelled() {
                    self.runs_cancel = CancelToken::new();
                }
            }
            Command::Online => self.wake_offline(|_| true),
            Command::Resumed => {
                self.wake_offline(|_| true);
                self.spread_overdue();
            }
        }
    }
}

async fn woken(wakeups: &mut Option<Wakeups>) -> Result<()> {
    match wakeups {
        Some(wakeups) => wakeups.changed().await,
        None => std::future::pending().await,
    }
}

async fn run(engine: Engine, key: SyncKey, options: RunOptions) -> (SyncKey, Ended) {
    let ended = match engine.run_sync(&key, options).await {
        // The run's own record has its outcome.
        Ok(Some(Outcome::Ran(_))) => Ended::Look,
        Ok(Some(Outcome::NotDue(at))) => Ended::At(at),
        Ok(Some(Outcome::NotWanted)) => Ended::Gone,
        // The host is running it directly.
        Ok(None) => {
            engine.until_idle(&key).await;
            Ended::Look
        }
        Err(error) => {
            let pause = match error.kind() {
                ErrorKind::Busy => error.retry_after().unwrap_or(LOOK).clamp(Duration::from_millis(100), LOOK),
                ErrorKind::Cancelled => Duration::ZERO,
                // It could not even begin (for example, a setting is missing): its status says so.
                _ => match engine.note_not_begun(&key, &error).await {
                    // Not by the stored time: if the run was requested, the request is still there.
                    Ok(Some(not_before)) => return (key, Ended::At(not_before)),
                    Ok(None) => return (key, Ended::Gone),
                    Err(error) => {
                        tracing::warn!(target: "highwater::schedule", sync = %key, "{error}");
                        LOOK * 4
                    }
                },
            };
            Ended::At(engine.parts().environment.now() + pause)
        }
    };
    (key, ended)
}
