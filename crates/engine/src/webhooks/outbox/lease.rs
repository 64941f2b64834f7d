//! The lease for deliveries: one of several processes delivers; another takes over when it stops.
//!
//! The holder sends a heartbeat every few seconds, whatever its receivers do, and aborts its attempts once it has lost the
//! lease. So the lease can be much shorter than an attempt: others wait for it after a kill.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater_core::{Environment, Error, ErrorKind, Fence, Result, Store, Timestamp, WriteBatch};
use serde::{Deserialize, Serialize};

use crate::mutants::mutant;
use crate::timer;

const KEY: &str = "outbox/worker";
const NAME: &str = "outbox";

/// The time between heartbeats.
const BEAT: Duration = Duration::from_secs(5);

/// The length of the lease after a heartbeat: two heartbeats may be missed.
const TERM: Duration = Duration::from_secs(15);

/// The remaining time at which a heartbeat is overdue.
const OVERDUE: Duration = Duration::from_secs(10);

/// A lease that ends later than this was granted by another clock.
const FAR: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize)]
struct Held {
    #[serde(rename = "until_ms", with = "highwater_core::timestamp::unix_ms")]
    until: Timestamp,
    #[serde(default)]
    process: u32,
}

impl Held {
    fn new(until: Timestamp) -> Self {
        Held { until, process: std::process::id() }
    }

    /// Whether the holder may be alive.
    fn keeps_out(&self, store: &dyn Store, now: Timestamp) -> bool {
        // A store that only one process can open has no other holder.
        let gone = !store.capabilities().multi_process && self.process != std::process::id();
        let alive = self.until > now && self.until.duration_since(now) <= FAR;
        alive && !gone && !mutant!("two-deliver")
    }
}

/// The right to deliver.
#[derive(Debug)]
pub(super) struct Lease {
    fence: Fence,
    /// In Unix milliseconds.
    until_ms: AtomicU64,
}

/// The answer to an attempt to acquire it.
pub(super) enum Bid {
    Won(Lease),
    /// Another process delivers; try again then.
    HeldUntil(Timestamp),
}

impl Lease {
    pub(super) async fn bid(store: &dyn Store, environment: &dyn Environment) -> Result<Bid> {
        let found = store.document(KEY).await?;
        // After the read: a lease that begins during the read is not from the future.
        let now = environment.now();
        if let Some(held) = found.as_ref().and_then(|found| found.to::<Held>().ok())
            && held.keeps_out(store, now)
        {
            return Ok(Bid::HeldUntil(held.until));
        }
        let until = now + TERM;
        let mut batch = WriteBatch::new();
        batch.expect_document(KEY, found.as_ref()).put_document(KEY, &Held::new(until))?.take_lease(NAME);
        match store.commit(batch).await {
            Ok(mut commit) => match commit.leases.pop() {
                Some(fence) => Ok(Bid::Won(Lease { fence, until_ms: until.unix_ms().into() })),
                None => Err(Error::new(ErrorKind::Internal, "a commit came back without its lease")),
            },
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(Bid::HeldUntil(until)),
            Err(error) => Err(error),
        }
    }

    /// A batch that is refused once another process delivers.
    pub(super) fn batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.fence(self.fence.clone());
        batch
    }

    /// Sends heartbeats until the lease is lost; then returns why.
    pub(super) async fn keep(&self, store: &dyn Store, environment: &dyn Environment) -> Error {
        loop {
            timer::sleep(BEAT.min(self.left(environment))).await;
            let left = self.left(environment);
            if left.is_zero() {
                return lost();
            }
            match timer::timeout(left, self.renew(store, environment)).await {
                Some(Ok(())) => {}
                Some(Err(error)) if error.kind() == ErrorKind::Fenced => return error,
                // The store may recover before the lease ends.
                Some(Err(error)) => tracing::warn!(target: "highwater::outbox", "the heartbeat failed: {error}"),
                None => return lost(),
            }
        }
    }

    /// Before an attempt: checks that the lease is still ours, if a heartbeat is overdue. A process that was asleep notices here.
    pub(super) async fn check(&self, store: &dyn Store, environment: &dyn Environment) -> Result<()> {
        if self.left(environment) > OVERDUE { Ok(()) } else { self.renew(store, environment).await }
    }

    /// The remaining time of the lease.
    fn left(&self, environment: &dyn Environment) -> Duration {
        let until = Timestamp::from_unix_ms(self.until_ms.load(Ordering::Relaxed));
        until.duration_since(environment.now()).min(TERM)
    }

    /// Renews the lease. Fails once another process has it.
    async fn renew(&self, store: &dyn Store, environment: &dyn Environment) -> Result<()> {
        let until = environment.now() + TERM;
        let mut batch = self.batch();
        batch.put_document(KEY, &Held::new(until))?;
        store.commit(batch).await?;
        self.until_ms.store(until.unix_ms(), Ordering::Relaxed);
        Ok(())
    }

    /// Releases the lease, so that another process need not wait.
    pub(super) async fn release(self, store: &dyn Store) -> Result<()> {
        let mut batch = self.batch();
        batch.remove_document(KEY);
        store.commit(batch).await.map(drop)
    }
}

fn lost() -> Error {
    Error::new(
        ErrorKind::Busy,
        "no heartbeat could be stored in time: deliveries are left to the next process that checks the outbox",
    )
}
