//! One write transaction over a backend: the streams it has opened, the positions it has minted.

mod commit;
mod counters;
mod indexing;
mod memory;

pub(crate) use counters::checksum;
use memory::StreamMemory;
pub(crate) use memory::{OpenStream, StreamSlot, WriterMemory};

use crate::backend::{BackendRead, BackendWrite, Table};
use crate::content::Canonicalizer;
use crate::cursor::{Allocator, Position, SignsOfTime, position_ms};
use crate::error::{Error, ErrorKind, Result};
use crate::log::entry::Entry;
use crate::log::filters::Filters;
use crate::log::heads::{BYTES_PER_HEAD, Heads, KnownHead};
use crate::log::index_key::{IndexKey, head_key};
use crate::log::keys;
use crate::log::lost;
use crate::log::marks::Marks;
use crate::log::needs;
use crate::log::read::Attempt;
use crate::log::shared::Shared;
use crate::log::state::{Head, REBASED, StreamState, epoch_end};
use crate::log::tail::Lookup;
use crate::log::waiting::Waiting;
use crate::maintenance::{MaintenanceReport, StreamOptions};
use crate::mutants::mutant;
use crate::page::{Page, PageRequest};
use crate::places::Places;
use crate::stream::StreamKey;
use counters::{count, uncount};

/// Room made for the index entries of a transaction, once it has one: batches tend to be large.
const PENDING_ENTRIES: usize = 1000;

pub(crate) struct Transaction<'a, W> {
    pub(crate) shared: &'a Shared,
    memory: &'a mut WriterMemory,
    pub(crate) write: W,
    head: Head,
    allocator: Option<Allocator>,
    pub(crate) allow_clock_jump: bool,
    /// What another clock showed just now, in Unix milliseconds; 0 for nothing.
    pub(crate) clock_witness_ms: u64,
    open: Vec<OpenStream>,
    places: Places,
    /// Whether anything was written.
    pub(crate) dirty: bool,
    pub(crate) forget_positions: bool,
}

impl<W> std::fmt::Debug for Transaction<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction")
            .field("head", &self.head)
            .field("streams", &self.open.len())
            .finish_non_exhaustive()
    }
}

impl<'a, W: BackendWrite> Transaction<'a, W> {
    /// Begins. `write` has taken the write lock.
    pub(crate) fn new(shared: &'a Shared, memory: &'a mut WriterMemory, mut write: W) -> Result<Self> {
        needs::check_current(&mut write, shared)?;
        let mut head = Head::load(&mut write)?;
        if mutant!("allocate-before-lock")
            && let Some(end) = memory.epoch.map(|epoch| epoch_end(&mut write, epoch)).transpose()?.flatten()
        {
            head.high_water = end;
        }
        if mutant!("allocator-unseeded") && memory.epoch.is_none() {
            head.high_water = 0;
        }
        Ok(Transaction {
            shared,
            memory,
            write,
            head,
            allocator: None,
            allow_clock_jump: false,
            clock_witness_ms: 0,
            open: Vec::new(),
            places: Places::default(),
            dirty: false,
            forget_positions: false,
        })
    }

    /// Opens a stream in this transaction, once. The store gets to know it when something is written to it.
    pub(crate) fn open(&mut self, key: &StreamKey) -> Result<StreamSlot> {
        if let Some(index) = self.places.find(key, &self.open, |stream| &stream.key) {
            return Ok(StreamSlot(index));
        }
        key.check()?;
        let found = StreamState::load(&mut self.write, key)?;
        let known = found.is_some();
        let state = match found {
            Some(state) => state,
            None => {
                let number = self.head.streams.checked_add(1);
                self.head.streams = number.ok_or_else(|| Error::corrupt("the count of streams is damaged"))?;
                self.head.store(&mut self.write)?;
                lost::keep_name(&mut self.write, self.head.streams, key)?;
                StreamState::new(self.head.streams)
            }
        };
        let memory = match self.memory.streams.remove(key) {
            Some(memory) if memory.revision == state.revision => {
                self.memory.heads = self.memory.heads.saturating_sub(memory.heads.len());
                memory
            }
            _ => {
                let options = load_options(&mut self.write, state.number)?;
                StreamMemory {
                    next_sequence: state.next_sequence,
                    revision: state.revision,
                    canonicalizer: Canonicalizer::new(&options.rules),
                    options,
                    filters: Filters::load(&mut self.write, state.number)?,
                    heads: Heads::new(state.entries() == 0),
                    marks: Marks::default(),
                    foreign: false,
                }
            }
        };
        let mut stream = OpenStream {
            key: key.clone(),
            stored: state.clone(),
            state,
            memory,
            pending: Waiting::default(),
            reset_tail: false,
            in_run: false,
            origin: None,
            aside: None,
            known,
            needed: false,
        };
        self.shared.tail(stream.state.number, |tail| tail.catch_up(&mut self.write, &stream.state))?;
        if stream.memory.next_sequence != stream.state.next_sequence {
            stream.memory.foreign = true;
            let from = stream.memory.next_sequence;
            self.remember_rows(&mut stream, from)?;
        }
        self.open.push(stream);
        Ok(StreamSlot(self.open.len() - 1))
    }

