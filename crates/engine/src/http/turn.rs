//! A lock across processes: only one at a time renews a connection's credentials.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Environment, ErrorKind, Result, Store, WriteBatch};
use serde::{Deserialize, Serialize};

/// The longest that a renewing process holds the lock: after this, one that was killed has lost it.
const TERM_MS: u64 = 60_000;

/// How long to wait between two checks.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    /// The engine that holds it, which may take it again.
    by: String,
    until_ms: u64,
}

/// The right to renew. If it is dropped without [`end`](Turn::end), it lasts until its term ends.
#[derive(Debug)]
pub(super) struct Turn {
    store: Arc<dyn Store>,
    key: String,
    held: Held,
}

impl Turn {
    /// Waits for the lock named `name`.
    pub(super) async fn take(
        store: &Arc<dyn Store>,
        environment: &dyn Environment,
        name: &str,
        by: &str,
    ) -> Result<Turn> {
        let key = format!("renewal/{name}");
        loop {
            let found = store.document(&key).await?;
            let now_ms = environment.now().unix_ms();
            let other = found.as_ref().and_then(|found| found.to::<Held>().ok()).filter(|held| held.by != by);
            // A term that ends later than possible was begun by another clock.
            let waited_for = |held: Held| held.until_ms > now_ms && held.until_ms - now_ms <= TERM_MS;
            if !other.is_some_and(waited_for) {
                let held = Held { by: by.to_owned(), until_ms: now_ms.saturating_add(TERM_MS) };
                let mut batch = WriteBatch::new();
                batch.expect_document(&key, found.as_ref()).put_document(&key, &held)?;
                match store.commit(batch).await {
                    Ok(_) => return Ok(Turn { store: Arc::clone(store), key, held }),
                    Err(error) if error.kind() == ErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
            crate::timer::sleep(PAUSE).await;
        }
    }

    /// Releases the lock. If that fails, it ends with its term.
    pub(super) async fn end(self) {
        let ended = async {
            let found = self.store.document(&self.key).await?;
            if found.as_ref().and_then(|found| found.to::<Held>().ok()).as_ref() == Some(&self.held) {
                let mut batch = WriteBatch::new();
                batch.expect_document(&self.key, found.as_ref()).remove_document(&self.key);
                self.store.commit(batch).await?;
            }
            Ok::<(), highwater_core::Error>(())
        };
        if let Err(error) = ended.await {
            tracing::debug!(target: "highwater::http", "the lock for renewals could not be released, and ends with its term: {error}");
        }
    }
}
