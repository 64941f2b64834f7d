//! What a run or a webhook did, kept so that a crash leaves nothing untold.
//!
//! Every commit of a run adds to an account of its stream, in the same transaction. The run that ends well leaves with its
//! end a draft of what is to be told, and the accounts; one that fails leaves the accounts to the next.

use std::collections::BTreeSet;
use std::sync::Mutex;

use highwater_core::locks::lock;
use highwater_core::{Environment, Error, Result, Store, StreamBatch, WriteBatch};

use super::cleared::anybody_listens;
use super::draft::tell;
use crate::documents::{Draft, Failure, RunReport, RunState, SyncKey, drafts_of};
use crate::mutants::mutant;

/// Accounts read at a time.
const PAGE: usize = 500;

/// A run's account of its models.
#[derive(Debug)]
pub(crate) struct Tally {
    sync: SyncKey,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Whether anybody is to be told.
    active: bool,
    /// Models with an account: those of earlier runs that did not get to tell, too.
    models: BTreeSet<String>,
}

impl Tally {
    /// The account of a run that begins.
    pub(crate) fn new(sync: &SyncKey) -> Self {
        Tally { sync: sync.clone(), state: Mutex::new(State { active: true, models: BTreeSet::new() }) }
    }

    /// Tells what earlier runs ended without telling, and takes over what they left untold.
    pub(crate) async fn open(&self, store: &dyn Store, environment: &dyn Environment) -> Result<()> {
        let active = anybody_listens(store).await?;
        let mut models = BTreeSet::new();
        if active {
            tell(store, environment, &drafts_of(&self.sync)).await?;
            let prefix = untold_prefix(&self.sync);
            let mut after = String::new();
            loop {
                let page = store.documents(&prefix, &after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.key);
                models.extend(page.iter().filter_map(|found| found.key.strip_prefix(&prefix)).map(str::to_owned));
            }
        }
        *lock(&self.state) = State { active, models };
        Ok(())
    }

    /// Adds what a batch does to a model to the account, with the batch itself.
    pub(crate) fn account(&self, model: &str, stream: &mut StreamBatch) {
        let mut state = lock(&self.state);
        if state.active {
            if !mutant!("account-unnamed") {
                state.models.insert(model.to_owned());
            }
            stream.summarize_in(untold_key(&self.sync, model));
        }
    }

    /// Adds what is to be told to the batch that ends the run. [`tell_now`](Tally::tell_now) makes deliveries of it.
    pub(crate) fn conclude(&self, report: &RunReport, error: Option<&Error>, batch: &mut WriteBatch) -> Result<()> {
        let state = lock(&self.state);
        if !state.active || report.state == RunState::Cancelled {
            return Ok(());
        }
        let accounts = state.models.iter().map(|model| (model.clone(), untold_key(&self.sync, model))).collect();
        let draft = Draft { error: error.map(Failure::of), ..Draft::new(report, accounts) };
        batch.put_document(draft.key(&self.sync), &draft).map(drop)
    }

    /// Makes deliveries of what was concluded. Where that fails, whoever looks at the outbox next does it.
    pub(crate) async fn tell_now(&self, store: &dyn Store, environment: &dyn Environment) {
        let active = lock(&self.state).active;
        if active && let Err(error) = tell(store, environment, &drafts_of(&self.sync)).await {
            tracing::warn!(target: "highwater::outbox", sync = %self.sync, "its news wait for the next look: {error}");
        }
    }
}

fn untold_prefix(sync: &SyncKey) -> String {
    format!("outbox/untold/{}/", sync.path())
}

/// Where the account of a model lies until it is told.
pub(super) fn untold_key(sync: &SyncKey, model: &str) -> String {
    format!("{}{model}", untold_prefix(sync))
}
