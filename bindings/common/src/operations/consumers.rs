//! Named consumers: readers whose position the store keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater::consumer::{Consumer, PollOptions, Seek};
use highwater::cursor::{Page, RecordId};
use highwater::{Result, StoreExt, StreamKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::records::{filter, stream};
use super::{Done, refused};
use crate::engine::Open;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    connection: String,
    model: String,
    variant: Option<String>,
    consumer: String,
}

impl Named {
    fn stream(&self) -> StreamKey {
        stream(&self.connection, &self.model, self.variant.as_deref())
    }
}

fn consumer<'o>(open: &'o Open, stream: &StreamKey, name: &str) -> Consumer<'o> {
    open.store.consumer(stream, name)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    connection: String,
    model: String,
    variant: Option<String>,
    consumer: String,
    limit: Option<usize>,
    lease_ms: Option<u64>,
    max_attempts: Option<u32>,
    max_expirations: Option<u32>,
    backoff_ms: Option<u64>,
    max_backoff_ms: Option<u64>,
    matching: Option<BTreeMap<String, Value>>,
}

/// A batch: a page, with the token to acknowledge it with.
#[derive(Serialize)]
pub(super) struct Batch {
    page: Page,
    token: String,
    attempt: u32,
}

pub(super) async fn poll(open: &Open, given: Poll) -> Result<Batch> {
    let mut options = PollOptions::default();
    if let Some(limit) = given.limit {
        options = options.limit(limit);
    }
    if let Some(lease) = given.lease_ms {
        options = options.lease(Duration::from_millis(lease));
    }
    if let Some(attempts) = given.max_attempts {
        options = options.max_attempts(attempts);
    }
    if let Some(expirations) = given.max_expirations {
        options = options.max_expirations(expirations);
    }
    let (first, longest) =
        (given.backoff_ms.map(Duration::from_millis), given.max_backoff_ms.map(Duration::from_millis));
    let (first, longest) = (first.unwrap_or(options.backoff), longest.unwrap_or(options.max_backoff));
    options = options.backoff(first, longest);
    if let Some(conditions) = given.matching {
        options = options.matching(filter(conditions));
    }
    let stream = stream(&given.connection, &given.model, given.variant.as_deref());
    let delivery = consumer(open, &stream, &given.consumer).options(options).poll().await?;
    Ok(Batch { page: delivery.page, token: delivery.token.to_string(), attempt: delivery.attempt })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfBatch {
    connection: String,
    model: String,
    variant: Option<String>,
    consumer: String,
    token: String,
}

impl OfBatch {
    fn stream(&self) -> StreamKey {
        stream(&self.connection, &self.model, self.variant.as_deref())
    }
}

pub(super) async fn ack(open: &Open, given: OfBatch) -> Done {
    consumer(open, &given.stream(), &given.consumer).ack(given.token.parse()?).await
}

pub(super) async fn nack(open: &Open, given: OfBatch) -> Done {
    consumer(open, &given.stream(), &given.consumer).nack(given.token.parse()?).await
}

pub(super) async fn renew(open: &Open, given: OfBatch) -> Done {
    consumer(open, &given.stream(), &given.consumer).renew(given.token.parse()?).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeekRead {
    connection: String,
    model: String,
    variant: Option<String>,
    consumer: String,
    to: String,
}

pub(super) async fn seek(open: &Open, given: SeekRead) -> Done {
    let to = match given.to.as_str() {
        "start" => Some(Seek::Start),
        "end" => Some(Seek::End),
        text => text.parse().map(Seek::Cursor).or_else(|_| text.parse().map(Seek::Time)).ok(),
    };
    let to = to.ok_or_else(|| refused("to", "this is no place in the log: give `start`, `end`, a cursor or a time"))?;
    let stream = stream(&given.connection, &given.model, given.variant.as_deref());
    consumer(open, &stream, &given.consumer).seek(to).await
}

pub(super) async fn unpark(open: &Open, given: Named) -> Result<Vec<RecordId>> {
    consumer(open, &given.stream(), &given.consumer).unpark().await
}

pub(super) async fn status(open: &Open, given: Named) -> Result<Value> {
    let status = consumer(open, &given.stream(), &given.consumer).status().await?;
    let ms = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    Ok(json!({
        "consumer": status.name, "acknowledged": status.acknowledged, "lag": status.lag, "lag_ms": ms(status.lag_time),
        "leased": status.leased, "backoff_ms": ms(status.backoff), "parked": status.parked, "evicted": status.evicted,
    }))
}

pub(super) async fn remove(open: &Open, given: Named) -> Done {
    consumer(open, &given.stream(), &given.consumer).remove().await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    connection: String,
    model: String,
    variant: Option<String>,
}

pub(super) async fn list(open: &Open, given: List) -> Result<Vec<String>> {
    open.store.consumers(&stream(&given.connection, &given.model, given.variant.as_deref())).await
}
