//! Payloads in the form that the codec of now gives them, and the check that it is the right codec.

use std::ops::ControlFlow;

use crate::backend::{BackendRead, BackendWrite, LogRow, LogScan, Table};
use crate::codec::{PayloadCodec, PayloadContext};
use crate::error::{Error, ErrorKind, Result};
use crate::log::history::{read_version, write_version};
use crate::log::transaction::Transaction;
use crate::log::{keys, out_of_order};
use crate::record::Action;
use crate::stream::StreamKey;

/// Rows rewritten in one transaction.
const SLICE: usize = 1000;

/// A payload like any other, so that a wrong key shows when the store is opened.
const CHECK: &[u8] = br#"{"highwater":"codec"}"#;

/// Where the rewriting of a stream goes on.
#[derive(Clone, Debug)]
pub(crate) enum RecodeFrom {
    /// In the log, from a sequence number on; rows from the second one on were appended since it began.
    Log(u64, u64),
    /// In the history, behind a key.
    History(Vec<u8>),
}

impl<W: BackendWrite> Transaction<'_, W> {
    /// The whole stream, from its first row to its last of now.
    pub(crate) fn recode_all(&mut self, stream: &StreamKey) -> Result<RecodeFrom> {
        let place = self.open(stream)?;
        Ok(RecodeFrom::Log(1, self.open_stream(place).state.next_sequence))
    }

    /// Rewrites a slice of a stream's payloads; how many, and where to go on.
    pub(crate) fn recode(&mut self, stream: &StreamKey, from: RecodeFrom) -> Result<(u64, Option<RecodeFrom>)> {
        let place = self.open(stream)?;
        self.dirty = true;
        match from {
            RecodeFrom::Log(from, end) => self.recode_log(place, stream, from, end),
            RecodeFrom::History(from) => self.recode_history(place, stream, &from),
        }
    }

    fn recode_log(
        &mut self,
        place: usize,
        stream: &StreamKey,
        from: u64,
        end: u64,
    ) -> Result<(u64, Option<RecodeFrom>)> {
        let shared = self.shared;
        let (write, open) = self.parts(place);
        let number = open.state.number;
        let mut sequences = Vec::new();
        write.scan(number, LogScan { from, only: None, payload: false }, &mut |row| {
            if sequences.len() >= SLICE {
                return Ok(ControlFlow::Break(()));
            }
            // What was appended meanwhile is new, but for payloads that tombstones took with them.
            if row.sequence < end || row.action == Action::Deleted {
                sequences.push(row.sequence);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut rewritten = 0;
        for sequence in &sequences {
            let mut entry = None;
            write.row(number, *sequence, true, &mut |row| {
                entry = Some(crate::log::entry::Entry::from_row(row)?);
                Ok(ControlFlow::Break(()))
            })?;
            let Some(mut entry) = entry else { continue };
            let Some(stored) = &entry.payload else { continue };
            let payload = shared.decode_payload(stream, &entry.id, stored)?.into_bytes();
            entry.payload = Some(shared.encode_payload(stream, &entry.id, &payload)?);
            entry.as_row(|row| write.put_row(number, row))?;
            rewritten += 1;
        }
        let next = match sequences.last() {
            Some(last) if sequences.len() >= SLICE && *last < from => return Err(out_of_order()),
            Some(last) if sequences.len() >= SLICE => RecodeFrom::Log(last + 1, end),
            _ => RecodeFrom::History(number.to_be_bytes().to_vec()),
        };
        Ok((rewritten, Some(next)))
    }

    fn recode_history(&mut self, place: usize, stream: &StreamKey, from: &[u8]) -> Result<(u64, Option<RecodeFrom>)> {
        let shared = self.shared;
        let (write, open) = self.parts(place);
        let until = keys::behind(&open.state.number.to_be_bytes());
        let mut versions = Vec::new();
        write.range(Table::History, from, &until, &mut |key, value| {
            if versions.len() >= SLICE {
                return Ok(ControlFlow::Break(()));
            }
            versions.push((key.to_vec(), value.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        if versions.last().is_some_and(|(last, _)| last.as_slice() < from) {
            return Err(out_of_order());
        }
        let mut rewritten = 0;
        for (key, value) in &versions {
            let (row, by) = read_version(value)?;
            let Some(stored) = row.payload else { continue };
            let payload = shared.decode_payload(stream, row.id, stored)?.into_bytes();
            let stored = shared.encode_payload(stream, row.id, &payload)?;
            let mut changed = Vec::with_capacity(stored.len() + 128);
            write_version(&LogRow { payload: Some(&stored), ..row }, by, &mut changed);
            write.put(Table::History, key, &changed)?;
            rewritten += 1;
        }
        let next = versions.last().filter(|_| versions.len() >= SLICE).map(|(last, _)| {
            let mut next = last.clone();
            next.push(0);
            RecodeFrom::History(next)
        });
        Ok((rewritten, next))
    }

    /// Makes the check one of the codec of now, when every payload is.
    pub(crate) fn renew_codec_check(&mut self) -> Result<()> {
        self.dirty = true;
        match self.shared.codec.as_deref().map(NewCheck::of).transpose()?.flatten() {
            Some(check) => check.store(&mut self.write),
            None => self.write.remove(Table::State, keys::CODEC_CHECK),
        }
    }
}

/// A check that is to be stored, for a codec whose payloads are not read without it.
pub(crate) struct NewCheck(Vec<u8>);

impl NewCheck {
    fn of(codec: &dyn PayloadCodec) -> Result<Option<Self>> {
        let mut stored = Vec::new();
        codec.encode(&PayloadContext { stream: &check_stream(), id: "check" }, CHECK, &mut stored)?;
        // A codec that leaves the check plain, as compression alone does, needs none.
        Ok(stored.first().is_some_and(|first| *first != b'{').then_some(NewCheck(stored)))
    }

    pub(crate) fn store<W: BackendWrite>(&self, write: &mut W) -> Result<()> {
        write.put(Table::State, keys::CODEC_CHECK, &self.0)
    }
}

/// Refuses to open a store of encrypted payloads with a wrong key, or with none: what would be
/// written then could not be read with the right one, or would lie there in the open.
/// The check that is missing, if one is.
pub(crate) fn check_codec<R: BackendRead + ?Sized>(
    read: &mut R,
    codec: Option<&dyn PayloadCodec>,
) -> Result<Option<NewCheck>> {
    let stored = read.get(Table::State, keys::CODEC_CHECK)?;
    match (stored, codec) {
        (None, None) => Ok(None),
        (None, Some(codec)) => NewCheck::of(codec),
        (Some(_), None) => Err(Error::new(
            ErrorKind::WrongKey,
            "the store's payloads are encrypted: open it with a codec that has the key",
        )),
        (Some(stored), Some(codec)) => {
            let stream = check_stream();
            let mut payload = Vec::new();
            codec.decode(&PayloadContext { stream: &stream, id: "check" }, &stored, &mut payload)?;
            if payload != CHECK {
                return Err(Error::corrupt("the store's codec check is damaged: restore a backup"));
            }
            Ok(None)
        }
    }
}

fn check_stream() -> StreamKey {
    StreamKey::new("highwater", "codec")
}
