//! Reading a snapshot: pages, records, streams.

use std::ops::ControlFlow;

use crate::backend::{BackendRead, LogRow, LogScan, Table};
use crate::cursor::{Cursor, Position, TokenKey, just_before};
use crate::error::{Error, Result};
use crate::log::filters::{self, Filters};
use crate::log::index_key::IndexKey;
use crate::log::reading::{self, Reading};
use crate::log::shared::Shared;
use crate::log::state::StreamState;
use crate::log::tail::Lookup;
use crate::log::{keys, validate};
use crate::maintenance::StreamHead;
use crate::mutants::mutant;
use crate::page::{ContentFilter, Page, PageRequest};
use crate::record::{Json, Record};
use crate::stream::StreamKey;
use crate::timestamp::Timestamp;

/// Rows that one page looks at, at most, before it returns what it has.
const MAX_SCANNED: usize = 100_000;

/// What a read of ids came to.
pub(crate) enum Attempt<T> {
    Done(T),
    /// The snapshot was overtaken by the shared index: try again with a fresh one.
    Outdated,
}

impl<T> Attempt<T> {
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Attempt::Done(value) => Attempt::Done(with(value)),
            Attempt::Outdated => Attempt::Outdated,
        }
    }

    pub(crate) fn done(self) -> Option<T> {
        match self {
            Attempt::Done(value) => Some(value),
            Attempt::Outdated => None,
        }
    }
}

/// One stream as a snapshot shows it.
pub(crate) struct StreamView<'s> {
    pub(crate) shared: &'s Shared,
    pub(crate) key: &'s StreamKey,
    pub(crate) token_key: TokenKey,
    pub(crate) state: StreamState,
}

impl<'s> StreamView<'s> {
    /// The stream's view; empty for a stream that was never written to.
    pub(crate) fn load<R: BackendRead + ?Sized>(shared: &'s Shared, read: &mut R, key: &'s StreamKey) -> Result<Self> {
        key.check()?;
        let state = StreamState::load(read, key)?.unwrap_or_else(|| StreamState::new(0));
        Ok(StreamView { shared, key, token_key: shared.token_key(key), state })
    }

    pub(crate) fn page<R: BackendRead + ?Sized>(&self, read: &mut R, request: &PageRequest) -> Result<Attempt<Page>> {
        let fingerprint = request.matching.as_ref().map_or(0, ContentFilter::fingerprint);
        let mut tracked = None;
        if let Some(filter) = &request.matching {
            filter.check().map_err(|error| error.with("stream", self.key))?;
            tracked = Filters::load(read, self.state.number)?.index_of(filter);
        }
        let bound = filters::binding(&self.token_key, &request.after, fingerprint);
        validate::belongs(self.shared, read, &self.token_key, &self.state, &request.after, bound)
            .and_then(|()| {
                // Also a filter on content looks at payloads.
                let filtered = request.matching.is_some() && !mutant!("filter-blind-to-pruned");
                let payloads = !request.metadata_only || filtered;
                validate::not_expired(&self.token_key, &self.state, &request.after, bound, payloads)
            })
            .map_err(|error| error.with("stream", self.key))?;
        // In a history that was put back the filter may be tracked no more.
        let begins = request.after.is_start() && !request.untracked;
        let tracked = tracked.filter(|_| begins || bound != fingerprint);
        let filter = if tracked.is_some() { filters::tracked(fingerprint) } else { fingerprint };
        let since = request.after.position_in_epoch();
        let floor = match request.modified_after {
            Some(time) => since.ulid.max(just_before(time)),
            None => since.ulid,
        };
        let mut reading = Reading::new(self, request, since, (filter, tracked));
        let done = match &request.ids {
            Some(ids) => match self.read_ids(read, ids, floor, &mut reading)? {
                Attempt::Done(done) => done,
                Attempt::Outdated => return Ok(Attempt::Outdated),
            },
            None if floor >= self.state.last.ulid => true,
            None => self.read_log(read, floor, &mut reading)?,
        };
        let end = self.state.last.max(since);
        let stuck = mutant!("filtered-next-last-match") && request.actions != crate::page::Actions::ALL;
        let next = if done && !stuck { end } else { reading.scanned };
        let next_cursor = if next == since { request.after } else { self.reader_at(&request.after, next, filter) };
        Ok(Attempt::Done(Page {
            changes: reading.finish()?,
            next_cursor,
            has_more: !done,
            caught_up: done,
            high_water: self.token_key.cursor(self.state.last, filter),
        }))
    }

