//! Named readers whose position the store keeps.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{ContentFilter, Page};
use crate::record::RecordId;
use crate::timestamp::Timestamp;

/// How a consumer reads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PollOptions {
    /// At most this many records. Defaults to 100.
    pub limit: usize,
    /// How long this reader holds the lease; afterwards another may take over. Defaults to one minute.
    pub lease: Duration,
    /// Parks a record after this many deliveries of it alone were nacked. Defaults to 10, which takes about a quarter of an hour
    /// with the default backoff.
    pub max_attempts: u32,
    /// Parks a record after the leases of this many deliveries of it alone ran out. Defaults to 20: a reader that died says
    /// little about the record.
    pub max_expirations: u32,
    /// How long the first nack delays the next delivery; each further one in a row doubles it. Defaults to one second.
    pub backoff: Duration,
    /// The longest delay after a nack. Defaults to five minutes.
    pub max_backoff: Duration,
    /// Only records with this content. Fixed by the consumer's first poll.
    pub matching: Option<ContentFilter>,
}

impl Default for PollOptions {
    fn default() -> Self {
        PollOptions {
            limit: 100,
            lease: Duration::from_secs(60),
            max_attempts: 10,
            max_expirations: 20,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(300),
            matching: None,
        }
    }
}

impl PollOptions {
    /// Sets the most records of a delivery; 0 is taken as 1.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }

    /// Sets the length of the lease.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Parks a record after this many deliveries of it alone were nacked; 0 is taken as 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Parks a record after the leases of this many deliveries of it alone ran out; 0 is taken as 1.
    #[must_use]
    pub fn max_expirations(mut self, expirations: u32) -> Self {
        self.max_expirations = expirations.max(1);
        self
    }

    /// Sets how long nacks delay the next delivery: `first` for the first, twice as long for each further one in a row, never longer
    /// than `longest`. [`Duration::ZERO`] delivers again at once.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.backoff, self.max_backoff) = (first, longest);
        self
    }

    /// Reads only records with this content.
    #[must_use]
    pub fn matching(mut self, filter: ContentFilter) -> Self {
        self.matching = Some(filter);
        self
    }
}

/// A batch for a consumer, and the token to acknowledge it with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The modifications.
    pub page: Page,
    /// Pass it to `ack` once the batch is stored, or to `nack` where it could not be.
    pub token: AckToken,
    /// How often the first record of the batch has been delivered in a row, this time included.
    pub attempt: u32,
}

/// Proof of a delivery. As text, it can travel to a reader in another process and back.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_core::{AckToken, MemoryStore, StoreExt, StreamKey};
/// let (store, notes) = (MemoryStore::new()?, StreamKey::new("demo", "Note"));
/// let token = store.consumer(&notes, "index").poll().await?.token;
/// assert_eq!(token.to_string().parse::<AckToken>()?, token);
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckToken {
    pub(crate) generation: u64,
    pub(crate) up_to: Cursor,
    pub(crate) first: Option<Cursor>,
    /// The last sequence number at or before `up_to`.
    pub(crate) sequence: u64,
}

impl AckToken {
    /// Returns the position that an acknowledgement stores.
    pub fn cursor(&self) -> Cursor {
        self.up_to
    }
}

impl fmt::Display for AckToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.generation, self.sequence, self.up_to)?;
        self.first.map_or(Ok(()), |first| write!(f, "-{first}"))
    }
}

impl FromStr for AckToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::new(ErrorKind::Invalid, "this text is not the token of a batch: pass it as it was printed");
        let mut parts = text.split('-');
        let mut number = || -> Option<u64> {
            let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
            part.parse().ok()
        };
        let (generation, sequence) = number().zip(number()).ok_or_else(wrong)?;
        let up_to = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
        let first = parts.next().map(|part| part.parse().map_err(|_| wrong())).transpose()?;
        if parts.next().is_some() { Err(wrong()) } else { Ok(AckToken { generation, up_to, first, sequence }) }
    }
}

/// Where a consumer continues.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Seek {
    /// The beginning: for a reader whose copy is empty or cleared.
    Start,
    /// With what comes from now on.
    End,
    /// Behind a cursor.
    Cursor(Cursor),
    /// With what was modified at or after a time. Where the log no longer tells, at the start; a consumer that was evicted then
    /// stays evicted.
    Time(Timestamp),
}

/// A consumer's state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// The position it has acknowledged.
    pub acknowledged: Cursor,
    /// Records that are still to be delivered: exact up to 256. Beyond that an upper bound: the modifications since its position (a
    /// record that was modified twice counts twice) or the records of the stream, whichever is less.
    pub lag: u64,
    /// Age of the oldest modification that is still to be delivered.
    pub lag_time: Option<Duration>,
    /// Whether a reader currently holds its lease.
    pub leased: bool,
    /// What is left of the backoff after a nack: until then a poll fails with
    /// [`ErrorKind::BackingOff`](crate::ErrorKind::BackingOff).
    pub backoff: Option<Duration>,
    /// Ids of the records that were parked after too many failed deliveries, in that order. At most 1,000: then the consumer stays
    /// where it is. A parked record that changes is delivered again, and is no longer parked once that is acknowledged.
    pub parked: Vec<RecordId>,
    /// Whether it was evicted so that pruning could go on; it must start over.
    pub evicted: bool,
}

/// A command to a consumer; [`Consumer`](crate::Consumer) has a method for each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConsumerCommand {
    /// Take the lease and the next batch.
    Poll(PollOptions),
    /// Store the position, give the lease back.
    Ack(AckToken),
    /// Hold the batch's lease for another time of its length, counted from now.
    Renew(AckToken),
    /// The batch failed: deliver its records again, one at a time, once the backoff has ended.
    Nack(AckToken),
    /// Continue elsewhere, and end a running lease.
    Seek(Seek),
    /// The same for a consumer that reads only records with this content. Fixes the filter, as a first poll does.
    SeekMatching(Seek, ContentFilter),
    /// Read the state.
    Status,
    /// Let pruning pass this consumer: it will have to start over.
    Evict,
    /// Forget the consumer.
    Remove,
    /// Deliver the parked records again, before anything else and in the log's order.
    Unpark,
}

/// The answer to a [`ConsumerCommand`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConsumerReply {
    /// To `Poll`.
    Delivery(Delivery),
    /// To `Status`.
    Status(ConsumerStatus),
    /// To `Unpark`: the ids.
    Parked(Vec<RecordId>),
    /// To everything else.
    Done,
}
