//! Notion: pages, and the rows of a data source.

mod windows;

use std::time::Duration;

use chrono::{DateTime, Utc};
use highwater_core::timestamp::unix_ms;
use highwater_core::{Result, Timestamp};
use highwater_template::auth::{AuthKind, ClientAuth, DesktopSignIn, OAuth2};
use highwater_template::http::escape;
use highwater_template::limits::RateLimits;
use highwater_template::records::{parse_time, string_at};
use highwater_template::{
    ConfigKey, HttpRequest, Pages, Paging, Provider, SyncContext, TemplateInfo, Verification, Window,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::common::{DELETES_BY_REFRESH, OVERLAP, complete, latest, model, schemas, template, timed, window};
use windows::{Windows, is_cut};

schemas!("notion": Page);

template! {
    /// Pages that the integration was given, newest change first.
    ///
    /// Notion's search, the one list of them, "is not guaranteed to return everything": no page is deleted because it is
    /// missing there. <https://developers.notion.com/reference/search-optimizations-and-limitations>
    AllPages, pages(), fetch_pages
}
template! {
    /// Rows of a data source (a database's table).
    Rows, rows(), fetch_rows
}

/// Describes Notion. It allows three requests a second on average.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://api.notion.com/v1/oauth/authorize",
        "https://api.notion.com/v1/oauth/token",
        DesktopSignIn::Broker,
    )
    // https://developers.notion.com/reference/revoke-token
    .revocation_url("https://api.notion.com/v1/oauth/revoke")
    // https://developers.notion.com/docs/authorization: always this one
    .authorize_parameter("owner", "user")
    .registered("a public integration", "https://www.notion.so/profile/integrations");
    Provider::new("notion", "https://api.notion.com")
        .auth(AuthKind::bearer("an internal integration's secret").page("https://www.notion.so/profile/integrations"))
        .auth(AuthKind::OAuth2(oauth.client(ClientAuth::BasicWithJson)))
        // https://developers.notion.com/reference/get-self
        .verification(Verification::get("/v1/users/me").name("/bot/workspace_name").name("/name"))
        .header("notion-version", "2026-03-11")
        .limits(RateLimits::new().rate(3, Duration::from_secs(1)))
        .docs("https://developers.notion.com/reference")
}

fn describe(name: &str) -> TemplateInfo {
    provider().template(name).model_info(model::<Page>("Page", "A page")).interval(Duration::from_secs(300))
}

fn pages() -> TemplateInfo {
    describe("pages")
        .description("Pages that the integration was given")
        .incremental("by `last_edited_time`, newest change first")
        .deletes("not noticed: Notion's search need not give every page")
}

fn rows() -> TemplateInfo {
    describe("rows")
        .description("Rows of a data source")
        .config(ConfigKey::required("data_source", "the data source's id, from the database's settings"))
        .incremental("by a filter on `last_edited_time`, which Notion keeps to the minute")
        .deletes(DELETES_BY_REFRESH)
}

async fn fetch_pages(context: &mut SyncContext<'_>) -> Result<()> {
    let mut window = window(context, OVERLAP)?;
    // Back to the last checkpoint. The checkpoint moves at the end, because only then everything before it is saved.
    let oldest = read_search(context, &mut window, "descending", None).await?;
    if let Some(oldest) = oldest {
        // A search also ends at 10,000 results. The rest is read from the other end, as far as that reaches.
        read_search(context, &mut window, "ascending", Some(oldest)).await?;
    }
    if let Some(checkpoint) = window.checkpoint() {
        context.checkpoint(checkpoint)?;
    }
    Ok(())
}

/// Reads the search from one end, until the time that is known at the other. Returns the last time seen if there is more, which
/// this direction does not return.
async fn read_search(
    context: &mut SyncContext<'_>,
    window: &mut Window,
    direction: &str,
    until: Option<Timestamp>,
) -> Result<Option<Timestamp>> {
    let request = HttpRequest::post_json(
        "/v1/search",
        &json!({
            "page_size": 100,
            "filter": {"property": "object", "value": "page"},
            "sort": {"timestamp": "last_edited_time", "direction": direction},
        }),
    )?;
    let (mut pages, mut cut, mut last) = (list(request), false, None);
    let reached = |at: Timestamp, since: Option<Timestamp>| match until {
        Some(until) => at >= until,
        None => since.is_some_and(|since| at < since),
    };
    while let Some(page) = pages.next(context).await? {
        cut |= is_cut(&page)?;
        let records = timed(context, "Page", page.records, window, EDITED);
        last = records.last().map(|record| parse_time(&string_at(record, EDITED)?)).transpose()?.or(last);
        let ends = last.is_some_and(|last| reached(last, window.since()));
        if cut && !ends && page.next.is_none() && until.is_some() {
            context.mark_incomplete("Page", "Notion's search gives 10,000 pages from either end, and there are more");
        }
        context.save("Page", records).await?;
        if ends {
            return Ok(None);
        }
    }
    Ok(last.filter(|_| cut))
}

