//! What an open run has seen: one bit per record that it found unchanged.
//!
//! A record that the run added or changed lies after the run's start in the log, and needs no mark. Each batch writes one
//! packed row, so that a run survives a restart.

use std::ops::ControlFlow;

use crate::backend::{BackendRead, BackendWrite, Table};
use crate::error::{Error, Result};
use crate::log::keys;
use crate::log::state::OpenRun;
use crate::mutants::mutant;
use crate::varint::{Reader, put_number};

#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// The run's id and nonce.
    run: (u128, u64),
    rows_read: u32,
    bits: Vec<u64>,
    count: u64,
    /// Set and cleared since the last row was written.
    new: Vec<u64>,
    cleared: Vec<u64>,
}

impl Marks {
    /// Brings the marks to what the store has.
    pub(crate) fn catch_up<R: BackendRead + ?Sized>(&mut self, read: &mut R, stream: u32, run: &OpenRun) -> Result<()> {
        let named = (run.id, if mutant!("runs-by-id-alone") { 0 } else { run.nonce });
        if self.run != named || self.rows_read > run.mark_rows {
            *self = Marks { run: named, ..Marks::default() };
        }
        // By the rows there are: a damaged count must not keep us here.
        let (from, until) = (keys::marks(stream, self.rows_read), keys::marks(stream, run.mark_rows));
        read.range(Table::State, &from, &until, &mut |_, row| {
            self.apply_row(row, run)?;
            Ok(ControlFlow::Continue(()))
        })?;
        self.rows_read = run.mark_rows;
        Ok(())
    }

    fn apply_row(&mut self, row: &[u8], run: &OpenRun) -> Result<()> {
        let mut rest = Reader(row);
        let marks = rest.number()?;
        let mut sequence = 0;
        for _ in 0..marks {
            sequence = rest.number()?.saturating_add(sequence);
            if sequence > run.start {
                return Err(Error::corrupt("a run's mark has a position after the run's start: abort the run"));
            }
            self.flip(sequence, true);
        }
        sequence = 0;
        while !rest.is_empty() {
            sequence = rest.number()?.saturating_add(sequence);
            self.flip(sequence, false);
        }
        Ok(())
    }

    /// Notes that the run saw the record at `sequence`.
    pub(crate) fn set(&mut self, sequence: u64) {
        if self.flip(sequence, true) {
            self.new.push(sequence);
        }
    }

    /// Notes that the row at `sequence` is gone.
    pub(crate) fn clear(&mut self, sequence: u64) {
        if self.flip(sequence, false) {
            self.cleared.push(sequence);
        }
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let (word, bit) = word_and_bit(sequence);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// The first sequence number from this one on that has no mark.
    pub(crate) fn next_unmarked(&self, sequence: u64) -> u64 {
        let (first, bit) = word_and_bit(sequence);
        let mut wanted = !(bit - 1);
        for (word, bits) in self.bits.iter().enumerate().skip(first) {
            let unmarked = !bits & wanted;
            if unmarked != 0 {
                return word as u64 * 64 + u64::from(unmarked.trailing_zeros());
            }
            wanted = u64::MAX;
        }
        sequence.max(self.bits.len() as u64 * 64)
    }

    /// Records seen and still where they were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Writes what is new as one row. Returns whether there was anything.
    pub(crate) fn save<W: BackendWrite>(&mut self, write: &mut W, stream: u32, run: &mut OpenRun) -> Result<bool> {
        if self.new.is_empty() && self.cleared.is_empty() {
            return Ok(false);
        }
        let mut row = Vec::with_capacity(self.new.len() * 2 + 8);
        put_number(&mut row, self.new.len() as u64);
        for list in [&mut self.new, &mut self.cleared] {
            list.sort_unstable();
            let mut last = 0;
            for sequence in list.drain(..) {
                put_number(&mut row, sequence - last);
                last = sequence;
            }
        }
        if !mutant!("marks-not-persisted") {
            write.put(Table::State, &keys::marks(stream, run.mark_rows), &row)?;
        }
        run.mark_rows += 1;
        self.rows_read = run.mark_rows;
        Ok(true)
    }

    /// Removes every row of a run that ended.
    pub(crate) fn discard<W: BackendWrite>(write: &mut W, stream: u32, run: &OpenRun) -> Result<()> {
        let mut rows = Vec::new();
        write.range(Table::State, &keys::marks(stream, 0), &keys::marks(stream, run.mark_rows), &mut |key, _| {
            rows.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        rows.iter().try_for_each(|row| write.remove(Table::State, row))
    }

    fn flip(&mut self, sequence: u64, to: bool) -> bool {
        let (word, bit) = word_and_bit(sequence);
        if self.bits.len() <= word {
            if !to {
                return false;
            }
            self.bits.resize(word + 1, 0);
        }
        let bits = &mut self.bits[word];
        if (*bits & bit != 0) == to {
            return false;
        }
        *bits ^= bit;
        if to {
            self.count += 1;
        } else {
            self.count -= 1;
        }
        true
    }
}

fn word_and_bit(sequence: u64) -> (usize, u64) {
    ((sequence / 64) as usize, 1 << (sequence % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::backend::Backend;
    use crate::memory::MemoryBackend;

    #[test]
    fn a_damaged_count_of_rows_keeps_nobody() {
        let mut backend = MemoryBackend::default();
        let mut write = backend.begin().unwrap();
        let mut run = OpenRun { id: 1, start: 100, old_live: 0, mark_rows: 0, unidentified: 0, met: false, nonce: 0 };
        for sequence in [3, 70] {
            let mut marks = Marks::default();
            marks.set(sequence);
            assert!(marks.save(&mut write, 1, &mut run).unwrap());
        }
        run.mark_rows = u32::MAX;
        let mut marks = Marks::default();
        marks.catch_up(&mut write, 1, &run).unwrap();
        assert_eq!((marks.count(), marks.contains(3), marks.contains(70)), (2, true, true));
        Marks::discard(&mut write, 1, &run).unwrap();
        assert_eq!(write.get(Table::State, &keys::marks(1, 1)).unwrap(), None);
        write.commit().unwrap();
    }

    proptest! {
        #[test]
        fn what_has_no_mark_is_found(
            marked in proptest::collection::vec(prop_oneof![0_u64..300, 60_u64..70], 0..200), from in 0_u64..400
        ) {
            let mut marks = Marks::default();
            marked.iter().for_each(|sequence| marks.set(*sequence));
            let marked: BTreeSet<u64> = marked.into_iter().collect();
            prop_assert_eq!(Some(marks.next_unmarked(from)), (from..).find(|sequence| !marked.contains(sequence)));
        }
    }
}
