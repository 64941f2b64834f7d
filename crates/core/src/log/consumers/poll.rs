//! What a named reader is given next.

use crate::backend::BackendWrite;
use crate::consumer::{AckToken, Delivery, PollOptions};
use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::log::consumers::record::{ConsumerRecord, Failure};
use crate::log::transaction::{StreamSlot, Transaction};
use crate::log::{filters, validate};
use crate::mutants::mutant;
use crate::page::{ContentFilter, Page, PageRequest};

impl<W: BackendWrite> Transaction<'_, W> {
    pub(super) fn poll(
        &mut self,
        slot: StreamSlot,
        record: &mut ConsumerRecord,
        options: &PollOptions,
        now_ms: u64,
    ) -> Result<Delivery> {
        if let Some(filter) = &options.matching {
            filter.check()?;
        }
        may_read(record, now_ms)?;
        let filter = options.matching.as_ref().map_or(0, ContentFilter::fingerprint);
        let first_poll = record.filter.is_none();
        record.fix_filter(filter)?;
        if first_poll && !mutant!("unfiltered-start") {
            // It may have been sent somewhere before the filter was known.
            let (position, drain) = (record.acknowledged.position_in_epoch(), record.acknowledged.drain());
            let token_key = self.shared.token_key(&self.open_stream(slot).key);
            record.acknowledged = token_key.cursor_in_drain(position, filter, drain);
        }
        if let Some(told) = record.told.filter(|_| record.acknowledged.is_start() && !mutant!("told-before-a-clear")) {
            // The reader stands at START, but may still hold records from before a clear.
            let stream = self.open_stream(slot);
            validate::not_expired(&self.shared.token_key(&stream.key), &stream.state, &told, filter, true)
                .map_err(|error| error.with("stream", &stream.key))?;
        }
        if let Some(filter) = options.matching.as_ref().filter(|_| record.acknowledged.is_start()) {
            self.track(slot, filter)?;
        }
        // A delivery that is neither acknowledged nor refused: its lease ran out.
        record.fail(Failure::Expiration, now_ms);
        loop {
            let limit = record.limit(options);
            let page = match self.returning(slot, record, options, limit)? {
                Some(page) => page,
                None => self.next_page(slot, record, options, limit)?,
            };
            let Some(first) = page.changes.first() else {
                let sequence = self.sequence_of(slot, page.next_cursor)?;
                record.stand_at(page.next_cursor, sequence);
                record.release();
                let token = AckToken { generation: record.generation, up_to: page.next_cursor, first: None, sequence };
                return Ok(Delivery { page, token, attempt: 1 });
            };
            if record.is_poison(&first.record.id, options) {
                self.set_aside(slot, record, &page, filter)?;
                continue;
            }
            return self.deliver(slot, record, page, options, now_ms);
        }
    }

    /// The page behind the reader's position.
    fn next_page(
        &mut self,
        slot: StreamSlot,
        record: &ConsumerRecord,
        options: &PollOptions,
        limit: usize,
    ) -> Result<Page> {
        let mut request = PageRequest::new(self.open_stream(slot).key.clone()).since(record.acknowledged).limit(limit);
        request.matching.clone_from(&options.matching);
        request.told = record.told.map_or(0, |told| told.position());
        self.read_page(slot, &request)
    }

    fn deliver(
        &mut self,
        slot: StreamSlot,
        record: &mut ConsumerRecord,
        mut page: Page,
        options: &PollOptions,
        now_ms: u64,
    ) -> Result<Delivery> {
        record.mark_delivered(&mut page.changes);
        record.note_told(page.next_cursor);
        let first = page.changes.first().map_or(Cursor::START, |change| change.record.metadata.cursor);
        let alone = match &*page.changes {
            [change] => Some(change.record.id.to_string()),
            [change, ..] if mutant!("whole-batch-set-aside") => Some(change.record.id.to_string()),
            _ => None,
        };
        record.deliver((first, alone), options, now_ms);
        let sequence = self.sequence_of(slot, page.next_cursor)?;
        if mutant!("ack-before-handler") {
            record.stand_at(page.next_cursor, sequence);
        }
        let token = AckToken { generation: record.generation, up_to: page.next_cursor, first: Some(first), sequence };
        Ok(Delivery { page, token, attempt: record.attempts })
    }

    /// Sets the first record of a page aside, so that one that cannot be handled does not hold up the rest.
    fn set_aside(&mut self, slot: StreamSlot, record: &mut ConsumerRecord, page: &Page, filter: u64) -> Result<()> {
        let Some(change) = page.changes.first() else { return Ok(()) };
        record.park(&change.record.id, change.net);
        record.end_delivery();
        let cursor = change.record.metadata.cursor;
        if cursor.position_in_epoch() > record.acknowledged.position_in_epoch() {
            let shared = self.shared;
            let view = self.open_stream(slot).view(shared);
            let bound = filters::binding(&view.token_key, &page.next_cursor, filter);
            let to = view.reader_at(&record.acknowledged, cursor.position_in_epoch(), bound);
            let sequence = self.sequence_of(slot, to)?;
            record.stand_at(to, sequence);
        }
        Ok(())
    }

    /// The last sequence number at or before a position that this transaction read up to.
    fn sequence_of(&mut self, slot: StreamSlot, cursor: Cursor) -> Result<u64> {
        let shared = self.shared;
        let (write, stream) = self.parts(slot);
        let position = cursor.position_in_epoch();
        if position.ulid >= stream.state.last.ulid {
            return Ok(stream.state.last_sequence());
        }
        let behind = stream.view(shared).first_behind(write, position.ulid)?;
        Ok(behind.saturating_sub(1))
    }
}

impl ConsumerRecord {
    /// Records that the next delivery may have.
    fn limit(&self, options: &PollOptions) -> usize {
        match usize::try_from(self.batch).unwrap_or(usize::MAX) {
            0 => options.limit,
            batch if mutant!("whole-batch-set-aside") => batch.max(options.limit),
            batch => batch.min(options.limit),
        }
    }
}

fn may_read(record: &ConsumerRecord, now_ms: u64) -> Result<()> {
    if let Some(wait) = record.lease_left(now_ms) {
        return Err(Error::new(
            ErrorKind::LeaseLost,
            "another reader holds the consumer's lease; wait, or use another name",
        )
        .retry_in(wait));
    }
    if let Some(wait) = record.pause_left(now_ms) {
        return Err(Error::new(
            ErrorKind::BackingOff,
            "the last delivery failed, and its backoff has not ended: poll again afterwards",
        )
        .retry_in(wait));
    }
    if record.evicted {
        return Err(Error::new(
            ErrorKind::CursorExpired,
            "the consumer was evicted, or every position was given up for a new one: clear your copy and seek to the start",
        ));
    }
    Ok(())
}
