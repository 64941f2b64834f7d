//! Reading the log page by page.

mod filter;

use std::num::NonZeroUsize;

use serde::Serialize;
use serde_json::Value;

use crate::cursor::Cursor;
use crate::error::Result;
use crate::record::{Action, Change};
use crate::stream::StreamKey;
use crate::timestamp::Timestamp;

/// The default number of records in a page.
pub const DEFAULT_LIMIT: usize = 100;
/// The most records a page can have.
pub const MAX_LIMIT: usize = 100_000;
/// The default number of payload bytes after which a page ends early: 16 MiB.
pub const DEFAULT_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// A set of actions; empty means all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actions(u8);

impl Actions {
    /// Every action.
    pub const ALL: Actions = Actions(0);

    /// Returns whether `action` is in the set.
    pub fn contains(self, action: Action) -> bool {
        self.0 == 0 || self.0 & (1 << action.code()) != 0
    }

    /// The one action of the set, if it has just one.
    pub(crate) fn single(self) -> Option<Action> {
        [Action::Added, Action::Updated, Action::Deleted].into_iter().find(|action| self.0 == 1 << action.code())
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        Actions(actions.into_iter().fold(0, |set, action| set | 1 << action.code()))
    }
}

impl<const N: usize> From<[Action; N]> for Actions {
    fn from(actions: [Action; N]) -> Self {
        actions.into_iter().collect()
    }
}

/// A filter on content: every condition must hold. A reader gets a record that stops matching as
/// [`NetAction::Left`](crate::NetAction::Left).
///
/// ```
/// use highwater_core::ContentFilter;
/// let open = ContentFilter::new().equals("/state", "open");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContentFilter {
    pub(crate) conditions: Vec<(String, Value)>,
}

impl ContentFilter {
    /// Returns a filter that everything matches.
    pub fn new() -> Self {
        ContentFilter::default()
    }

    /// Requires the value at a JSON pointer (RFC 6901) to equal `value`.
    #[must_use]
    pub fn equals(mut self, pointer: impl Into<String>, value: impl Into<Value>) -> Self {
        self.conditions.push((pointer.into(), value.into()));
        self.conditions.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }

    /// Checks that records can match the filter. Every read with the filter does so too; call it to report the fault earlier.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a text that is not a JSON pointer (RFC 6901), and for conditions
    /// that contradict each other.
    ///
    /// ```
    /// use highwater_core::ContentFilter;
    /// let error = ContentFilter::new().equals("state", "open").check().unwrap_err();
    /// assert!(error.to_string().contains("/state"));
    /// ```
    pub fn check(&self) -> Result<()> {
        filter::check(&self.conditions)
    }

    /// Tells filters apart; never 0.
    pub(crate) fn fingerprint(&self) -> u64 {
        let text = serde_json::to_vec(&self.conditions).unwrap_or_default();
        let hash = blake3::hash(&text);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(bytes).max(1)
    }
}

/// What to read. All conditions apply together.
///
/// ```
/// use highwater_core::{Action, Cursor, PageRequest, StreamKey};
/// let request = PageRequest::new(StreamKey::new("github-main", "Issue"))
///     .since(Cursor::START)
///     .limit(1000)
///     .filter([Action::Updated, Action::Deleted]);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PageRequest {
    /// The stream.
    pub stream: StreamKey,
    /// Read what comes after this position.
    pub after: Cursor,
    /// At most this many records: 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// End the page early after this many payload bytes; one record always fits.
    pub max_bytes: usize,
    /// Only records modified at or after this time. To continue a reading use a cursor.
    pub modified_after: Option<Timestamp>,
    /// Only records with these ids.
    pub ids: Option<Vec<String>>,
    /// Only records whose last action is one of these.
    pub actions: Actions,
    /// Only records with this content.
    pub matching: Option<ContentFilter>,
    /// Leave the payloads out.
    pub metadata_only: bool,
    /// How far the reader was told before, if it may have to read that part again.
    pub(crate) told: u128,
    /// Whether it may hold what it read before its filter was tracked.
    pub(crate) untracked: bool,
}

impl PageRequest {
    /// Requests the first page of a stream.
    pub fn new(stream: StreamKey) -> Self {
        PageRequest {
            stream,
            after: Cursor::START,
            limit: DEFAULT_LIMIT,
            max_bytes: DEFAULT_PAGE_BYTES,
            modified_after: None,
            ids: None,
            actions: Actions::ALL,
            matching: None,
            metadata_only: false,
            told: 0,
            untracked: false,
        }
    }

    /// Continues after `cursor`.
    #[must_use]
    pub fn since(mut self, cursor: Cursor) -> Self {
        self.after = cursor;
        self
    }

    /// Sets the most records of the page: 100 by default. 0 is taken as 1, and more than [`MAX_LIMIT`] as that.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = NonZeroUsize::new(limit).map_or(1, usize::from).min(MAX_LIMIT);
        self
    }

    /// Ends the page early after about `bytes` bytes of payload.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Reads only records modified at or after `time`.
    #[must_use]
    pub fn modified_after(mut self, time: Timestamp) -> Self {
        self.modified_after = Some(time);
        self
    }

    /// Reads only records with these ids; none if `ids` is empty.
    #[must_use]
    pub fn ids<I: IntoIterator<Item = S>, S: Into<String>>(mut self, ids: I) -> Self {
        self.ids = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// Reads only records whose last action is one of `actions`. A record that was added and then updated counts as updated.
    #[must_use]
    pub fn filter(mut self, actions: impl Into<Actions>) -> Self {
        self.actions = actions.into();
        self
    }

    /// Reads only records with this content. The cursors of such a reading are valid with the same filter only.
    ///
    /// The first reading that begins at [`Cursor::START`] has the store track the filter from then on, which takes a write: only
    /// records that matched before are reported as left.
    ///
    /// Store records and cursor in one transaction, or read as a named consumer. A reader that stored the records of a page but
    /// continues from an older cursor does not learn which of them left the filter since.
    #[must_use]
    pub fn matching(mut self, filter: ContentFilter) -> Self {
        self.matching = Some(filter).filter(|filter| !filter.conditions.is_empty());
        self
    }

    /// Leaves the payloads out.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }
}

/// A page of modifications, oldest first, from one consistent view of the store.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Page {
    /// The modifications. May be empty although more follow, where a filter skipped everything.
    pub changes: Vec<Change>,
    /// Where to continue. Always set, also on an empty page.
    pub next_cursor: Cursor,
    /// Whether more may follow after `next_cursor`.
    pub has_more: bool,
    /// Whether the reader now holds everything there was when the page was read.
    pub caught_up: bool,
    /// The stream's greatest position when the page was read.
    pub high_water: Cursor,
}

impl Page {
    /// Returns whether nothing has ever been written to the stream: no sync has saved a record of this model yet, or the
    /// name of the connection, model or variant is wrong.
    ///
    /// A reader that waits may say so; [`StoreExt::check_written`](crate::StoreExt::check_written) names the streams that do have
    /// records.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use highwater_core::{MemoryStore, StoreExt, StreamKey};
    /// let store = MemoryStore::new()?;
    /// let page = store.records(&StreamKey::new("github-main", "Isue")).page().await?;
    /// assert!(page.never_written());
    /// # Ok::<(), highwater_core::Error>(()) }).unwrap();
    /// ```
    pub fn never_written(&self) -> bool {
        self.high_water.is_start()
    }
}
