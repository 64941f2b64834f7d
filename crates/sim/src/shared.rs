//! State that every part of a simulation shares: time, randomness, the trace, the gates where a process can die.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use highwater_core::locks::lock;
use highwater_core::{Environment, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::plan::{CONNECTIONS, Fault, Knob, Plan};

/// True time when a simulation begins: Unix milliseconds.
const BEGIN_MS: u64 = 1_790_000_000_000;

/// A broken property: its name and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) property: &'static str,
    pub(crate) what: String,
}

/// What is checked and recorded while a plan runs. It does not change what happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// Whether the model follows, and everything is compared with it.
    pub(crate) checks: bool,
    /// Whether the lines of the trace are kept.
    pub(crate) lines: bool,
}

impl Watch {
    /// Checks the properties.
    pub(crate) const CHECKS: Watch = Watch { checks: true, lines: false };
    /// Only compares the trace: whether the same happens again.
    pub(crate) const TRACE: Watch = Watch { checks: false, lines: false };

    /// Also keeps the lines.
    pub(crate) fn with_lines(self, lines: bool) -> Self {
        Watch { lines, ..self }
    }
}

/// Shared by everything in one simulation.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    /// Whether the properties are checked.
    pub(crate) checks: bool,
    begun: Instant,
    /// Wakes the driver when the process has died.
    pub(crate) death: Notify,
    /// How often each connection was removed: what it knew of events is gone then.
    removals: [AtomicUsize; CONNECTIONS],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The random source for the API and the gates.
    rng: Rng,
    /// The engine's random source.
    engine_rng: Rng,
    /// What engines drew from a random source that has no more than this.
    draws: u8,
    trace: DefaultHasher,
    lines: Option<Vec<String>>,
    broken: Option<Broken>,
    hazards: BTreeMap<&'static str, u64>,
    clock_offset_ms: i64,
    /// For how long the computer was asleep.
    slept_ms: u64,
    /// The live process; gates of earlier ones never open again.
    life: u64,
    gates: u64,
    dies_at: Option<u64>,
    fault: Option<Fault>,
    /// Set in the last phase: nothing fails any more.
    calm: bool,
}

impl Shared {
    pub(crate) fn new(plan: Plan, watch: Watch) -> Arc<Self> {
        let seed = plan.seed;
        Arc::new(Shared {
            plan,
            checks: watch.checks,
            begun: Instant::now(),
            death: Notify::new(),
            removals: Default::default(),
            state: Mutex::new(State {
                draws: 0,
                rng: Rng::with_seed(seed ^ 0x5eed),
                engine_rng: Rng::with_seed(seed ^ 0xe41e),
                trace: DefaultHasher::new(),
                lines: watch.lines.then(Vec::new),
                broken: None,
                hazards: BTreeMap::new(),
                clock_offset_ms: 0,
                slept_ms: 0,
                life: 1,
                gates: 0,
                dies_at: None,
                fault: None,
                calm: false,
            }),
        })
    }

    /// A commit removed a connection.
    pub(crate) fn connection_removed(&self, connection: usize) {
        self.removals[connection].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn removals(&self, connection: usize) -> usize {
        self.removals[connection].load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// True time: Unix milliseconds.
    pub(crate) fn true_ms(&self) -> u64 {
        let awake_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        BEGIN_MS + awake_ms + self.state().slept_ms
    }

    /// Lets time pass that no clock but the wall clock shows.
    pub(crate) fn sleep(&self, days: u16) {
        self.state().slept_ms += u64::from(days) * 86_400_000;
        self.reached("long sleep");
    }

    pub(crate) fn set_clock(&self, offset_ms: i64) {
        self.state().clock_offset_ms = offset_ms;
    }

    /// Moves the clock ahead by more than the time that passed.
    pub(crate) fn leap(&self, by: Duration) {
        self.state().clock_offset_ms += i64::try_from(by.as_millis()).unwrap_or(0);
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        let line = format!("{:>9} {}", self.true_ms() - BEGIN_MS, line());
        let mut state = self.state();
        state.trace.write(line.as_bytes());
        if let Some(lines) = &mut state.lines {
            lines.push(line);
        }
    }

    pub(crate) fn trace(&self) -> (u64, Vec<String>) {
        let state = self.state();
        (state.trace.finish(), state.lines.clone().unwrap_or_default())
    }

    /// Records a broken property. Only the first one counts.
    pub(crate) fn broken(&self, property: &'static str, what: String) {
        if !self.checks {
            return;
        }
        self.note(|| format!("BROKEN {property}: {what}"));
        let mut state = self.state();
        state.broken.get_or_insert(Broken { property, what });
    }

    pub(crate) fn first_broken(&self) -> Option<Broken> {
        self.state().broken.clone()
    }

    /// The offset of the engine's clock from true time.
    pub(crate) fn skew_ms(&self) -> u64 {
        self.state().clock_offset_ms.unsigned_abs()
    }

    /// Counts a hazard as reached.
    pub(crate) fn reached(&self, hazard: &'static str) {
        debug_assert!(crate::hazards::ALL.contains(&hazard), "{hazard}");
        *self.state().hazards.entry(hazard).or_default() += 1;
    }

    pub(crate) fn hazards(&self) -> BTreeMap<&'static str, u64> {
        self.state().hazards.clone()
    }

    /// Whether a fault that the knob allows happens now, with this probability in percent.
    pub(crate) fn chance(&self, knob: Knob, percent: u8) -> bool {
        let mut state = self.state();
        self.plan.has(knob) && !state.calm && state.rng.u8(..100) < percent
    }

    pub(crate) fn below(&self, limit: usize) -> usize {
        self.state().rng.usize(..limit.max(1))
    }

    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        self.state().rng.shuffle(items);
    }

