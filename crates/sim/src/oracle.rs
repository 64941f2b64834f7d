//! The model: what the log must be after each commit, from the commits alone, by rules written a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_core::{
    Action, Cursor, DeleteGuard, Merging, Page, RunId, RunStep, StreamBatch, StreamCommit, StreamHead, StreamKey,
    Wanted,
};
use serde_json::Value;

use crate::plan::Knob;
use crate::shared::Shared;

/// A record as the model knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) cursor: Cursor,
    pub(crate) action: Action,
    pub(crate) value: Value,
    first_seen_ms: i64,
    pruned: bool,
    origin: Option<String>,
}

impl Entry {
    pub(crate) fn is_live(&self) -> bool {
        self.action != Action::Deleted
    }
}

/// A stream as the model knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) end: Option<Cursor>,
    /// The greatest position that was pruned away.
    pub(crate) horizon: Option<Cursor>,
    run: Option<Run>,
    /// Operations of pages that gave way to what others had written.
    kept: u64,
}

#[derive(Clone, Debug)]
struct Run {
    id: RunId,
    /// Live records when it began, and where they stood.
    start: BTreeMap<String, Cursor>,
    seen: BTreeSet<String>,
}

/// What a batch should do to a record.
struct Change {
    id: String,
    action: Action,
    value: Value,
}

/// Checks commits against the model. A finding is told to `shared`.
#[derive(Debug)]
pub(crate) struct Oracle {
    shared: Arc<Shared>,
    pub(crate) models: BTreeMap<StreamKey, Model>,
    /// When the open run of a stream began (true time), and in which life of the process.
    pub(crate) began: BTreeMap<StreamKey, (u64, u64)>,
}

