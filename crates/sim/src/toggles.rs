//! Syncs that are turned on and off, paused, and connections that are removed, while runs go on: what may be written then.

use std::sync::Arc;

use highwater_core::locks::lock;
use highwater_core::{ErrorKind, Store, WriteBatch};
use highwater_engine::{ConnectionSettings, DisableMode, DisconnectMode, Engine, SyncOptions};
use serde_json::Value;
use std::time::Duration;

use crate::disk::{NAMES, SimStore, stream};
use crate::integrations::{Decisions, INTEGRATION, SyncState};
use crate::plan::{CONNECTIONS, Knob, Plan, Toggle};
use crate::process::{Process, give_webhook_secret, sign_in};
use crate::shared::Shared;
use crate::template::{PROVIDER, SYNC, base_url};

/// What is on, as the commits say.
#[derive(Debug, Default)]
pub(crate) struct Toggles {
    /// The syncs that are off or paused.
    off: [bool; CONNECTIONS],
    /// A run has begun since, by hand.
    asked: [bool; CONNECTIONS],
    gone: [bool; CONNECTIONS],
    /// Runs by hand that go on.
    by_hand: [usize; CONNECTIONS],
    /// Whose decisions these are.
    decisions: Decisions,
    /// Calls that decide something: those that go on, and all so far.
    deciding: usize,
    decided: u64,
}

/// A call that decides something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deciding {
    number: u64,
    alone: bool,
}

impl Toggles {
    pub(crate) fn run_by_hand(&mut self, connection: usize) {
        self.by_hand[connection] += 1;
    }

    pub(crate) fn run_by_hand_ended(&mut self, connection: usize) {
        self.by_hand[connection] = self.by_hand[connection].saturating_sub(1);
    }

    /// A call begins that decides something.
    pub(crate) fn begin(&mut self) -> Deciding {
        self.decided += 1;
        self.deciding += 1;
        Deciding { number: self.decided, alone: self.deciding == 1 }
    }

    /// It has ended. Returns whether no other did anything meanwhile, so that all must be as it decided.
    pub(crate) fn end(&mut self, call: Deciding) -> bool {
        self.deciding = self.deciding.saturating_sub(1);
        call.alone && call.number == self.decided
    }

    /// A process began, on what the store has.
    pub(crate) async fn of(store: &dyn Store) -> highwater_core::Result<Self> {
        let mut toggles = Toggles::default();
        for (place, name) in NAMES.into_iter().enumerate() {
            let settings = store.document(&format!("sync/{name}/{SYNC}")).await?;
            toggles.off[place] = settings.is_none_or(|settings| is_paused(settings.as_str().as_bytes()));
            toggles.gone[place] = store.document(&format!("connection/{name}")).await?.is_none();
        }
        toggles.decisions = Decisions::of(store).await?;
        Ok(toggles)
    }

    /// A batch was committed.
    pub(crate) fn committed(&mut self, shared: &Shared, batch: &WriteBatch) {
        // What turns a sync off may empty its streams.
        let was = (self.off, self.gone);
        for (key, value) in batch.documents() {
            let Some((kind, path)) = key.split_once('/') else { continue };
            let Some(place) = NAMES.iter().position(|name| path.split('/').next() == Some(name)) else { continue };
            match (kind, value) {
                ("sync", Some(settings)) => (self.off[place], self.asked[place]) = (is_paused(settings), false),
                ("sync", None) => (self.off[place], self.asked[place]) = (true, false),
                ("connection", value) => {
                    self.gone[place] = value.is_none();
                    if value.is_none() {
                        shared.connection_removed(place);
                    }
                }
                ("holder", Some(_)) if self.off[place] => {
                    if self.by_hand[place] == 0 {
                        shared
                            .broken("toggles", format!("a run of {} began by itself although it is off", NAMES[place]));
                    }
                    self.asked[place] = true;
                }
                _ => {}
            }
        }
        self.decisions.committed(shared, batch);
        for stream in batch.streams() {
            let Some(place) = NAMES.iter().position(|name| *name == stream.stream().connection()) else { continue };
            let turned_off = self.off[place] && !was.0[place];
            if self.gone[place] && was.1[place] {
                shared.broken("toggles", format!("{} was written after its connection was removed", stream.stream()));
            } else if self.off[place] && !turned_off && !self.asked[place] && !stream.clears() {
                shared.broken("toggles", format!("{} was written although its sync is off", stream.stream()));
            }
        }
    }

    pub(crate) fn is_off(&self, connection: usize) -> bool {
        self.off[connection]
    }

    pub(crate) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    pub(crate) fn is_gone(&self, connection: usize) -> bool {
        self.gone[connection]
    }
}

fn is_paused(settings: &[u8]) -> bool {
    serde_json::from_slice(settings).is_ok_and(|settings: Value| settings["paused"] == true)
}

/// Every two minutes, up to half a minute later by chance.
pub(crate) fn schedule() -> SyncOptions {
    SyncOptions::default().schedule(Duration::from_secs(120)).jitter(Duration::from_secs(30))
}

