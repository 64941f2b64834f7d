//! Summaries of the changes of a run or a webhook, so that a crash leaves nothing unreported.
//!
//! Every commit of a run adds to a summary of its stream, in the same transaction. A successful run leaves a draft and the
//! summaries with its end; a failed one leaves the summaries to the next run.

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

/// A run's summaries of its models.
#[derive(Debug)]
pub(crate) struct Tally {
    sync: SyncKey,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Whether there is any destination.
    active: bool,
    /// Models with a summary, including those of earlier runs that were not reported.
    models: BTreeSet<String>,
}

impl Tally {
    /// The summaries of a new run.
    pub(crate) fn new(sync: &SyncKey) -> Self {
        Tally { sync: sync.clone(), state: Mutex::new(State { active: true, models: BTreeSet::new() }) }
    }

    /// Delivers the drafts of earlier runs, and takes over summaries that they left unreported.
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

    /// Adds a batch's changes of a model to the summary, within the batch itself.
    pub(crate) fn account(&self, model: &str, stream: &mut StreamBatch) {
        let mut state = lock(&self.state);
        if state.active {
            if !mutant!("account-unnamed") {
                state.models.insert(model.to_owned());
            }
            stream.summarize_in(untold_key(&self.sync, model));
        }
    }

    /// Adds the draft to the batch that ends the run. [`tell_now`](Tally::tell_now) turns it into deliveries.
    pub(crate) fn conclude(&self, report: &RunReport, error: Option<&Error>, batch: &mut WriteBatch) -> Result<()> {
        let state = lock(&self.state);
        if !state.active || report.state == RunState::Cancelled {
            return Ok(());
        }
        let accounts = state.models.iter().map(|model| (model.clone(), untold_key(&self.sync, model))).collect();
        let draft = Draft { error: error.map(Failure::of), ..Draft::new(report, accounts) };
        batch.put_document(draft.key(&self.sync), &draft).map(drop)
    }

    /// Turns the draft into deliveries. If that fails, the next process that checks the outbox does it.
    pub(crate) async fn tell_now(&self, store: &dyn Store, environment: &dyn Environment) {
        let active = lock(&self.state).active;
        if active && let Err(error) = tell(store, environment, &drafts_of(&self.sync)).await {
            tracing::warn!(target: "highwater::outbox", sync = %self.sync, "its notifications are left to the next check: {error}");
        }
    }
}

fn untold_prefix(sync: &SyncKey) -> String {
    format!("outbox/untold/{}/", sync.path())
}

/// The key of a model's summary until it is reported.
pub(super) fn untold_key(sync: &SyncKey, model: &str) -> String {
    format!("{}{model}", untold_prefix(sync))
}