impl Oracle {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Oracle { shared: Arc::clone(shared), models: BTreeMap::new(), began: BTreeMap::new() }
    }

    pub(crate) fn model(&mut self, stream: &StreamKey) -> &mut Model {
        self.models.entry(stream.clone()).or_default()
    }

    /// The live records by id, as values.
    pub(crate) fn live(&self, stream: &StreamKey) -> BTreeMap<String, Value> {
        let entries = self.models.get(stream).map(|model| &model.entries).into_iter().flatten();
        entries.filter(|(_, entry)| entry.is_live()).map(|(id, entry)| (id.clone(), entry.value.clone())).collect()
    }

    /// Records that stand behind one cursor and not behind another.
    pub(crate) fn between(&self, stream: &StreamKey, from: Cursor, to: Cursor) -> Vec<(String, Cursor)> {
        let entries = self.models.get(stream).map(|model| &model.entries).into_iter().flatten();
        let between =
            entries.filter(|(_, entry)| entry.cursor.ulid() > from.ulid() && entry.cursor.ulid() <= to.ulid());
        between.map(|(id, entry)| (id.clone(), entry.cursor)).collect()
    }

    /// Records whose payload was pruned.
    pub(crate) fn pruned_ids(&self, stream: &StreamKey) -> BTreeSet<String> {
        let entries = self.models.get(stream).map(|model| &model.entries).into_iter().flatten();
        entries.filter(|(_, entry)| entry.pruned).map(|(id, _)| id.clone()).collect()
    }

    /// Why a run that completes now may not delete, by the guard.
    pub(crate) fn held_back(&mut self, batch: &StreamBatch) -> bool {
        let mut model = self.model(batch.stream()).clone();
        model.operate(batch);
        batch.run_steps().iter().any(|step| match step {
            RunStep::Complete(guard) => !model.may_complete(guard),
            _ => false,
        })
    }

    /// A batch was committed to a stream: `page` and `head` are what the stream is now. Returns the ids that the
    /// completion of a run deleted.
    pub(crate) fn committed(
        &mut self,
        batch: &StreamBatch,
        commit: &StreamCommit,
        page: &Page,
        head: &StreamHead,
    ) -> Vec<String> {
        let shared = Arc::clone(&self.shared);
        let model = self.model(batch.stream());
        let end = model.end;
        let kept = model.kept;
        let (mut changes, mut gone) = (model.operate(batch), Vec::new());
        if model.kept > kept {
            shared.reached("page older than a webhook");
        }
        for step in batch.run_steps() {
            if let RunStep::Complete(guard) = step {
                if !model.may_complete(guard) {
                    shared.broken("P26", format!("the guard {guard:?} let a run delete too much"));
                }
                gone = model.unseen();
                model.run = None;
            } else if let RunStep::Abort = step {
                model.run = None;
            }
        }
        for id in &gone {
            let value = model.entries.get(id).map(|entry| entry.value.clone()).unwrap_or_default();
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
        // Without late visibility an older version comes from a page that was asked for before the webhook (P28).
        if batch.named_origin().is_none() && !shared.plan.has(Knob::LateVisibility) {
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
        // Of several changes of one record the last stands, at its place in the order.
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, change) in changes.iter().enumerate() {
            last.insert(&change.id, place);
        }
        let mut expected = model.entries.clone();
        let mut order = Vec::new();
        for (place, change) in changes.iter().enumerate() {
            if last.get(change.id.as_str()) == Some(&place) {
                order.push(change.id.clone());
            }
        }
        model.observe(&shared, page, head);
        let model = self.model(batch.stream());
        if batch.clears() {
            model.horizon = Some(head.horizon);
        }
        for id in order.iter().map(String::as_str) {
            let place = last[id];
            let change = &changes[place];
            let same = |entry: &Entry| entry.value == change.value || (entry.pruned && entry.value.is_null());
            match model.entries.get(id) {
                Some(entry) if same(entry) && entry.action == change.action => {}
                // Added and changed in one batch, or deleted and back: the history decides, the values must agree.
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
        let elsewhere = self.models.iter().filter(|(stream, _)| *stream != batch.stream());
        for (stream, other) in elsewhere {
            if let Some(twice) =
                other.entries.values().find(|entry| minted.iter().any(|new| new.ulid() == entry.cursor.ulid()))
            {
                shared.broken("P2", format!("{:?} was minted for {} and for {stream}", twice.cursor, batch.stream()));
            }
        }
        let model = self.model(batch.stream());
        // Everything else is as it was, to the byte.
        for (id, before) in &expected {
            if model.entries.get(id) != Some(before) {
                shared.broken("P6", format!("{id} was {before:?} and is {:?}", model.entries.get(id)));
            }
        }
        if model.entries.len() != expected.len() + order.len() {
            shared.broken("P1", format!("{} entries instead of {}", model.entries.len(), expected.len() + order.len()));
        }
        let origin = batch.named_origin().map(str::to_owned);
        for id in order {
            if let Some(entry) = model.entries.get_mut(&id) {
                entry.origin.clone_from(&origin);
            }
        }
        gone
    }

    /// Nothing was committed: the stream must be what it was.
    pub(crate) fn untouched(&mut self, stream: &StreamKey, page: &Page, head: &StreamHead) {
        let shared = Arc::clone(&self.shared);
        let model = self.model(stream);
        let before = model.clone();
        model.observe(&shared, page, head);
        if model.entries != before.entries || model.end != before.end {
            shared.broken("P29", "a commit that failed left something behind".to_owned());
        }
    }

    /// Entries up to `up_to` were pruned.
    pub(crate) fn pruned(&mut self, stream: &StreamKey, up_to: Cursor, payloads: bool, page: &Page, head: &StreamHead) {
        let shared = Arc::clone(&self.shared);
        let model = self.model(stream);
        let before = model.clone();
        model.observe(&shared, page, head);
        for (id, old) in &before.entries {
            match model.entries.get(id) {
                Some(new) if new == old => {}
                // The entry stays, and says that its payload is gone.
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

impl Model {
    /// The changes that a batch's operations make, and what they mean to its run.
    fn operate(&mut self, batch: &StreamBatch) -> Vec<Change> {
        if batch.clears() {
            (self.entries, self.run) = (BTreeMap::new(), None);
        }
        if batch.run_steps().contains(&RunStep::Begin)
            && let Some(id) = batch.run()
            && self.run.as_ref().is_none_or(|run| run.id != id)
        {
            let live = self.entries.iter().filter(|(_, entry)| entry.is_live());
            let start = live.map(|(id, entry)| (id.clone(), entry.cursor)).collect();
            self.run = Some(Run { id, start, seen: BTreeSet::new() });
        }
        let in_run = batch.run().is_some();
        let mut now: BTreeMap<String, (Value, Action)> = BTreeMap::new();
        let mut changes = Vec::new();
        for operation in batch.operations() {
            let (id, value) = match operation.wanted {
                Wanted::Upsert(payload) => {
                    let value = canonical(payload);
                    let id =
                        operation.id.map_or_else(|| value["id"].as_str().unwrap_or_default().to_owned(), Into::into);
                    (id, Some(value))
                }
                Wanted::Delete => (operation.id.unwrap_or_default().to_owned(), None),
                Wanted::Seen => {
                    self.see(in_run, operation.id.unwrap_or_default());
                    continue;
                }
                _ => continue,
            };
            let stored = self.entries.get(&id);
            let known = now.get(&id).cloned().or_else(|| stored.map(|entry| (entry.value.clone(), entry.action)));
            let behind = |cursor: &Cursor| stored.is_some_and(|entry| entry.cursor.ulid() > cursor.ulid());
            let kept = !now.contains_key(&id)
                && match batch.merging_strategy() {
                    Merging::Override => false,
                    Merging::IgnoreIfModifiedAfter(cursor) => behind(cursor),
                    Merging::KeepOthersAfter(cursor) => {
                        behind(cursor) && stored.is_some_and(|entry| entry.origin.as_deref() != batch.named_origin())
                    }
                };
            let live = known.as_ref().is_some_and(|(_, action)| *action != Action::Deleted);
            if kept {
                self.kept += 1;
                if live {
                    self.see(in_run, &id);
                }
                continue;
            }
            let (action, value) = match (known, value) {
                (Some((old, _)), Some(new)) if live && old == new => {
                    self.see(in_run, &id);
                    continue;
                }
                (_, Some(new)) if live => (Action::Updated, new),
                (_, Some(new)) => (Action::Added, new),
                (Some((old, _)), None) if live => (Action::Deleted, old),
                (_, None) => continue,
            };
            if let Some(run) = &mut self.run {
                run.start.remove(&id);
            }
            now.insert(id.clone(), (value.clone(), action));
            changes.push(Change { id, action, value });
        }
        changes
    }

    fn see(&mut self, in_run: bool, id: &str) {
        if let Some(run) = self.run.as_mut().filter(|_| in_run) {
            run.seen.insert(id.to_owned());
        }
    }

    /// What a complete run did not see, in order of the log.
    fn unseen(&self) -> Vec<String> {
        let Some(run) = &self.run else { return Vec::new() };
        let mut unseen: Vec<(&Cursor, &String)> =
            run.start.iter().filter(|(id, _)| !run.seen.contains(*id)).map(|(id, cursor)| (cursor, id)).collect();
        unseen.sort();
        unseen.into_iter().map(|(_, id)| id.clone()).collect()
    }

    fn may_complete(&self, guard: &DeleteGuard) -> bool {
        let missing = self.unseen().len() as u64;
        let live = self.run_live();
        let within = missing <= guard.count || missing as f64 <= guard.fraction * live as f64;
        missing == 0 || (within && (missing < live || guard.confirm_empty))
    }

    /// Live records, those of the batch at hand included: what the guard's share is taken of.
    fn run_live(&self) -> u64 {
        self.entries.values().filter(|entry| entry.is_live()).count() as u64
    }

    /// Takes in what the stream is, and checks each entry by itself (P1, P2, P8, P10).
    pub(crate) fn observe(&mut self, shared: &Shared, page: &Page, head: &StreamHead) {
        let mut entries = BTreeMap::new();
        let mut last = Cursor::START;
        for change in &page.changes {
            let (record, metadata) = (&change.record, &change.record.metadata);
            if metadata.cursor <= last {
                shared.broken("P10", format!("{:?} does not come behind {last:?}", metadata.cursor));
            }
            if !last.is_start() && metadata.cursor.to_string() <= last.to_string() {
                shared.broken("P2", format!("the text of {:?} does not sort behind that of {last:?}", metadata.cursor));
            }
            last = metadata.cursor;
            if self.entries.get(&*record.id).is_some_and(|before| metadata.cursor < before.cursor) {
                shared.broken("P5", format!("{} moved back to {:?}", record.id, metadata.cursor));
            }
            let known = self.entries.get(&*record.id).filter(|entry| entry.cursor == metadata.cursor);
            let value = match (&record.payload, known) {
                (Some(payload), _) => canonical(payload.as_bytes()),
                (None, Some(known)) => known.value.clone(),
                (None, None) => Value::Null,
            };
            let origin = known.and_then(|known| known.origin.clone());
            let deleted = metadata.last_action == Action::Deleted;
            if metadata.last_modified_at != metadata.cursor.time()
                || metadata.first_seen_at > metadata.last_modified_at
                || metadata.deleted_at.is_some() != deleted
                || metadata.deleted_at.is_some_and(|at| at > metadata.last_modified_at)
            {
                shared.broken("P8", format!("{} has {metadata:?}", record.id));
            }
            let entry = Entry {
                cursor: metadata.cursor,
                action: metadata.last_action,
                value,
                first_seen_ms: metadata.first_seen_at.timestamp_millis(),
                pruned: metadata.pruned_at.is_some(),
                origin,
            };
            if entries.insert(record.id.to_string(), entry).is_some() {
                shared.broken("P1", format!("{} has two entries", record.id));
            }
        }
        let live = entries.values().filter(|entry| entry.is_live()).count() as u64;
        if (head.live, head.deleted) != (live, entries.len() as u64 - live) {
            shared
                .broken("P1", format!("{} live and {} deleted are counted, {live} are there", head.live, head.deleted));
        }
        let end = (!page.high_water.is_start()).then_some(page.high_water);
        if end < self.end {
            shared.broken("P4", format!("the end went back from {:?} to {end:?}", self.end));
        }
        // Nothing appears at or below an end that was seen.
        for (id, entry) in &entries {
            let known = self.entries.get(id).is_some_and(|known| known.cursor == entry.cursor);
            if !known && self.end.is_some_and(|end| entry.cursor <= end) {
                shared.broken("P4", format!("{id} appeared at {:?}, below {:?}", entry.cursor, self.end));
            }
        }
        (self.entries, self.end) = (entries, end);
    }
}

/// JSON by meaning: numbers that are equal are one.
pub(crate) fn canonical(payload: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(payload).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        for member in members.values_mut() {
            if let Some(number) = member.as_f64() {
                *member = Value::from(number as u64);
            }
        }
    }
    value
}
