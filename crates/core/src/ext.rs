//! Conveniences on every store: readings and consumers.

mod consumer;

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::consumer::PollOptions;
use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::following::Following;
use crate::maintenance::StreamHead;
use crate::page::{Actions, ContentFilter, Page, PageRequest};
use crate::record::{Change, Json, Metadata, NetAction, Record, RecordId};
use crate::store::{Store, StoreFuture};
use crate::stream::StreamKey;
use crate::timestamp::Timestamp;

pub use consumer::Consumer;

/// Conveniences on every [`Store`].
pub trait StoreExt: Store {
    /// Reads the modifications of a stream.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use highwater_core::{MemoryStore, Store, StoreExt, StreamKey, WriteBatch};
    /// let (store, notes) = (MemoryStore::new()?, StreamKey::new("demo", "Note"));
    /// let mut batch = WriteBatch::new();
    /// batch.on(&notes).upsert(r#"{"id": "a"}"#);
    /// store.commit(batch).await?;
    /// let page = store.records(&notes).limit(10).page().await?;
    /// assert_eq!(&*page.changes[0].record.id, "a");
    /// assert!(page.caught_up);
    /// # Ok::<(), highwater_core::Error>(()) }).unwrap();
    /// ```
    fn records<'s>(&'s self, stream: &StreamKey) -> Records<'s> {
        Records { store: self.as_dyn(), request: PageRequest::new(stream.clone()) }
    }

    /// Reads the modifications of a stream as `T`. A record that is not a `T` does not hold up the others: see
    /// [`TypedChange::value`].
    fn records_as<'s, T: DeserializeOwned>(&'s self, stream: &StreamKey) -> TypedRecords<'s, T> {
        TypedRecords { records: self.records(stream), shape: PhantomData }
    }

    /// Returns the consumer `name` (1 to 255 bytes) of a stream: a reader whose position the store keeps.
    ///
    /// Nothing is written before its first poll or seek.
    fn consumer<'s>(&'s self, stream: &StreamKey, name: impl Into<String>) -> Consumer<'s> {
        Consumer { store: self.as_dyn(), stream: stream.clone(), name: name.into(), options: PollOptions::default() }
    }

    /// Returns the head of a stream that something was written to. Call it before a reading that would wait, where the stream
    /// should be there already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if nothing has ever been written to the stream; the error names up to ten streams that do have
    /// records, those of the same connection first. Otherwise the errors of [`Store::head`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use highwater_core::{ErrorKind, MemoryStore, Store, StoreExt, StreamKey, WriteBatch};
    /// # let store = MemoryStore::new()?;
    /// # let mut batch = WriteBatch::new();
    /// # batch.on(&StreamKey::new("github-main", "Issue")).upsert(r#"{"id": "a"}"#);
    /// # store.commit(batch).await?;
    /// let error = store.check_written(&StreamKey::new("github-main", "Isue")).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// assert_eq!(error.context("streams"), Some("github-main/Issue"));
    /// # Ok::<(), highwater_core::Error>(()) }).unwrap();
    /// ```
    fn check_written<'s>(&'s self, stream: &'s StreamKey) -> StoreFuture<'s, StreamHead> {
        let store = self.as_dyn();
        Box::pin(async move {
            let head = store.head(stream).await?;
            if !head.never_written() {
                return Ok(head);
            }
            Err(never_written(stream, store.streams().await?))
        })
    }

    /// Returns the store as a plain reference.
    fn as_dyn(&self) -> &dyn Store;
}

/// How many streams an error names.
const NAMED: usize = 10;

fn never_written(stream: &StreamKey, heads: Vec<StreamHead>) -> Error {
    let mut others: Vec<StreamKey> =
        heads.into_iter().filter(|head| !head.never_written()).map(|head| head.stream).collect();
    others.sort_by_key(|other| other.connection() != stream.connection());
    let named: Vec<String> = others.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if others.len() > NAMED { format!(" and {} more", others.len() - NAMED) } else { String::new() };
    let error = Error::new(
        ErrorKind::NotFound,
        "nothing has ever been written to this stream: check its connection, model and variant, or wait for the first sync",
    )
    .with("stream", stream);
    if named.is_empty() { error } else { error.with("streams", named.join(", ") + &more) }
}

impl<S: Store> StoreExt for S {
    fn as_dyn(&self) -> &dyn Store {
        self
    }
}

impl StoreExt for dyn Store {
    fn as_dyn(&self) -> &dyn Store {
        self
    }
}

/// A reading of a stream, from [`StoreExt::records`]. All conditions apply together.
#[derive(Clone, Debug)]
pub struct Records<'s> {
    store: &'s dyn Store,
    request: PageRequest,
}

impl<'s> Records<'s> {
    /// Continues after `cursor`.
    #[must_use]
    pub fn since(mut self, cursor: Cursor) -> Self {
        self.request = self.request.since(cursor);
        self
    }

