//! Following a stream, one page at a time.

use std::sync::Arc;
use std::time::Duration;

use highwater::Cursor;
use highwater::cursor::PageRequest;
use highwater::store::Wakeups;
use tokio::sync::{Mutex, watch};

use crate::Page;
use crate::call::Call;
use crate::engine::{Engine, Open};
use crate::failure::{Outcome, closed};

/// A reading of a stream that waits for new pages. Clones are the same reading.
///
/// Store each page's `next_cursor` once the page is handled: a reading that begins there goes on without a gap.
#[derive(Clone, Debug)]
pub struct Following {
    engine: Engine,
    reading: Arc<Mutex<Reading>>,
    closed: Arc<watch::Sender<bool>>,
}

#[derive(Debug)]
struct Reading {
    request: PageRequest,
    wakeups: Wakeups,
    caught_up: bool,
}

impl Following {
    pub(crate) fn new(engine: Engine, request: PageRequest, wakeups: Wakeups) -> Self {
        let reading = Reading { request, wakeups, caught_up: false };
        Following { engine, reading: Arc::new(Mutex::new(reading)), closed: Arc::new(watch::channel(false).0) }
    }

    /// Returns the next page that is not empty, and blocks until there is one, or for `limit`; then `None`.
    ///
    /// # Errors
    ///
    /// `closed` once the reading or the engine is closed, and those of the store. The same page is read again by the next call.
    pub fn next(&self, limit: Option<Duration>) -> Outcome<Option<Page>> {
        let following = self.clone();
        self.engine.block(async move |open| following.wait(&open, limit).await)
    }

    /// As [`next`](Following::next), but calls `done` with the outcome on a thread of the engine, exactly once.
    pub fn start_next(
        &self,
        limit: Option<Duration>,
        done: impl FnOnce(Outcome<Option<Page>>) + Send + 'static,
    ) -> Call {
        let following = self.clone();
        self.engine.start(async move |open| following.wait(&open, limit).await, done)
    }

    /// Ends the reading: who waits for it gets `closed`, at once. Closing again does nothing.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Returns whether the reading or its engine is closed.
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow() || self.engine.is_closed()
    }

    async fn wait(&self, open: &Open, limit: Option<Duration>) -> Outcome<Option<Page>> {
        let mut ending = self.closed.subscribe();
        let next = async {
            let mut reading = self.reading.lock().await;
            reading.next(open).await
        };
        let limited = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = ending.wait_for(|closed| *closed) => Err(closed("the reading")),
            page = next => page.map(Some).map_err(Into::into),
            () = limited => Ok(None),
        }
    }
}

impl Reading {
    async fn next(&mut self, open: &Open) -> highwater::Result<Page> {
        loop {
            if self.caught_up {
                self.wakeups.changed().await?;
                self.caught_up = false;
            }
            let page = open.store.page(self.request.clone()).await?;
            self.advance(page.next_cursor);
            self.caught_up = page.caught_up;
            if !page.changes.is_empty() {
                return Ok(page);
            }
        }
    }

    fn advance(&mut self, cursor: Cursor) {
        self.request.after = cursor;
    }
}
