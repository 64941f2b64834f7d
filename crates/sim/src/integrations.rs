//! An integration whose endpoint is turned on and off for all its connections, while these come and go and decide for themselves.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{ErrorKind, Store, WriteBatch};
use highwater_engine::integrations::DeleteMode;
use highwater_engine::{DisableMode, DisconnectMode, Engine, IntegrationSettings};
use serde_json::Value;

use crate::disk::NAMES;
use crate::plan::{CONNECTIONS, Endpoint, Knob, Plan};
use crate::process::Process;
use crate::shared::Shared;
use crate::template::{PROVIDER, SYNC};
use crate::toggles::{check_erased, schedule};

/// The key of the integration.
pub(crate) const INTEGRATION: &str = "sources";

/// How a connection's sync stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncState {
    Off,
    Paused,
    On,
}

/// Who decided what about the syncs, as the commits say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decisions {
    /// The integration is there.
    exists: bool,
    /// The options of the integration's endpoint; none while it is off.
    endpoint: Option<Value>,
    /// The settings of each connection's sync; none while it is off.
    syncs: [Option<Value>; CONNECTIONS],
    /// The connection turned its sync off itself.
    off: [bool; CONNECTIONS],
    /// The connection belongs to the integration.
    member: [bool; CONNECTIONS],
}

impl Decisions {
    /// What the store has.
    pub(crate) async fn of(store: &dyn Store) -> highwater_core::Result<Self> {
        let mut decisions = Decisions::default();
        let syncs = NAMES
            .map(|name| [format!("sync/{name}/{SYNC}"), format!("off/{name}/{SYNC}"), format!("connection/{name}")]);
        for key in syncs.into_iter().flatten().chain([format!("integration/{INTEGRATION}")]) {
            let found = store.document(&key).await?;
            decisions.note(&key, found.as_ref().map(|found| found.as_str().as_bytes()));
        }
        Ok(decisions)
    }

    fn note(&mut self, key: &str, value: Option<&[u8]>) {
        let value: Option<Value> = value.and_then(|value| serde_json::from_slice(value).ok());
        if key == format!("integration/{INTEGRATION}") {
            self.exists = value.is_some();
            self.endpoint = value.and_then(|integration| integration["endpoints"].get(SYNC).cloned());
            return;
        }
        let Some((kind, path)) = key.split_once('/') else { return };
        let Some(place) = NAMES.iter().position(|name| path.split('/').next() == Some(name)) else { return };
        match kind {
            "sync" => self.syncs[place] = value,
            "off" => self.off[place] = value.is_some(),
            "connection" => {
                self.member[place] = value.is_some_and(|connection| connection["integration"] == INTEGRATION)
            }
            _ => {}
        }
    }

    /// A batch was committed. Each sync is as its connection decided, or as the integration has it.
    pub(crate) fn committed(&mut self, shared: &Shared, batch: &WriteBatch) {
        let before = self.clone();
        for (key, value) in batch.documents() {
            self.note(key, value);
        }
        for (place, name) in NAMES.into_iter().enumerate().filter(|(place, _)| self.member[*place]) {
            let broken = |what: &str| {
                let (sync, endpoint) = (&self.syncs[place], &self.endpoint);
                shared
                    .broken("integrations", format!("{name}: {what}: its sync is {sync:?}, the endpoint {endpoint:?}"));
            };
            if !self.exists {
                broken("it has no integration");
            }
            match (&self.syncs[place], &self.endpoint) {
                (Some(_), _) if self.off[place] => broken("on, although it was turned off itself"),
                (None, Some(_)) if !self.off[place] => broken("off, although the endpoint is on"),
                (Some(sync), None) if is_inherited(sync) => broken("on, although the endpoint is off"),
                (Some(sync), Some(options)) if is_inherited(sync) && !is_as(sync, options) => {
                    broken("not as the endpoint has it");
                }
                _ => {}
            }
            if before.endpoint == self.endpoint || !before.member[place] {
                continue;
            }
            let own = before.syncs[place].as_ref().filter(|sync| !is_inherited(sync));
            if own.is_some() || before.off[place] {
                shared.reached("endpoint toggled around a connection's own decision");
            }
            if own.is_some() && self.syncs[place].as_ref() != own || before.off[place] && !self.off[place] {
                broken("its own decision is gone");
            }
        }
        for place in (0..CONNECTIONS).filter(|place| self.member[*place] && !before.member[*place]) {
            if self.syncs[place].is_none() {
                shared.reached("connection joined while its endpoint was off");
            }
        }
    }

