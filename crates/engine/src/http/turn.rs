//! A lock across processes: only one at a time renews a connection's credentials.
//!
//! The lock protects a request to the token endpoint, which no fencing token can call back. So no wall clock decides whether a
//! holder is alive: each process measures by its own timer for how long it has seen no sign of life from the same holder.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Environment, Error, ErrorKind, Json, Result, Store, WriteBatch};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::mutants::mutant;
use crate::timer;

/// A holder that has shown no sign of life for this long is dead.
const TERM: Duration = Duration::from_secs(60);

/// The time between two signs of life: three may be missed.
const BEAT: Duration = Duration::from_secs(15);

/// How long to wait between two checks.
const PAUSE: Duration = Duration::from_millis(200);

/// The most that the time between two checks counts. A computer that was asleep gives the holder time to show that it lives.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    /// The engine that holds it, which may take it again.
    by: String,
    /// The end of the term by the holder's clock. Only earlier versions read it.
    until_ms: u64,
    /// Random: tells the turn from the holder's other turns.
    #[serde(default)]
    turn: u64,
    /// The number of signs of life.
    #[serde(default)]
    beats: u64,
}

impl Held {
    /// Reads what the store has. A document that no version wrote holds nobody up.
    fn read(found: Option<&Json>) -> Option<Held> {
        found.and_then(|found| found.to().ok())
    }

    fn is_turn_of(&self, other: &Held) -> bool {
        (&self.by, self.turn) == (&other.by, other.turn)
    }
}

/// For how long this process has seen another holder of a lock without a sign of life. It outlives those who wait.
#[derive(Debug, Default)]
pub(super) struct Watch {
    found: Option<Json>,
    looked: Option<Instant>,
    unchanged: Duration,
}

impl Watch {
    /// Returns whether the holder has shown no sign of life for a whole term.
    fn is_over(&mut self, found: Option<&Json>) -> bool {
        let now = Instant::now();
        let last = self.looked.replace(now).filter(|_| self.found.as_ref() == found);
        match last {
            Some(last) => self.unchanged += now.duration_since(last).min(LONGEST_PAUSE),
            None => (self.found, self.unchanged) = (found.cloned(), Duration::ZERO),
        }
        self.unchanged >= TERM
    }
}

/// The right to renew. If it is dropped without [`end`](Turn::end), others wait for a term.
#[derive(Debug)]
pub(super) struct Turn {
    store: Arc<dyn Store>,
    environment: Arc<dyn Environment>,
    key: String,
    held: Held,
}

impl Turn {
    /// Waits for the lock named `name`.
    pub(super) async fn take(
        store: &Arc<dyn Store>,
        environment: &Arc<dyn Environment>,
        name: &str,
        by: &str,
        watch: &mut Watch,
    ) -> Result<Turn> {
        let key = format!("renewal/{name}");
        let mut random = [0; 8];
        environment.fill_random(&mut random);
        loop {
            let found = store.document(&key).await?;
            let other = Held::read(found.as_ref()).filter(|held| held.by != by);
            let by_the_clock = mutant!("turn-by-the-clock");
            let is_over = match &other {
                Some(held) if by_the_clock => held.until_ms <= environment.now().unix_ms(),
                Some(_) => watch.is_over(found.as_ref()),
                None => true,
            };
            if is_over {
                let turn = u64::from_be_bytes(random);
                let held = Held { by: by.to_owned(), until_ms: until_ms(&**environment), turn, beats: 0 };
                let mut batch = WriteBatch::new();
                batch.expect_document(&key, found.as_ref()).put_document(&key, &held)?;
                match store.commit(batch).await {
                    Ok(_) => {
                        let (store, environment) = (Arc::clone(store), Arc::clone(environment));
                        return Ok(Turn { store, environment, key, held });
                    }
                    Err(error) if error.kind() == ErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
            timer::sleep(PAUSE).await;
        }
    }

    /// Does work that the lock protects, and shows others that this process lives.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.keep_alive() => match never {},
        }
    }

    async fn keep_alive(&mut self) -> Infallible {
        loop {
            timer::sleep(BEAT).await;
            if mutant!("turn-without-life") {
                continue;
            }
            if let Err(error) = self.beat().await {
                tracing::debug!(target: "highwater::http", "the lock for renewals could not be prolonged: {error}");
            }
        }
    }

    async fn beat(&mut self) -> Result<()> {
        let found = self.store.document(&self.key).await?;
        if !self.is_mine(found.as_ref()) {
            return Err(Error::new(ErrorKind::Conflict, "another process has taken it"));
        }
        self.held.beats += 1;
        self.held.until_ms = until_ms(&*self.environment);
        let mut batch = WriteBatch::new();
        batch.expect_document(&self.key, found.as_ref()).put_document(&self.key, &self.held)?;
        self.store.commit(batch).await.map(drop)
    }

    fn is_mine(&self, found: Option<&Json>) -> bool {
        Held::read(found).is_some_and(|held| held.is_turn_of(&self.held))
    }

    /// Releases the lock. If that fails, others wait for a term.
    pub(super) async fn end(self) {
        let ended = async {
            let found = self.store.document(&self.key).await?;
            if self.is_mine(found.as_ref()) {
                let mut batch = WriteBatch::new();
                batch.expect_document(&self.key, found.as_ref()).remove_document(&self.key);
                self.store.commit(batch).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = ended.await {
            tracing::debug!(target: "highwater::http", "the lock for renewals could not be released, and ends with its term: {error}");
        }
    }
}

fn until_ms(environment: &dyn Environment) -> u64 {
    environment.now().unix_ms().saturating_add(timer::millis(TERM))
}
