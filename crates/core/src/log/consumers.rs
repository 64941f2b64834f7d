//! Named readers: position, lease, attempts, parked records; all in the store.

mod record;

use std::ops::ControlFlow;
use std::time::Duration;

use crate::backend::{BackendRead, BackendWrite, LogScan, Table};
use crate::consumer::{AckToken, ConsumerCommand, ConsumerReply, ConsumerStatus, Delivery, PollOptions, Seek};
use crate::cursor::{Cursor, Position, just_before, millis_of};
use crate::error::{Error, ErrorKind, Result};
use crate::log::transaction::Transaction;
use crate::log::{keys, validate};
use crate::mutants::mutant;
use crate::page::{ContentFilter, PageRequest};
use crate::stream::StreamKey;
use record::ConsumerRecord;

/// The longest name of a consumer, in bytes.
const MAX_CONSUMER_NAME: usize = 255;

impl<W: BackendWrite> Transaction<'_, W> {
    pub(crate) fn consumer(
        &mut self,
        stream: &StreamKey,
        name: &str,
        command: &ConsumerCommand,
    ) -> Result<ConsumerReply> {
        if name.is_empty() || name.len() > MAX_CONSUMER_NAME {
            return Err(Error::invalid(format!("a consumer's name must have 1 to {MAX_CONSUMER_NAME} bytes")));
        }
        let place = self.open(stream)?;
        let number = self.open_stream(place).state.number;
        let key = keys::consumer(number, name);
        let stored = self.write.get(Table::State, &key)?.map(|bytes| ConsumerRecord::decode(&bytes)).transpose()?;
        let known = stored.is_some();
        let mut record = match &stored {
            Some(stored) => stored.clone(),
            None => ConsumerRecord::new(self.generation_of_removed(number, name)?),
        };
        let makes =
            matches!(command, ConsumerCommand::Poll(_) | ConsumerCommand::Seek(_) | ConsumerCommand::SeekMatching(..));
        if !known && !makes {
            return Err(Error::new(ErrorKind::NotFound, "no such consumer: poll with its name once to make it")
                .with("stream", stream)
                .with("consumer", name));
        }
        let now_ms = self.shared.environment.now_ms();
        let reply = match command {
            ConsumerCommand::Poll(options) => ConsumerReply::Delivery(
                self.poll(place, &mut record, options, now_ms).map_err(|error| error.with("consumer", name))?,
            ),
            ConsumerCommand::Ack(token) => {
                check_lease(&record, token).map_err(|error| error.with("consumer", name))?;
                self.check_cursor(place, &record, &token.up_to).map_err(|error| error.with("consumer", name))?;
                if token.up_to.position() > record.acknowledged.position() || mutant!("ack-goes-back") {
                    record.acknowledged = self.renewed(place, &record, token.up_to);
                }
                record.release();
                ConsumerReply::Done
            }
            ConsumerCommand::Renew(token) => {
                check_held(&record, token).map_err(|error| error.with("consumer", name))?;
                record.leased_until_ms = now_ms.saturating_add(record.lease_ms).max(1);
                ConsumerReply::Done
            }
            ConsumerCommand::Nack(token) => {
                check_lease(&record, token).map_err(|error| error.with("consumer", name))?;
                record.leased_until_ms = 0;
                ConsumerReply::Done
            }
            ConsumerCommand::Seek(seek) => {
                self.seek_to(place, &mut record, seek)?;
                ConsumerReply::Done
            }
            ConsumerCommand::SeekMatching(seek, filter) => {
                record.fix_filter(filter.fingerprint()).map_err(|error| error.with("consumer", name))?;
                self.seek_to(place, &mut record, seek)?;
                ConsumerReply::Done
            }
            ConsumerCommand::Status => ConsumerReply::Status(self.status(place, name, &record, now_ms)?),
            ConsumerCommand::Evict => {
                record.evict();
                ConsumerReply::Done
            }
            ConsumerCommand::Remove => {
                self.write.remove(Table::State, &key)?;
                // Leases of before stay lost when the name comes into use again.
                let generation = record.generation.to_be_bytes();
                self.write.put(Table::State, &keys::removed_consumer(number, name), &generation)?;
                self.dirty = true;
                return Ok(ConsumerReply::Done);
            }
            ConsumerCommand::Unpark => ConsumerReply::Parked(std::mem::take(&mut record.parked)),
        };
        if stored.as_ref() != Some(&record) {
            self.write.put(Table::State, &key, &record.encode()?)?;
            self.need(place);
        }
        Ok(reply)
    }

    fn poll(
        &mut self,
        place: usize,
        record: &mut ConsumerRecord,
        options: &PollOptions,
        now_ms: u64,
    ) -> Result<Delivery> {
        if let Some(wait) = record.lease_left(now_ms) {
            return Err(Error::new(
                ErrorKind::LeaseLost,
                "another reader holds the consumer's lease; wait, or use another name",
            )
            .retry_in(wait));
        }
        if record.evicted {
            return Err(Error::new(
                ErrorKind::CursorExpired,
                "the consumer was evicted, or every position was given up for a new one: clear your copy and seek to the start",
            ));
        }
        let filter = options.matching.as_ref().map_or(0, ContentFilter::fingerprint);
        let first_poll = record.filter.is_none();
        record.fix_filter(filter)?;
        if first_poll && !mutant!("unfiltered-start") {
            // It may have been sent somewhere before the filter was known.
            let (position, drain) = (record.acknowledged.position(), record.acknowledged.drain());
            let token_key = self.shared.token_key(&self.open_stream(place).key);
            record.acknowledged = token_key.cursor_in_drain(position, filter, drain);
        }
        if let Some(told) = record.told.filter(|_| record.acknowledged.is_start() && !mutant!("told-before-a-clear")) {
            // It stands at START and yet may hold something, of before a clear.
            let stream = self.open_stream(place);
            validate::not_expired(&self.shared.token_key(&stream.key), &stream.state, &told, filter, true)
                .map_err(|error| error.with("stream", &stream.key))?;
        }
        loop {
            let mut request =
                PageRequest::new(self.open_stream(place).key.clone()).since(record.acknowledged).limit(options.limit);
            request.matching.clone_from(&options.matching);
            request.told = record.told.map_or(0, |told| told.position().ulid);
            let page = self.read_page(place, &request)?;
            let Some(first) = page.changes.first() else {
                record.acknowledged = page.next_cursor;
                record.release();
                let token = AckToken { generation: record.generation, up_to: page.next_cursor, first: None };
                return Ok(Delivery { page, token, attempt: 1 });
            };
            let (cursor, id) = (first.record.metadata.cursor, first.record.id.to_string());
            record.attempts = if record.first == Some(cursor) { record.attempts + 1 } else { 1 };
            record.first = Some(cursor);
            if record.attempts > options.max_attempts && !mutant!("poison-delivered") {
                // Set the record aside, so that one that cannot be handled does not hold up the rest.
                record.parked.push(id);
                let shared = self.shared;
                let view = self.open_stream(place).view(shared);
                record.acknowledged = view.reader_at(&record.acknowledged, cursor.position(), filter);
                record.first = None;
                continue;
            }
            record.note_told(page.next_cursor);
            record.generation += 1;
            let lease_ms = u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX);
            (record.leased_until_ms, record.lease_ms) = (now_ms.saturating_add(lease_ms), lease_ms);
            if mutant!("ack-before-handler") {
                record.acknowledged = page.next_cursor;
            }
            let token = AckToken { generation: record.generation, up_to: page.next_cursor, first: Some(cursor) };
            return Ok(Delivery { page, token, attempt: record.attempts });
        }
    }

    /// A prune stops at consumers, so what it took lies behind those that are in the middle of a reading from START:
    /// they go on.
    pub(crate) fn renew_drains(&mut self, place: usize, prunes: u32) -> Result<()> {
        for (key, mut record) in self.consumer_records(place)? {
            let drain = record.acknowledged.drain();
            if drain == 0 || drain + 1 != prunes || record.evicted || mutant!("prune-expires-drains") {
                continue;
            }
            let token_key = self.shared.token_key(&self.open_stream(place).key);
            let (position, filter) = (record.acknowledged.position(), record.filter.unwrap_or(0));
            record.acknowledged = token_key.cursor_in_drain(position, filter, prunes);
            if let Some(told) = record.told.filter(|told| told.drain() == drain) {
                record.told = Some(token_key.cursor_in_drain(told.position(), filter, prunes));
            }
            self.write.put(Table::State, &key, &record.encode()?)?;
        }
        Ok(())
    }

    /// The end of a delivery, as the consumer stands there now: a prune since then did not concern it.
    fn renewed(&self, place: usize, record: &ConsumerRecord, up_to: Cursor) -> Cursor {
        let stream = self.open_stream(place);
        let drain = record.acknowledged.drain();
        if up_to.drain() == 0 || drain == 0 || drain != stream.state.prunes {
            return up_to;
        }
        let token_key = self.shared.token_key(&stream.key);
        token_key.cursor_in_drain(up_to.position(), record.filter.unwrap_or(0), drain)
    }

    fn consumer_records(&mut self, place: usize) -> Result<Vec<(Vec<u8>, ConsumerRecord)>> {
        let prefix = keys::consumers(self.open_stream(place).state.number);
        let mut records = Vec::new();
        self.write.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, value| {
            records.push((key.to_vec(), ConsumerRecord::decode(value)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(records)
    }

    /// Refuses a position of a history that the store lost meanwhile.
    fn check_cursor(&mut self, place: usize, record: &ConsumerRecord, cursor: &Cursor) -> Result<()> {
        let shared = self.shared;
        let (write, stream) = self.parts(place);
        let view = stream.view(shared);
        validate::belongs(shared, write, &view.token_key, &view.state, cursor, record.filter.unwrap_or(0))
    }

    /// Makes every consumer of a stream start over.
    pub(crate) fn evict_consumers(&mut self, place: usize) -> Result<()> {
        for (key, mut record) in self.consumer_records(place)? {
            record.evict();
            // Where it stood cannot be told on the new scale.
            (record.acknowledged, record.told) = (Cursor::START, None);
            self.write.put(Table::State, &key, &record.encode()?)?;
        }
        Ok(())
    }

    /// How often a consumer of this name was leased before it was removed.
    fn generation_of_removed(&mut self, stream: u32, name: &str) -> Result<u64> {
        match self.write.get(Table::State, &keys::removed_consumer(stream, name))? {
            None => Ok(0),
            Some(_) if mutant!("removed-lease-revived") => Ok(0),
            Some(bytes) => bytes
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| Error::corrupt("what is kept of a removed consumer has the wrong length")),
        }
    }

    fn seek_to(&mut self, place: usize, record: &mut ConsumerRecord, seek: &Seek) -> Result<()> {
        let to = self.seek(place, record, seek)?;
        // What it holds from behind there it will read again; at START it begins with nothing.
        record.note_told(record.acknowledged);
        if matches!(seek, Seek::Start) || *seek == Seek::Cursor(Cursor::START) {
            record.told = None;
        }
        // A time from which nothing can be told leads to START: whoever has to clear its copy first is told at its poll.
        let unasked = to.is_start() && matches!(seek, Seek::Time(_)) && !mutant!("time-ends-eviction");
        record.acknowledged = to;
        record.generation += 1;
        record.evicted &= unasked;
        record.release();
        Ok(())
    }

    fn seek(&mut self, place: usize, record: &ConsumerRecord, seek: &Seek) -> Result<Cursor> {
        let shared = self.shared;
        let (write, stream) = self.parts(place);
        let view = stream.view(shared);
        let filter = record.filter.unwrap_or(0);
        match seek {
            Seek::Start => Ok(Cursor::START),
            Seek::End => Ok(view.token_key.cursor(view.state.last, filter)),
            Seek::Cursor(cursor) => {
                validate::belongs(shared, write, &view.token_key, &view.state, cursor, filter)?;
                validate::not_expired(&view.token_key, &view.state, cursor, filter, true)?;
                Ok(*cursor)
            }
            Seek::Time(time) => {
                let mut before = Position::default();
                // The entry before: the least sequence number of that time, and one step back.
                let behind = view.first_behind(write, just_before(*time))?;
                let mut from = behind.saturating_sub(1);
                let mut step = 1;
                while from >= 1 && before == Position::default() {
                    write.scan(view.state.number, LogScan { from, only: None, payload: false }, &mut |row| {
                        if row.sequence >= behind {
                            return Ok(ControlFlow::Break(()));
                        }
                        before = Position { ulid: row.cursor, epoch: row.epoch };
                        Ok(ControlFlow::Continue(()))
                    })?;
                    step *= 2;
                    from = if from > 1 { from.saturating_sub(step).max(1) } else { 0 };
                }
                let floor = view.state.horizon.max(view.state.payload_horizon);
                // Of what was pruned nothing can be told from there on: start over.
                let before = if before < floor { Position::default() } else { before };
                Ok(view.token_key.cursor(before, filter))
            }
        }
    }

    fn status(&mut self, place: usize, name: &str, record: &ConsumerRecord, now_ms: u64) -> Result<ConsumerStatus> {
        let shared = self.shared;
        let (write, stream) = self.parts(place);
        let view = stream.view(shared);
        let from = view.first_behind(write, record.acknowledged.position().ulid)?;
        let (mut lag, mut oldest) = (0, None);
        write.scan(view.state.number, LogScan { from, only: None, payload: false }, &mut |row| {
            if row.cursor > record.acknowledged.position().ulid {
                lag += 1;
                oldest.get_or_insert(row.cursor);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let lag_time = oldest.map(|ulid| {
            let then = u64::try_from(millis_of(ulid)).unwrap_or(0);
            Duration::from_millis(now_ms.saturating_sub(then))
        });
        Ok(ConsumerStatus {
            name: name.to_owned(),
            acknowledged: record.acknowledged,
            lag,
            lag_time,
            leased: record.lease_left(now_ms).is_some(),
            parked: record.parked.clone(),
            evicted: record.evicted,
        })
    }

    /// The consumer that holds pruning back, and the position up to which it may go.
    pub(crate) fn prune_limit(&mut self, place: usize) -> Result<Option<(String, u128)>> {
        let prefix = keys::consumers(self.open_stream(place).state.number);
        let mut least: Option<(String, u128)> = None;
        self.write.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, value| {
            let record = ConsumerRecord::decode(value)?;
            let acknowledged = record.acknowledged.position().ulid;
            if !record.evicted && least.as_ref().is_none_or(|(_, least)| acknowledged < *least) {
                least = Some((consumer_name(&key[prefix.len()..])?, acknowledged));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(least)
    }
}

fn check_lease(record: &ConsumerRecord, token: &AckToken) -> Result<()> {
    if record.generation == token.generation || mutant!("stale-lease-accepted") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LeaseLost,
        "another reader took the consumer's lease meanwhile: drop this batch, it will be delivered again",
    ))
}

/// Refuses to renew a lease that somebody else has, or that was given back.
fn check_held(record: &ConsumerRecord, token: &AckToken) -> Result<()> {
    check_lease(record, token)?;
    if record.leased_until_ms > 0 || mutant!("returned-lease-renewed") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::LeaseLost, "the lease was given back: poll for another batch"))
}

/// The names of a stream's consumers.
pub(crate) fn consumer_names<R: BackendRead + ?Sized>(read: &mut R, stream: u32) -> Result<Vec<String>> {
    let prefix = keys::consumers(stream);
    let mut names = Vec::new();
    read.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, _| {
        names.push(consumer_name(&key[prefix.len()..])?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

fn consumer_name(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::corrupt("a stored consumer's name is not UTF-8"))
}