const EDITED: &str = "/last_edited_time";

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Checkpoint {
    /// The latest edit known.
    Edited(String),
    /// A reading in the order of creation that was interrupted.
    Reading {
        /// Everything created before this was read.
        created: String,
        /// The latest edit seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newest: Option<String>,
        /// When it began.
        #[serde(rename = "began_ms", with = "unix_ms")]
        began_at: Timestamp,
    },
}

async fn fetch_rows(context: &mut SyncContext<'_>) -> Result<()> {
    match context.last_checkpoint()? {
        Some(Checkpoint::Edited(at)) => read_edits(context, &at).await,
        Some(Checkpoint::Reading { created, newest, began_at }) => {
            let at = read_rows(context, Some(created), newest, began_at).await?;
            // An earlier run began it.
            read_edits(context, &at).await
        }
        None => read_rows(context, None, None, context.started_at()).await.map(drop),
    }
}

fn query_path(context: &SyncContext<'_>) -> Result<String> {
    Ok(format!("/v1/data_sources/{}/query", escape(context.config("data_source")?)))
}

/// Reads all rows in the order of their creation. Returns the checkpoint.
async fn read_rows(
    context: &mut SyncContext<'_>,
    created: Option<String>,
    newest: Option<String>,
    began_at: Timestamp,
) -> Result<String> {
    // Edits after the beginning belong to the next run, because the row may have been read before.
    let mut window = Window::new(newest.as_deref(), OVERLAP, began_at)?;
    let mut any = newest.is_some();
    let mut windows = Windows::by_creation(query_path(context)?, created);
    while let Some(page) = windows.next(context).await? {
        tell_missed(context, &windows);
        let records = timed(context, "Page", page.records, &mut window, EDITED);
        any |= !records.is_empty();
        // As long as nothing could be read, there is no position to go on from.
        if let Some(created) = windows.place().filter(|_| any) {
            let (created, newest) = (created.to_owned(), window.checkpoint().map(str::to_owned));
            context.checkpoint(&Checkpoint::Reading { created, newest, began_at })?;
        }
        context.save("Page", records).await?;
    }
    tell_missed(context, &windows);
    let at = latest(&window, began_at);
    if any {
        context.checkpoint(&Checkpoint::Edited(at.clone()))?;
    }
    complete(context, "Page").await?;
    Ok(at)
}

/// Reads the rows that were edited since `at`, oldest edit first, with a checkpoint for each page.
async fn read_edits(context: &mut SyncContext<'_>, at: &str) -> Result<()> {
    let mut window = Window::new(Some(at), OVERLAP, context.started_at())?;
    let Some(since) = window.since_rfc3339() else { return Ok(()) };
    let mut windows = Windows::by_edit(query_path(context)?, since);
    while let Some(page) = windows.next(context).await? {
        tell_missed(context, &windows);
        let records = timed(context, "Page", page.records, &mut window, EDITED);
        if let Some(checkpoint) = window.checkpoint() {
            context.checkpoint(checkpoint)?;
        }
        context.save("Page", records).await?;
    }
    tell_missed(context, &windows);
    Ok(())
}

fn tell_missed(context: &mut SyncContext<'_>, windows: &Windows) {
    if windows.missed() {
        context
            .mark_incomplete("Page", "more rows were created and edited in one minute than Notion gives of one query");
    }
}

fn list(request: HttpRequest) -> Pages {
    let paging = Paging::Cursor {
        at: "/next_cursor".to_owned(),
        to: "/start_cursor".into(),
        more: Some("/has_more".to_owned()),
    };
    Pages::new(request, paging).records_at("/results")
}

/// A page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Page {
    /// Its id, a UUID.
    pub id: String,
    /// When it was created.
    pub created_time: DateTime<Utc>,
    /// When it last changed.
    pub last_edited_time: DateTime<Utc>,
    /// Whether it is in the bin.
    #[serde(default)]
    pub in_trash: bool,
    /// Its URL.
    #[serde(default)]
    pub url: Option<String>,
    /// Its properties, by name.
    #[serde(default)]
    pub properties: serde_json::Map<String, serde_json::Value>,
}
