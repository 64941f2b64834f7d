//! The events of one kind of object, from `/v1/events`.

use std::collections::HashSet;

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::http::escape;
use highwater_template::records::{string_at, text_at, value_at};
use highwater_template::{HttpRequest, LogLevel, Pages, Paging, SourceRecord, SyncContext, Timestamp};
use serde::Deserialize;

use super::{Checkpoint, Kind, VERSION};
use crate::common::read as read_as;

/// How far before the last known event events are read, in seconds, because some become visible late.
const OVERLAP_S: i64 = 300;

/// Stripe keeps events for 30 days. A checkpoint that is older than this, in seconds, is useless.
const KEPT_S: i64 = 29 * 24 * 60 * 60;

/// Returns the creation time of the latest event; `None` if the key may not read events.
pub(super) async fn latest(context: &SyncContext<'_>) -> Result<Option<i64>> {
    let response = match context.send(HttpRequest::get("/v1/events").query("limit", "1")).await {
        Ok(response) => response,
        Err(error) if matches!(error.context("status"), Some("403" | "404")) => {
            context.log(LogLevel::Warning, "the key may not read events: every run reads everything");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let latest = response.elements_at("/data")?.iter().find_map(|event| created(event).ok());
    // An account without events begins now, by the earlier of the two clocks.
    let ours = seconds(context.started_at());
    let theirs = response.date().map_or(ours, seconds);
    Ok(Some(latest.unwrap_or(ours.min(theirs))))
}

/// Reads events with the newest first. The first event of each object has its latest state. Older ones are skipped, so that
/// reading some again undoes nothing.
pub(super) async fn read(context: &mut SyncContext<'_>, kind: &Kind, since: i64) -> Result<()> {
    let request =
        HttpRequest::get("/v1/events").query("limit", "100").query("created[gte]", (since - OVERLAP_S).to_string());
    let mut pages = Pages::new(request, Paging::last_id("starting_after", "/has_more")).records_at("/data");
    let (mut newest, mut met) = (since, HashSet::new());
    while let Some(page) = pages.next(context).await? {
        let now = page.response.date().map_or_else(|| seconds(context.now()), seconds);
        if now - since > KEPT_S {
            let message = "Stripe keeps events for 30 days: everything has to be read again";
            return Err(Error::new(ErrorKind::SourceReset, message));
        }
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        let changes = context.read_each(kind.model, page.records, |event| Ok((created(event)?, change(kind, event)?)));
        for (created, change) in changes {
            newest = newest.max(created);
            let Some(change) = change else { continue };
            if !met.insert(change.id.clone()) {
                continue;
            }
            match change.state {
                State::Gone => deleted.push(change.id.into()),
                State::Is(object) => changed.push(SourceRecord::from(object)),
                State::OtherShape => match fetch(context, kind, &change.id).await? {
                    Some(object) => changed.push(SourceRecord::from(object)),
                    None => deleted.push(change.id.into()),
                },
            }
        }
        context.apply(kind.model, changed, deleted).await?;
    }
    context.checkpoint(&Checkpoint { events: newest, list_after: None })
}

struct Change {
    id: String,
    state: State,
}

enum State {
    /// As in the event.
    Is(Bytes),
    /// The event has it in the shape of another version of the API.
    OtherShape,
    Gone,
}

/// Returns what an event says about an object of this kind.
fn change(kind: &Kind, event: &Bytes) -> Result<Option<Change>> {
    let name = string_at(event, "/type")?;
    let Some(object) = value_at(event, "/data/object")? else { return Ok(None) };
    if !of_kind(kind, &name, object)? {
        return Ok(None);
    }
    // An event is rendered once, by the account's version at that time, whatever version a request names.
    // <https://docs.stripe.com/api/events/object#event_object-api_version>
    let state = if kind.gone.contains(&name.as_str()) {
        State::Gone
    } else if text_at(event, "/api_version")?.as_deref() == Some(VERSION) {
        State::Is(event.slice_ref(object))
    } else {
        State::OtherShape
    };
    Ok(Some(Change { id: string_at(object, "/id")?, state }))
}

/// Fetches an object; `None` if it was deleted.
async fn fetch(context: &SyncContext<'_>, kind: &Kind, id: &str) -> Result<Option<Bytes>> {
    let response = match context.send(HttpRequest::get(format!("/v1/{}/{}", kind.list, escape(id)))).await {
        Ok(response) => response,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if response.string_at("/id")? != id {
        return Err(response.error(ErrorKind::Remote, "Stripe answered with another object").with("id", id));
    }
    // A deleted customer can still be fetched. <https://docs.stripe.com/api/customers/retrieve>
    if response.text_at("/deleted")?.as_deref() == Some("true") {
        return Ok(None);
    }
    response.record().map(Some)
}

/// Returns whether an event is about a stored object of this kind. `customer.` also begins `customer.subscription.`, so the
/// object itself decides.
pub(super) fn of_kind(kind: &Kind, event: &str, object: &[u8]) -> Result<bool> {
    // The invoice of `invoice.upcoming` is a preview: it has no id and is in no list.
    // <https://docs.stripe.com/api/events/types#event_types-invoice.upcoming>
    if event == "invoice.upcoming" {
        return Ok(false);
    }
    let wanted = kind.list.trim_end_matches('s');
    Ok(event.starts_with(kind.events) && text_at(object, "/object")?.as_deref() == Some(wanted))
}

fn created(event: &Bytes) -> Result<i64> {
    #[derive(Deserialize)]
    struct Created {
        created: i64,
    }
    Ok(read_as::<Created>(event)?.created)
}

fn seconds(time: Timestamp) -> i64 {
    i64::try_from(time.unix_ms() / 1000).unwrap_or(i64::MAX)
}
