//! The small facts of a store and of each stream, and their binary form.

use std::time::Duration;

use crate::backend::{BackendRead, BackendWrite, Table};
use crate::cursor::{Position, SignsOfTime, position_ms, time_of};
use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::log::keys;
use crate::maintenance::ClockHealth;
use crate::mutants::mutant;
use crate::stream::{StreamKey, StreamVersion};
use crate::timestamp::Timestamp;
use crate::varint::{Reader, put_number};

/// The version of everything this module writes.
pub(crate) const FORMAT: u8 = 2;

/// The earliest version whose rows are still read.
const EARLIEST: u8 = 1;

/// What never changes in a store's life, but for its format.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) secret: [u8; 32],
    pub(crate) format: u8,
}

impl Identity {
    /// The store's identity, if it has one.
    pub(crate) fn load<R: BackendRead + ?Sized>(read: &mut R) -> Result<Option<Self>> {
        read.get(Table::State, keys::IDENTITY)?.map(|bytes| Identity::decode(&bytes)).transpose()
    }

    /// The identity of a new store.
    pub(crate) fn create<W: BackendWrite>(write: &mut W, environment: &dyn Environment) -> Result<Self> {
        let mut secret = [0; 32];
        environment.fill_random(&mut secret);
        let identity = Identity { secret, format: FORMAT };
        identity.store(write)?;
        Ok(identity)
    }

    pub(crate) fn store<W: BackendWrite>(&self, write: &mut W) -> Result<()> {
        let mut bytes = vec![self.format];
        bytes.extend_from_slice(&self.secret);
        write.put(Table::State, keys::IDENTITY, &bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut rest = Reader(bytes);
        let [format] = rest.array()?;
        if format > FORMAT {
            return Err(Error::new(
                ErrorKind::Incompatible,
                "the store was written by a newer version of Highwater; upgrade the program that opens it",
            )
            .with("format", format)
            .with("known", FORMAT));
        }
        if format < EARLIEST {
            return Err(Error::corrupt("the store's format is not one that there ever was: restore a backup")
                .with("format", format));
        }
        Ok(Identity { secret: rest.array()?, format })
    }
}

/// What every write transaction reads first and writes last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The greatest position ever minted, in any stream.
    pub(crate) high_water: u128,
    /// The epoch that minted it.
    pub(crate) epoch: u32,
    /// Streams made so far.
    pub(crate) streams: u32,
}

impl Head {
    pub(crate) fn load<R: BackendRead + ?Sized>(read: &mut R) -> Result<Self> {
        let Some(bytes) = read.get(Table::State, keys::HEAD)? else { return Ok(Head::default()) };
        let mut rest = Reader(&bytes);
        Ok(Head {
            high_water: u128::from_be_bytes(rest.array()?),
            epoch: u32::from_be_bytes(rest.array()?),
            streams: u32::from_be_bytes(rest.array()?),
        })
    }

    /// The store's knowledge about the time; `expected_ms` is what its clock should show now.
    pub(crate) fn signs_of_time<R: BackendRead + ?Sized>(&self, read: &mut R, expected_ms: u64) -> Result<SignsOfTime> {
        let accepted = read.get(Table::State, keys::CLOCK_ACCEPTED)?;
        let accepted = accepted.map(|bytes| Reader(&bytes).array().map(u64::from_be_bytes)).transpose()?;
        Ok(SignsOfTime {
            last_position_ms: position_ms(self.high_water),
            accepted_ms: accepted.unwrap_or(0),
            witness_ms: 0,
            expected_ms,
        })
    }

    /// How a clock that shows `now_ms` stands to the positions and to what else is known of the time.
    pub(crate) fn clock_health(&self, now_ms: u64, known: &SignsOfTime) -> ClockHealth {
        ClockHealth {
            now: Timestamp::from_unix_ms(now_ms),
            last_position_at: (self.high_water != 0).then(|| time_of(self.high_water)),
            lead: Duration::from_millis(known.last_position_ms.saturating_sub(now_ms)),
            implausible: !known.allow(now_ms),
            accepted_at: (known.accepted_ms != 0).then(|| Timestamp::from_unix_ms(known.accepted_ms)),
        }
    }

    pub(crate) fn store<W: BackendWrite>(&self, write: &mut W) -> Result<()> {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.high_water.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[20..].copy_from_slice(&self.streams.to_be_bytes());
        write.put(Table::State, keys::HEAD, &bytes)
    }
}

/// The end of an epoch whose positions were all given up for new ones.
pub(crate) const REBASED: u128 = 0;

/// The last position an epoch minted; `None` for an epoch this store never had.
pub(crate) fn epoch_end<R: BackendRead + ?Sized>(read: &mut R, epoch: u32) -> Result<Option<u128>> {
    read.get(Table::State, &keys::epoch(epoch))?
        .map(|bytes| Ok(u128::from_be_bytes(Reader(&bytes).array()?)))
        .transpose()
}

/// A run that will see every record of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenRun {
    pub(crate) id: u128,
    /// Records behind this sequence number were written after the run began: it may not delete them.
    pub(crate) start: u64,
    /// Live records at or before `start`, now.
    pub(crate) old_live: u64,
    /// Rows of marks written so far.
    pub(crate) mark_rows: u32,
    /// Records that came without an id: what they are is unknown, so nothing may be deleted.
    pub(crate) unidentified: u64,
    /// Whether it met any record, known or new.
    pub(crate) met: bool,
    /// Distinguishes it from an earlier run of the same id, which a handle may have cached.
    pub(crate) nonce: u64,
}

