//! Checks commits against the model, which derives the expected log from the commits alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_core::{Action, Cursor, Page, RunStep, StreamBatchView, StreamCommit, StreamHead, StreamKey};
use serde_json::Value;

use crate::model::{Change, Entry, Model};
use crate::plan::Knob;
use crate::shared::Shared;
use crate::toggles::Toggles;

/// What the oracle knows of the disk: each stream's model, and when its open run began.
pub(crate) type Known = (BTreeMap<StreamKey, Model>, BTreeMap<StreamKey, (u64, u64)>);

/// Checks commits against the model, and reports findings to `shared`.
#[derive(Debug)]
pub(crate) struct Oracle {
    shared: Arc<Shared>,
    pub(crate) models: BTreeMap<StreamKey, Model>,
    /// When the open run of a stream began (true time), and in which life of the process.
    pub(crate) began: BTreeMap<StreamKey, (u64, u64)>,
    /// What is turned off.
    pub(crate) toggles: Toggles,
}

impl Oracle {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Oracle {
            shared: Arc::clone(shared),
            models: BTreeMap::new(),
            began: BTreeMap::new(),
            toggles: Toggles::default(),
        }
    }

    pub(crate) fn model(&mut self, stream: &StreamKey) -> &mut Model {
        self.models.entry(stream.clone()).or_default()
    }

    /// The live records by id, as values.
    pub(crate) fn live(&self, stream: &StreamKey) -> BTreeMap<String, Arc<Value>> {
        let entries = self.models.get(stream).map(|model| &model.entries).into_iter().flatten();
        entries.filter(|(_, entry)| entry.is_live()).map(|(id, entry)| (id.clone(), Arc::clone(&entry.value))).collect()
    }

    /// Records that are after one cursor but not after another.
    pub(crate) fn between(&self, stream: &StreamKey, from: Cursor, to: Cursor) -> Vec<(String, Cursor)> {
        let entries = self.models.get(stream).map(|model| &model.entries).into_iter().flatten();
        let between = entries
            .filter(|(_, entry)| entry.cursor.position() > from.position() && entry.cursor.position() <= to.position());
        between.map(|(id, entry)| (id.clone(), entry.cursor)).collect()
    }

    /// Records whose payload was pruned.
    pub(crate) fn pruned_ids(&self, stream: &StreamKey) -> BTreeSet<String> {
        let entries = self.models.get(stream).map(|model| &model.entries).into_iter().flatten();
        entries.filter(|(_, entry)| entry.pruned).map(|(id, _)| id.clone()).collect()
    }

    /// Why the guard would refuse the deletes of a run that completes now.
    pub(crate) fn held_back(&mut self, batch: StreamBatchView<'_>) -> bool {
        if !batch.run_steps().iter().any(|step| matches!(step, RunStep::Complete(_))) {
            return false;
        }
        let mut model = self.model(batch.stream()).clone();
        model.operate(batch);
        batch.run_steps().iter().any(|step| match step {
            RunStep::Complete(guard) => !model.may_complete(guard),
            _ => false,
        })
    }

    /// Checks a commit to a stream: `page` and `head` are the stream's new state. Returns the ids that the
    /// completion of a run deleted.
    pub(crate) fn committed(
        &mut self,
        batch: StreamBatchView<'_>,
        commit: &StreamCommit,
        page: &Page,
        head: &StreamHead,
    ) -> Vec<String> {
        let shared = Arc::clone(&self.shared);
        let model = self.model(batch.stream());
        let end = model.end;
        let (kept, aside) = (model.kept, model.aside);
        let (mut changes, mut gone) = (model.operate(batch), Vec::new());
        if model.kept > kept {
            shared.reached("page older than a webhook");
        }
        let (told, expected) = (commit.rejected.len() as u64, model.aside - aside);
        if told != expected {
            shared.broken("P7", format!("the commit sets {told} records aside instead of {expected}"));
        }
        for step in batch.run_steps() {
            if let RunStep::Complete(guard) = step {
                if !model.may_complete(guard) {
                    shared.broken("P26", format!("the guard {guard:?} let a run delete too much"));
                }
                gone = model.unseen();
                // Deletes are approved only at the end.
                if !gone.is_empty() && model.is_uncertain() && !shared.is_calm() {
                    shared.broken("P26", format!("{gone:?} were deleted by a run that set records aside"));
                }
                model.run = None;
            } else if let RunStep::Abort = step {
                model.run = None;
            } else if let RunStep::ListUnseen(_) = step
                && model.is_uncertain()
                && !model.unseen().is_empty()
            {
                shared.reached("record missing where one was set aside");
            }
        }
        for id in &gone {
            let value = model.entries.get(id).map(|entry| Arc::clone(&entry.value)).unwrap_or_default();
            changes.push(Change { id: id.clone(), action: Action::Deleted, value });
        }
        let counts = [commit.added, commit.updated, commit.deleted];
        let expected = [Action::Added, Action::Updated, Action::Deleted]
            .map(|action| changes.iter().filter(|change| change.action == action).count() as u64);
        if counts != expected {
            shared.broken("P7", format!("the commit counts {counts:?} instead of {expected:?}"));
        }
        if changes.iter().any(|change| {
            change.action == Action::Added && model.entries.get(&change.id).is_some_and(|entry| !entry.is_live())
        }) {
            shared.reached("record came back");
        }
        // Without late visibility an older version comes from a page that was requested before the webhook (P28).
        if batch.origin().is_none() && !shared.plan.has(Knob::LateVisibility) {
            for change in &changes {
                let version = |value: &Value| value["version"].as_u64().unwrap_or(0);
                let before = model.entries.get(&change.id).filter(|entry| entry.origin.as_deref() == Some("webhook"));
                if let Some(before) = before.filter(|entry| entry.is_live() && change.action == Action::Updated)
                    && version(&before.value) > version(&change.value)
                {
                    shared.broken("P28", format!("a page put {} in place of {}", change.value, before.value));
                }
            }
        }
        // Of several changes of one record the last one counts, at its place in the order.
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, change) in changes.iter().enumerate() {
            last.insert(&change.id, place);
        }
        let mut order = Vec::new();
        for (place, change) in changes.iter().enumerate() {
            if last.get(change.id.as_str()) == Some(&place) {
                order.push(change.id.clone());
            }
        }
        let mut expected = model.observe(&shared, page, head).entries;
        if batch.clears() {
            model.horizon = Some(head.horizon);
        }
        for id in order.iter().map(String::as_str) {
            let place = last[id];
            let change = &changes[place];
            let same = |entry: &Entry| entry.value == change.value || (entry.pruned && entry.value.is_null());
            match model.entries.get(id) {
                Some(entry) if same(entry) && entry.action == change.action => {}
                // Added and changed in one batch, or deleted and restored: the history decides, the values must agree.
                Some(entry) if same(entry) && entry.is_live() == (change.action != Action::Deleted) => {
                    if changes.iter().filter(|other| other.id == id).count() == 1 {
                        shared.broken("P7", format!("{id} is {} instead of {}", entry.action, change.action));
                    }
                }
                found => shared.broken("P7", format!("{id} is {found:?} instead of {}", change.value)),
            }
            expected.remove(id);
        }
        let minted: Vec<Cursor> =
            order.iter().filter_map(|id| model.entries.get(id)).map(|entry| entry.cursor).collect();
        if !minted.is_sorted() || minted.first().is_some_and(|first| end.is_some_and(|end| *first <= end)) {
            shared.broken("P3", format!("positions {minted:?} were minted behind {end:?}"));
        }
        let elsewhere = self.models.iter().filter(|(stream, _)| *stream != batch.stream() && !minted.is_empty());
        for (stream, other) in elsewhere {
            if let Some(twice) =
                other.entries.values().find(|entry| minted.iter().any(|new| new.position() == entry.cursor.position()))
            {
                shared.broken("P2", format!("{:?} was minted for {} and for {stream}", twice.cursor, batch.stream()));
            }
        }
        let model = self.model(batch.stream());
        // Everything else is unchanged, to the byte.
        for (id, before) in &expected {
            if model.entries.get(id) != Some(before) {
                shared.broken("P6", format!("{id} was {before:?} and is {:?}", model.entries.get(id)));
            }
        }
        if model.entries.len() != expected.len() + order.len() {
            shared.broken("P1", format!("{} entries instead of {}", model.entries.len(), expected.len() + order.len()));
        }
        let origin = batch.origin().map(Arc::<str>::from);
        for id in order {
            if let Some(entry) = model.entries.get_mut(&id) {
                entry.origin.clone_from(&origin);
            }
        }
        gone
    }

    /// Nothing was committed: the stream must be unchanged.
    pub(crate) fn untouched(&mut self, stream: &StreamKey, page: &Page, head: &StreamHead) {
        let shared = Arc::clone(&self.shared);
        let model = self.model(stream);
        let before = model.observe(&shared, page, head);
        if model.entries != before.entries || model.end != before.end {
            shared.broken("P29", "a commit that failed left something behind".to_owned());
        }
    }

    /// Entries up to `up_to` were pruned.
    pub(crate) fn pruned(&mut self, stream: &StreamKey, up_to: Cursor, payloads: bool, page: &Page, head: &StreamHead) {
        let shared = Arc::clone(&self.shared);
        let model = self.model(stream);
        let before = model.observe(&shared, page, head);
        for (id, old) in &before.entries {
            match model.entries.get(id) {
                Some(new) if new == old => {}
                // The entry stays, and says that its payload was pruned.
                Some(new) if payloads && old.cursor <= up_to && new.pruned && new.cursor == old.cursor => {}
                None if !payloads && !old.is_live() && old.cursor <= up_to => {
                    model.horizon = model.horizon.max(Some(old.cursor));
                }
                found => shared.broken("P24", format!("a prune up to {up_to:?} made {old:?} of {id} to {found:?}")),
            }
        }
        if head.horizon.is_start() != model.horizon.is_none() || model.horizon.is_some_and(|least| head.horizon < least)
        {
            shared
                .broken("P24", format!("the horizon is {:?}, below what was pruned {:?}", head.horizon, model.horizon));
        }
    }
}
