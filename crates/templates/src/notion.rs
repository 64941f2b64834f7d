//! Notion: pages, and the rows of a data source.

use std::time::Duration;

use chrono::{DateTime, Utc};
use highwater_core::Result;
use highwater_core::template::{
    AuthKind, ClientAuth, ConfigKey, DesktopSignIn, HttpRequest, LimitHabits, OAuth2, Pages, Paging, Provider,
    SyncContext, TemplateInfo, escape,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::common::{DELETES_BY_REFRESH, OVERLAP, model, newest_first, oldest_first, template, window};

template! {
    /// Pages that the integration was given, newest change first.
    AllPages, pages(), fetch_pages
}
template! {
    /// Rows of a data source (a database's table).
    Rows, rows(), fetch_rows
}

/// Notion. It allows three requests a second on average.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://api.notion.com/v1/oauth/authorize",
        "https://api.notion.com/v1/oauth/token",
        DesktopSignIn::Broker,
    );
    Provider::new("notion", "https://api.notion.com")
        .auth(AuthKind::bearer("an internal integration's secret, from notion.so/profile/integrations"))
        .auth(AuthKind::OAuth2(oauth.client(ClientAuth::BasicWithJson)))
        .header("notion-version", "2025-09-03")
        .limits(LimitHabits::new().rate(3, Duration::from_secs(1)))
        .docs("https://developers.notion.com/reference")
}

fn describe(name: &str) -> TemplateInfo {
    provider()
        .template(name)
        .model_info(model::<Page>("Page", "A page"))
        .deletes(DELETES_BY_REFRESH)
        .every(Duration::from_secs(300))
}

fn pages() -> TemplateInfo {
    describe("pages")
        .description("Pages that the integration was given")
        .incremental("by `last_edited_time`, newest change first")
}

fn rows() -> TemplateInfo {
    describe("rows")
        .description("Rows of a data source")
        .config(ConfigKey::required("data_source", "the data source's id, from the database's settings"))
        .incremental("by a filter on `last_edited_time`, which Notion keeps to the minute")
}

async fn fetch_pages(context: &mut SyncContext<'_>) -> Result<()> {
    let mut window = window(context, OVERLAP)?;
    let request = HttpRequest::post_json(
        "/v1/search",
        &json!({
            "page_size": 100,
            "filter": {"property": "object", "value": "page"},
            "sort": {"timestamp": "last_edited_time", "direction": "descending"},
        }),
    )?;
    newest_first(context, "Page", list(request), &mut window, "/last_edited_time").await
}

async fn fetch_rows(context: &mut SyncContext<'_>) -> Result<()> {
    let mut window = window(context, OVERLAP)?;
    let mut body = json!({
        "page_size": 100,
        "sorts": [{"timestamp": "last_edited_time", "direction": "ascending"}],
    });
    if let (Some(since), Some(members)) = (window.since(), body.as_object_mut()) {
        let filter = json!({"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": since}});
        members.insert("filter".to_owned(), filter);
    }
    let path = format!("/v1/data_sources/{}/query", escape(context.config("data_source")?));
    let request = HttpRequest::post_json(path, &body)?;
    oldest_first(context, "Page", list(request), &mut window, "/last_edited_time").await
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Its address.
    #[serde(default)]
    pub url: Option<String>,
    /// Its properties, by name.
    #[serde(default)]
    pub properties: serde_json::Map<String, serde_json::Value>,
}
