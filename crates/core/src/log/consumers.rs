//! Named readers: position, lease, failures, parked records; all in the store.

mod aside;
mod poll;
mod record;
mod removed;
mod seek;
mod status;

pub(crate) use status::status;

use std::ops::ControlFlow;

use crate::backend::{BackendRead, BackendWrite, Table};
use crate::consumer::{AckToken, ConsumerCommand, ConsumerReply};
use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::log::transaction::{StreamSlot, Transaction};
use crate::log::{filters, keys, validate};
use crate::mutants::mutant;
use crate::stream::StreamKey;
use record::{ConsumerRecord, Failure};

/// The longest name of a consumer, in bytes.
const MAX_CONSUMER_NAME: usize = 255;

impl<W: BackendWrite> Transaction<'_, W> {
    pub(crate) fn consumer_command(
        &mut self,
        stream: &StreamKey,
        name: &str,
        command: &ConsumerCommand,
    ) -> Result<ConsumerReply> {
        check_name(name)?;
        let slot = self.open(stream)?;
        let number = self.open_stream(slot).state.number;
        let key = keys::consumer(number, name);
        let stored = self.write.get(Table::State, &key)?.map(|bytes| ConsumerRecord::decode(&bytes)).transpose()?;
        let known = stored.is_some();
        let mut record = match &stored {
            Some(stored) => stored.clone(),
            None => ConsumerRecord::new(self.generation_of_removed(number)?),
        };
        let makes =
            matches!(command, ConsumerCommand::Poll(_) | ConsumerCommand::Seek(_) | ConsumerCommand::SeekMatching(..));
        if !known && !makes {
            return Err(Error::new(ErrorKind::NotFound, "no such consumer: poll with its name once to make it")
                .with("stream", stream)
                .with("consumer", name));
        }
        let now_ms = self.shared.environment.now().unix_ms();
        let reply = match command {
            ConsumerCommand::Poll(options) => ConsumerReply::Delivery(
                self.poll(slot, &mut record, options, now_ms).map_err(|error| error.with("consumer", name))?,
            ),
            ConsumerCommand::Ack(token) => {
                check_lease(&record, token).map_err(|error| error.with("consumer", name))?;
                self.check_cursor(slot, &record, &token.up_to).map_err(|error| error.with("consumer", name))?;
                if token.up_to.position_in_epoch() > record.acknowledged.position_in_epoch() || mutant!("ack-goes-back")
                {
                    let up_to = self.renewed(slot, &record, token.up_to);
                    record.stand_at(up_to, token.sequence);
                }
                record.succeed();
                ConsumerReply::Done
            }
            ConsumerCommand::Renew(token) => {
                check_held(&record, token).map_err(|error| error.with("consumer", name))?;
                record.leased_until_ms = now_ms.saturating_add(record.lease_ms).max(1);
                ConsumerReply::Done
            }
            ConsumerCommand::Nack(token) => {
                check_lease(&record, token).map_err(|error| error.with("consumer", name))?;
                record.fail(Failure::Nack, now_ms);
                ConsumerReply::Done
            }
            ConsumerCommand::Seek(seek) => {
                self.seek_to(slot, &mut record, seek)?;
                ConsumerReply::Done
            }
            ConsumerCommand::SeekMatching(seek, filter) => {
                filter.check().map_err(|error| error.with("consumer", name))?;
                record.fix_filter(filter.fingerprint()).map_err(|error| error.with("consumer", name))?;
                self.seek_to(slot, &mut record, seek)?;
                ConsumerReply::Done
            }
            ConsumerCommand::Status => {
                let shared = self.shared;
                let (write, open) = self.parts(slot);
                ConsumerReply::Status(status(&open.view(shared), write, name)?)
            }
            ConsumerCommand::Evict => {
                record.evict();
                ConsumerReply::Done
            }
            ConsumerCommand::Remove => {
                self.write.remove(Table::State, &key)?;
                self.note_removed(number, record.generation)?;
                self.dirty = true;
                return Ok(ConsumerReply::Done);
            }
            ConsumerCommand::Unpark => ConsumerReply::Parked(record.unpark()),
        };
        if stored.as_ref() != Some(&record) {
            self.write.put(Table::State, &key, &record.encode()?)?;
            self.need(slot);
        }
        Ok(reply)
    }

    /// A prune stops at consumers, so everything it removed is behind those that are in the middle of a read from START:
    /// they go on.
    pub(crate) fn renew_drains(&mut self, slot: StreamSlot, prunes: u32) -> Result<()> {
        for (key, mut record) in self.consumer_records(slot)? {
            let drain = record.acknowledged.drain();
            if drain == 0 || drain + 1 != prunes || record.evicted || mutant!("prune-expires-drains") {
                continue;
            }
            let token_key = self.shared.token_key(&self.open_stream(slot).key);
            let renewed = |cursor: &Cursor| {
                let bound = filters::binding(&token_key, cursor, record.filter.unwrap_or(0));
                token_key.cursor_in_drain(cursor.position_in_epoch(), bound, prunes)
            };
            let told = record.told.filter(|told| told.drain() == drain).map(|told| renewed(&told));
            record.acknowledged = renewed(&record.acknowledged);
            record.told = told.or(record.told);
            self.write.put(Table::State, &key, &record.encode()?)?;
        }
        Ok(())
    }

    /// The end of a delivery, as the consumer stands there now: a prune since then did not concern it.
    fn renewed(&self, slot: StreamSlot, record: &ConsumerRecord, up_to: Cursor) -> Cursor {
        let stream = self.open_stream(slot);
        let drain = record.acknowledged.drain();
        if up_to.drain() == 0 || drain == 0 || drain != stream.state.prunes {
            return up_to;
        }
        let token_key = self.shared.token_key(&stream.key);
        let bound = filters::binding(&token_key, &up_to, record.filter.unwrap_or(0));
        token_key.cursor_in_drain(up_to.position_in_epoch(), bound, drain)
    }

    fn consumer_records(&mut self, slot: StreamSlot) -> Result<Vec<(Vec<u8>, ConsumerRecord)>> {
        let prefix = keys::consumers(self.open_stream(slot).state.number);
        let mut records = Vec::new();
        self.write.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, value| {
            records.push((key.to_vec(), ConsumerRecord::decode(value)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(records)
    }

    /// Refuses a position from a lost history.
    fn check_cursor(&mut self, slot: StreamSlot, record: &ConsumerRecord, cursor: &Cursor) -> Result<()> {
        let shared = self.shared;
        let (write, stream) = self.parts(slot);
        let view = stream.view(shared);
        let bound = filters::binding(&view.token_key, cursor, record.filter.unwrap_or(0));
        validate::belongs(shared, write, &view.token_key, &view.state, cursor, bound)
    }

    /// Makes every consumer of a stream start over.
    pub(crate) fn evict_consumers(&mut self, slot: StreamSlot) -> Result<()> {
        for (key, mut record) in self.consumer_records(slot)? {
            record.evict();
            // Where it stood cannot be told on the new scale.
            record.stand_at(Cursor::START, 0);
            record.told = None;
            self.write.put(Table::State, &key, &record.encode()?)?;
        }
        Ok(())
    }

    /// The consumer that holds pruning back, and the position up to which it may go.
    pub(crate) fn prune_limit(&mut self, slot: StreamSlot) -> Result<Option<(String, u128)>> {
        let prefix = keys::consumers(self.open_stream(slot).state.number);
        let mut least: Option<(String, u128)> = None;
        self.write.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, value| {
            let record = ConsumerRecord::decode(value)?;
            let acknowledged = record.acknowledged.position();
            if !record.evicted && least.as_ref().is_none_or(|(_, least)| acknowledged < *least) {
                least = Some((consumer_name(&key[prefix.len()..])?, acknowledged));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(least)
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_CONSUMER_NAME {
        return Err(Error::invalid(format!("a consumer's name must have 1 to {MAX_CONSUMER_NAME} bytes")));
    }
    Ok(())
}

fn check_lease(record: &ConsumerRecord, token: &AckToken) -> Result<()> {
    if record.generation == token.generation || mutant!("stale-lease-accepted") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LeaseLost,
        "another reader has taken the consumer's lease: drop this batch, it will be delivered again",
    ))
}

/// Refuses to renew a lease that another reader holds, or that was released.
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