    pub(crate) fn stream(&mut self, slot: StreamSlot) -> &mut OpenStream {
        &mut self.open[slot.0]
    }

    pub(crate) fn open_stream(&self, slot: StreamSlot) -> &OpenStream {
        &self.open[slot.0]
    }

    /// Makes the stream known to the store, even if nothing was ever written to it.
    pub(crate) fn need(&mut self, slot: StreamSlot) {
        self.open[slot.0].needed = true;
        self.dirty = true;
    }

    /// A page as this transaction sees the stream.
    pub(crate) fn read_page(&mut self, slot: StreamSlot, request: &PageRequest) -> Result<Page> {
        let apart = self.apart();
        let shared = apart.as_ref().unwrap_or(self.shared);
        let (write, stream) = (&mut self.write, &self.open[slot.0]);
        match stream.view(shared).page(write, request)? {
            Attempt::Done(page) => Ok(page),
            Attempt::Outdated => Err(Error::new(ErrorKind::Busy, "the stream is being rewritten; try again")),
        }
    }

    /// Where a read of this transaction remembers what it finds: apart, once there are rows that may come to nothing.
    pub(crate) fn apart(&self) -> Option<Shared> {
        self.dirty.then(|| self.shared.apart(self.shared.memory_budget))
    }

    /// Makes every earlier position one of a lost history, and starts again at the current clock.
    pub(crate) fn restart_positions(&mut self) -> Result<()> {
        let mut epochs = Vec::new();
        let prefix = [keys::EPOCHS];
        self.write.range(Table::State, &prefix, &keys::behind(&prefix), &mut |key, _| {
            epochs.push(key.to_vec());
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        for key in epochs {
            self.write.put(Table::State, &key, &REBASED.to_be_bytes())?;
        }
        self.head.high_water = 0;
        self.memory.epoch = None;
        self.allocator = None;
        self.forget_positions = true;
        Ok(())
    }

    /// The backend's transaction and a stream, both at once.
    pub(crate) fn parts(&mut self, slot: StreamSlot) -> (&mut W, &mut OpenStream) {
        (&mut self.write, &mut self.open[slot.0])
    }

    /// The next position, of this opening's epoch.
    pub(crate) fn mint(&mut self) -> Result<Position> {
        let shared = self.shared;
        let environment = &*shared.environment;
        if self.allocator.is_none() {
            let ours = self.memory.epoch;
            let epoch = match ours {
                Some(epoch) if !self.was_rebased(epoch)? => epoch,
                _ => new_epoch(&mut self.write, self.shared)?,
            };
            self.memory.epoch = Some(epoch);
            self.head.epoch = epoch;
            let now_ms = environment.now().unix_ms();
            if !self.allow_clock_jump {
                self.check_clock(now_ms)?;
            }
            self.allocator = Some(Allocator::new(self.head.high_water, now_ms));
        }
        let Some(allocator) = &mut self.allocator else {
            return Err(Error::corrupt("no position could be allocated"));
        };
        self.dirty = true;
        Ok(Position { ulid: allocator.mint(environment)?, epoch: self.head.epoch })
    }

    /// Refuses to mint by a clock that cannot be right.
    fn check_clock(&mut self, now_ms: u64) -> Result<()> {
        let expected_ms = self.shared.clock.expected_ms(&*self.shared.environment);
        let known = self.head.signs_of_time(&mut self.write, expected_ms)?;
        SignsOfTime { witness_ms: self.clock_witness_ms, ..known }.check(now_ms)
    }

    /// The time in Unix milliseconds, as far as the clock can be believed: else that of the last position.
    pub(crate) fn known_time_ms(&mut self) -> Result<i64> {
        let now_ms = self.shared.environment.now().unix_ms();
        let known = match self.check_clock(now_ms) {
            Ok(()) => now_ms,
            Err(error) if error.kind() == ErrorKind::ClockImplausible => position_ms(self.head.high_water),
            Err(error) => return Err(error),
        };
        Ok(i64::try_from(known).unwrap_or(i64::MAX))
    }

    /// Takes what the clock shows for the time, from now on.
    pub(crate) fn accept_clock(&mut self) -> Result<MaintenanceReport> {
        let now_ms = self.shared.environment.now().unix_ms();
        SignsOfTime::default().check(now_ms)?;
        self.write.put(Table::State, keys::CLOCK_ACCEPTED, &now_ms.to_be_bytes())?;
        self.dirty = true;
        Ok(MaintenanceReport::Done)
    }

    /// Whether another handle gave up the positions of our epoch: a new one must not revive them.
    fn was_rebased(&mut self, epoch: u32) -> Result<bool> {
        Ok(epoch_end(&mut self.write, epoch)? == Some(REBASED) && !mutant!("epoch-survives-rebase"))
    }

    /// Finds the row of `id`, if it has one, without its payload.
    pub(crate) fn find(&mut self, slot: StreamSlot, id: &str) -> Result<Option<Entry>> {
        self.find_hashed(slot, id, head_key(id))
    }

    /// The same for an id whose [`head_key`] is known.
    pub(crate) fn find_hashed(&mut self, slot: StreamSlot, id: &str, key: u64) -> Result<Option<Entry>> {
        let stream = &mut self.open[slot.0];
        if let Some(head) = stream.memory.heads.get(key) {
            if let Some(entry) = entry_at(&mut self.write, stream.state.number, head.sequence, false)?
                && *entry.id == *id
            {
                return Ok(Some(entry));
            }
            stream.memory.heads.note_collision();
        } else if stream.memory.heads.is_complete() {
            return Ok(None);
        }
        self.load_heads_if_worth_it(slot)?;
        let stream = &mut self.open[slot.0];
        let key = IndexKey::hashed(id, key);
        let sequence = match stream.pending.get(&key) {
            Some(sequence) => Some(sequence),
            // What is shared is what was committed: rows of this transaction may come to nothing.
            None => {
                let committed = if mutant!("uncommitted-remembered") { &stream.state } else { &stream.stored };
                self.shared.tail(stream.state.number, |tail| look_up(tail, &mut self.write, committed, &key))?
            }
        };
        match sequence {
            Some(sequence) => {
                let entry = entry_at(&mut self.write, stream.state.number, sequence, false)?;
                Ok(entry.filter(|entry| *entry.id == *id))
            }
            None => Ok(None),
        }
    }

    /// The row with its payload.
    pub(crate) fn with_payload(&mut self, slot: StreamSlot, entry: &Entry) -> Result<Entry> {
        let number = self.open[slot.0].state.number;
        entry_at(&mut self.write, number, entry.sequence, true)?.ok_or_else(|| {
            Error::corrupt("a row vanished while it was read: verify the store (Maintenance::Verify)")
                .with("id", &entry.id)
        })
    }

    /// Appends a row at the end of the log, in place of `old`, under its id's [`head_key`]. Gives it its sequence number.
    pub(crate) fn append(&mut self, slot: StreamSlot, old: Option<&Entry>, mut entry: Entry, key: u64) -> Result<()> {
        let room =
            (self.memory.heads + self.open[slot.0].memory.heads.len()) * BYTES_PER_HEAD < self.shared.memory_budget;
        let stream = &mut self.open[slot.0];
        let state = &mut stream.state;
        entry.sequence = state.next_sequence;
        if let Some(old) = old {
            self.write.remove_row(state.number, old.sequence)?;
            uncount(stream, old, &mut self.write)?;
        }
        let state = &mut stream.state;
        state.next_sequence += 1;
        state.last = entry.position;
        count(state, &entry);
        entry.as_row(|row| self.write.put_row(state.number, row))?;
        let exact = if entry.is_live() { entry.hashes.exact } else { [0; 16] };
        let head = KnownHead { sequence: entry.sequence, exact };
        stream.memory.heads.set(key, head, room);
        if stream.pending.is_empty() {
            stream.pending.reserve(PENDING_ENTRIES);
        }
        stream.pending.insert(IndexKey::hashed(&entry.id, key), entry.sequence);
        self.dirty = true;
        Ok(())
    }
}

fn look_up<W: BackendRead>(
    tail: &mut crate::log::tail::Tail,
    write: &mut W,
    state: &StreamState,
    key: &IndexKey,
) -> Result<Option<u64>> {
    match tail.look_up(write, state, key)? {
        Lookup::At(sequence) => Ok(Some(sequence)),
        Lookup::Elsewhere | Lookup::Outdated => write.index(state.number, key),
    }
}

/// The row at a sequence number, owned.
pub(crate) fn entry_at<R: BackendRead + ?Sized>(
    read: &mut R,
    stream: u32,
    sequence: u64,
    payload: bool,
) -> Result<Option<Entry>> {
    let mut found = None;
    read.row(stream, sequence, payload, &mut |row| {
        found = Some(Entry::from_row(row)?);
        Ok(std::ops::ControlFlow::Break(()))
    })?;
    Ok(found)
}

fn new_epoch<W: BackendWrite>(write: &mut W, shared: &Shared) -> Result<u32> {
    let mut bytes = [0; 4];
    shared.environment.fill_random(&mut bytes);
    let mut epoch = u32::from_be_bytes(bytes);
    // A random source that repeats itself must not keep us here.
    while epoch == 0 || epoch_end(write, epoch)?.is_some() {
        epoch = epoch.wrapping_add(1);
    }
    Ok(epoch)
}

pub(crate) fn load_options<R: BackendRead + ?Sized>(read: &mut R, stream: u32) -> Result<StreamOptions> {
    match read.get(Table::State, &keys::options(stream))? {
        None => Ok(StreamOptions::default()),
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|source| Error::corrupt("the stored options of a stream do not read").because(source)),
    }
}
