//! Readers of the log, each with its own replica and its own kind of carelessness.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_core::{
    AckToken, ContentFilter, Cursor, CursorFault, Delivery, Error, ErrorKind, NetAction, Page, PageRequest,
    PollOptions, Store, StoreExt, StreamKey,
};
use serde_json::Value;

use crate::disk::SimStore;
use crate::model::canonical;
use crate::shared::Shared;

/// How a consumer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Keeps its own cursor.
    Stateless,
    /// Lets the store keep its cursor, and occasionally dies before or after it has stored a page.
    Named,
    /// The second instance of the named one.
    Twin,
    /// Reads only some records.
    Filtered,
    /// Reads late and little.
    Slow,
    /// Keeps every cursor it ever received, and resumes from old ones.
    Hoarder,
}

type Replica = BTreeMap<String, (Cursor, Value)>;

/// A former state of a consumer: its cursor, its replica, and whether it was caught up.
type Place = (Cursor, Replica, bool);

#[derive(Debug)]
pub(crate) struct Consumer {
    shared: Arc<Shared>,
    pub(crate) kind: Kind,
    pub(crate) stream: StreamKey,
    pub(crate) replica: Replica,
    pub(crate) cursor: Cursor,
    /// Whether the replica equals the live records at the cursor: at the start, and whenever it was caught up. In between,
    /// records that moved ahead are missing.
    exact: bool,
    seen: BTreeSet<(String, Cursor)>,
    held: Option<AckToken>,
    hoard: Vec<Place>,
}

impl Consumer {
    pub(crate) fn new(shared: &Arc<Shared>, kind: Kind, stream: StreamKey) -> Self {
        Consumer {
            shared: Arc::clone(shared),
            kind,
            stream,
            replica: BTreeMap::new(),
            cursor: Cursor::START,
            exact: true,
            seen: BTreeSet::new(),
            held: None,
            hoard: vec![(Cursor::START, BTreeMap::new(), true)],
        }
    }

    /// The process died: everything unsaved is lost. The replica is the host's, and stays.
    pub(crate) fn process_died(&mut self) {
        self.held = None;
    }

    /// The store was replaced by a backup. Records read in the middle of a drain may have moved in the lost history,
    /// which the cursor does not show: such a reader has to start over (a known limit, see `docs/simulation.md`).
    pub(crate) fn store_restored(&mut self) {
        self.hoard.retain(|(_, _, exact)| *exact);
        if !self.exact {
            self.start_over();
        }
    }

    /// One step: a page, or a part of its processing. Returns whether the consumer is caught up.
    pub(crate) async fn step(&mut self, store: &SimStore) -> bool {
        match self.kind {
            Kind::Named | Kind::Twin => self.named(store).await,
            _ => self.stateless(store).await,
        }
    }

    fn filter(&self) -> Option<ContentFilter> {
        (self.kind == Kind::Filtered).then(|| ContentFilter::new().equals("/kind", "x"))
    }

    /// A consumer that keeps every cursor occasionally goes back to one of them.
    pub(crate) fn go_back(&mut self) {
        if self.kind == Kind::Hoarder && self.shared.below(4) == 0 {
            let place = self.hoard[self.shared.below(self.hoard.len())].clone();
            (self.cursor, self.replica, self.exact) = place;
            self.seen.clear();
        }
    }

    async fn stateless(&mut self, store: &SimStore) -> bool {
        let limit = 1 + self.shared.below(5);
        let mut request = PageRequest::new(self.stream.clone()).since(self.cursor).limit(limit);
        if let Some(filter) = self.filter() {
            request = request.matching(filter);
        }
        match store.inner.page(request).await {
            Ok(page) => {
                self.check_horizon(store, None).await;
                self.shared.note(|| {
                    let told = page.changes.iter().map(|change| format!("{} {:?}", change.record.id, change.net));
                    let told: Vec<String> = told.collect();
                    format!("{:?} reads {told:?} behind {:?}, caught up: {}", self.kind, self.cursor, page.caught_up)
                });
                if self.shared.checks {
                    self.check_page(&page);
                    self.check_skipped(store, &page);
                }
                self.apply(&page);
                self.cursor = page.next_cursor;
                self.exact = page.caught_up;
                if page.caught_up {
                    self.check_replica(store);
                }
                if self.kind == Kind::Hoarder && self.hoard.len() < 64 {
                    self.hoard.push((self.cursor, self.replica.clone(), self.exact));
                }
                page.caught_up
            }
            Err(error) => {
                self.check_horizon(store, Some(&error)).await;
                self.start_over();
                false
            }
        }
    }

