//! Records that a named reader set aside, and their way back.

use serde::{Deserialize, Serialize};

use crate::backend::{BackendRead, BackendWrite, Table};
use crate::consumer::PollOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::log::consumers::record::ConsumerRecord;
use crate::log::filters;
use crate::log::read::{Attempt, StreamView};
use crate::log::transaction::{StreamSlot, Transaction};
use crate::mutants::mutant;
use crate::page::{Page, PageRequest};
use crate::record::{Change, NetAction, RecordId};

/// Records that a reader sets aside, at most: beyond that it is the reader that needs help, and it stays where it is.
pub(super) const MAX_PARKED: usize = 1000;

/// A record that was set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub(crate) struct Parked {
    pub(super) id: RecordId,
    /// Whether the reader holds an earlier version of it.
    pub(super) held: bool,
    /// Taken back: it waits to be delivered again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) again: bool,
    /// Part of the last delivery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) delivered: bool,
}

/// What may be stored of one: earlier versions kept the id alone, so that it may be held.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Id(RecordId),
    Whole {
        id: RecordId,
        held: bool,
        #[serde(default)]
        again: bool,
        #[serde(default)]
        delivered: bool,
    },
}

impl From<Stored> for Parked {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Id(id) => Parked { id, held: true, again: false, delivered: false },
            Stored::Whole { id, held, again, delivered } => Parked { id, held, again, delivered },
        }
    }
}

impl ConsumerRecord {
    /// Sets a record aside whose change means `net` to the reader.
    pub(super) fn park(&mut self, id: &str, net: NetAction) {
        self.failing = None;
        // Nothing is known yet about failures of the records that follow.
        self.batch = self.batch.max(1);
        match self.parked.iter_mut().find(|parked| parked.id == id) {
            Some(parked) => parked.again = false,
            None => self.parked.push(Parked {
                id: id.into(),
                held: !matches!(net, NetAction::Added | NetAction::Void),
                again: false,
                delivered: false,
            }),
        }
    }

    /// The records that are set aside.
    pub(super) fn parked_ids(&self) -> Vec<RecordId> {
        self.parked.iter().filter(|parked| !parked.again).map(|parked| parked.id.clone()).collect()
    }

    /// Takes every record that is set aside back into delivery; which ones these were.
    pub(super) fn unpark(&mut self) -> Vec<RecordId> {
        let ids = self.parked_ids();
        if mutant!("unpark-forgets") {
            self.parked.clear();
        }
        self.parked.iter_mut().for_each(|parked| parked.again = true);
        ids
    }

    /// Forgets every record that is gone; whether it knew one.
    fn forget(&mut self, gone: impl Fn(&str) -> bool) -> bool {
        let known = self.parked.len();
        self.parked.retain(|parked| !gone(&parked.id));
        let alone = self.alone.take_if(|id| gone(id)).is_some();
        let failing = self.failing.take_if(|failing| gone(&failing.id)).is_some();
        self.parked.len() < known || alone || failing
    }

    /// Marks what a page has of the records that were set aside, and says what each change means to a reader that never
    /// got them.
    pub(super) fn mark_delivered(&mut self, changes: &mut [Change]) {
        for parked in &mut self.parked {
            parked.delivered = false;
            if let Some(change) = changes.iter_mut().find(|change| *change.record.id == *parked.id) {
                parked.delivered = !mutant!("parked-for-ever");
                if change.net == NetAction::Updated && !parked.held && !mutant!("parked-counts-as-held") {
                    change.net = NetAction::Added;
                }
            }
        }
    }
}

impl<W: BackendWrite> Transaction<'_, W> {
    /// Removes what named readers keep about removed records, because an id may be personal data.
    pub(crate) fn forget_parked(&mut self, slot: StreamSlot, gone: impl Fn(&str) -> bool) -> Result<()> {
        if mutant!("parked-outlives-record") {
            return Ok(());
        }
        for (key, mut record) in self.consumer_records(slot)? {
            if record.forget(&gone) {
                self.write.put(Table::State, &key, &record.encode()?)?;
                self.need(slot);
            }
        }
        Ok(())
    }

    /// The next of the records that were taken back, in the log's order; `None` where nothing waits. Those that changed
    /// since come with what lies behind the reader's position.
    pub(super) fn returning(
        &mut self,
        slot: StreamSlot,
        record: &mut ConsumerRecord,
        options: &PollOptions,
        limit: usize,
    ) -> Result<Option<Page>> {
        if !record.parked.iter().any(|parked| parked.again) {
            return Ok(None);
        }
        let position = record.acknowledged.position_in_epoch();
        let apart = self.apart();
        let shared = apart.as_ref().unwrap_or(self.shared);
        let (write, stream) = self.parts(slot);
        let view = stream.view(shared);
        let mut ids = Vec::new();
        let mut gone = Vec::new();
        for parked in record.parked.iter().filter(|parked| parked.again) {
            match position_of(&view, write, &parked.id)? {
                Some(stands) if stands <= position.ulid => ids.push(parked.id.clone()),
                Some(_) => {}
                None => gone.push(parked.id.clone()),
            }
        }
        record.parked.retain(|parked| !gone.contains(&parked.id));
        if ids.is_empty() {
            return Ok(None);
        }
        let mut request = PageRequest::new(view.key.clone()).ids(ids.iter().cloned()).limit(limit);
        request.matching.clone_from(&options.matching);
        request.told = record.told.map_or(0, |told| told.position());
        let fingerprint = record.filter.unwrap_or(0);
        let bound = filters::binding(&view.token_key, &record.acknowledged, fingerprint);
        request.untracked = bound == fingerprint && !record.acknowledged.is_start();
        let Attempt::Done(mut page) = view.page(write, &request)? else { return Err(rewritten()) };
        for change in &mut page.changes {
            let held = record.parked.iter().any(|parked| *change.record.id == *parked.id && parked.held);
            change.net = match change.net {
                NetAction::Added if held => NetAction::Updated,
                // It may have been stored by a delivery that failed.
                NetAction::Void => NetAction::Deleted,
                net => net,
            };
        }
        if !page.has_more {
            // The others mean nothing to a reader of this filter any more.
            let told = |id: &RecordId| page.changes.iter().any(|change| *change.record.id == **id);
            record.parked.retain(|parked| !ids.contains(&parked.id) || told(&parked.id));
        }
        (page.next_cursor, page.has_more, page.caught_up) = (record.acknowledged, true, false);
        Ok((!page.changes.is_empty()).then_some(page))
    }
}

/// Where the row of a record stands, if it has one.
fn position_of<R: BackendRead + ?Sized>(view: &StreamView<'_>, read: &mut R, id: &str) -> Result<Option<u128>> {
    match view.position_of(read, id)? {
        Attempt::Done(position) => Ok(position),
        Attempt::Outdated => Err(rewritten()),
    }
}

fn rewritten() -> Error {
    Error::new(ErrorKind::Busy, "the stream is being rewritten; try again")
}
