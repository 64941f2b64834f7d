//! A page as JSON, written piece by piece while it is sent.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use highwater_core::Page;

use super::write::RecordWriter;
use crate::server::Compat;

/// The size of a piece, about.
const PIECE: usize = 64 << 10;

/// `{"records": [...], "next_cursor": "..."|null, "resume_cursor": "..."}`.
///
/// `next_cursor` is null at the end, as the clients of Nango expect. Where to continue later is `resume_cursor`, and the cursor of
/// the last record, which is the same: a position that a prune has not passed yet.
pub(super) fn answer(page: Page, compat: Compat) -> Response {
    answer_with(page, compat, String::new())
}

/// The same with further members, each written behind a comma.
pub(crate) fn answer_with(page: Page, compat: Compat, further: String) -> Response {
    let mut writer = RecordWriter::new(compat);
    let (end, more) = (page.next_cursor, page.has_more);
    let mut changes = page.changes.into_iter().enumerate().peekable();
    let mut ended = false;
    let pieces = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
        while let Some((place, change)) = changes.next() {
            piece.extend_from_slice(if place == 0 { b"{\"records\":[" } else { b"," });
            let cursor = if changes.peek().is_some() { change.record.metadata.cursor } else { end };
            if let Err(error) = writer.write(&mut piece, &change.record, cursor) {
                ended = true;
                return Some(Err(error));
            }
            if piece.len() >= PIECE && changes.peek().is_some() {
                return Some(Ok(Bytes::from(piece)));
            }
        }
        if piece.is_empty() {
            piece.extend_from_slice(b"{\"records\":[");
        }
        let next = if more { format!("\"{end}\"") } else { "null".to_owned() };
        piece.extend_from_slice(format!("],\"next_cursor\":{next},\"resume_cursor\":\"{end}\"{further}}}").as_bytes());
        ended = true;
        Some(Ok(Bytes::from(piece)))
    });
    let body = Body::from_stream(stream::iter(pieces));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
