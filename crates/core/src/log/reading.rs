//! A page in the making: from rows to changes.

use std::ops::Range;

use bytes::Bytes;

use crate::backend::LogRow;
use crate::cursor::{Position, TokenKey, time_of};
use crate::error::Result;
use crate::log::chunks::CHUNK;
use crate::log::entry::{Extra, Hashes, held_at};
use crate::log::filters;
use crate::log::read::{StreamView, time_of_row};
use crate::log::shared::Payload;
use crate::mutants::mutant;
use crate::page::PageRequest;
use crate::record::{Action, Change, Json, Metadata, NetAction, Record};

/// Changes for which room is made at once.
const EXPECTED: usize = 1024;

/// A page in the making.
pub(super) struct Reading<'p> {
    view: &'p StreamView<'p>,
    pub(super) request: &'p PageRequest,
    since: Position,
    /// How far the reader may have come before, without a word of it.
    told: u128,
    filter: u64,
    /// The index of the content filter among those that the stream tracks, where that tells.
    tracked: Option<u8>,
    changes: Vec<Change>,
    bytes: usize,
    /// Whether payloads are stored otherwise than they are read.
    coded: bool,
    /// How far the log was looked at.
    pub(super) scanned: Position,
    /// Payloads of the latest changes, and which change has which part of them.
    chunk: Vec<u8>,
    waiting: Vec<(usize, Range<usize>)>,
}

impl<'p> Reading<'p> {
    pub(super) fn new(
        view: &'p StreamView<'p>,
        request: &'p PageRequest,
        since: Position,
        (filter, tracked): (u64, Option<u8>),
    ) -> Self {
        Reading {
            view,
            request,
            since,
            told: if mutant!("untold-left-behind") { since.ulid } else { since.ulid.max(request.told) },
            filter,
            tracked,
            changes: Vec::new(),
            bytes: 0,
            coded: view.shared.codec.is_some(),
            scanned: since,
            chunk: Vec::new(),
            waiting: Vec::new(),
        }
    }

    pub(super) fn is_full(&self, row: &LogRow<'_>) -> bool {
        let more = self.size(row);
        let first = self.changes.is_empty() && !mutant!("no-record-fits");
        self.changes.len() >= self.request.limit.max(1)
            || (!first && self.bytes.saturating_add(more) > self.request.max_bytes && !mutant!("page-bytes-ignored"))
    }

    /// Bytes that a row's payload has for its reader, however few a codec made of them.
    fn size(&self, row: &LogRow<'_>) -> usize {
        let stored = row.payload.map_or(0, <[u8]>::len);
        if !self.coded || stored == 0 {
            return stored;
        }
        let length = Hashes::decode(row.hashes).map(|hashes| hashes.length);
        length.ok().and_then(|length| usize::try_from(length).ok()).unwrap_or(stored)
    }

    pub(super) fn visit(&mut self, row: &LogRow<'_>) -> Result<()> {
        let position = Position { ulid: row.cursor, epoch: row.epoch };
        if !mutant!("filtered-next-last-match") {
            self.scanned = position;
        }
        let extra = row.extra.map(|extra| Extra::decode(Some(extra))).transpose()?;
        let (matching, metadata_only) = (self.request.matching.as_ref(), self.request.metadata_only);
        let payload = match row.payload {
            Some(stored) if matching.is_some() || !metadata_only => {
                Some(self.view.shared.decode_payload(self.view.key, row.id, stored)?)
            }
            _ => None,
        };
        let Some(net) = self.net(row, extra.as_ref(), payload.as_ref().map(Payload::as_bytes))? else { return Ok(()) };
        // What left is of no use to the reader but for its id.
        let unseen = metadata_only || (net == NetAction::Left && !mutant!("left-with-payload"));
        self.scanned = position;
        let payload = match payload.filter(|_| !unseen) {
            Some(payload) => self.keep(payload)?,
            None => None,
        };
        let record = record(&self.view.token_key, row, self.filter, payload);
        self.bytes = self.bytes.saturating_add(self.size(row));
        if self.changes.is_empty() {
            self.changes.reserve(self.request.limit.min(EXPECTED));
        }
        self.changes.push(Change { net, record });
        Ok(())
    }

