//! What a request wants to read.

use std::time::Duration;

use highwater_core::{Action, Cursor, DEFAULT_VARIANT, MAX_NAME_BYTES, PageRequest, StreamKey};
use serde_json::json;

use super::wait::LONGEST_WAIT;
use crate::about::{Parameter, param, schema};
use crate::call::Call;
use crate::error::ApiError;
use crate::input::value::{Refused, duration, list, number, text, timestamp, word};

/// Returns the parameters of `GET /stream`.
pub(super) fn stream() -> [Parameter; 4] {
    let actions: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
    [
        param("model", schema::name(MAX_NAME_BYTES), "The model; one that nothing was saved of yet has no records.")
            .required()
            .example("Contact"),
        param("variant", schema::name(MAX_NAME_BYTES), "The variant of the sync; `base` by default."),
        param("cursor", schema::name(MAX_CURSOR), "Continue behind this cursor."),
        param("filter", schema::word_list(&actions), "Only what was last modified so, with commas between them."),
    ]
}

/// Returns the parameters of `GET /records`.
pub(super) fn page() -> impl Iterator<Item = Parameter> {
    let ids = json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "maxItems": MAX_IDS });
    let further = [
        param("modified_after", schema::time(), "Only what was modified at this time or later."),
        param("delta", schema::time(), "An older name of `modified_after`, which it takes precedence over."),
        param("limit", schema::integer(1, MAX_LIMIT as u64), "At most this many; 100 by default."),
        param("ids", ids, "Only these records; may be repeated."),
        param("wait", schema::length(), "Wait up to this long (300s at most) if there is nothing yet.").example("0s"),
    ];
    stream().into_iter().chain(further)
}

/// The most records of a page over HTTP.
pub(crate) const MAX_LIMIT: usize = 10_000;
const MAX_CURSOR: usize = 1000;
const MAX_IDS: usize = 100;
const MAX_ID: usize = 4096;

const ACTIONS: &[(&str, Action)] = &[
    ("added", Action::Added),
    ("updated", Action::Updated),
    ("deleted", Action::Deleted),
    // As a record's metadata writes them.
    ("ADDED", Action::Added),
    ("UPDATED", Action::Updated),
    ("DELETED", Action::Deleted),
];

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
