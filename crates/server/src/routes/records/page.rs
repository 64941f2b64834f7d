//! A page as JSON, written piece by piece while it is sent.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use highwater_core::{Change, Cursor, Page, Result};

use super::write::RecordWriter;
use crate::server::Compat;

/// The size of a piece, about: a page of a hundred records of a kilobyte is sent as one.
const PIECE: usize = 128 << 10;
/// What a record has beside its payload, about.
const ENVELOPE: usize = 512;

/// `{"records": [...], "next_cursor": "..."|null, "resume_cursor": "..."}`.
///
/// `next_cursor` is null at the end, as the clients of Nango expect. Where to continue later is `resume_cursor`, and the cursor of
/// the last record, which is the same: a position that a prune has not passed yet. `keep` gets an answer that is written in one
/// piece.
pub(super) fn answer(page: Page, compat: Compat, keep: impl FnOnce(&[u8])) -> Response {
    match body(page, compat, String::new()) {
        Written::Whole(bytes) => {
            keep(&bytes);
            json(bytes)
        }
        Written::Pieces(body) => json(body),
    }
}

/// The same with further members, each written behind a comma.
pub(crate) fn answer_with(page: Page, compat: Compat, further: String) -> Response {
    match body(page, compat, further) {
        Written::Whole(bytes) => json(bytes),
        Written::Pieces(body) => json(body),
    }
}

/// An answer with a body of JSON.
pub(super) fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}

/// An answer's body.
enum Written {
    /// All of it, so that its length is known.
    Whole(Bytes),
    Pieces(Body),
}

fn body(page: Page, compat: Compat, further: String) -> Written {
    let mut pieces = Pieces {
        writer: RecordWriter::new(compat),
        end: page.next_cursor,
        more: page.has_more,
        changes: page.changes.into_iter(),
        further,
        begun: false,
        ended: false,
    };
    match pieces.next() {
        Some(Ok(piece)) if pieces.ended => Written::Whole(piece),
        first => Written::Pieces(Body::from_stream(stream::iter(first.into_iter().chain(pieces)))),
    }
}

/// The pieces of an answer. A record that cannot be written ends it early.
struct Pieces {
    writer: RecordWriter,
    end: Cursor,
    more: bool,
    changes: std::vec::IntoIter<Change>,
    further: String,
    begun: bool,
    ended: bool,
}

impl Iterator for Pieces {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        if self.ended {
            return None;
        }
        let mut piece = Vec::with_capacity(self.size());
        if !self.begun {
            piece.extend_from_slice(b"{\"records\":[");
        }
        while let Some(change) = self.changes.next() {
            if std::mem::replace(&mut self.begun, true) {
                piece.push(b',');
            }
            let last = self.changes.as_slice().is_empty();
            let cursor = if last { self.end } else { change.record.metadata.cursor };
            if let Err(error) = self.writer.write(&mut piece, &change.record, cursor) {
                self.ended = true;
                return Some(Err(error));
            }
            if piece.len() >= PIECE && !last {
                return Some(Ok(Bytes::from(piece)));
            }
        }
        let Pieces { end, further, .. } = self;
        let next = if self.more { format!("\"{end}\"") } else { "null".to_owned() };
        piece.extend_from_slice(format!("],\"next_cursor\":{next},\"resume_cursor\":\"{end}\"{further}}}").as_bytes());
        self.ended = true;
        Some(Ok(Bytes::from(piece)))
    }
}

impl Pieces {
    /// Returns about how many bytes the next piece has.
    fn size(&self) -> usize {
        let mut bytes = ENVELOPE + self.further.len();
        for change in self.changes.as_slice() {
            bytes += change.record.payload.as_ref().map_or(0, |payload| payload.as_bytes().len()) + ENVELOPE;
            if bytes >= PIECE {
                break;
            }
        }
        bytes
    }
}
