//! The parts of an engine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::{Environment, RunId, Store, Timestamp};
use highwater_template::actions::ActionTemplate;
use highwater_template::http::Transport;
use highwater_template::{Provider, Secret, Template};
use tokio::sync::{Notify, broadcast, watch};

use crate::cancel::CancelToken;
use crate::counters::Counting;
use crate::documents::{Holder, SyncKey};
use crate::events::{ConnectionEvent, IntegrationEvent, RunEvent, SyncEvent};
use crate::http::{PrivateAddresses, RequestLimits, Sessions};
use crate::log_policy::LogPolicy;
use crate::slots::Slots;

/// A lease that claims to last this many times longer than leases do was granted by another clock.
const FAR: u32 = 10;

/// Everything that an engine has, and all its clones share.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) providers: Vec<Provider>,
    pub(crate) templates: BTreeMap<String, Arc<dyn Template>>,
    pub(crate) actions: BTreeMap<String, Arc<dyn ActionTemplate>>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) private_addresses: PrivateAddresses,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) limits: RequestLimits,
    pub(crate) logs: LogPolicy,
    pub(crate) lease_ttl: Duration,
    pub(crate) slots: Slots,
    /// For monitoring.
    pub(crate) counting: Arc<Counting>,
    /// Random; distinguishes this engine's leases from others'.
    pub(crate) name: String,
    pub(crate) sessions: Sessions,
    /// Secrets of integrations that last as long as the engine, by the integration's key and their name.
    pub(crate) used_secrets: Mutex<HashMap<(String, &'static str), Secret>>,
    pub(crate) last_run: Mutex<RunId>,
    /// The runs of this engine, and how to stop each.
    pub(crate) running: Mutex<HashMap<SyncKey, CancelToken>>,
    pub(crate) queued: Mutex<HashSet<SyncKey>>,
    /// Actions and requests of this engine that are in progress.
    pub(crate) calls: Mutex<HashSet<RunId>>,
    /// The number of actions that were queued here.
    pub(crate) queued_actions: watch::Sender<u64>,
    /// Notified when a run has ended. Those who wait go on in their order, while a `watch` would draw it by lot.
    pub(crate) ended: Notify,
    pub(crate) events: broadcast::Sender<RunEvent>,
    pub(crate) sync_events: broadcast::Sender<SyncEvent>,
    pub(crate) integration_events: broadcast::Sender<IntegrationEvent>,
    pub(crate) connection_events: broadcast::Sender<ConnectionEvent>,
    /// What changed, for the schedulers of this process.
    pub(crate) changes: broadcast::Sender<Changed>,
}

/// What a scheduler is to look at again.
#[derive(Clone, Debug)]
pub(crate) enum Changed {
    /// A sync whose settings changed.
    Sync(SyncKey),
    /// A connection that has other credentials, in this engine.
    Connection(String),
}

impl Parts {
    /// This engine as the holder of a lease, with a current heartbeat.
    pub(crate) fn holder(&self, now: Timestamp) -> Holder {
        Holder { engine: self.name.clone(), process: std::process::id(), until: now + self.lease_ttl }
    }

    /// Whether another holder has the lease and may still be alive.
    pub(crate) fn is_kept_out_by(&self, holder: &Holder, now: Timestamp) -> bool {
        let alone = !self.store.capabilities().multi_process;
        let gone = alone && holder.process != std::process::id();
        let far = holder.until > now + FAR * self.lease_ttl;
        holder.engine != self.name && !gone && holder.until > now && !far
    }
}
