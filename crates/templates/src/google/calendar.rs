//! Google Calendar: events, by sync token.

use std::time::Duration;

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, RecordId, Result, Timestamp};
use highwater_template::http::escape;
use highwater_template::records::{string_at, text_at};
use highwater_template::{
    ConfigKey, HttpRequest, Pages, Paging, Provider, SourceRecord, SyncContext, TemplateInfo, Verification,
};
use serde::{Deserialize, Serialize};

use crate::common::{OVERLAP, Resumed, complete, model, schemas, template, whole_seconds};

schemas!("google": Event);

template! {
    /// Events of a calendar.
    ///
    /// The first run lists them and ends with a sync token, by which the next runs get what changed. When Google no longer
    /// knows the token (status 410, or 400 "Invalid sync token value"), everything is read again.
    Events, info(), fetch
}

/// Describes Google Calendar.
pub fn provider() -> Provider {
    super::provider(
        "google-calendar",
        "https://www.googleapis.com/auth/calendar.readonly",
        "https://developers.google.com/workspace/calendar/api/v3/reference/events",
        // https://developers.google.com/workspace/calendar/api/v3/reference/calendarList/get: its id is the address
        Verification::get("/calendar/v3/users/me/calendarList/primary").name("/id"),
    )
}

fn info() -> TemplateInfo {
    provider()
        .template("events")
        .description("Events of a calendar")
        .model_info(model::<Event>("Event", "An event; one that recurs is one record, its exceptions are others"))
        .config(ConfigKey::with_default("calendar", "the calendar's id", "primary"))
        .incremental("by sync token")
        .deletes("reported by the feed (`cancelled`)")
        .interval(Duration::from_secs(300))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Checkpoint {
    /// Where the first list continues, and when it began by Google's clock.
    Page(String, Option<Timestamp>),
    /// The token that gets changes.
    Sync(String),
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let path = format!("/calendar/v3/calendars/{}/events", escape(context.config("calendar")?));
    // Google wants the same parameters with every page and every token.
    let request = HttpRequest::get(path).query("maxResults", "2500");
    match context.last_checkpoint()? {
        Some(Checkpoint::Sync(token)) => {
            save_changes(context, list(request.query("syncToken", token)), true).await.map_err(invalid_token)?;
            complete(context, "Event").await
        }
        Some(Checkpoint::Page(next, begun)) => read_list(context, request, Some(next), begun).await,
        None => read_list(context, request, None, None).await,
    }
}

/// Recognises a token that Google no longer knows: gone (410, which already is a reset) or invalid (400).
fn invalid_token(error: Error) -> Error {
    let told = error.context("told").is_some_and(|told| told.to_ascii_lowercase().contains("invalid sync"));
    if error.context("status") == Some("400") && told {
        let message = "Google no longer accepts the sync token: everything has to be read again";
        return Error::new(ErrorKind::SourceReset, message).because(error);
    }
    error
}

fn list(request: HttpRequest) -> Pages {
    Pages::new(request, Paging::cursor("/nextPageToken", "pageToken")).records_at("/items")
}

/// Reads the whole list. Google does not say whether the token at its end covers the time of the first page or of the last,
/// which may have been read a day later. So what changed since the first page is read once more.
async fn read_list(
    context: &mut SyncContext<'_>,
    request: HttpRequest,
    page: Option<String>,
    mut begun: Option<Timestamp>,
) -> Result<()> {
    let mut several = page.is_some();
    let mut pages = Resumed::new(|| list(request.clone()), page);
    while let Some(page) = pages.next(context).await? {
        begun = begun.or(page.response.date());
        let (changed, deleted) = told(context, page.records);
        match (page.next, page.response.text_at("/nextSyncToken")?) {
            (Some(next), _) => {
                several = true;
                context.checkpoint(&Checkpoint::Page(next, begun))?;
                context.apply("Event", changed, deleted).await?;
            }
            (None, Some(token)) => {
                context.apply("Event", changed, deleted).await?;
                if let Some(begun) = begun.filter(|_| several) {
                    let since = whole_seconds(begun - OVERLAP);
                    save_changes(context, list(request.clone().query("updatedMin", since)), false).await?;
                }
                context.checkpoint(&Checkpoint::Sync(token))?;
            }
            (None, None) => return Err(page.response.error(ErrorKind::Remote, "the list ends without a sync token")),
        }
    }
    complete(context, "Event").await
}

/// Saves a list of changes. Its end has the new token, which is stored if it `leads` on.
async fn save_changes(context: &mut SyncContext<'_>, mut pages: Pages, leads: bool) -> Result<()> {
    while let Some(page) = pages.next(context).await? {
        let (changed, deleted) = told(context, page.records);
        if let Some(token) = page.response.text_at("/nextSyncToken")?.filter(|_| leads && page.next.is_none()) {
            context.checkpoint(&Checkpoint::Sync(token))?;
        }
        context.apply("Event", changed, deleted).await?;
    }
    Ok(())
}

/// Returns the events that exist, and the ids of those that were deleted.
fn told(context: &mut SyncContext<'_>, events: Vec<Bytes>) -> (Vec<SourceRecord>, Vec<RecordId>) {
    let (mut changed, mut deleted) = (Vec::new(), Vec::new());
    context.read_each("Event", events, |event| {
        // An exception that cancels one occurrence stays a record, because it says that the occurrence does not happen.
        let cancelled = text_at(event, "/status")?.as_deref() == Some("cancelled");
        if cancelled && text_at(event, "/recurringEventId")?.is_none() {
            deleted.push(string_at(event, "/id")?.into());
        } else {
            changed.push(SourceRecord::from(event.clone()));
        }
        Ok(())
    });
    (changed, deleted)
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// The day, for events of whole days.
    #[serde(default)]
    pub date: Option<String>,
    /// The time, with its offset.
    #[serde(default)]
    pub date_time: Option<String>,
}
