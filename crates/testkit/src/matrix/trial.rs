//! One trial: an engine, a store and an API, with the fault from one request on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Cursor, Environment, Inline, MemoryBackend, Result, Store, StoreExt, StoreOptions, StreamKey};
use highwater_engine::logs::LogFilter;
use highwater_engine::syncs::DeletePolicy;
use highwater_engine::transport::PrivateAddresses;
use highwater_engine::{ConnectionSettings, Engine, RunOptions, RunReport};
use highwater_template::http::Transport;
use tokio::time::Instant;

use super::faults::{Fault, Switch};
use super::hostile::{Effects, Hostile, Place};
use super::subject::{Live, Subject, TrialApi};
use super::watch::Watched;
use crate::clock::TestEnvironment;

const CONNECTION: &str = "trial";

/// When a trial begins: 2026-01-02T00:00:00Z.
const BEGIN_MS: u64 = 1_767_312_000_000;

/// Model, id and payload of live records.
pub(super) type Records = BTreeMap<(String, String), String>;

/// A run, with what was seen of it.
pub(super) struct Watch {
    pub(super) outcome: Result<RunReport>,
    pub(super) requests: u32,
    pub(super) time: Duration,
}

/// An engine, a store and an API for one trial.
pub(super) struct Bench {
    subject: Subject,
    fault: Fault,
    engine: Engine,
    store: Arc<dyn Store>,
    environment: Arc<TestEnvironment>,
    watched: Arc<Watched>,
    hostile: Arc<Hostile>,
}

impl Bench {
    pub(super) async fn new(subject: &Subject, fault: &Fault) -> Result<Self> {
        let make = match (&subject.make_tied, fault.switch) {
            (Some(tied), Switch::Ties) => tied,
            _ => &subject.make,
        };
        let environment = Arc::new(TestEnvironment::new(BEGIN_MS));
        let hostile = Arc::new(Hostile::new(subject, fault, make()));
        let watched = Arc::new(Watched::new(subject, fault.switch, &hostile, &environment)?);
        let clock = Arc::clone(&environment) as Arc<dyn Environment>;
        let options = StoreOptions::default().environment(Arc::clone(&clock));
        let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options)?);
        let engine = Engine::builder(Arc::clone(&store))
            .template(Arc::clone(&subject.template))
            .transport(Arc::clone(&watched) as Arc<dyn Transport>)
            // Faults of the wire come from a socket of this machine, also where a setting is the API's address.
            .private_addresses(PrivateAddresses::OfAnyone)
            .environment(clock)
            .build()?;
        let settings = ConnectionSettings::new(CONNECTION, &subject.provider().name);
        let settings = subject.config.iter().fold(settings, |settings, (name, value)| settings.config(name, value));
        engine.connect(settings).await?;
        engine.use_credentials(CONNECTION, subject.credentials());
        let bench = Bench { subject: subject.clone(), fault: *fault, engine, store, environment, watched, hostile };
        bench.sync_clocks();
        Ok(bench)
    }

    /// Sets the API's clock and ours to the same time, the later of the two.
    fn sync_clocks(&self) {
        let ours_s = self.environment.true_ms() / 1000;
        let theirs_s = self.hostile.with(|api| {
            api.set_now_s(ours_s);
            api.now_s()
        });
        if let Some(ahead) = theirs_s.and_then(|theirs| theirs.checked_sub(ours_s)) {
            self.environment.skip(Duration::from_secs(ahead));
        }
    }

    /// Changes and deletes records of the API, in the middle of some hours.
    pub(super) fn change(&self, round: u32) {
        self.write(|api| {
            api.change(round);
            api.delete(round);
        });
    }

    /// Changes records of the API, in the middle of some hours.
    pub(super) fn write(&self, write: impl FnOnce(&mut dyn TrialApi)) {
        self.environment.skip(Duration::from_secs(5400));
        self.sync_clocks();
        self.hostile.with(write);
        self.environment.skip(Duration::from_secs(1800));
        self.sync_clocks();
    }

    /// Runs the sync, under the fault if there is a place where it begins.
    pub(super) async fn run(&self, full: bool, place: Option<(Place, u32)>) -> Watch {
        self.sync_clocks();
        self.hostile.switch(place);
        if let (Some(_), Switch::Skew(seconds)) = (place, self.fault.switch) {
            self.environment.set_skew_ms(seconds * 1000);
        }
        let guarded = place.is_some() && !self.fault.approves_deletes();
        let options = RunOptions::default().full(full).approve_deletes(full && !guarded);
        // The default guard lets a few deletes pass whatever their share. A trial has few records, so one is too many here.
        let options = if guarded { options.deletes(DeletePolicy::default().guard(0, 0.05)) } else { options };
        self.watched.take_requests();
        let began = Instant::now();
        let outcome = async { self.engine.sync(CONNECTION, self.subject.name())?.run_once(options).await }.await;
        let time = began.elapsed();
        self.hostile.switch(None);
        self.environment.set_skew_ms(0);
        Watch { outcome, requests: self.watched.take_requests(), time }
    }

    /// Returns the live records of the store.
    pub(super) async fn stored(&self) -> Result<Records> {
        let mut records = Records::new();
        for model in &self.subject.template.info().models {
            let stream = StreamKey::new(CONNECTION, model.name.as_str());
            let mut cursor = Cursor::START;
            loop {
                let page = self.store.records(&stream).since(cursor).limit(1000).page().await?;
                cursor = page.next_cursor;
                for change in page.changes {
                    let record = change.record;
                    if record.metadata.deleted_at.is_none() {
                        let payload = record.payload.as_ref().map(ToString::to_string).unwrap_or_default();
                        records.insert((model.name.clone(), record.id.to_string()), canonical(&payload));
                    }
                }
                if page.caught_up {
                    break;
                }
            }
        }
        Ok(records)
    }

    /// Returns the live records of the API.
    pub(super) fn live(&self) -> Live {
        self.hostile.with(|api| api.live())
    }

    pub(super) fn effects(&self) -> Effects {
        self.hostile.effects()
    }

    pub(super) fn leaks(&self) -> Vec<String> {
        self.watched.leaks()
    }

    /// Returns whether a line of any run's log contains a secret.
    pub(super) async fn log_holds_secret(&self) -> Result<bool> {
        let lines = self.engine.log_lines(&LogFilter::default().limit(1000)).await?;
        Ok(lines.lines.iter().any(|line| super::watch::holds_secret(&format!("{line:?}"))))
    }
}

/// Returns the same JSON in one form.
fn canonical(payload: &str) -> String {
    serde_json::from_str::<serde_json::Value>(payload).map_or_else(|_| payload.to_owned(), |value| value.to_string())
}
