//! What is kept of named readers that were removed: one number for each stream.

use std::ops::ControlFlow;

use crate::backend::{BackendRead, BackendWrite, Table};
use crate::error::{Error, Result};
use crate::log::keys;
use crate::log::transaction::Transaction;
use crate::mutants::mutant;

impl<W: BackendWrite> Transaction<'_, W> {
    /// The generation that a new consumer begins with: above all that removed ones had, so that their leases stay lost
    /// when a name comes into use again.
    pub(super) fn generation_of_removed(&mut self, stream: u32) -> Result<u64> {
        let (greatest, _) = removed(&mut self.write, stream)?;
        Ok(if mutant!("removed-lease-revived") { 0 } else { greatest })
    }

    /// Notes that a consumer of this generation was removed.
    pub(super) fn note_removed(&mut self, stream: u32, generation: u64) -> Result<()> {
        let (greatest, rows) = removed(&mut self.write, stream)?;
        for row in rows {
            self.write.remove(Table::State, &row)?;
        }
        // Its own last lease must be below that of its successor, also if that one has not taken a lease yet.
        let next = greatest.max(generation.saturating_add(1));
        self.write.put(Table::State, &keys::removed_consumers(stream), &next.to_be_bytes())
    }
}

/// The greatest generation noted, and the rows that earlier versions kept for each name.
fn removed<R: BackendRead + ?Sized>(read: &mut R, stream: u32) -> Result<(u64, Vec<Vec<u8>>)> {
    let prefix = keys::removed_consumers(stream);
    let (mut greatest, mut rows) = (0, Vec::new());
    read.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, value| {
        let generation = value
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| Error::corrupt("what is kept of removed consumers has the wrong length"))?;
        if key == prefix {
            greatest = greatest.max(generation);
        } else {
            greatest = greatest.max(generation.saturating_add(1));
            rows.push(key.to_vec());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((greatest, rows))
}