    /// Whether faults have stopped.
    pub(crate) fn is_calm(&self) -> bool {
        self.state().calm
    }

    pub(crate) fn calm_down(&self) {
        let mut state = self.state();
        (state.calm, state.fault, state.dies_at, state.clock_offset_ms) = (true, None, None, 0);
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.state().fault.take()
    }

    pub(crate) fn die_after(&self, gates: u32) {
        let mut state = self.state();
        state.dies_at = Some(state.gates + u64::from(gates));
    }

    /// Ends the process at this point; returns once the driver may inspect what is left.
    pub(crate) fn die(&self) {
        let mut state = self.state();
        state.life += 1;
        state.dies_at = None;
        drop(state);
        self.death.notify_one();
    }

    pub(crate) fn life(&self) -> u64 {
        self.state().life
    }

    /// A point where a process waits, others go on, and it may die.
    pub(crate) async fn gate(&self, life: u64, name: &'static str) {
        match self.pass(life, name) {
            Some(0) => tokio::task::yield_now().await,
            Some(wait) => tokio::time::sleep(Duration::from_millis(wait)).await,
            None => std::future::pending().await,
        }
        if life != ALWAYS && self.life() != life {
            std::future::pending::<()>().await;
        }
    }

    /// How long a process waits at a gate; `None` when it is dead, or dies here.
    fn pass(&self, life: u64, name: &'static str) -> Option<u64> {
        let mut state = self.state();
        if life != ALWAYS && state.life != life {
            return None;
        }
        state.gates += 1;
        if life != ALWAYS && state.dies_at.is_some_and(|at| at <= state.gates) {
            drop(state);
            self.note(|| format!("dies at {name}"));
            self.reached("crash");
            if ["delivery", "delivered", "answer to a delivery"].contains(&name) {
                self.reached("delivery in flight during a crash");
            }
            self.die();
            return None;
        }
        Some([0, 0, 0, 1, 3, 40][state.rng.usize(..6)])
    }
}

/// The life of parts that never die.
pub(crate) const ALWAYS: u64 = 0;

/// The clock and the random source of an engine or a store.
#[derive(Clone, Debug)]
pub(crate) struct SimEnvironment {
    shared: Arc<Shared>,
    of_engine: bool,
}

impl SimEnvironment {
    pub(crate) fn of_store(shared: &Arc<Shared>) -> Self {
        SimEnvironment { shared: Arc::clone(shared), of_engine: false }
    }

    pub(crate) fn of_engine(shared: &Arc<Shared>) -> Self {
        SimEnvironment { shared: Arc::clone(shared), of_engine: true }
    }
}

impl Environment for SimEnvironment {
    fn now(&self) -> Timestamp {
        let shared = &self.shared;
        Timestamp::from_unix_ms(shared.true_ms().saturating_add_signed(shared.state().clock_offset_ms))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let mut state = self.shared.state();
        if !self.shared.plan.has(Knob::ConstantRandom) {
            state.engine_rng.fill(bytes);
        } else if self.of_engine {
            // Engines name by it what they make, each its own. Which of two wakes first is up to the runtime, so that nothing may
            // depend on which engine it is.
            state.draws = state.draws % 0xfe + 1;
            bytes.fill(0xff - state.draws);
        } else {
            bytes.fill(0xff);
        }
    }
}