    async fn named(&mut self, store: &SimStore) -> bool {
        let name = "named";
        let reader = store.inner.consumer(&self.stream, name);
        if let Some(token) = self.held.take() {
            match reader.ack(token).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::LeaseLost => {
                    self.shared.reached("stale acknowledgement refused");
                }
                Err(error) => self.shared.broken("P21", format!("an acknowledgement failed: {error}")),
            }
            return false;
        }
        let lease = std::time::Duration::from_millis(500);
        let reader = reader.options(PollOptions::default().limit(1 + self.shared.below(5)).lease(lease));
        match reader.poll().await {
            Ok(Delivery { page, token, .. }) => {
                match self.shared.below(12) {
                    // It dies before it has stored the page: the page is delivered again.
                    0 | 1 => return false,
                    2 if !page.changes.is_empty() => {
                        if let Err(error) = reader.nack(token).await {
                            self.shared.broken("P21", format!("a refusal failed: {error}"));
                        }
                        self.shared.reached("delivery to a consumer refused");
                        return false;
                    }
                    _ => {}
                }
                self.apply(&page);
                if self.shared.below(6) == 0 {
                    return false;
                }
                self.held = Some(token);
                page.caught_up && page.changes.is_empty()
            }
            Err(error) if error.kind() == ErrorKind::LeaseLost => {
                self.shared.reached("lease of a consumer held by another");
                false
            }
            Err(error) if error.kind() == ErrorKind::BackingOff => {
                self.shared.reached("consumer in a backoff");
                false
            }
            Err(error) if error.cursor_fault().is_some() => {
                self.note_fault(&error);
                let seek = store.inner.consumer(&self.stream, name).seek(highwater_core::Seek::Start).await;
                if let Err(error) = seek {
                    self.shared.broken("P21", format!("a consumer cannot start over: {error}"));
                }
                self.start_over();
                false
            }
            Err(error) => {
                self.shared.broken("P21", format!("a poll failed: {error}"));
                false
            }
        }
    }

    fn start_over(&mut self) {
        self.replica.clear();
        self.seen.clear();
        (self.cursor, self.exact, self.held) = (Cursor::START, true, None);
    }

    fn check_page(&self, page: &Page) {
        let mut last = self.cursor;
        for change in &page.changes {
            let cursor = change.record.metadata.cursor;
            if cursor.position() <= last.position() {
                self.shared.broken("P10", format!("{cursor:?} does not come behind {last:?}"));
            }
            last = cursor;
            let held = self.replica.contains_key(&*change.record.id);
            let fits = match change.net {
                NetAction::Added => !held,
                NetAction::Updated => held,
                // A record that was restored and deleted again may be reported to a reader that knows only the first delete.
                NetAction::Deleted => held || !self.cursor.is_start(),
                NetAction::Left => {
                    self.shared.reached("left the filter");
                    held
                }
                _ => {
                    self.shared.reached("added and deleted between two reads");
                    !held
                }
            };
            // A filtered reader may get more than one change of a record that has left its filter.
            if !fits && self.exact && self.kind != Kind::Filtered {
                self.shared.broken(
                    "P19",
                    format!("{:?} is told {} as {:?}, holding it: {held}", self.kind, change.record.id, change.net),
                );
            }
            if self.seen.contains(&(change.record.id.to_string(), cursor)) {
                self.shared
                    .broken("P14", format!("{:?} was given {} at {cursor:?} twice", self.kind, change.record.id));
            }
            if self.seen.iter().any(|(id, _)| **id == *change.record.id) {
                self.shared.reached("moved record seen twice");
            }
        }
        if page.next_cursor.position() < last.position() {
            self.shared.broken("P10", format!("{:?} continues before its last record {last:?}", page.next_cursor));
        }
        if page.has_more == page.caught_up {
            self.shared.broken("P15", format!("a page has more: {}, is caught up: {}", page.has_more, page.caught_up));
        }
        if page.has_more && page.next_cursor.position() == self.cursor.position() {
            self.shared.broken("P15", "a page with more to come does not move on".to_owned());
        }
    }

    /// Everything between the cursor and the page's end is in the page (P13), which is of this moment.
    fn check_skipped(&self, store: &SimStore, page: &Page) {
        if self.kind == Kind::Filtered {
            return;
        }
        for (id, cursor) in store.oracle().between(&self.stream, self.cursor, page.next_cursor) {
            if !page.changes.iter().any(|change| *change.record.id == *id && change.record.metadata.cursor == cursor) {
                self.shared.broken("P13", format!("{:?} passes {id} at {cursor:?} and is not told of it", self.kind));
            }
        }
    }

    fn apply(&mut self, page: &Page) {
        for change in &page.changes {
            let (id, cursor) = (change.record.id.to_string(), change.record.metadata.cursor);
            self.seen.insert((id.clone(), cursor));
            // Guarded by position: a repeated page undoes nothing.
            if self.replica.get(&id).is_some_and(|(held, _)| held.position() >= cursor.position()) {
                continue;
            }
            match (change.net, &change.record.payload) {
                (NetAction::Added | NetAction::Updated, Some(payload)) => {
                    self.replica.insert(id, (cursor, canonical(payload.as_bytes())));
                }
                // Its payload was pruned: the replica keeps what it has, which is not compared.
                (NetAction::Added | NetAction::Updated, None) => {
                    self.replica.insert(id, (cursor, Value::Null));
                }
                (NetAction::Deleted | NetAction::Left, _) => {
                    self.replica.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// Caught up means: the replica is what is live (P20).
    pub(crate) fn check_replica(&self, store: &SimStore) {
        if !self.shared.checks {
            return;
        }
        let mut live = store.oracle().live(&self.stream);
        let mut replica = self.replica.clone();
        if self.kind == Kind::Filtered {
            // The store no longer knows the contents of a pruned record.
            let pruned = store.oracle().pruned_ids(&self.stream);
            live.retain(|id, value| value["kind"] == "x" && !pruned.contains(id));
            replica.retain(|id, _| !pruned.contains(id));
        }
        let same = live.len() == replica.len()
            && live
                .iter()
                .all(|(id, value)| replica.get(id).is_some_and(|(_, held)| *held == **value || held.is_null()));
        if !same {
            let mut held: BTreeMap<&String, &Value> = replica.iter().map(|(id, (_, value))| (id, value)).collect();
            held.retain(|id, value| live.remove(*id).is_none_or(|live| *live != **value && !value.is_null()));
            self.shared.broken("P20", format!("{:?} is caught up, holds {held:?} and lacks {live:?}", self.kind));
        }
    }

    /// A cursor below the horizon, or from a lost history, is refused; any other is accepted (P24, P32).
    async fn check_horizon(&self, store: &SimStore, error: Option<&Error>) {
        if !self.shared.checks {
            return;
        }
        let Ok(head) = store.inner.head(&self.stream).await else { return };
        // A drain that began at the start after the prune may still be below the horizon: its cursors say so, and are longer.
        let of_a_drain = self.cursor.to_string().len() > 42;
        let expired = !self.cursor.is_start() && !of_a_drain && self.cursor.position() < head.horizon.position();
        match error {
            None if expired => {
                self.shared.broken("P24", format!("{:?} below the horizon {:?} was taken", self.cursor, head.horizon));
            }
            None => {}
            Some(error) => {
                self.note_fault(error);
                // A reader with a content filter has its own horizon: pruned payloads cannot be matched.
                if let Some(CursorFault::Expired { horizon }) = error.cursor_fault()
                    && (self.cursor.is_start() || self.cursor.position() >= horizon.position())
                {
                    self.shared.broken("P24", format!("{:?} is not below the horizon {horizon:?}", self.cursor));
                }
            }
        }
    }

    fn note_fault(&self, error: &Error) {
        match error.cursor_fault() {
            Some(CursorFault::Expired { .. }) => self.shared.reached("cursor expired"),
            Some(CursorFault::Forked { .. } | CursorFault::Future { .. }) => self.shared.reached("fork detected"),
            _ => self.shared.broken("P32", format!("{:?} cannot read: {error}", self.kind)),
        }
    }

    /// Every cursor that the hoarder ever received leads to the same result (P17).
    pub(crate) async fn replay_hoard(&mut self, store: &SimStore) {
        for place in std::mem::take(&mut self.hoard) {
            (self.cursor, self.replica, self.exact) = place;
            self.seen.clear();
            self.kind = Kind::Stateless;
            for _ in 0..10_000 {
                if self.stateless(store).await {
                    break;
                }
            }
            self.check_replica(store);
            self.shared.reached("old cursor converged");
        }
    }
}
