//! The background: each enabled sync when it is due.

mod due;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use highwater_core::{ErrorKind, Result, Wakeups};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use crate::cancel::CancelToken;
use crate::control::{CHANGES_KEY, Changes};
use crate::engine::Engine;
use crate::run::{Outcome, RunOptions};
use crate::sync::{SyncKey, SyncSettings, SyncStatus};
use crate::timer::{self, Jump, JumpWatch, millis};
use due::Due;

/// The longest sleep, so that a clock that jumped is noticed.
const LOOK: Duration = Duration::from_secs(15);

/// How soon after one look at other processes' changes the next may be.
const REST: Duration = Duration::from_millis(100);

/// After a resume and after getting online, runs begin within this time, by chance.
const SPREAD_MS: u64 = 2000;

/// How often calls that were cut off are looked for.
const CALLS_MS: u64 = 60_000;

/// How often old runs are swept out.
const SWEEP_MS: u64 = 24 * 3600 * 1000;

/// A wish of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Stop every run and begin none.
    Pause,
    /// Go on.
    Resume,
    /// The network is back: look at once at what was offline.
    Online,
    /// The machine was asleep.
    Resumed,
}

pub(crate) struct Scheduler {
    engine: Engine,
    handle: Handle,
    cancel: CancelToken,
    /// Stops the runs of now, but not the scheduler.
    runs_cancel: CancelToken,
    commands: mpsc::UnboundedReceiver<(Command, tokio::sync::oneshot::Sender<()>)>,
    changes: broadcast::Receiver<SyncKey>,
    wakeups: Option<Wakeups>,
    due: Due,
    runs: JoinSet<(SyncKey, Ended)>,
    running: BTreeSet<SyncKey>,
    /// Changed while they ran.
    changed: BTreeSet<SyncKey>,
    offline: BTreeSet<SyncKey>,
    /// To be tried before they are due.
    early: BTreeSet<SyncKey>,
    schedules: BTreeMap<SyncKey, SyncSettings>,
    seen_changes: u64,
    paused: bool,
    watch: JumpWatch,
    next_sweep_ms: u64,
    next_calls_ms: u64,
}

