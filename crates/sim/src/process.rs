//! Everything that lives until the next crash: a store, two engines, runs and webhooks in flight.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use highwater_core::locks::lock;
use highwater_core::{DEFAULT_VARIANT, ErrorKind, MemoryBackend, Store};
use highwater_engine::webhooks::{BackgroundDelivery, Outbox};
use highwater_engine::{CancelToken, CredentialStore, Credentials, Engine, RunOptions, Secret};
use highwater_vault::{GivenKeys, Vault};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::api::{Api, Event, SimTransport};
use crate::credentials::{Removed, SimCredentials, signed_in};
use crate::disk::{NAMES, SimStore};
use crate::mischief::Pages;
use crate::oracle::Oracle;
use crate::plan::{CONNECTIONS, Knob, Plan};
use crate::receivers::Receivers;
use crate::shared::{Shared, SimEnvironment};
use crate::template::{Items, SYNC, base_url};
use crate::told::secrets;

/// Processed events: the connection, how often it was removed before, and the event.
pub(crate) type Taken = Arc<Mutex<BTreeSet<(usize, usize, String)>>>;

/// The secret that signs every webhook.
pub(crate) const SECRET: &str = "the secret of the simulated source";

/// Everything that lives until the next crash.
pub(crate) struct Process {
    pub(crate) store: Arc<SimStore>,
    pub(crate) engines: Vec<Engine>,
    pub(crate) runs: JoinSet<()>,
    pub(crate) apis: Vec<Arc<Api>>,
    /// Each engine's, where users sign in.
    pub(crate) vaults: Vec<Vault>,
    pub(crate) removed: Removed,
    pub(crate) cancels: Vec<CancelToken>,
    /// Each engine's outbox, and its work.
    pub(crate) outboxes: Vec<Outbox>,
    deliveries: Vec<BackgroundDelivery>,
    /// Runs of each connection that the plan requested and that are in progress.
    by_hand: Arc<[AtomicUsize; CONNECTIONS]>,
}

pub(crate) fn template(plan: &Plan) -> Items {
    Items::new(plan.styles, plan.has(Knob::SignIn))
}

impl Process {
    pub(crate) async fn start(
        shared: &Arc<Shared>,
        backend: &MemoryBackend,
        oracle: &Arc<Mutex<Oracle>>,
        apis: &[Arc<Api>],
        receivers: &Arc<Receivers>,
        keys: &Arc<GivenKeys>,
        removed: &Removed,
    ) -> highwater_core::Result<Self> {
        let store = SimStore::open(shared, backend, oracle, apis, receivers)?;
        let life = shared.life();
        let kept_apis = apis.to_vec();
        let (mut vaults, latest) = (Vec::new(), Arc::default());
        for _ in 0..if shared.plan.has(Knob::SignIn) { 2 } else { 0 } {
            let environment = Arc::new(SimEnvironment::of_engine(shared));
            let store = Arc::clone(&store) as Arc<dyn Store>;
            vaults.push(Vault::open_with(store, Arc::clone(keys) as _, environment).await?);
        }
        let engine = |engine: usize| {
            let (apis, receivers) = (kept_apis.clone(), Arc::clone(receivers));
            // Its own pages: one that comes again is one that the same run was given before.
            let transport = SimTransport { shared: Arc::clone(shared), apis, receivers, life, pages: Pages::default() };
            let builder = Engine::builder(Arc::clone(&store) as Arc<dyn Store>)
                .transport(Arc::new(transport))
                .environment(Arc::new(SimEnvironment::of_engine(shared)))
                .template(Arc::new(template(&shared.plan)));
            let Some(vault) = vaults.get(engine).cloned() else { return builder.build() };
            let (shared, removed, latest) = (Arc::clone(shared), Arc::clone(removed), Arc::clone(&latest));
            let credentials = SimCredentials { shared, vault, apis: kept_apis.clone(), removed, life, latest, engine };
            builder.credential_store(Arc::new(credentials)).build()
        };
        let engines = vec![engine(0)?, engine(1)?];
        for name in NAMES {
            give_webhook_secret(&engines, shared, name);
        }
        let mut outboxes = Vec::new();
        for engine in engines.iter().filter(|_| shared.plan.has(Knob::Outbox)) {
            let outbox = Outbox::new(engine);
            for (place, secret) in secrets() {
                outbox.set_secrets(place, vec![secret])?;
            }
            outboxes.push(outbox);
        }
        let deliveries = outboxes.iter().map(|outbox| outbox.start(&Handle::current())).collect();
        let mut process = Process {
            store,
            engines,
            runs: JoinSet::new(),
            apis: kept_apis,
            vaults,
            removed: Arc::clone(removed),
            cancels: Vec::new(),
            outboxes,
            deliveries,
            by_hand: Arc::default(),
        };
        if shared.plan.has(Knob::Scheduled) && !shared.is_calm() {
            process.keep_schedules(shared);
        }
        Ok(process)
    }

