//! Of several processes one delivers; another takes over when it stops.

use highwater_core::{Environment, Error, ErrorKind, Fence, Result, Store, WriteBatch};
use serde::{Deserialize, Serialize};

const KEY: &str = "outbox/worker";
const NAME: &str = "outbox";

/// How long a process holds the work without a sign of life.
const TERM_MS: u64 = 60_000;

/// A term that ends later than this was begun by another clock.
const FAR_MS: u64 = 2 * TERM_MS;

/// What must be left of it before a try begins: longer than a try can last.
pub(super) const ENOUGH_MS: u64 = 30_000;

#[derive(Debug, Serialize, Deserialize)]
struct Held {
    until_ms: u64,
}

/// The right to deliver.
#[derive(Debug)]
pub(super) struct Lease {
    fence: Fence,
    until_ms: u64,
}

/// The answer to a bid.
pub(super) enum Bid {
    Won(Lease),
    /// Somebody else delivers; ask again then.
    HeldUntil(u64),
}

impl Lease {
    pub(super) async fn bid(store: &dyn Store, environment: &dyn Environment) -> Result<Bid> {
        let found = store.document(KEY).await?;
        // Behind the look: a term that somebody begins while we look is not from the future.
        let now_ms = environment.now_ms();
        if let Some(held) = found.as_ref().and_then(|found| found.to::<Held>().ok())
            && held.until_ms > now_ms
            && held.until_ms - now_ms <= FAR_MS
        {
            return Ok(Bid::HeldUntil(held.until_ms));
        }
        let until_ms = now_ms + TERM_MS;
        let mut batch = WriteBatch::new();
        batch.expect_document(KEY, found.as_ref()).put_document(KEY, &Held { until_ms })?.take_lease(NAME);
        match store.commit(batch).await {
            Ok(mut commit) => match commit.leases.pop() {
                Some(fence) => Ok(Bid::Won(Lease { fence, until_ms })),
                None => Err(Error::new(ErrorKind::Internal, "a commit came back without its lease")),
            },
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(Bid::HeldUntil(until_ms)),
            Err(error) => Err(error),
        }
    }

    /// A batch that is refused once somebody else delivers.
    pub(super) fn batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.fence(self.fence.clone());
        batch
    }

    /// Keeps the work, if the term is about to end. Fails once somebody else has it.
    pub(super) async fn renew(&mut self, store: &dyn Store, environment: &dyn Environment) -> Result<()> {
        let now_ms = environment.now_ms();
        if self.until_ms.saturating_sub(now_ms) >= ENOUGH_MS {
            return Ok(());
        }
        let until_ms = now_ms + TERM_MS;
        let mut batch = self.batch();
        batch.put_document(KEY, &Held { until_ms })?;
        store.commit(batch).await?;
        self.until_ms = until_ms;
        Ok(())
    }

    /// Gives the work back, so that another need not wait.
    pub(super) async fn release(self, store: &dyn Store) -> Result<()> {
        let mut batch = self.batch();
        batch.remove_document(KEY);
        store.commit(batch).await.map(drop)
    }
}
