//! A stream as it must be: what batches do to it, by rules written a second time, and what it is found to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_core::{
    Action, Cursor, DeleteGuard, Json, Merging, OperationKind, Page, RunId, RunStep, StreamBatchView, StreamHead,
    Timestamp,
};
use serde_json::Value;

use crate::shared::Shared;

/// A record as the model knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) cursor: Cursor,
    pub(crate) action: Action,
    pub(crate) value: Arc<Value>,
    /// As it was read: the same bytes are the same value.
    payload: Option<Json>,
    first_seen_at: Timestamp,
    pub(crate) pruned: bool,
    pub(crate) origin: Option<Arc<str>>,
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
    pub(crate) run: Option<Run>,
    /// Operations of pages that gave way to what others had written.
    pub(crate) kept: u64,
    /// Records that were set aside.
    pub(crate) aside: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    id: RunId,
    /// Live records when it began, and where they stood.
    start: BTreeMap<String, Cursor>,
    seen: BTreeSet<String>,
    /// Whether it brought anything.
    met: bool,
    /// Whether it set a record aside.
    aside: bool,
}

/// What a stream was before the latest look.
pub(crate) struct Before {
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) end: Option<Cursor>,
}

/// What a batch should do to a record.
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) action: Action,
    pub(crate) value: Arc<Value>,
}

impl Model {
    /// The changes that a batch's operations make, and what they mean to its run.
    pub(crate) fn operate(&mut self, batch: StreamBatchView<'_>) -> Vec<Change> {
        if batch.clears() {
            (self.entries, self.run) = (BTreeMap::new(), None);
        }
        if batch.run_steps().contains(&RunStep::Begin)
            && let Some(id) = batch.run()
            && self.run.as_ref().is_none_or(|run| run.id != id)
        {
            let live = self.entries.iter().filter(|(_, entry)| entry.is_live());
            let start = live.map(|(id, entry)| (id.clone(), entry.cursor)).collect();
            self.run = Some(Run { id, start, seen: BTreeSet::new(), met: false, aside: false });
        }
        let in_run = batch.run().is_some();
        if let Some(run) = self.run.as_mut().filter(|_| in_run) {
            run.met |= batch.operations().next().is_some();
        }
        let mut now: BTreeMap<String, (Arc<Value>, Action)> = BTreeMap::new();
        let mut changes = Vec::new();
        for operation in batch.operations() {
            let (id, value) = match operation.kind {
                OperationKind::Upsert(payload) => {
                    let value = canonical(payload);
                    // A record without an id, or that is not an object, is set aside and changes nothing.
                    let Some(id) = operation.id.or_else(|| value["id"].as_str()).filter(|_| value.is_object()) else {
                        self.set_aside(in_run);
                        continue;
                    };
                    (id.to_owned(), Some(Arc::new(value)))
                }
                OperationKind::Delete => (operation.id.unwrap_or_default().to_owned(), None),
                OperationKind::Seen => {
                    self.see(in_run, operation.id.unwrap_or_default());
                    continue;
                }
                OperationKind::SetAside(..) => {
                    self.set_aside(in_run);
                    continue;
                }
                _ => continue,
            };
            let stored = self.entries.get(&id);
            let known = now.get(&id).cloned().or_else(|| stored.map(|entry| (Arc::clone(&entry.value), entry.action)));
            let behind = |cursor: &Cursor| stored.is_some_and(|entry| entry.cursor.position() > cursor.position());
            let kept = !now.contains_key(&id)
                && match batch.merging() {
                    Merging::IgnoreIfModifiedAfter(cursor) => behind(&cursor),
                    Merging::KeepOthersAfter(cursor) => {
                        behind(&cursor) && stored.is_some_and(|entry| entry.origin.as_deref() != batch.origin())
                    }
                    _ => false,
                };
            // A payload that was pruned is stored when it comes again.
            let pruned = !now.contains_key(&id) && stored.is_some_and(|entry| entry.pruned);
            let live = known.as_ref().is_some_and(|(_, action)| *action != Action::Deleted);
            if kept {
                self.kept += 1;
                if live {
                    self.see(in_run, &id);
                }
                continue;
            }
            let (action, value) = match (known, value) {
                (Some((old, _)), Some(new)) if live && old == new && !pruned => {
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
            now.insert(id.clone(), (Arc::clone(&value), action));
            changes.push(Change { id, action, value });
        }
        changes
    }

    fn set_aside(&mut self, in_run: bool) {
        self.aside += 1;
        if let Some(run) = self.run.as_mut().filter(|_| in_run) {
            run.aside = true;
        }
    }

    fn see(&mut self, in_run: bool, id: &str) {
        if let Some(run) = self.run.as_mut().filter(|_| in_run) {
            run.seen.insert(id.to_owned());
        }
    }

    /// What a complete run did not see, in order of the log.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let Some(run) = &self.run else { return Vec::new() };
        let mut unseen: Vec<(&Cursor, &String)> =
            run.start.iter().filter(|(id, _)| !run.seen.contains(*id)).map(|(id, cursor)| (cursor, id)).collect();
        unseen.sort();
        unseen.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// Whether the run set a record aside: any that is missing may be the one.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.aside)
    }

    pub(crate) fn may_complete(&self, guard: &DeleteGuard) -> bool {
        let missing = self.unseen().len() as u64;
        let live = self.run_live();
        let met = self.run.as_ref().is_some_and(|run| run.met);
        let within = missing <= guard.count || missing as f64 <= guard.fraction * live as f64;
        missing == 0 || (within && (missing < live && met || guard.confirm_empty))
    }

    /// Live records, including those of the current batch: the base of the guard's share.
    fn run_live(&self) -> u64 {
        self.entries.values().filter(|entry| entry.is_live()).count() as u64
    }

    /// Takes in what the stream is, and checks each entry by itself (P1, P2, P8, P10). Returns what it was.
    pub(crate) fn observe(&mut self, shared: &Shared, page: &Page, head: &StreamHead) -> Before {
        let mut entries = BTreeMap::new();
        let (mut last, mut last_text) = (Cursor::START, String::new());
        for change in &page.changes {
            let (record, metadata) = (&change.record, &change.record.metadata);
            if metadata.cursor <= last {
                shared.broken("P10", format!("{:?} does not come behind {last:?}", metadata.cursor));
            }
            let text = metadata.cursor.to_string();
            if !last.is_start() && text <= last_text {
                shared.broken("P2", format!("the text of {:?} does not sort behind that of {last:?}", metadata.cursor));
            }
            (last, last_text) = (metadata.cursor, text);
            let before = self.entries.get(&*record.id);
            if before.is_some_and(|before| metadata.cursor < before.cursor) {
                shared.broken("P5", format!("{} moved back to {:?}", record.id, metadata.cursor));
            }
            let known = before.filter(|entry| entry.cursor == metadata.cursor);
            let value = match (&record.payload, known) {
                (Some(payload), Some(known)) if known.payload.as_ref() == Some(payload) => Arc::clone(&known.value),
                (Some(payload), _) => Arc::new(canonical(payload.as_bytes())),
                (None, Some(known)) => Arc::clone(&known.value),
                (None, None) => Arc::default(),
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
                payload: record.payload.clone(),
                first_seen_at: metadata.first_seen_at,
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
        Before { entries: std::mem::replace(&mut self.entries, entries), end: std::mem::replace(&mut self.end, end) }
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
