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
            // A key that was revoked in the meantime learns nothing more.
            self.state.check_key(self.key.as_ref()).await?;
            let page = self.store.page(self.request.clone()).await?;
            self.take(page).await?;
        }
        let mut piece = Vec::with_capacity(PIECE);
        while piece.len() < PIECE
            && let Some((change, cursor)) = self.pending.pop_front()
        {
            self.write(&mut piece, &change, cursor)?;
        }
        Ok(Some(Bytes::from(piece)))
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
