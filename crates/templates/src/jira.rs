//! Jira Cloud: issues, by JQL.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result, Timestamp};
use highwater_template::auth::{AuthKind, BaseUrlLookup, DesktopSignIn, OAuth2};
use highwater_template::paging::FetchedPage;
use highwater_template::{
    ConfigKey, HttpRequest, Pages, Paging, Provider, SyncContext, TemplateInfo, Verification, Window,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::{DELETES_BY_REFRESH, complete, model, schemas, template, timed};

schemas!("jira": Issue);

/// How far before its checkpoint the sync begins: Jira's search lags behind its writes.
const OVERLAP: Duration = Duration::from_secs(300);

/// How often a query is asked again because it was understood otherwise than meant.
const MAX_TRIES: usize = 3;

template! {
    /// Issues, by the time of their last change.
    Issues, info(), fetch
}

/// Describes Jira Cloud. It signs in with an e-mail address and an API token, or OAuth 2 (three-legged, with rotating tokens).
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://auth.atlassian.com/authorize",
        "https://auth.atlassian.com/oauth/token",
        DesktopSignIn::Broker,
    )
    .scope("read:jira-work")
    // For the account's name. <https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-myself>
    .scope("read:jira-user")
    .scope("offline_access")
    // https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps
    .registered(
        "an OAuth 2.0 integration, from the developer console",
        "https://developer.atlassian.com/console/myapps/",
    )
    .base_url(BaseUrlLookup::new(
        "https://api.atlassian.com/oauth/token/accessible-resources",
        "/url",
        "/id",
        "https://api.atlassian.com/ex/jira/{id}",
    ))
    .authorize_parameter("audience", "api.atlassian.com")
    .authorize_parameter("prompt", "consent");
    Provider::new("jira", "https://{site}.atlassian.net")
        // A token of OAuth is valid there alone.
        .origin("https://api.atlassian.com")
        // https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account
        .auth(
            AuthKind::basic("your e-mail address and an API token, from id.atlassian.com > Security")
                .page("https://id.atlassian.com/manage-profile/security/api-tokens"),
        )
        .auth(AuthKind::OAuth2(oauth))
        .verification(
            Verification::get("/rest/api/3/myself").id("/accountId").name("/emailAddress").name("/displayName"),
        )
        .docs("https://developer.atlassian.com/cloud/jira/platform/rest/v3")
}

fn info() -> TemplateInfo {
    provider()
        .template("issues")
        .description("Issues of a site, or of those projects that JQL chooses")
        .model_info(model::<Issue>("Issue", "An issue"))
        .config(ConfigKey::required("site", "the site's name, as in SITE.atlassian.net"))
        .config(ConfigKey::optional("jql", "which issues, in JQL without ORDER BY; all by default"))
        .incremental("by `updated`, which JQL keeps to the minute")
        .deletes(DELETES_BY_REFRESH)
        .interval(Duration::from_secs(300))
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let last: Option<String> = context.last_checkpoint()?;
    let mut window = Window::new(last.as_deref(), OVERLAP, context.started_at())?;
    let (mut pages, mut next) = first_page(context, last.as_deref(), &mut window).await?;
    while let Some(page) = next {
        let records = timed(context, "Issue", page.records, &mut window, "/fields/updated");
        if let Some(checkpoint) = window.checkpoint() {
            context.checkpoint(checkpoint)?;
        }
        context.save("Issue", records).await?;
        next = pages.next(context).await?;
    }
    complete(context, "Issue").await
}

/// Fetches the first page of what changed since the window's beginning.
///
/// JQL reads times in the user's time zone, so the bound is a number of minutes before now, rounded up. Jira counts them by its
/// own clock, when it gets the query: ours may be wrong, and the request may have waited for a rate limit. So the response's
/// `Date` says where the query really began, and a query that began too late is sent again.
async fn first_page(
    context: &SyncContext<'_>,
    last: Option<&str>,
    window: &mut Window,
) -> Result<(Pages, Option<FetchedPage>)> {
    // How far Jira's clock is ahead of ours.
    let mut ahead_ms = 0;
    for _ in 0..MAX_TRIES {
        let minutes = window.since().map(|since| {
            let theirs = shifted(context.now(), ahead_ms);
            theirs.duration_since(since).as_millis().div_ceil(60_000) as u64 + 1
        });
        let mut pages = list(context, minutes);
        let page = pages.next(context).await?;
        let Some(date) = page.as_ref().and_then(|page| page.response.date()) else { return Ok((pages, page)) };
        ahead_ms = milliseconds(date) - milliseconds(context.now());
        let late = |since| minutes.is_some_and(|minutes| began(date, minutes) > since);
        if !window.since().is_some_and(late) {
            // What changed after the run began, by Jira's clock, belongs to the next run.
            *window = Window::new(last, OVERLAP, shifted(context.started_at(), ahead_ms))?;
            return Ok((pages, page));
        }
    }
    Err(Error::new(
        ErrorKind::Remote,
        "Jira answers so late that the query's bound in minutes has moved: try again later",
    ))
}

fn list(context: &SyncContext<'_>, minutes: Option<u64>) -> Pages {
    // Jira refuses a query without a bound.
    let bound = minutes.map_or_else(|| "1970-01-01".to_owned(), |minutes| format!("-{minutes}m"));
    let bound = format!("updated >= \"{bound}\"");
    let jql = match context.optional_config("jql") {
        Some(chosen) => format!("({chosen}) AND {bound} ORDER BY updated ASC"),
        None => format!("{bound} ORDER BY updated ASC"),
    };
    let request =
        HttpRequest::get("/rest/api/3/search/jql").query("jql", jql).query("fields", "*all").query("maxResults", "100");
    Pages::new(request, Paging::cursor("/nextPageToken", "nextPageToken")).records_at("/issues")
}

/// Returns the beginning of a query of this many minutes that was answered at `date`.
fn began(date: Timestamp, minutes: u64) -> Timestamp {
    date - Duration::from_secs(minutes.saturating_mul(60))
}

fn milliseconds(time: Timestamp) -> i64 {
    i64::try_from(time.unix_ms()).unwrap_or(i64::MAX / 2)
}

/// Returns a time of our clock as a clock shows it that is so far ahead.
fn shifted(time: Timestamp, ahead_ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(u64::try_from(milliseconds(time) + ahead_ms).unwrap_or(0))
}

/// An issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Issue {
    /// Its id, a number as a text. Its key changes when it moves, its id does not.
    pub id: String,
    /// Its name for people, such as `ENG-7`.
    pub key: String,
    /// Its fields, by their ids.
    pub fields: Map<String, Value>,
}
