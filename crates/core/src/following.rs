//! Following a stream: its pages, then new ones as they come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::cursor::Cursor;
use crate::error::Result;
use crate::page::{Page, PageRequest};
use crate::store::Store;
use crate::wakeups::Wakeups;

/// An endless read of a stream: its pages, then new ones as they come. From [`Records::follow`](crate::Records::follow).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use highwater_core::{MemoryStore, Store, StoreExt, StreamKey, WriteBatch};
/// let (store, notes) = (MemoryStore::new()?, StreamKey::new("demo", "Note"));
/// let mut batch = WriteBatch::new();
/// batch.on(&notes).upsert(r#"{"id": "a"}"#);
/// store.commit(batch).await?;
///
/// let mut following = store.records(&notes).follow();
/// let page = following.next().await?; // once it is empty-handed, it waits for the next commit
/// assert_eq!(page.changes.len(), 1);
/// # Ok::<(), highwater_core::Error>(()) }).unwrap();
/// ```
pub struct Following<'s> {
    reading: Reading<'s>,
    /// The page that a poll of the `Stream` waits for.
    waiting: Option<Waiting<'s>>,
}

type Waiting<'s> = Pin<Box<dyn Future<Output = (Reading<'s>, Result<Page>)> + Send + 's>>;

/// Where the reading stands.
#[derive(Clone, Debug)]
struct Reading<'s> {
    store: &'s dyn Store,
    request: PageRequest,
    wakeups: Wakeups,
    caught_up: bool,
    never_written: bool,
}

impl<'s> Following<'s> {
    pub(crate) fn new(store: &'s dyn Store, request: PageRequest) -> Self {
        let reading = Reading { wakeups: store.subscribe(), store, request, caught_up: false, never_written: false };
        Following { reading, waiting: None }
    }

    /// Returns the next page that is not empty, and waits until there is one.
    ///
    /// Store the page's `next_cursor` once the page is handled. May be dropped while it waits: a page that was not returned is
    /// read again.
    ///
    /// # Errors
    ///
    /// Those of [`Store::page`]; the same page is tried again by the next call.
    pub async fn next(&mut self) -> Result<Page> {
        self.waiting = None;
        self.reading.next().await
    }

    /// Returns where the reading stands.
    pub fn cursor(&self) -> Cursor {
        self.reading.request.after
    }

    /// Returns whether the latest look found a stream that nothing has ever been written to: no sync has saved a record of this
    /// model yet, or the name of the connection, model or variant is wrong.
    ///
    /// [`next`](Following::next) waits for the first record for as long as it takes. Give it a time limit to look in between; it
    /// misses nothing when it is dropped.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use std::time::Duration;
    /// use highwater_core::{MemoryStore, StoreExt, StreamKey};
    /// let (store, notes) = (MemoryStore::new()?, StreamKey::new("demo", "Note"));
    /// let mut following = store.records(&notes).follow();
    /// let page = tokio::time::timeout(Duration::from_millis(10), following.next()).await;
    /// if page.is_err() && following.never_written() {
    ///     eprintln!("still waiting for the first record of {notes}: check its name if that takes long");
    /// }
    /// # assert!(page.is_err() && following.never_written());
    /// # Ok::<(), highwater_core::Error>(()) }).unwrap();
    /// ```
    pub fn never_written(&self) -> bool {
        self.reading.never_written
    }
}

impl Reading<'_> {
    async fn next(&mut self) -> Result<Page> {
        loop {
            if self.caught_up {
                self.wakeups.changed().await?;
                self.caught_up = false;
            }
            let page = self.store.page(self.request.clone()).await?;
            self.request.after = page.next_cursor;
            (self.caught_up, self.never_written) = (page.caught_up, page.never_written());
            if !page.changes.is_empty() {
                return Ok(page);
            }
        }
    }
}

/// Never ends by itself. After an error the same page is tried again.
impl Stream for Following<'_> {
    type Item = Result<Page>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let waiting = this.waiting.get_or_insert_with(|| {
            let mut reading = this.reading.clone();
            Box::pin(async move {
                let page = reading.next().await;
                (reading, page)
            })
        });
        let (reading, page) = std::task::ready!(waiting.as_mut().poll(context));
        this.waiting = None;
        this.reading = reading;
        Poll::Ready(Some(page))
    }
}

impl fmt::Debug for Following<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").field("reading", &self.reading).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::{MemoryStore, StoreExt, StreamKey, WriteBatch};

    #[tokio::test]
    async fn a_stream_of_pages_waits_for_more() {
        let (store, notes) = (MemoryStore::new().unwrap(), StreamKey::new("c", "Note"));
        let save = async |id: u32| {
            let mut batch = WriteBatch::new();
            batch.on(&notes).upsert(format!(r#"{{"id":{id}}}"#));
            store.commit(batch).await.unwrap();
        };
        let mut following = store.records(&notes).limit(1).follow();
        save(1).await;
        save(2).await;
        for id in ["1", "2"] {
            let page = poll_fn(|context| Pin::new(&mut following).poll_next(context)).await.unwrap().unwrap();
            assert_eq!(&*page.changes[0].record.id, id);
        }
        let next = poll_fn(|context| Pin::new(&mut following).poll_next(context));
        let (page, ()) = tokio::join!(next, save(3));
        assert_eq!(&*page.unwrap().unwrap().changes[0].record.id, "3");
        // Given up in the middle of waiting, it misses nothing.
        let pending = poll_fn(|context| Poll::Ready(Pin::new(&mut following).poll_next(context).is_pending())).await;
        assert!(pending);
        save(4).await;
        assert_eq!(&*following.next().await.unwrap().changes[0].record.id, "4");
    }
}