/// Everything counted about one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamState {
    pub(crate) number: u32,
    pub(crate) incarnation: u32,
    /// Grows with every change that is not an appended row, so that other processes drop what they remember.
    pub(crate) revision: u64,
    pub(crate) next_sequence: u64,
    pub(crate) last: Position,
    pub(crate) horizon: Position,
    pub(crate) payload_horizon: Position,
    /// How often a horizon was raised.
    pub(crate) prunes: u32,
    /// The past is complete from here on: the greatest position that took the place of a version not kept.
    pub(crate) history_horizon: u128,
    pub(crate) live: u64,
    pub(crate) deleted: u64,
    pub(crate) bytes: u64,
    pub(crate) checksum: u128,
    /// Rows up to this sequence number are in the backend's index.
    pub(crate) indexed_through: u64,
    /// Fingerprints of the content rules that rows were hashed under; rows name them by place.
    pub(crate) algorithms: Vec<u32>,
    pub(crate) run: Option<OpenRun>,
}

impl StreamState {
    pub(crate) fn new(number: u32) -> Self {
        StreamState { number, next_sequence: 1, ..StreamState::default() }
    }

    pub(crate) fn load<R: BackendRead + ?Sized>(read: &mut R, stream: &StreamKey) -> Result<Option<Self>> {
        let bytes = read.get(Table::State, &keys::stream(stream))?;
        bytes.map(|bytes| StreamState::decode(&bytes).map_err(|error| error.with("stream", stream))).transpose()
    }

    /// The version of what the stream holds: whatever changes a page changes a counter, a position or the checksum here.
    pub(crate) fn version<R: BackendRead + ?Sized>(read: &mut R, stream: &StreamKey) -> Result<StreamVersion> {
        let state = read.get(Table::State, &keys::stream(stream))?.unwrap_or_default();
        if mutant!("version-without-prunes") && !state.is_empty() {
            return Ok(StreamVersion::of(&StreamState::decode(&state)?.last.ulid.to_be_bytes()));
        }
        Ok(StreamVersion::of(&state))
    }

    pub(crate) fn store<W: BackendWrite>(&self, write: &mut W, stream: &StreamKey) -> Result<()> {
        write.put(Table::State, &keys::stream(stream), &self.encode())
    }

    /// The least position from which a reader that did not begin at START misses nothing.
    pub(crate) fn horizon(&self, payloads: bool) -> Position {
        if payloads { self.horizon.max(self.payload_horizon) } else { self.horizon }
    }

    /// The last sequence number that was given out.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.next_sequence.saturating_sub(1)
    }

    /// Rows in the log.
    pub(crate) fn entries(&self) -> u64 {
        self.live + self.deleted
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        for number in [
            u64::from(self.number),
            u64::from(self.incarnation),
            u64::from(self.prunes),
            self.revision,
            self.next_sequence,
            self.live,
            self.deleted,
            self.bytes,
            self.indexed_through,
        ] {
            put_number(&mut out, number);
        }
        for position in [self.last, self.horizon, self.payload_horizon] {
            out.extend_from_slice(&position.ulid.to_be_bytes());
            out.extend_from_slice(&position.epoch.to_be_bytes());
        }
        out.extend_from_slice(&self.history_horizon.to_be_bytes());
        out.extend_from_slice(&self.checksum.to_be_bytes());
        put_number(&mut out, self.algorithms.len() as u64);
        for fingerprint in &self.algorithms {
            out.extend_from_slice(&fingerprint.to_be_bytes());
        }
        if let Some(run) = &self.run {
            out.extend_from_slice(&run.id.to_be_bytes());
            for number in [run.start, run.old_live, u64::from(run.mark_rows), run.unidentified, u64::from(run.met)] {
                put_number(&mut out, number);
            }
            out.extend_from_slice(&run.nonce.to_be_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut rest = Reader(bytes);
        let mut state = StreamState {
            number: small(rest.number()?)?,
            incarnation: small(rest.number()?)?,
            prunes: small(rest.number()?)?,
            revision: rest.number()?,
            next_sequence: rest.number()?,
            live: rest.number()?,
            deleted: rest.number()?,
            bytes: rest.number()?,
            indexed_through: rest.number()?,
            ..StreamState::default()
        };
        for position in [&mut state.last, &mut state.horizon, &mut state.payload_horizon] {
            position.ulid = u128::from_be_bytes(rest.array()?);
            position.epoch = u32::from_be_bytes(rest.array()?);
        }
        state.history_horizon = u128::from_be_bytes(rest.array()?);
        state.checksum = u128::from_be_bytes(rest.array()?);
        for _ in 0..rest.number()? {
            state.algorithms.push(u32::from_be_bytes(rest.array()?));
        }
        if !rest.is_empty() {
            state.run = Some(OpenRun {
                id: u128::from_be_bytes(rest.array()?),
                start: rest.number()?,
                old_live: rest.number()?,
                mark_rows: small(rest.number()?)?,
                unidentified: rest.number()?,
                // Not told by earlier versions.
                met: rest.is_empty() || rest.number()? != 0,
                nonce: if rest.is_empty() { 0 } else { u64::from_be_bytes(rest.array()?) },
            });
        }
        Ok(state)
    }
}

fn small(number: u64) -> Result<u32> {
    u32::try_from(number).map_err(|_| Error::corrupt("a stored counter is out of range"))
}
