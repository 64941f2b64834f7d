//! Of several processes on one store, one renews a connection's credentials at a time.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Environment, ErrorKind, Result, Store, WriteBatch};
use serde::{Deserialize, Serialize};

/// How long a process that renews is waited for: one that was killed holds the turn no longer than this.
const TERM_MS: u64 = 60_000;

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    /// Which engine has it: that one may take its own turn again.
    by: String,
    until_ms: u64,
}

/// The right to renew. Whoever drops it rather than [`end`](Turn::end) it has it until its term is over.
#[derive(Debug)]
pub(super) struct Turn {
    store: Arc<dyn Store>,
    key: String,
    held: Held,
}

impl Turn {
    /// Waits for the turn named `name`.
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
            // A term that ends later than any can was begun by another clock.
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

    /// Gives the turn to whoever waits. Where that fails, its term ends it.
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
            tracing::debug!(target: "highwater::http", "the turn to renew ends with its term: {error}");
        }
    }
}
