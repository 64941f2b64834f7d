//! Jira Cloud: issues, by JQL.

use std::time::Duration;

use highwater_core::Result;
use highwater_core::template::{
    AuthKind, ConfigKey, DesktopSignIn, HttpRequest, OAuth2, Pages, Paging, Provider, SyncContext, TemplateInfo,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::{DELETES_BY_REFRESH, model, oldest_first, template, window};

/// Jira's search lags behind its writes.
const OVERLAP: Duration = Duration::from_secs(300);

template! {
    /// Issues, by the time of their last change.
    Issues, info(), fetch
}

/// Jira Cloud. Signs in with an e-mail address and an API token, or OAuth 2 (three-legged, with rotating tokens).
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://auth.atlassian.com/authorize",
        "https://auth.atlassian.com/oauth/token",
        DesktopSignIn::Broker,
    )
    .scope("read:jira-work")
    .scope("offline_access")
    .authorize_parameter("audience", "api.atlassian.com")
    .authorize_parameter("prompt", "consent");
    Provider::new("jira", "https://{site}.atlassian.net")
        .auth(AuthKind::basic("your e-mail address and an API token, from id.atlassian.com > Security"))
        .auth(AuthKind::OAuth2(oauth))
        .docs("https://developer.atlassian.com/cloud/jira/platform/rest/v3")
}

fn info() -> TemplateInfo {
    provider()
        .template("issues")
        .description("Issues of a site, or of those projects that JQL chooses")
        .model_info(model::<Issue>("Issue", "An issue"))
        .config(ConfigKey::required("site", "the site's name, as in SITE.atlassian.net; with OAuth the connection's base URL is also https://api.atlassian.com/ex/jira/CLOUD_ID"))
        .config(ConfigKey::optional("jql", "which issues, in JQL without ORDER BY; all unless given"))
        .incremental("by `updated`, which JQL keeps to the minute")
        .deletes(DELETES_BY_REFRESH)
        .every(Duration::from_secs(300))
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let mut window = window(context, OVERLAP)?;
    // JQL reads times in the user's time zone, so the bound is told as minutes before now, rounded up; and it takes no
    // query without a bound.
    let since = match window.since_time() {
        Some(since) => {
            let now = i64::try_from(context.now_ms() / 1000).unwrap_or(i64::MAX);
            format!("-{}m", ((now - since.timestamp()).max(0) + 59) / 60 + 1)
        }
        None => "1970-01-01".to_owned(),
    };
    let bound = format!("updated >= \"{since}\"");
    let jql = match context.optional_config("jql") {
        Some(chosen) => format!("({chosen}) AND {bound} ORDER BY updated ASC"),
        None => format!("{bound} ORDER BY updated ASC"),
    };
    let request =
        HttpRequest::get("/rest/api/3/search/jql").query("jql", jql).query("fields", "*all").query("maxResults", "100");
    let pages = Pages::new(request, Paging::cursor("/nextPageToken", "nextPageToken")).records_at("/issues");
    oldest_first(context, "Issue", pages, &mut window, "/fields/updated").await
}

/// An issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issue {
    /// Its id, a number as a text. Its key changes when it moves, its id does not.
    pub id: String,
    /// What people call it, such as `ENG-7`.
    pub key: String,
    /// Its fields, by their ids.
    pub fields: Map<String, Value>,
}
