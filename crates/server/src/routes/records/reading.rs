//! What a request wants to read.

use std::time::Duration;

use highwater_core::{Action, Cursor, DEFAULT_VARIANT, MAX_NAME_BYTES, PageRequest, StreamKey};

use super::wait::LONGEST_WAIT;
use crate::call::Call;
use crate::error::ApiError;
use crate::input::value::{Refused, duration, list, number, text, timestamp, word};

/// The parameters of `GET /records`.
pub(super) const PAGE: &[&str] =
    &["model", "variant", "cursor", "modified_after", "delta", "limit", "filter", "ids", "wait"];
/// The parameters of `GET /stream`.
pub(super) const STREAM: &[&str] = &["model", "variant", "cursor", "filter"];

/// The most records of a page over HTTP.
pub(crate) const MAX_LIMIT: usize = 10_000;
const MAX_CURSOR: usize = 1000;
const MAX_IDS: usize = 100;
const MAX_ID: usize = 4096;

const ACTIONS: &[(&str, Action)] =
    &[("added", Action::Added), ("updated", Action::Updated), ("deleted", Action::Deleted)];

/// What a request wants to read, and how long it waits for it.
pub(super) struct Reading {
    pub(super) request: PageRequest,
    pub(super) wait: Option<Duration>,
}

impl Reading {
    /// Reads the parameters of a page.
    pub(super) async fn of_page(call: &Call) -> Result<Self, ApiError> {
        let mut request = begin(call).await?;
        let query = &call.query;
        // An older name of the same, which wins where both are given.
        let delta = query.optional("delta", timestamp)?;
        request.modified_after = delta.or(query.optional("modified_after", timestamp)?);
        if let Some(limit) = query.optional("limit", number(1..=MAX_LIMIT))? {
            request = request.limit(limit);
        }
        if let Some(ids) = query.repeated("ids", MAX_IDS, any_text(MAX_ID))? {
            request = request.ids(ids);
        }
        if let Some(cursor) = query.optional("cursor", text(MAX_CURSOR))? {
            request = request.since(cursor.parse()?);
        }
        Ok(Reading { request, wait: query.optional("wait", duration(LONGEST_WAIT))? })
    }

    /// Reads the parameters of an event stream. A client that was disconnected says in `Last-Event-ID` where it was.
    pub(super) async fn of_stream(call: &Call) -> Result<PageRequest, ApiError> {
        let request = begin(call).await?;
        let last = call.headers().optional_or_empty("Last-Event-ID", text(MAX_CURSOR))?;
        let first = call.query.optional("cursor", text(MAX_CURSOR))?;
        let cursor = last.or(first).map_or(Ok(Cursor::START), |cursor| cursor.parse())?;
        Ok(request.since(cursor))
    }
}

/// Reads which stream, and which of its modifications.
async fn begin(call: &Call) -> Result<PageRequest, ApiError> {
    let query = &call.query;
    let model = query.required("model", text(MAX_NAME_BYTES))?;
    let variant = query.optional("variant", text(MAX_NAME_BYTES))?;
    let actions = query.optional("filter", list(word(ACTIONS), ACTIONS.len()))?;
    let connection = call.connection().await?;
    let stream = StreamKey::new(&connection.id, model).with_variant(variant.as_deref().unwrap_or(DEFAULT_VARIANT));
    let request = PageRequest::new(stream);
    Ok(match actions {
        Some(actions) => request.filter(actions.into_iter().collect::<highwater_core::Actions>()),
        None => request,
    })
}

/// Reads an id, which may have any characters.
fn any_text(most: usize) -> impl Fn(&str) -> Result<String, Refused> {
    move |text| {
        if text.len() > most { Err(Refused::too_long(text.len(), most)) } else { Ok(text.to_owned()) }
    }
}