    pub(crate) fn of_sync(&self, connection: usize) -> SyncState {
        match &self.syncs[connection] {
            None => SyncState::Off,
            Some(sync) if sync["paused"] == true => SyncState::Paused,
            Some(_) => SyncState::On,
        }
    }
}

fn is_inherited(sync: &Value) -> bool {
    sync["origin"] == "integration"
}

/// Whether settings are those of an endpoint's options.
fn is_as(sync: &Value, options: &Value) -> bool {
    let same = ["schedule", "jitter_ms", "deletes", "timeout_ms"].into_iter().all(|name| sync[name] == options[name]);
    same && sync["paused"] != options["auto_start"]
}

/// Creates the integration, if there is to be one, and turns its endpoint on.
pub(crate) async fn turn_on(engine: &Engine, plan: &Plan) -> highwater_core::Result<()> {
    if !plan.has(Knob::Integrations) {
        return Ok(());
    }
    let integration = engine.create_integration(IntegrationSettings::new(INTEGRATION, PROVIDER)).await?;
    integration.enable(SYNC, schedule()).await
}

impl Process {
    /// Somebody turns the endpoint on or off, while whatever runs goes on.
    pub(crate) fn toggle_endpoint(&mut self, shared: &Arc<Shared>, engine: usize, toggle: Endpoint) {
        let (engine, shared, store) = (self.engines[engine].clone(), Arc::clone(shared), Arc::clone(&self.store));
        let removed = Arc::clone(&self.removed);
        self.runs.spawn(async move {
            let running = store.inner.documents("holder/", "", 1).await.is_ok_and(|found| !found.is_empty());
            let is_there = |place: &usize| !store.oracle().toggles.is_gone(*place);
            let connected: Vec<usize> = (0..CONNECTIONS).filter(is_there).collect();
            let call = store.oracle().toggles.begin();
            let outcome = async {
                let integration = engine.integration(INTEGRATION)?;
                match toggle {
                    Endpoint::Enable => turn_on(&engine, &shared.plan).await,
                    Endpoint::Delete | Endpoint::Erase => {
                        let erases = toggle == Endpoint::Erase;
                        let mode = if erases { DisconnectMode::ClearRecords } else { DisconnectMode::KeepRecords };
                        integration.delete(DeleteMode::disconnect(mode)).await.map(drop)
                    }
                    Endpoint::Slow => integration.enable(SYNC, schedule().schedule(Duration::from_secs(600))).await,
                    Endpoint::Disable => integration.disable(SYNC, DisableMode::Keep).await,
                    Endpoint::Clear => integration.disable(SYNC, DisableMode::Clear).await,
                }
            };
            let outcome = outcome.await;
            shared
                .note(|| format!("{toggle:?} of the endpoint: {:?}", outcome.as_ref().err().map(ToString::to_string)));
            let is_on = {
                let mut oracle = store.oracle();
                (oracle.toggles.end(call) && outcome.is_ok()).then(|| oracle.toggles.decisions().endpoint.is_some())
            };
            let wanted = matches!(toggle, Endpoint::Enable | Endpoint::Slow);
            let deletes = matches!(toggle, Endpoint::Delete | Endpoint::Erase);
            for place in (0..CONNECTIONS).filter(|_| deletes && outcome.is_ok()) {
                if is_on.is_some() && !store.oracle().toggles.is_gone(place) {
                    shared.broken("integrations", format!("{} outlived its integration", NAMES[place]));
                }
                if is_on.is_some() && toggle == Endpoint::Erase && connected.contains(&place) {
                    check_erased(&shared, &store, place).await;
                }
                if store.oracle().toggles.is_gone(place) {
                    lock(&removed).insert(NAMES[place].to_owned());
                }
            }
            if is_on.is_some_and(|is_on| is_on != wanted) {
                shared.broken("integrations", format!("{toggle:?} returned, and the endpoint is on: {is_on:?}"));
            }
            match outcome {
                Ok(()) if running => shared.reached(match toggle {
                    Endpoint::Enable | Endpoint::Slow => "endpoint enabled during a run",
                    Endpoint::Disable => "endpoint disabled during a run",
                    Endpoint::Clear => "endpoint disabled and emptied during a run",
                    Endpoint::Delete | Endpoint::Erase => "integration deleted during a run",
                }),
                Ok(()) if deletes => shared.reached("integration deleted"),
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    shared.reached("turned off or on where nothing is");
                }
                Err(_) => shared.reached("turning on or off failed"),
            }
        });
    }
}
