//! What happens to an integration and its connections step by step, and a model of what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};

use highwater::engine::integrations::DeleteMode;
use highwater::engine::{DisableMode, DisconnectMode};
use highwater::{
    ConnectionSettings, Engine, ErrorKind, IntegrationSettings, Result, Secret, Store, StreamKey, SyncOptions,
    WriteBatch,
};
use serde_json::json;

use super::account::{ENDPOINTS, numbered, token};

pub(crate) const IDS: [&str; 3] = ["ann", "bob", "eve"];

pub(crate) const INTEGRATION: &str = "work";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Create,
    SetSecret,
    Enable(usize),
    Disable(usize, DisableMode),
    Connect(&'static str),
    Note(&'static str),
    SignIn(&'static str),
    Write(&'static str, usize),
    Disconnect(&'static str, DisconnectMode),
    Delete(DisconnectMode),
}

/// The step with this number: the same in every process.
pub(crate) fn step(number: u64) -> Step {
    use DisconnectMode::{ClearRecords, KeepRecords};
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mixed = usize::try_from((mixed ^ (mixed >> 31)) % 6000).unwrap();
    let (id, endpoint) = (IDS[mixed % 3], mixed / 3 % 2);
    match mixed / 6 % 40 {
        0..=4 => Step::Create,
        5 => Step::SetSecret,
        6..=9 => Step::Enable(endpoint),
        10 => Step::Disable(endpoint, DisableMode::Keep),
        11 => Step::Disable(endpoint, DisableMode::Clear),
        12..=21 => Step::Connect(id),
        22 | 23 => Step::Note(id),
        24..=29 => Step::SignIn(id),
        30..=33 => Step::Write(id, endpoint),
        34 | 35 => Step::Disconnect(id, KeepRecords),
        36 | 37 => Step::Disconnect(id, ClearRecords),
        38 => Step::Delete(KeepRecords),
        _ => Step::Delete(ClearRecords),
    }
}

impl Step {
    /// Does it. A step that meets nothing is done.
    pub(crate) async fn take(self, engine: &Engine, store: &dyn Store, number: u64) -> Result<()> {
        let work = engine.integration(INTEGRATION)?;
        let done = match self {
            Step::Create => engine.create_integration(IntegrationSettings::new(INTEGRATION, "acme")).await.map(drop),
            Step::SetSecret => work.set_client_secret(Some(Secret::new(token(number)))).await,
            Step::Enable(of) => work.enable(ENDPOINTS[of].0, SyncOptions::default().auto_start(false)).await,
            Step::Disable(of, mode) => work.disable(ENDPOINTS[of].0, mode).await,
            Step::Connect(id) => match engine.connection(id).await {
                Ok(_) => Ok(()),
                Err(_) => {
                    let settings = ConnectionSettings::of_integration(id, INTEGRATION).tag("step", number.to_string());
                    engine.connect(settings).await
                }
            },
            Step::Note(id) => engine.set_metadata(id, json!({"n": number, "again": number})).await,
            Step::SignIn(id) => engine.sign_in(id, numbered(number)).await,
            Step::Write(id, of) => {
                let key = format!("connection/{id}");
                let Some(connection) = store.document(&key).await? else { return Ok(()) };
                let mut batch = WriteBatch::new();
                batch.expect_document(&*key, Some(&connection));
                batch.on(&StreamKey::new(id, ENDPOINTS[of].1)).upsert(format!(r#"{{"id":"{number}"}}"#));
                store.commit(batch).await.map(drop)
            }
            Step::Disconnect(id, mode) => engine.disconnect(id, mode).await.map(drop),
            Step::Delete(mode) => work.delete(DeleteMode::disconnect(mode)).await.map(drop),
        };
        match done {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

/// A connection as it is known: the numbers of the steps that connected, noted and signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) connected: u64,
    pub(crate) noted: Option<u64>,
    pub(crate) signed_in: Option<u64>,
}

/// An integration as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) endpoints: BTreeSet<&'static str>,
    /// The step that set its secret.
    pub(crate) secret: Option<u64>,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) integration: Option<Work>,
    pub(crate) connections: BTreeMap<&'static str, Known>,
    /// The steps whose records a stream has: by connection and model, if it has any.
    pub(crate) records: BTreeMap<(&'static str, &'static str), BTreeSet<u64>>,
}

impl Model {
    /// What there is after a step.
    pub(crate) fn after(&self, number: u64) -> Model {
        let mut next = self.clone();
        next.take(step(number), number);
        next
    }

    /// What there may be if a step was cut short: the deletion of an integration ends some of its connections first.
    pub(crate) fn in_the_middle_of(&self, number: u64) -> Vec<Model> {
        let mut possible = vec![self.clone(), self.after(number)];
        if let Step::Delete(mode) = step(number) {
            for chosen in 1..1 << IDS.len() {
                let mut some = self.clone();
                let ended = IDS.iter().enumerate().filter(|(at, _)| chosen & (1 << at) != 0);
                ended.for_each(|(_, id)| some.end(id, mode));
                possible.push(some);
            }
        }
        possible
    }

    fn take(&mut self, step: Step, number: u64) {
        match step {
            Step::Create => drop(self.integration.get_or_insert_default()),
            Step::SetSecret => {
                if let Some(work) = &mut self.integration {
                    work.secret = Some(number);
                }
            }
            Step::Enable(of) => {
                if let Some(work) = &mut self.integration {
                    work.endpoints.insert(ENDPOINTS[of].0);
                }
            }
            Step::Disable(of, mode) => {
                let Some(work) = &mut self.integration else { return };
                work.endpoints.remove(ENDPOINTS[of].0);
                if mode == DisableMode::Clear {
                    self.records
                        .retain(|(id, model), _| *model != ENDPOINTS[of].1 || !self.connections.contains_key(id));
                }
            }
            Step::Connect(id) => {
                if self.integration.is_some() {
                    let new = Known { connected: number, noted: None, signed_in: None };
                    self.connections.entry(id).or_insert(new);
                }
            }
            Step::Note(id) => {
                self.connections.entry(id).and_modify(|known| known.noted = Some(number));
            }
            Step::SignIn(id) => {
                self.connections.entry(id).and_modify(|known| known.signed_in = Some(number));
            }
            Step::Write(id, of) => {
                if self.connections.contains_key(id) {
                    self.records.entry((id, ENDPOINTS[of].1)).or_default().insert(number);
                }
            }
            Step::Disconnect(id, mode) => self.end(id, mode),
            Step::Delete(mode) => {
                if self.integration.take().is_some() {
                    IDS.iter().for_each(|id| self.end(id, mode));
                }
            }
        }
    }

    fn end(&mut self, ended: &str, mode: DisconnectMode) {
        let connected = self.connections.remove(ended).is_some();
        if connected && mode == DisconnectMode::ClearRecords {
            self.records.retain(|(id, _), _| *id != ended);
        }
    }

    /// The sign-ins of connections that are gone in `after`.
    pub(crate) fn ended(&self, after: &Model) -> Vec<u64> {
        let gone = self.connections.iter().filter(|(id, _)| !after.connections.contains_key(*id));
        gone.filter_map(|(_, known)| known.signed_in).collect()
    }
}
