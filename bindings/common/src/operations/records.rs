//! Records and streams.

use std::collections::BTreeMap;

use highwater::cursor::{Action, ContentFilter, Page, PageRequest, Record};
use highwater::store::{DEFAULT_VARIANT, StreamHead};
use highwater::{Result, StreamKey, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::Nothing;
use crate::arguments;
use crate::engine::Open;

pub(super) fn stream(connection: &str, model: &str, variant: Option<&str>) -> StreamKey {
    StreamKey::new(connection, model).with_variant(variant.unwrap_or(DEFAULT_VARIANT))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    connection: String,
    model: String,
    variant: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
    max_bytes: Option<usize>,
    modified_after: Option<String>,
    ids: Option<Vec<String>>,
    actions: Option<Vec<Action>>,
    matching: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    metadata_only: bool,
}

impl Reading {
    fn request(self) -> Result<PageRequest> {
        let mut request = PageRequest::new(stream(&self.connection, &self.model, self.variant.as_deref()));
        if let Some(cursor) = self.since {
            request = request.since(cursor.parse()?);
        }
        if let Some(limit) = self.limit {
            request = request.limit(limit);
        }
        if let Some(bytes) = self.max_bytes {
            request = request.max_bytes(bytes);
        }
        if let Some(time) = self.modified_after {
            request = request.modified_after(time.parse::<Timestamp>()?);
        }
        if let Some(ids) = self.ids {
            request = request.ids(ids);
        }
        if let Some(actions) = self.actions {
            request = request.filter(actions.into_iter().collect::<highwater::cursor::Actions>());
        }
        if let Some(conditions) = self.matching {
            request = request.matching(filter(conditions));
        }
        Ok(if self.metadata_only { request.metadata_only() } else { request })
    }
}

/// A filter by JSON pointers and the values that they have to have.
pub(super) fn filter(conditions: BTreeMap<String, Value>) -> ContentFilter {
    conditions.into_iter().fold(ContentFilter::new(), |filter, (pointer, value)| filter.equals(pointer, value))
}

/// Reads what a page is requested with.
pub(crate) fn page_request(operation: &str, text: &str) -> Result<PageRequest> {
    arguments::read::<Reading>(operation, text)?.request()
}

pub(super) async fn records(open: &Open, given: Reading) -> Result<Page> {
    open.store.page(given.request()?).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Get {
    connection: String,
    model: String,
    variant: Option<String>,
    ids: Vec<String>,
}

pub(super) async fn get(open: &Open, given: Get) -> Result<Vec<Option<Record>>> {
    let ids: Vec<&str> = given.ids.iter().map(String::as_str).collect();
    open.store.get(&stream(&given.connection, &given.model, given.variant.as_deref()), &ids).await
}

pub(super) async fn streams(open: &Open, _: Nothing) -> Result<Vec<StreamHead>> {
    open.store.streams().await
}