    /// Both engines run what is due.
    fn keep_schedules(&mut self, shared: &Arc<Shared>) {
        for engine in &self.engines {
            let (engine, shared, by_hand) = (engine.clone(), Arc::clone(shared), Arc::clone(&self.by_hand));
            self.runs.spawn(async move {
                let mut events = engine.events();
                let _running = engine.start(&Handle::current());
                while let Ok(event) = events.recv().await {
                    let asked = NAMES.iter().position(|name| *name == event.connection);
                    if asked.is_some_and(|place| by_hand[place].load(Ordering::Relaxed) == 0) {
                        shared.reached("run by the schedule");
                    }
                }
            });
        }
    }

    /// A webhook arrives.
    pub(crate) fn receive(
        &mut self,
        shared: &Arc<Shared>,
        taken: &Taken,
        connection: usize,
        engine: usize,
        event: Event,
    ) {
        let (engine, shared, taken) = (self.engines[engine].clone(), Arc::clone(shared), Arc::clone(taken));
        self.runs.spawn(async move {
            let name = NAMES[connection];
            let headers = [
                ("x-github-delivery", event.id.clone()),
                ("x-hub-signature-256", format!("sha256={}", signature(event.body.as_bytes()))),
            ];
            let removals = shared.removals(connection);
            match engine.receive(name, &headers, event.body.as_bytes()).await {
                Ok(received) => {
                    let kept = removals == shared.removals(connection);
                    shared.note(|| format!("webhook {} of {name}: {received:?}", event.id));
                    match received.duplicate {
                        true => shared.reached("webhook came twice"),
                        // A clock jump makes events old enough to be forgotten.
                        // A connection of the same id that is made anew knows no event.
                        false
                            if kept
                                && !lock(&taken).insert((connection, removals, event.id.clone()))
                                && !shared.plan.has(Knob::ClockJumps) =>
                        {
                            shared.broken("webhooks", format!("{} of {name} was taken twice", event.id));
                        }
                        false if received.triggered.is_empty() => shared.reached("webhook written"),
                        false => shared.reached("webhook requested a run"),
                    }
                }
                Err(error) => {
                    shared.reached("webhook refused");
                    shared.note(|| format!("webhook {} of {name}: {error}", event.id));
                }
            }
        });
    }

    /// Stops everything in this process.
    pub(crate) async fn end(&mut self) {
        self.deliveries.clear();
        self.runs.shutdown().await;
    }

    pub(crate) fn run(&mut self, shared: &Arc<Shared>, connection: usize, engine: usize, options: RunOptions) {
        let (engine, shared) = (self.engines[engine].clone(), Arc::clone(shared));
        let cancel = CancelToken::new();
        self.cancels.push(cancel.clone());
        let options = options.cancel(cancel);
        let (by_hand, store) = (Arc::clone(&self.by_hand), Arc::clone(&self.store));
        by_hand[connection].fetch_add(1, Ordering::Relaxed);
        store.oracle().toggles.run_by_hand(connection);
        self.runs.spawn(async move {
            let name = NAMES[connection];
            let outcome = async { engine.sync(name, SYNC)?.run_once(options).await }.await;
            by_hand[connection].fetch_sub(1, Ordering::Relaxed);
            store.oracle().toggles.run_by_hand_ended(connection);
            shared.note(|| match &outcome {
                Ok(report) => format!("run of {name} ended: {:?} {:?}", report.state, report.progress),
                Err(error) => format!("run of {name} ended: {error}"),
            });
            match outcome.as_ref().map_err(highwater_core::Error::kind) {
                Err(ErrorKind::Busy) => shared.reached("run refused while another runs"),
                Err(ErrorKind::AwaitingApproval) => shared.reached("guard tripped"),
                Err(ErrorKind::Cancelled) => shared.reached("run cancelled"),
                Err(ErrorKind::Unauthorized) => shared.reached("run needs a sign-in"),
                Err(ErrorKind::ClockImplausible) => shared.reached("clock jump refused"),
                Err(_) => shared.reached("run failed"),
                Ok(_) => {}
            }
        });
        debug_assert_eq!(DEFAULT_VARIANT, "base");
    }
}

/// Without a vault the host gives its secret at each start.
pub(crate) fn give_webhook_secret(engines: &[Engine], shared: &Shared, name: &str) {
    for engine in engines.iter().filter(|_| !shared.plan.has(Knob::SignIn)) {
        engine.use_credentials(name, Credentials::none().secret("webhook_secret", Secret::new(SECRET)));
    }
}

/// A user signs in, and the host keeps what comes of it.
pub(crate) async fn sign_in(shared: &Shared, api: &Api, vault: &Vault, name: &str) {
    let tokens = api.issuer.sign_in(shared).token_url(format!("{}/token", base_url(name)));
    let saved = vault.save(name, &signed_in(tokens)).await;
    shared.note(|| format!("{name} signed in: {:?}", saved.as_ref().err()));
    shared.reached(if saved.is_ok() { "signed in again" } else { "sign-in could not be kept" });
}

fn signature(body: &[u8]) -> String {
    // HMAC accepts a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else { return String::new() };
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}
