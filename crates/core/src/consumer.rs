//! Named readers whose position the store keeps.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::cursor::Cursor;
use crate::page::{ContentFilter, Page};

/// How a consumer reads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PollOptions {
    /// At most this many records.
    pub limit: usize,
    /// How long this reader alone may read; another takes over afterwards.
    pub lease: Duration,
    /// After this many failed deliveries of the same batch its first record is parked.
    pub max_attempts: u32,
    /// Only records with this content. Fixed by the consumer's first poll.
    pub matching: Option<ContentFilter>,
}

impl Default for PollOptions {
    fn default() -> Self {
        PollOptions { limit: 100, lease: Duration::from_secs(60), max_attempts: 5, matching: None }
    }
}

impl PollOptions {
    /// Asks for at most `limit` records.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }

    /// Reads under a lease of this length.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Parks a record after this many failed deliveries.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
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
    /// Hand it to `ack` once the batch is stored, or to `nack` if it could not be.
    pub token: AckToken,
    /// How often this batch has been delivered, this time included.
    pub attempt: u32,
}

/// Proof of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckToken {
    pub(crate) generation: u64,
    pub(crate) up_to: Cursor,
    pub(crate) first: Option<Cursor>,
}

impl AckToken {
    /// The position that an acknowledgement stores.
    pub fn cursor(&self) -> Cursor {
        self.up_to
    }
}

/// Where a consumer is to continue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seek {
    /// At the very start: for a reader that holds nothing, or has cleared its copy.
    Start,
    /// With what comes from now on.
    End,
    /// Behind a cursor.
    Cursor(Cursor),
    /// With what was modified at or after a time. Where that can no longer be told, at the start; a reader that was
    /// evicted stays so then.
    Time(DateTime<Utc>),
}

/// A consumer's state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// The position it has acknowledged.
    pub acknowledged: Cursor,
    /// Modifications it has not acknowledged.
    pub lag: u64,
    /// Age of the oldest of them.
    pub lag_time: Option<Duration>,
    /// Whether somebody holds its lease now.
    pub leased: bool,
    /// Records set aside after too many failed deliveries.
    pub parked: Vec<String>,
    /// Whether it was evicted so that pruning could go on; it must start over.
    pub evicted: bool,
}

/// What can be asked of a consumer; see [`Consumer`](crate::Consumer) for the comfortable form.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConsumerCommand {
    /// Take the lease and the next batch.
    Poll(PollOptions),
    /// Store the position, give the lease back.
    Ack(AckToken),
    /// Hold the batch's lease for another time of its length, counted from now.
    Renew(AckToken),
    /// The batch failed: deliver it again.
    Nack(AckToken),
    /// Continue elsewhere; breaks a running lease.
    Seek(Seek),
    /// The same for a consumer that reads only records with this content. Fixes the filter, as a first poll does.
    SeekMatching(Seek, ContentFilter),
    /// Tell the state.
    Status,
    /// Let pruning pass this consumer: it will have to start over.
    Evict,
    /// Forget the consumer.
    Remove,
    /// Take parked records back into delivery: they are removed from the list and returned.
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
    Parked(Vec<String>),
    /// To everything else.
    Done,
}