    /// The cursor of a reader that came from `after`. Below the horizon it is good for a reading from
    /// START only, and only until the next prune.
    pub(crate) fn reader_at(&self, after: &Cursor, position: Position, filter: u64) -> Cursor {
        let from_start = after.is_start() || after.drain() != 0;
        let below = position < self.state.horizon(true) && !mutant!("drain-expires");
        let drain = if from_start && below { self.state.prunes } else { 0 };
        self.token_key.cursor_in_drain(position, filter, drain)
    }

    /// Reads on from `floor`; whether the end was reached.
    fn read_log<R: BackendRead + ?Sized>(&self, read: &mut R, floor: u128, reading: &mut Reading<'_>) -> Result<bool> {
        let mut from = self.first_behind(read, floor)?;
        if mutant!("page-inclusive") {
            from = from.saturating_sub(1);
        }
        let payload = !reading.request.metadata_only || reading.request.matching.is_some();
        let most = MAX_SCANNED.max(reading.request.limit);
        let (mut visited, mut passed_over) = (0, None);
        let mut done = true;
        let mut last = from;
        // Only a row of its own action may be passed over unseen.
        let only = reading.request.actions.single();
        read.scan(self.state.number, LogScan { from, only, payload }, &mut |row| {
            if row.cursor <= floor && !mutant!("page-inclusive") {
                return Ok(ControlFlow::Continue(()));
            }
            if visited >= most {
                done = false;
                if let Some((position, sequence)) = passed_over {
                    (reading.scanned, last) = (position, sequence);
                }
                return Ok(ControlFlow::Break(()));
            }
            visited += 1;
            if !reading.request.actions.contains(row.action) {
                // A backend may leave such a row out, so it counts only where there is nothing else.
                passed_over = Some((Position { ulid: row.cursor, epoch: row.epoch }, row.sequence));
                return Ok(ControlFlow::Continue(()));
            }
            if reading.is_full(row) {
                done = false;
                return Ok(ControlFlow::Break(()));
            }
            last = row.sequence;
            passed_over = None;
            reading.visit(row)?;
            Ok(ControlFlow::Continue(()))
        })?;
        let (position, next) =
            if done { (self.state.last, self.state.next_sequence) } else { (reading.scanned, last + 1) };
        self.shared.add_hint(&self.state, position.ulid, next);
        Ok(done)
    }

