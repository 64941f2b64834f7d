//! Of several processes one delivers; another takes over when it stops.
//!
//! Who delivers shows a sign of life every few seconds, whatever its receivers do meanwhile, and cuts its tries short
//! once it may no longer. So the term can be much shorter than a try: it is what others wait for after a kill.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater_core::{Environment, Error, ErrorKind, Fence, Result, Store, Timestamp, WriteBatch};
use serde::{Deserialize, Serialize};

use crate::mutants::mutant;
use crate::timer;

const KEY: &str = "outbox/worker";
const NAME: &str = "outbox";

/// How often whoever delivers shows that it is alive.
const BEAT: Duration = Duration::from_secs(5);

/// How long it holds the work after a sign of life: two of them may fail to come.
const TERM: Duration = Duration::from_secs(15);

/// What is left of a term behind which a sign of life is overdue.
const OVERDUE: Duration = Duration::from_secs(10);

/// A term that ends later than this was begun by another clock.
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

    /// Whether the holder may be at work.
    fn keeps_out(&self, store: &dyn Store, now: Timestamp) -> bool {
        // A store that only one process can have open is ours alone.
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

/// The answer to a bid.
pub(super) enum Bid {
    Won(Lease),
    /// Somebody else delivers; ask again then.
    HeldUntil(Timestamp),
}

impl Lease {
    pub(super) async fn bid(store: &dyn Store, environment: &dyn Environment) -> Result<Bid> {
        let found = store.document(KEY).await?;
        // Behind the look: a term that somebody begins while we look is not from the future.
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

    /// A batch that is refused once somebody else delivers.
    pub(super) fn batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.fence(self.fence.clone());
        batch
    }

    /// Shows signs of life for as long as nobody else has the work; then tells why it is over.
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
                // What is wrong with the store may pass before the term does.
                Some(Err(error)) => tracing::warn!(target: "highwater::outbox", "a sign of life: {error}"),
                None => return lost(),
            }
        }
    }

    /// Before a try: that the work is still ours, where a sign of life is overdue. A process that was asleep learns it here.
    pub(super) async fn check(&self, store: &dyn Store, environment: &dyn Environment) -> Result<()> {
        if self.left(environment) > OVERDUE { Ok(()) } else { self.renew(store, environment).await }
    }

    /// What is left of the term.
    fn left(&self, environment: &dyn Environment) -> Duration {
        let until = Timestamp::from_unix_ms(self.until_ms.load(Ordering::Relaxed));
        until.duration_since(environment.now()).min(TERM)
    }

    /// Begins a new term. Fails once somebody else has the work.
    async fn renew(&self, store: &dyn Store, environment: &dyn Environment) -> Result<()> {
        let until = environment.now() + TERM;
        let mut batch = self.batch();
        batch.put_document(KEY, &Held::new(until))?;
        store.commit(batch).await?;
        self.until_ms.store(until.unix_ms(), Ordering::Relaxed);
        Ok(())
    }

    /// Gives the work back, so that another need not wait.
    pub(super) async fn release(self, store: &dyn Store) -> Result<()> {
        let mut batch = self.batch();
        batch.remove_document(KEY);
        store.commit(batch).await.map(drop)
    }
}

fn lost() -> Error {
    Error::new(
        ErrorKind::Busy,
        "no sign of life could be stored in time: deliveries are left to whoever looks at the outbox next",
    )
}
