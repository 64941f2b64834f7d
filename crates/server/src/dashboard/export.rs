//! The records of a view as a file: JSON Lines as they are stored, or CSV of their plain members.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream;
use highwater_core::{Page, PageRequest, Store};
use serde_json::Value;

use super::records::{payload, request, stream as named_stream};
use super::visit::{Answer, Visit};
use crate::error::ApiError;

/// Records read at a time.
const LIMIT: usize = 500;
/// The most columns of CSV; those of the first records.
const COLUMNS: usize = 200;

enum Format {
    Lines,
    /// The columns, once they are known.
    Csv(Option<Vec<String>>),
}

/// Sends a file that is made while it is sent.
pub(super) async fn export(visit: Visit) -> Answer {
    let stream = named_stream(&visit)
        .ok_or_else(|| ApiError::not_found("the address names no model: choose one under Records"))?;
    let (format, kind, end) = match visit.field("format") {
        "jsonl" => (Format::Lines, "application/x-ndjson", "jsonl"),
        "csv" => (Format::Csv(None), "text/csv; charset=utf-8", "csv"),
        _ => return Err(ApiError::bad("invalid_query_params", "records are exported as jsonl or csv: choose one")),
    };
    let request = request(&visit, &stream)?.limit(LIMIT);
    let first = visit.store().page(request.clone()).await?;
    let name: String =
        stream.model().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(80).collect();
    let file =
        Writing { store: Arc::clone(visit.store()), request, format, pages: VecDeque::from([first]), ended: false };
    let pieces = stream::try_unfold(file, |mut file| async move {
        Ok::<_, highwater_core::Error>(file.piece().await?.map(|piece| (piece, file)))
    });
    let headers =
        [(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.{end}\""))];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

struct Writing {
    store: Arc<dyn Store>,
    request: PageRequest,
    format: Format,
    pages: VecDeque<Page>,
    ended: bool,
}

impl Writing {
    async fn piece(&mut self) -> highwater_core::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let page = match self.pages.pop_front() {
            Some(page) => page,
            None => self.store.page(self.request.clone()).await?,
        };
        self.ended = !page.has_more;
        self.request = self.request.clone().since(page.next_cursor);
        let mut text = Vec::new();
        match &mut self.format {
            Format::Lines => lines(&page, &mut text),
            Format::Csv(columns) => table(&page, columns, &mut text),
        }
        Ok(Some(Bytes::from(text)))
    }
}

fn lines(page: &Page, text: &mut Vec<u8>) {
    for change in &page.changes {
        if let Some(payload) = &change.record.payload {
            // A payload may have line ends between its members, and has none within its texts.
            text.extend(payload.as_bytes().iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
            text.push(b'\n');
        }
    }
}

fn table(page: &Page, columns: &mut Option<Vec<String>>, text: &mut Vec<u8>) {
    let payloads: Vec<_> = page.changes.iter().map(payload).collect();
    if columns.is_none() {
        let mut names: Vec<String> = Vec::new();
        for name in payloads.iter().flatten().flat_map(|payload| payload.keys()) {
            if names.len() < COLUMNS && name != "id" && !names.contains(name) {
                names.push(name.clone());
            }
        }
        let head: Vec<String> = ["id", "last_action", "last_modified_at"]
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .map(field)
            .collect();
        text.extend_from_slice(format!("{}\r\n", head.join(",")).as_bytes());
        *columns = Some(names);
    }
    let names = columns.as_deref().unwrap_or_default();
    for (change, payload) in page.changes.iter().zip(&payloads) {
        let metadata = &change.record.metadata;
        let mut fields = vec![
            field(change.record.id.as_str()),
            metadata.last_action.to_string(),
            metadata.last_modified_at.to_string(),
        ];
        fields.extend(names.iter().map(|name| match payload.as_ref().and_then(|payload| payload.get(name)) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => field(text),
            Some(value @ Value::Number(_)) => value.to_string(),
            Some(value) => field(&value.to_string()),
        }));
        text.extend_from_slice(format!("{}\r\n", fields.join(",")).as_bytes());
    }
}

/// A field of CSV. One that a spreadsheet would take for a formula begins with an apostrophe.
fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}