    /// Reads the given ids in log order; whether all of them fitted.
    fn read_ids<R: BackendRead + ?Sized>(
        &self,
        read: &mut R,
        ids: &[String],
        floor: u128,
        reading: &mut Reading<'_>,
    ) -> Result<Attempt<bool>> {
        let mut places = Vec::with_capacity(ids.len());
        for id in ids {
            match self.find(read, id)? {
                Attempt::Done(Some(sequence)) => places.push(sequence),
                Attempt::Done(None) => {}
                Attempt::Outdated => return Ok(Attempt::Outdated),
            }
        }
        places.sort_unstable();
        places.dedup();
        let payload = !reading.request.metadata_only || reading.request.matching.is_some();
        let mut done = true;
        for sequence in places {
            read.row(self.state.number, sequence, payload, &mut |row| {
                if row.cursor > floor && done && reading.request.actions.contains(row.action) {
                    if reading.is_full(row) {
                        done = false;
                    } else {
                        reading.visit(row)?;
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(Attempt::Done(done))
    }

    /// The sequence number of the first row behind a position: rows ascend in both.
    pub(crate) fn first_behind<R: BackendRead + ?Sized>(&self, read: &mut R, position: u128) -> Result<u64> {
        if position == 0 {
            return Ok(1);
        }
        let (mut low, mut high) = self.shared.bounds(&self.state, position);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut probe = None;
            read.scan(self.state.number, LogScan { from: middle, only: None, payload: false }, &mut |row| {
                probe = Some((row.sequence, row.cursor));
                Ok(ControlFlow::Break(()))
            })?;
            match probe {
                // Never back, also where damaged rows stand out of order.
                Some((sequence, cursor)) if cursor <= position => low = sequence.max(middle).saturating_add(1),
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The sequence number of an id's row.
    pub(crate) fn find<R: BackendRead + ?Sized>(&self, read: &mut R, id: &str) -> Result<Attempt<Option<u64>>> {
        self.find_row(read, id, false, |row| Ok(row.sequence))
    }

    /// The position of an id's row.
    pub(crate) fn position_of<R: BackendRead + ?Sized>(&self, read: &mut R, id: &str) -> Result<Attempt<Option<u128>>> {
        self.find_row(read, id, false, |row| Ok(row.cursor))
    }

    /// Whether an id is found without first reading much of the log's tail.
    pub(crate) fn finds_at_once(&self) -> bool {
        self.shared.tail(self.state.number, |tail| tail.is_near(&self.state))
    }

    /// The records with these ids, in their order.
    pub(crate) fn get_all<R: BackendRead + ?Sized>(
        &self,
        read: &mut R,
        ids: &[impl AsRef<str>],
    ) -> Result<Attempt<Vec<Option<Record>>>> {
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            match self.get(read, id.as_ref())? {
                Attempt::Done(record) => records.push(record),
                Attempt::Outdated => return Ok(Attempt::Outdated),
            }
        }
        Ok(Attempt::Done(records))
    }

    /// The record with `id`.
    pub(crate) fn get<R: BackendRead + ?Sized>(&self, read: &mut R, id: &str) -> Result<Attempt<Option<Record>>> {
        self.find_row(read, id, true, |row| self.record(row))
    }

    /// What `take` makes of an id's row.
    fn find_row<R: BackendRead + ?Sized, T>(
        &self,
        read: &mut R,
        id: &str,
        payload: bool,
        take: impl Fn(&LogRow<'_>) -> Result<T>,
    ) -> Result<Attempt<Option<T>>> {
        if id.is_empty() || self.state.number == 0 {
            return Ok(Attempt::Done(None));
        }
        let number = self.state.number;
        let key = IndexKey::new(id);
        let found = match self.shared.tail(number, |tail| tail.look_up(read, &self.state, &key))? {
            Lookup::At(sequence) => Some(sequence),
            Lookup::Elsewhere => read.index(number, &key)?,
            Lookup::Outdated => return Ok(Attempt::Outdated),
        };
        let Some(sequence) = found else { return Ok(Attempt::Done(None)) };
        let mut taken = None;
        let there = read.row(number, sequence, payload, &mut |row| {
            if row.id == id {
                taken = Some(take(row)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        // Without a row the shared index is ahead of this snapshot.
        Ok(if there { Attempt::Done(taken) } else { Attempt::Outdated })
    }

    /// A row as readers see it.
    pub(crate) fn record(&self, row: &LogRow<'_>) -> Result<Record> {
        let payload = match row.payload {
            Some(stored) => {
                Some(Json::from_stored(self.shared.decode_payload(self.key, row.id, stored)?.into_bytes())?)
            }
            None => None,
        };
        Ok(reading::record(&self.token_key, row, 0, payload))
    }

    pub(crate) fn head(&self) -> StreamHead {
        StreamHead {
            stream: self.key.clone(),
            high_water: self.token_key.cursor(self.state.last, 0),
            horizon: self.token_key.cursor(self.state.horizon, 0),
            incarnation: self.state.incarnation,
            live: self.state.live,
            deleted: self.state.deleted,
            bytes: self.state.bytes,
            checksum: format!("{:032x}", self.state.checksum),
            open_run: self.state.run.map(|run| crate::batch::RunId::from_u128(run.id)),
            number: self.state.number,
        }
    }
}

/// Every stream of the store.
pub(crate) fn streams<R: BackendRead + ?Sized>(shared: &Shared, read: &mut R) -> Result<Vec<StreamHead>> {
    let mut heads = Vec::new();
    let prefix = [keys::STREAMS];
    read.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, value| {
        let stream =
            StreamKey::from_bytes(&key[1..]).ok_or_else(|| Error::corrupt("a stored stream name does not read"))?;
        let view = StreamView {
            shared,
            key: &stream,
            token_key: shared.token_key(&stream),
            state: StreamState::decode(value).map_err(|error| error.with("stream", &stream))?,
        };
        heads.push(view.head());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(heads)
}

/// Documents whose keys begin with `prefix`, behind `after`.
pub(crate) fn documents<R: BackendRead + ?Sized>(
    read: &mut R,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<crate::batch::Document>> {
    let mut found = Vec::new();
    let begin = keys::document(if after > prefix { after } else { prefix });
    let end = keys::behind(&keys::document(prefix));
    read.range(Table::State, &begin, &end, &mut |key, value| {
        let key = std::str::from_utf8(&key[1..]).map_err(|_| Error::corrupt("a document's key is not UTF-8"))?;
        if key > after || after.is_empty() {
            if found.len() >= limit {
                return Ok(ControlFlow::Break(()));
            }
            let value = Json::from_stored(bytes::Bytes::copy_from_slice(value))?;
            found.push(crate::batch::Document::new(key.to_owned(), value));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// A time as rows keep it.
pub(super) fn time_of_row(milliseconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(u64::try_from(milliseconds).unwrap_or(0))
}
