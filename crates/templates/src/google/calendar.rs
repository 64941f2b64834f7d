//! Google Calendar: events, by sync token.

use std::time::Duration;

use highwater_core::Result;
use highwater_core::template::{
    ConfigKey, HttpRequest, PageRecord, Pages, Paging, Provider, SyncContext, TemplateInfo, escape, string_at, text_at,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{complete, model, template};

template! {
    /// Events of a calendar.
    ///
    /// The first run lists them and ends with a sync token, with which the next runs get what changed. When Google
    /// forgets the token (status 410), the next run begins anew.
    Events, info(), fetch
}

/// Google Calendar.
pub fn provider() -> Provider {
    super::provider(
        "google-calendar",
        "https://www.googleapis.com/auth/calendar.readonly",
        "https://developers.google.com/workspace/calendar/api/v3/reference/events",
    )
}

fn info() -> TemplateInfo {
    provider()
        .template("events")
        .description("Events of a calendar")
        .model_info(model::<Event>("Event", "An event; one that recurs is one record, its exceptions are others"))
        .config(ConfigKey::with_default("calendar", "the calendar's id", "primary"))
        .incremental("by sync token")
        .deletes("told by the feed (`cancelled`)")
        .every(Duration::from_secs(300))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Checkpoint {
    /// Where the first list goes on.
    Page(String),
    /// With which changes are asked for.
    Sync(String),
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let path = format!("/calendar/v3/calendars/{}/events", escape(context.config("calendar")?));
    // Google wants the same parameters with every page and every token.
    let mut request = HttpRequest::get(path).query("maxResults", "2500");
    let mut page_token = None;
    match context.last_checkpoint()? {
        Some(Checkpoint::Sync(token)) => request = request.query("syncToken", token),
        Some(Checkpoint::Page(token)) => page_token = Some(token),
        None => {}
    }
    let listing = !request.query.iter().any(|(name, _)| name == "syncToken");
    let mut pages =
        Pages::new(request, Paging::cursor("/nextPageToken", "pageToken")).records_at("/items").resume(page_token);
    while let Some(page) = pages.next(context).await? {
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        for event in page.records {
            // An exception that cancels one occurrence stays a record: it says that the occurrence does not take place.
            let cancelled = text_at(&event, "/status")?.as_deref() == Some("cancelled");
            if cancelled && text_at(&event, "/recurringEventId")?.is_none() {
                deleted.push(string_at(&event, "/id")?);
            } else {
                changed.push(PageRecord::from(event));
            }
        }
        match (page.next, page.response.text_at("/nextSyncToken")?) {
            (Some(next), _) if listing => context.checkpoint(&Checkpoint::Page(next))?,
            (None, Some(token)) => context.checkpoint(&Checkpoint::Sync(token))?,
            _ => {}
        }
        context.apply("Event", changed, deleted).await?;
    }
    complete(context, "Event").await
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its id.
    pub id: String,
    /// `confirmed`, `tentative` or `cancelled`.
    pub status: String,
    /// Its title.
    #[serde(default)]
    pub summary: Option<String>,
    /// When it begins.
    #[serde(default)]
    pub start: Option<Moment>,
    /// When it ends.
    #[serde(default)]
    pub end: Option<Moment>,
    /// The event that recurs, if this is an exception of one.
    #[serde(default)]
    pub recurring_event_id: Option<String>,
}

/// A day or a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// The day, for events of whole days.
    #[serde(default)]
    pub date: Option<String>,
    /// The time, with its offset.
    #[serde(default)]
    pub date_time: Option<String>,
}
