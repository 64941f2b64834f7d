//! `GET /stream`: a model's modifications as server-sent events, from a cursor on and without end.
//!
//! The id of an event is the cursor behind its record, so that a client that reconnects with `Last-Event-ID` continues there:
//! nothing is lost, and nothing comes twice.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use highwater_core::{Change, Cursor, Page, PageRequest, Store, StreamKey, Wakeups};

use super::reading::Reading;
use super::shared::Written;
use super::write::RecordWriter;
use crate::call::Call;
use crate::error::ApiError;
use crate::keys::Key;
use crate::route::Answer;
use crate::state::State;

/// How often a comment is sent while nothing happens, so that both ends notice a broken connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Records read at a time.
const PAGE: usize = 500;
/// The size of a piece of the answer, about.
const PIECE: usize = 64 << 10;
/// What an event has beside its payload, about.
const ENVELOPE: usize = 512;

pub(super) async fn follow(call: Call) -> Answer {
    let request = Reading::of_stream(&call).await?.limit(PAGE);
    let store = Arc::clone(call.store());
    // Before the first look, so that nothing is missed between the two.
    let wakeups = store.subscribe();
    // A cursor that cannot be read from is an answer of its own, not an event.
    let page = store.page(request.clone()).await?;
    let mut events = Events {
        writer: RecordWriter::new(call.state.compat),
        state: call.state,
        key: call.key,
        store,
        request,
        wakeups,
        caught_up: false,
        pending: VecDeque::new(),
        usable_from: Cursor::START.position(),
        ended: false,
    };
    events.take(page).await?;
    let beginning = Bytes::from_static(b"retry: 1000\n\n");
    let body = stream::unfold((Some(beginning), events), |(beginning, mut events)| async move {
        let piece = match beginning {
            Some(beginning) => Some(beginning),
            None => events.next().await,
        };
        piece.map(|piece| (Ok::<_, Infallible>(piece), (None, events)))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (X_ACCEL_BUFFERING, "no")];
    Ok::<Response, _>((headers, Body::from_stream(body)).into_response())
}

/// Returns about how many bytes an event of a change has.
fn size(change: &Change) -> usize {
    change.record.payload.as_ref().map_or(0, |payload| payload.as_bytes().len()) + ENVELOPE
}

/// Tells nginx to pass events on at once.
const X_ACCEL_BUFFERING: axum::http::HeaderName = axum::http::HeaderName::from_static("x-accel-buffering");

/// An open event stream.
struct Events {
    state: Arc<State>,
    key: Option<Key>,
    store: Arc<dyn Store>,
    request: PageRequest,
    wakeups: Wakeups,
    caught_up: bool,
    writer: RecordWriter,
    /// What was read and not sent yet, each with the cursor behind it.
    pending: VecDeque<(Change, Cursor)>,
    /// Cursors before this position would count as expired, although the reading as a whole is complete.
    usable_from: u128,
    ended: bool,
}

impl Events {
    /// Returns the next piece of the answer, or `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let piece = match self.piece().await {
            Ok(Some(piece)) => return Some(piece),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        self.ended = true;
        piece.map(|error| Bytes::from(format!("event: error\ndata: {}\n\n", error.json())))
    }

    /// `None` when the server is to stop.
    async fn piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        // What wake-up the reading below follows, where it begins at the end of what was known.
        let mut woken_by = None;
        while self.pending.is_empty() {
            if self.state.stopping.is_cancelled() {
                return Ok(None);
            }
            if self.caught_up {
                tokio::select! {
                    woken = self.wakeups.changed() => woken?,
                    () = tokio::time::sleep(HEARTBEAT) => {
                        self.state.check_key(self.key.as_ref()).await?;
                        return Ok(Some(Bytes::from_static(b": still here\n\n")));
                    }
                    () = self.state.stopping.cancelled() => return Ok(None),
                }
            }
            let seen = self.wakeups.seen();
            self.check_key(seen).await?;
            woken_by = self.caught_up.then_some((seen, self.request.after));
            if self.caught_up
                && let Some(written) = self.state.followed.find(&self.request, seen)
            {
                self.request.after = written.next;
                if written.piece.is_empty() {
                    continue;
                }
                return Ok(Some(written.piece));
            }
            let page = self.store.page(self.request.clone()).await?;
            self.take(page).await?;
            if self.pending.is_empty() {
                self.share(woken_by, Bytes::new());
            }
        }
        let bytes: usize = self.pending.iter().map(|(change, _)| size(change)).sum();
        let mut piece = Vec::with_capacity(bytes.min(PIECE));
        while piece.len() < PIECE
            && let Some((change, cursor)) = self.pending.pop_front()
        {
            self.write(&mut piece, &change, cursor)?;
        }
        let piece = Bytes::from(piece);
        self.share(woken_by, piece.clone());
        Ok(Some(piece))
    }

    /// Refuses a key that was revoked in the meantime: it learns nothing more.
    async fn check_key(&self, seen: u64) -> Result<(), ApiError> {
        let Some(key) = &self.key else { return Ok(()) };
        if !self.state.followed.knows(&key.id, seen) {
            self.state.check_key(key).await?;
            self.state.followed.remember(&key.id, seen);
        }
        Ok(())
    }

    /// Keeps a piece for the other event streams, if it is all that follows the cursor that they stand at.
    fn share(&self, woken_by: Option<(u64, Cursor)>, piece: Bytes) {
        if let Some((seen, after)) = woken_by
            && self.caught_up
            && self.pending.is_empty()
        {
            let (actions, next) = (self.request.actions, self.request.after);
            self.state.followed.keep(&self.request.stream, Written { seen, after, actions, piece, next });
        }
    }

    async fn take(&mut self, page: Page) -> Result<(), ApiError> {
        self.request.after = page.next_cursor;
        self.caught_up = page.caught_up;
        if page.changes.len() > 1 {
            self.usable_from = self.horizon(&self.request.stream).await?;
        }
        let mut changes = page.changes.into_iter().peekable();
        while let Some(change) = changes.next() {
            let cursor = if changes.peek().is_some() { change.record.metadata.cursor } else { page.next_cursor };
            self.pending.push_back((change, cursor));
        }
        Ok(())
    }

    async fn horizon(&self, stream: &StreamKey) -> Result<u128, ApiError> {
        Ok(self.store.head(stream).await?.horizon.position())
    }

    fn write(&mut self, piece: &mut Vec<u8>, change: &Change, cursor: Cursor) -> Result<(), ApiError> {
        // The end of a page can always be continued from.
        if cursor.position() >= self.usable_from || self.pending.is_empty() {
            piece.extend_from_slice(format!("id: {cursor}\n").as_bytes());
        }
        piece.extend_from_slice(b"event: record\ndata: ");
        let begin = piece.len();
        self.writer.write(piece, &change.record, cursor)?;
        // Line breaks between a payload's tokens would end the event's data.
        for byte in piece.iter_mut().skip(begin).filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        piece.extend_from_slice(b"\n\n");
        Ok(())
    }
}