/// What came of a run, for the schedule.
enum Ended {
    /// Look at the store for when the next is due.
    Look,
    /// Try again at this time.
    At(u64),
    /// The sync no longer wants runs.
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
            early: BTreeSet::new(),
            schedules: BTreeMap::new(),
            seen_changes: 0,
            paused: false,
            watch,
            next_sweep_ms: 0,
            next_calls_ms: 0,
        }
    }

    /// Works until it is cancelled, then stops every run and waits for them.
    pub(crate) async fn work(mut self) {
        while !self.cancel.is_cancelled() {
            match self.load().await {
                Ok(()) => break,
                // A store that cannot be read now may be readable later.
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
        self.settle_calls(self.now_ms()).await;
        let mut rested = true;
        while !self.cancel.is_cancelled() {
            self.look_at_clock();
            self.begin_due();
            let now_ms = self.now_ms();
            let until_due = self.due.next().map_or(LOOK, |at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
            let pause = if self.paused { LOOK } else { until_due.min(LOOK) };
            let watching = rested && self.wakeups.is_some();
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => {}
                Some((command, done)) = self.commands.recv() => {
                    self.obey(command).await;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Some(ended) = self.runs.join_next() => {
                    if let Ok((key, ended)) = ended {
                        self.after_run(&key, ended).await;
                    }
                }
                changed = self.changes.recv() => match changed {
                    Ok(key) => self.reload(&key).await,
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

    fn now_ms(&self) -> u64 {
        self.engine.parts().environment.now_ms()
    }

    /// Reads every enabled sync, once.
    async fn load(&mut self) -> Result<()> {
        self.seen_changes = self.changes().await?.count;
        for settings in self.engine.enabled().await? {
            let key = settings.key()?;
            self.place(&key, settings).await?;
        }
        Ok(())
    }

    /// Puts a sync into the schedule.
    async fn place(&mut self, key: &SyncKey, settings: SyncSettings) -> Result<()> {
        let store = self.engine.store();
        let status = store.document(&key.status_key()).await?;
        let status: SyncStatus = status.map(|stored| stored.to()).transpose()?.unwrap_or_default();
        let triggered = store.document(&key.trigger_key()).await?.is_some();
        let now_ms = self.now_ms();
        if status.offline_since_ms.is_some() {
            self.offline.insert(key.clone());
        } else {
            self.offline.remove(key);
        }
        if triggered {
            self.due.set(key, now_ms);
        } else if settings.paused {
            self.due.remove(key);
        } else {
            let mut at_ms = status.next_due_ms.unwrap_or(now_ms);
            if status.last_started_ms.is_some_and(|started| started > now_ms) {
                // That run was timed by a clock that was set back since.
                at_ms = at_ms.min(now_ms.saturating_add(settings.schedule.longest_wait(now_ms)?));
            }
            self.due.set(key, at_ms);
        }
        self.schedules.insert(key.clone(), settings);
        Ok(())
    }

    fn begin_due(&mut self) {
        if self.paused {
            return;
        }
        let now_ms = self.now_ms();
        while let Some(key) = self.due.pop(now_ms) {
            if !self.running.insert(key.clone()) {
                self.changed.insert(key);
                continue;
            }
            let engine = self.engine.clone();
            let options = RunOptions::default().cancel(self.runs_cancel.clone()).scheduled(self.early.remove(&key));
            self.runs.spawn_on(run(engine, key, options), &self.handle);
        }
    }

    async fn after_run(&mut self, key: &SyncKey, ended: Ended) {
        self.running.remove(key);
        let changed = self.changed.remove(key);
        match ended {
            Ended::At(at_ms) if !changed => self.due.set(key, at_ms),
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

    /// Reads one sync again.
    async fn reload(&mut self, key: &SyncKey) {
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
            let at_ms = self.now_ms() + millis(LOOK);
            self.due.set(key, at_ms);
        }
    }

    async fn reload_all(&mut self) {
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

    /// What other processes changed since the last look: one small document.
    async fn look_at_others(&mut self) {
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

    fn look_at_clock(&mut self) {
        match self.watch.look(&*self.engine.parts().environment) {
            None => {}
            Some(Jump::Ahead(by)) => {
                tracing::info!(target: "highwater::schedule", seconds = by.as_secs(), "the machine slept, or the clock was set ahead");
                self.wake_offline(|_| true);
                self.spread_overdue();
            }
            Some(Jump::Back(by)) => {
                tracing::info!(target: "highwater::schedule", seconds = by.as_secs(), "the clock was set back");
                self.bring_nearer();
            }
        }
    }

    /// Many syncs that became due at once do not begin at once.
    fn spread_overdue(&mut self) {
        let now_ms = self.now_ms();
        let mut overdue = Vec::new();
        while let Some(key) = self.due.pop(now_ms) {
            overdue.push(key);
        }
        let spread = if overdue.len() > 1 { SPREAD_MS } else { 0 };
        for key in overdue {
            let at_ms = now_ms + self.engine.random_below(spread);
            self.due.set(&key, at_ms);
        }
    }

    /// After the clock was set back, nothing waits longer than its schedule asks.
    fn bring_nearer(&mut self) {
        let now_ms = self.now_ms();
        for (key, settings) in &self.schedules {
            let Ok(wait) = settings.schedule.longest_wait(now_ms) else { continue };
            let latest = now_ms.saturating_add(wait);
            if self.due.at(key).is_some_and(|at_ms| at_ms > latest) {
                self.due.set(key, latest);
            }
        }
    }

    /// Looks soon at syncs whose API could not be reached.
    fn wake_offline(&mut self, which: impl Fn(&SyncKey) -> bool) {
        let now_ms = self.now_ms();
        let keys: Vec<SyncKey> = self.offline.iter().filter(|key| which(key)).cloned().collect();
        let spread = if keys.len() > 1 { SPREAD_MS } else { 0 };
        for key in keys {
            if self.due.at(&key).is_some() {
                self.offline.remove(&key);
                let at_ms = now_ms + self.engine.random_below(spread);
                self.due.set(&key, at_ms);
                self.early.insert(key);
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

    async fn sweep(&mut self) {
        let now_ms = self.now_ms();
        // A clock that was set back holds nothing up.
        if self.next_calls_ms <= now_ms || self.next_calls_ms > now_ms.saturating_add(CALLS_MS) {
            self.settle_calls(now_ms).await;
        }
        if now_ms < self.next_sweep_ms {
            return;
        }
        self.next_sweep_ms = now_ms.saturating_add(SWEEP_MS);
        if let Err(error) = self.engine.sweep_logs().await {
            tracing::warn!(target: "highwater::schedule", "sweeping old runs: {error}");
        }
    }
}

impl Scheduler {
    /// Says of actions and requests that were cut off that nobody knows what came of them.
    async fn settle_calls(&mut self, now_ms: u64) {
        let latest_ms = now_ms.saturating_add(CALLS_MS);
        self.next_calls_ms = match self.engine.settle_calls().await {
            Ok(next_ms) => next_ms.map_or(latest_ms, |next_ms| next_ms.clamp(now_ms, latest_ms)),
            Err(error) => {
                tracing::warn!(target: "highwater::schedule", "settling calls that were cut off: {error}");
                latest_ms
            }
        };
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
        // The run's own record tells how it went.
        Ok(Some(Outcome::Ran(_))) => Ended::Look,
        Ok(Some(Outcome::NotDue(at_ms))) => Ended::At(at_ms),
        Ok(Some(Outcome::NotWanted)) => Ended::Gone,
        // The host runs it by hand just now.
        Ok(None) => {
            engine.until_idle(&key).await;
            Ended::Look
        }
        Err(error) => {
            let pause = match error.kind() {
                ErrorKind::Busy => error.retry_after().unwrap_or(LOOK).clamp(Duration::from_millis(100), LOOK),
                ErrorKind::Cancelled => Duration::ZERO,
                // It could not even begin (a setting is missing, say): that is told in its status.
                _ => match engine.note_not_begun(&key, &error).await {
                    Ok(()) => return (key, Ended::Look),
                    Err(error) => {
                        tracing::warn!(target: "highwater::schedule", sync = %key, "{error}");
                        LOOK * 4
                    }
                },
            };
            Ended::At(engine.parts().environment.now_ms().saturating_add(millis(pause)))
        }
    };
    (key, ended)
}