    /// Sets how many records a page has at most: 100 by default, [`MAX_LIMIT`](crate::MAX_LIMIT) at most.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.request = self.request.limit(limit);
        self
    }

    /// Ends a page early after about `bytes` bytes of payload: 16 MiB by default.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.request = self.request.max_bytes(bytes);
        self
    }

    /// Reads only records modified at or after `time`. To continue a reading use a cursor.
    #[must_use]
    pub fn modified_after(mut self, time: Timestamp) -> Self {
        self.request = self.request.modified_after(time);
        self
    }

    /// Reads only records with these ids; none if `ids` is empty.
    #[must_use]
    pub fn ids<I: IntoIterator<Item = T>, T: Into<String>>(mut self, ids: I) -> Self {
        self.request = self.request.ids(ids);
        self
    }

    /// Reads only records whose last action is one of these.
    #[must_use]
    pub fn filter(mut self, actions: impl Into<Actions>) -> Self {
        self.request = self.request.filter(actions);
        self
    }

    /// Reads only records with this content; see [`PageRequest::matching`].
    #[must_use]
    pub fn matching(mut self, filter: ContentFilter) -> Self {
        self.request = self.request.matching(filter);
        self
    }

    /// Leaves the payloads out.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.request = self.request.metadata_only();
        self
    }

    /// Reads one page.
    ///
    /// # Errors
    ///
    /// Those of [`Store::page`].
    pub async fn page(&self) -> Result<Page> {
        self.store.page(self.request.clone()).await
    }

    /// Reads page after page, and waits for more at the end, for as long as the store is open: call [`next`](Following::next), or
    /// use it as a `Stream`. A stream that nothing was ever written to is waited for too: see
    /// [`never_written`](Following::never_written).
    pub fn follow(self) -> Following<'s> {
        Following::new(self.store, self.request)
    }
}

/// A modification whose payload was read as `T`.
#[derive(Debug)]
#[non_exhaustive]
pub struct TypedChange<T> {
    /// What it means to the reader.
    pub net: NetAction,
    /// The record's id.
    pub id: RecordId,
    /// The content to store, or why it is not a `T`; `None` where the record is to be removed ([`NetAction::removes`]), also if
    /// its last content is still kept, and where the payload was pruned or not asked for.
    pub value: Option<Result<T>>,
    /// The payload as it was saved, as far as the page has it.
    pub raw: Option<Json>,
    /// Where it stands in the log, and since when.
    pub metadata: Metadata,
}

/// A page of typed modifications: from [`StoreExt::records_as`], or from any page by [`Page::typed`].
#[derive(Debug)]
#[non_exhaustive]
pub struct TypedPage<T> {
    /// The modifications.
    pub changes: Vec<TypedChange<T>>,
    /// Where to continue.
    pub next_cursor: Cursor,
    /// Whether more may follow after `next_cursor`.
    pub has_more: bool,
    /// Whether the reader now holds everything there was.
    pub caught_up: bool,
    /// The stream's greatest position.
    pub high_water: Cursor,
}

/// A typed reading of a stream, from [`StoreExt::records_as`].
#[derive(Debug)]
pub struct TypedRecords<'s, T> {
    records: Records<'s>,
    shape: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> TypedRecords<'_, T> {
    /// Changes the reading: `records_as::<Issue>(&s).with(|r| r.since(cursor).limit(50))`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(Records<'_>) -> Records<'_>) -> Self {
        self.records = Records { store: self.records.store, request: change(self.records).request };
        self
    }

    /// Continues after `cursor`.
    #[must_use]
    pub fn since(mut self, cursor: Cursor) -> Self {
        self.records = self.records.since(cursor);
        self
    }

    /// Sets how many records a page has at most: 100 by default, [`MAX_LIMIT`](crate::MAX_LIMIT) at most.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.records = self.records.limit(limit);
        self
    }

    /// Reads one page.
    ///
    /// # Errors
    ///
    /// Those of [`Store::page`]. A record that is not a `T` is not one of them: see [`TypedChange::value`].
    pub async fn page(&self) -> Result<TypedPage<T>> {
        self.records.page().await.map(Page::typed)
    }
}

impl<T> TypedPage<T> {
    /// Returns whether nothing has ever been written to the stream; see [`Page::never_written`].
    pub fn never_written(&self) -> bool {
        self.high_water.is_start()
    }
}

impl Page {
    /// Reads each payload as `T`: pages of a consumer's [`poll`](Consumer::poll), of [`follow`](Records::follow) or of a
    /// transaction. A record that is not a `T` does not hold up the others.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use highwater_core::{MemoryStore, Store, StoreExt, StreamKey, WriteBatch};
    /// #[derive(serde::Deserialize)]
    /// struct Note { text: String }
    /// # let (store, notes) = (MemoryStore::new()?, StreamKey::new("demo", "Note"));
    /// # let mut batch = WriteBatch::new();
    /// # batch.on(&notes).upsert(r#"{"id": "a", "text": "one"}"#).upsert(r#"{"id": "b", "text": null}"#);
    /// # store.commit(batch).await?;
    /// let delivery = store.consumer(&notes, "index").poll().await?;
    /// for change in delivery.page.typed::<Note>().changes {
    ///     match change.value {
    ///         Some(Ok(note)) => println!("store {}: {}", change.id, note.text),
    ///         Some(Err(error)) => eprintln!("keep {:?} for later: {error}", change.raw),
    ///         None => println!("{:?} {}", change.net, change.id),
    ///     }
    /// }
    /// # Ok::<(), highwater_core::Error>(()) }).unwrap();
    /// ```
    pub fn typed<T: DeserializeOwned>(self) -> TypedPage<T> {
        let changes = self.changes.into_iter().map(typed).collect();
        let Page { next_cursor, has_more, caught_up, high_water, .. } = self;
        TypedPage { changes, next_cursor, has_more, caught_up, high_water }
    }
}

fn typed<T: DeserializeOwned>(change: Change) -> TypedChange<T> {
    let stays = matches!(change.net, NetAction::Added | NetAction::Updated);
    let value = (stays && change.record.payload.is_some()).then(|| change.record.to());
    let Record { id, payload: raw, metadata } = change.record;
    TypedChange { net: change.net, id, value, raw, metadata }
}