    /// What a row means to the reader; `None` where that is nothing.
    fn net(&self, row: &LogRow<'_>, extra: Option<&Extra>, payload: Option<&[u8]>) -> Result<Option<NetAction>> {
        let lives = extra.map_or(&[][..], |extra| &extra.lives);
        let mut held = held_at(self.since.ulid, row, lives);
        // A reader that came past the end of an earlier life after the record had moved on was never told of that end.
        // One that reads again may hold what has been born since, but for a record that is as it was born.
        let mut perhaps =
            (row.birth <= self.told && row.birth < row.cursor) || lives.iter().any(|(birth, _)| *birth <= self.told);
        let mut matches = true;
        if let Some(filter) = &self.request.matching {
            let matched = self.tracked.map(|index| {
                let known = extra.map_or(&[][..], |extra| &extra.matched);
                known.iter().find(|matched| matched.filter == index)
            });
            matches = match payload {
                Some(payload) => filters::matches(&filter.conditions, payload)?,
                None => matched.flatten().is_some_and(|matched| matched.pruned) && !mutant!("pruned-matches-nothing"),
            };
            if let Some(matched) = matched {
                let told = matched.is_some_and(|matched| matched.from <= self.told);
                perhaps &= told || mutant!("left-without-having-matched");
                held &= told;
            }
        }
        Ok(match row.action {
            Action::Deleted if perhaps => Some(NetAction::Deleted),
            Action::Deleted => Some(NetAction::Void),
            _ if !matches => (perhaps && !mutant!("left-not-told")).then_some(NetAction::Left),
            _ if held => Some(NetAction::Updated),
            _ => Some(NetAction::Added),
        })
    }

    /// The changes, with their payloads.
    pub(super) fn finish(mut self) -> Result<Vec<Change>> {
        self.hand_out()?;
        Ok(self.changes)
    }

    /// Keeps the payload of the next change; `None` while it waits in the chunk with others.
    fn keep(&mut self, payload: Payload<'_>) -> Result<Option<Json>> {
        let Payload::Plain(plain) = payload else { return Json::from_stored(payload.into_bytes()).map(Some) };
        if plain.len() > CHUNK / 4 {
            return Json::from_stored(Bytes::copy_from_slice(plain)).map(Some);
        }
        if self.chunk.capacity() - self.chunk.len() < plain.len() {
            self.hand_out()?;
            self.chunk = self.view.shared.chunks.take();
        }
        let start = self.chunk.len();
        self.chunk.extend_from_slice(plain);
        self.waiting.push((self.changes.len(), start..self.chunk.len()));
        Ok(None)
    }

    /// Gives the changes that wait their part of the chunk.
    fn hand_out(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let chunk = self.view.shared.chunks.share(std::mem::take(&mut self.chunk));
        for (index, part) in self.waiting.drain(..) {
            if let Some(change) = self.changes.get_mut(index) {
                change.record.payload = Some(Json::from_stored(chunk.slice(part))?);
            }
        }
        Ok(())
    }
}

/// A row as readers see it.
#[inline]
pub(super) fn record(token_key: &TokenKey, row: &LogRow<'_>, filter: u64, payload: Option<Json>) -> Record {
    let modified = time_of(row.cursor);
    Record {
        id: row.id.into(),
        payload,
        metadata: Metadata {
            cursor: token_key.cursor(Position { ulid: row.cursor, epoch: row.epoch }, filter),
            first_seen_at: time_of_row(row.first_seen_at),
            last_modified_at: modified,
            last_action: row.action,
            deleted_at: (row.action == Action::Deleted).then_some(modified),
            pruned_at: row.pruned_at.map(time_of_row),
        },
    }
}
