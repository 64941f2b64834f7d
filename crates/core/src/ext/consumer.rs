//! Named readers, whose position the store keeps.

use crate::consumer::{AckToken, ConsumerCommand, ConsumerReply, ConsumerStatus, Delivery, PollOptions, Seek};
use crate::error::{Error, ErrorKind, Result};
use crate::record::RecordId;
use crate::store::Store;
use crate::stream::StreamKey;

/// A named reader of a stream, from [`StoreExt::consumer`](crate::StoreExt::consumer). The store keeps its position, its lease and its failures.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_core::{MemoryStore, Store, StoreExt, StreamKey, WriteBatch};
/// let (store, notes) = (MemoryStore::new()?, StreamKey::new("demo", "Note"));
/// let mut batch = WriteBatch::new();
/// batch.on(&notes).upsert(r#"{"id": "a"}"#);
/// store.commit(batch).await?;
///
/// let reader = store.consumer(&notes, "search-index");
/// let delivery = reader.poll().await?;
/// // ... store delivery.page.changes, then:
/// reader.ack(delivery.token).await?;
/// assert_eq!(reader.status().await?.lag, 0);
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Consumer<'s> {
    pub(super) store: &'s dyn Store,
    pub(super) stream: StreamKey,
    pub(super) name: String,
    pub(super) options: PollOptions,
}

impl Consumer<'_> {
    /// Sets the options of this handle's polls.
    #[must_use]
    pub fn options(mut self, options: PollOptions) -> Self {
        self.options = options;
        self
    }

    /// Takes the next batch, and the lease until the batch is acknowledged or the lease runs out.
    ///
    /// After a batch that failed, by a [`nack`](Consumer::nack) or because its lease ran out, the next batch has one record, and
    /// each that is acknowledged lets the next be twice as large. That shows which record fails: after
    /// [`max_attempts`](PollOptions::max_attempts) nacks, or [`max_expirations`](PollOptions::max_expirations) leases that ran out,
    /// it is parked, and the others go on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LeaseLost`] while another reader holds the lease, and [`ErrorKind::BackingOff`] while the backoff of a
    /// nack lasts: both tell how long that is in [`retry_after`](Error::retry_after), and nothing wakes a reader then.
    /// [`ErrorKind::CursorExpired`] if the reader has to clear its copy and start over: [`seek`](Consumer::seek) to the start.
    /// Otherwise those of [`Store::consumer_command`].
    pub async fn poll(&self) -> Result<Delivery> {
        match self.execute(ConsumerCommand::Poll(self.options.clone())).await? {
            ConsumerReply::Delivery(delivery) => Ok(delivery),
            other => Err(unexpected(&other)),
        }
    }

    /// Acknowledges a batch that is stored: the next poll continues after it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LeaseLost`] if another reader has taken the lease.
    pub async fn ack(&self, token: AckToken) -> Result<()> {
        self.execute(ConsumerCommand::Ack(token)).await.map(|_| ())
    }

    /// Extends the lease to its full length from now, for a batch that takes longer to handle. Call it about three times per
    /// lease.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LeaseLost`] if another reader has taken it: drop the batch.
    pub async fn renew(&self, token: AckToken) -> Result<()> {
        self.execute(ConsumerCommand::Renew(token)).await.map(|_| ())
    }

    /// Rejects a batch that could not be stored. Its records are delivered again, one at a time, once the
    /// [`backoff`](PollOptions::backoff) has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LeaseLost`] if another reader has taken the lease.
    pub async fn nack(&self, token: AckToken) -> Result<()> {
        self.execute(ConsumerCommand::Nack(token)).await.map(|_| ())
    }

    /// Continues elsewhere, and ends a running lease. With a filter in the [`options`](Consumer::options) a cursor must come from a
    /// reading with that filter.
    ///
    /// # Errors
    ///
    /// The cursor kinds for a cursor that is not one of the stream's, and [`ErrorKind::FilterMismatch`] for another filter than that
    /// of the first poll.
    pub async fn seek(&self, seek: Seek) -> Result<()> {
        let command = match &self.options.matching {
            Some(filter) => ConsumerCommand::SeekMatching(seek, filter.clone()),
            None => ConsumerCommand::Seek(seek),
        };
        self.execute(command).await.map(|_| ())
    }

    /// Lets pruning pass this consumer, which then has to start over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a consumer that has never polled.
    pub async fn evict(&self) -> Result<()> {
        self.execute(ConsumerCommand::Evict).await.map(|_| ())
    }

    /// Removes the consumer, its position and its parked records.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a consumer that has never polled.
    pub async fn remove(&self) -> Result<()> {
        self.execute(ConsumerCommand::Remove).await.map(|_| ())
    }

    /// Takes parked records back, and returns their ids. The next polls deliver them as they are now, in the log's order and before
    /// anything else; their failures count from zero.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a consumer that has never polled.
    pub async fn unpark(&self) -> Result<Vec<RecordId>> {
        match self.execute(ConsumerCommand::Unpark).await? {
            ConsumerReply::Parked(ids) => Ok(ids),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads the consumer's position, lag, lease and failures. Waits for no writer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a consumer that has never polled.
    pub async fn status(&self) -> Result<ConsumerStatus> {
        match self.execute(ConsumerCommand::Status).await? {
            ConsumerReply::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    async fn execute(&self, command: ConsumerCommand) -> Result<ConsumerReply> {
        self.store.consumer_command(&self.stream, &self.name, command).await
    }
}

fn unexpected(reply: &ConsumerReply) -> Error {
    Error::new(ErrorKind::Internal, "the store gave an answer of another kind than the command has")
        .with("answer", format!("{reply:?}"))
}