/// Connects. The sync is on then, unless the connection belongs to an integration whose endpoint is off.
pub(crate) async fn connect(engine: &Engine, plan: &Plan, name: &str) -> highwater_core::Result<()> {
    if plan.has(Knob::Integrations) {
        let settings = ConnectionSettings::of_integration(name, INTEGRATION);
        return engine.connect(settings.base_url(base_url(name))).await;
    }
    engine.connect(ConnectionSettings::new(name, PROVIDER).base_url(base_url(name))).await?;
    engine.sync(name, SYNC)?.enable(schedule()).await.map(drop)
}

impl Process {
    /// Somebody turns something on or off, while whatever runs goes on.
    pub(crate) fn toggle(&mut self, shared: &Arc<Shared>, connection: usize, engine: usize, toggle: Toggle) {
        let (engine, shared, store) = (self.engines[engine].clone(), Arc::clone(shared), Arc::clone(&self.store));
        let removed = Arc::clone(&self.removed);
        let (api, vault) = (Arc::clone(&self.apis[connection]), self.vaults.first().cloned());
        let engines = self.engines.clone();
        self.runs.spawn(async move {
            let name = NAMES[connection];
            let running =
                store.inner.document(&format!("holder/{name}/{SYNC}")).await.is_ok_and(|found| found.is_some());
            let call = store.oracle().toggles.begin();
            let outcome = async {
                let sync = engine.sync(name, SYNC)?;
                match toggle {
                    Toggle::Disable => sync.disable(DisableMode::Keep).await,
                    Toggle::Clear => sync.disable(DisableMode::Clear).await,
                    Toggle::Pause => sync.pause().await,
                    Toggle::Resume => sync.resume().await,
                    Toggle::Enable => sync.enable(schedule()).await.map(drop),
                    Toggle::Disconnect => engine.disconnect(name, DisconnectMode::KeepRecords).await.map(drop),
                    Toggle::Erase => engine.disconnect(name, DisconnectMode::ClearRecords).await.map(drop),
                    Toggle::Connect => {
                        lock(&removed).remove(name);
                        give_webhook_secret(&engines, &shared, name);
                        let connected = connect(&engine, &shared.plan, name).await;
                        // Somebody who removed it in the meantime may have been before this.
                        lock(&removed).remove(name);
                        connected
                    }
                    Toggle::Follow => sync.follow_integration().await.map(drop),
                }
            };
            let outcome = outcome.await;
            shared.note(|| format!("{toggle:?} of {name}: {:?}", outcome.as_ref().err().map(ToString::to_string)));
            let found = {
                let mut oracle = store.oracle();
                (oracle.toggles.end(call) && outcome.is_ok()).then(|| oracle.toggles.decisions().of_sync(connection))
            };
            if let Some(found) = found {
                check_decided(&shared, name, toggle, found);
                if toggle == Toggle::Erase {
                    check_erased(&shared, &store, connection).await;
                }
            }
            match outcome {
                Ok(()) if running => shared.reached(match toggle {
                    Toggle::Disable => "turned off during a run",
                    Toggle::Clear => "turned off and emptied during a run",
                    Toggle::Pause => "paused during a run",
                    Toggle::Disconnect => "removed during a run",
                    Toggle::Erase => "removed and emptied during a run",
                    Toggle::Follow => "connection follows its integration again",
                    Toggle::Resume | Toggle::Enable | Toggle::Connect => "turned on during a run",
                }),
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    shared.reached("turned off or on where nothing is")
                }
                Err(_) => shared.reached("turning on or off failed"),
            }
            // Back with a new sign-in.
            if toggle == Toggle::Connect
                && !store.oracle().toggles.is_gone(connection)
                && let Some(vault) = vault
            {
                sign_in(&shared, &api, &vault, name).await;
            }
            if matches!(toggle, Toggle::Disconnect | Toggle::Erase) && store.oracle().toggles.is_gone(connection) {
                lock(&removed).insert(name.to_owned());
            }
        });
    }
}

/// A connection that was removed with its records, and that nobody connected since, has none.
pub(crate) async fn check_erased(shared: &Shared, store: &SimStore, connection: usize) {
    let live = store.inner.head(&stream(connection)).await.map_or(0, |head| head.live);
    if live > 0 && store.oracle().toggles.is_gone(connection) {
        let name = NAMES[connection];
        shared.broken("toggles", format!("{name} was removed with its records, and {live} are there"));
    }
}

/// A decision that nobody else interfered with holds when its call returns.
fn check_decided(shared: &Shared, name: &str, toggle: Toggle, found: SyncState) {
    let holds = match toggle {
        Toggle::Disable | Toggle::Clear | Toggle::Disconnect | Toggle::Erase => found == SyncState::Off,
        Toggle::Pause => found == SyncState::Paused,
        Toggle::Enable | Toggle::Resume => found == SyncState::On,
        // As the integration has it.
        Toggle::Connect | Toggle::Follow => true,
    };
    if !holds {
        shared.broken("toggles", format!("{toggle:?} of {name} returned, and its sync is {found:?}"));
    }
}
