//! Linear: issues, teams, users, by GraphQL.

use std::time::Duration;

use chrono::{DateTime, Utc};
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::actions::{ActionContext, ActionInfo};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::limits::RateLimits;
use highwater_template::records::{parse_time, string_at, text_at};
use highwater_template::{
    ConfigKey, HttpRequest, HttpResponse, Pages, Paging, Provider, SyncContext, TemplateInfo, Verification,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::common::{
    DELETES_BY_EVERY_RUN, DELETES_BY_REFRESH, HasSchema, OVERLAP, action, model, schema, schemas, template, timed,
    window,
};

schemas!("linear": Issue, NewIssue, Team, User);

template! {
    /// Issues, with archived ones and those in the bin (`trashed`), by the time of their last change.
    Issues, issues(), fetch_issues
}
template! {
    /// Teams.
    Teams, whole_list::<Team>("teams", "Team", "A team"), fetch_teams
}
template! {
    /// Users.
    Users, whole_list::<User>("users", "User", "A person or an application"), fetch_users
}
action! {
    /// Creates an issue.
    CreateIssue, create_issue(), create
}

/// Describes Linear.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://linear.app/oauth/authorize",
        "https://api.linear.app/oauth/token",
        DesktopSignIn::PkcePublic,
    )
    // All of this: https://linear.app/developers/oauth-2-0-authentication
    .scope_separator(",")
    .revocation_url("https://api.linear.app/oauth/revoke")
    .registered("an OAuth application, from Settings > API", "https://linear.app/settings/api/applications/new");
    Provider::new("linear", "https://api.linear.app")
        .auth(
            AuthKind::header("authorization", "", "a personal API key, from Settings > Security & access")
                .page("https://linear.app/settings/account/security"),
        )
        .auth(AuthKind::OAuth2(oauth.scope("read")))
        // https://linear.app/developers/graphql
        .verification(
            Verification::new("POST", "/graphql")
                .body(serde_json::json!({"query": "{ viewer { id email name } }"}))
                .id("/data/viewer/id")
                .name("/data/viewer/email")
                .name("/data/viewer/name")
                .refusal("/errors/0/message"),
        )
        // Linear reports a limit with status 400, or with 200 as other errors of GraphQL. Its times are Unix milliseconds.
        // <https://linear.app/developers/rate-limiting>
        .limits(
            RateLimits::new()
                .text("/errors/0/extensions/code", "RATELIMITED")
                .headers("x-ratelimit-requests-remaining", "x-ratelimit-requests-reset")
                .first_backoff(Duration::from_secs(60)),
        )
        .docs("https://linear.app/developers")
}

fn issues() -> TemplateInfo {
    provider()
        .template("issues")
        .description("Issues of all teams, archived ones too")
        .model_info(model::<Issue>("Issue", "An issue"))
        .config(ConfigKey::optional(
            "fields",
            "further fields of an issue, in GraphQL, such as `estimate parent { id }`",
        ))
        .incremental("by `updatedAt`, newest change first")
        .deletes(DELETES_BY_REFRESH)
        .interval(Duration::from_secs(300))
}

fn whole_list<T: HasSchema>(name: &str, model_name: &str, description: &str) -> TemplateInfo {
    let info = provider().template(name).description(format!("The workspace's {name}"));
    info.model_info(model::<T>(model_name, description)).deletes(DELETES_BY_EVERY_RUN)
}

const ISSUE_FIELDS: &str = "id identifier number title description priority url \
    createdAt updatedAt archivedAt completedAt canceledAt dueDate state { id name type } team { id key } \
    assignee { id name email } creator { id name } labels { nodes { id name } } project { id name }";

async fn fetch_issues(context: &mut SyncContext<'_>) -> Result<()> {
    let mut window = window(context, OVERLAP)?;
    let since = window.since_rfc3339_millis();
    let filter = since.as_ref().map_or(json!({}), |since| json!({"updatedAt": {"gte": since}}));
    let more = context.optional_config("fields").unwrap_or_default();
    let query = format!(
        "query($after: String, $filter: IssueFilter) {{ issues(first: 100, after: $after, filter: $filter, \
         includeArchived: true, orderBy: updatedAt) {{ nodes {{ {ISSUE_FIELDS} trashed {more} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let mut pages = relay("issues", &json!({"query": query, "variables": {"filter": filter}}))?;
    while let Some(page) = pages.next(context).await? {
        let records = timed(context, "Issue", page.records, &mut window, "/updatedAt");
        let oldest = records.last().map(|record| parse_time(&string_at(record, "/updatedAt")?)).transpose()?;
        context.save("Issue", records).await?;
        // The filter ends the list. If a server ignores it, the order does.
        if oldest.zip(window.since()).is_some_and(|(oldest, since)| oldest < since) {
            break;
        }
    }
    if let Some(checkpoint) = window.checkpoint() {
        context.checkpoint(checkpoint)?;
    }
    crate::common::complete(context, "Issue").await
}

async fn fetch_teams(context: &mut SyncContext<'_>) -> Result<()> {
    fetch_whole(context, "Team", "teams", "id key name description createdAt updatedAt archivedAt").await
}

async fn fetch_users(context: &mut SyncContext<'_>) -> Result<()> {
    fetch_whole(context, "User", "users", "id name displayName email active admin createdAt updatedAt").await
}

async fn fetch_whole(context: &mut SyncContext<'_>, model: &str, list: &str, fields: &str) -> Result<()> {
    let query = format!(
        "query($after: String) {{ {list}(first: 100, after: $after) {{ nodes {{ {fields} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let mut pages = relay(list, &json!({"query": query, "variables": {}}))?;
    while let Some(page) = pages.next(context).await? {
        context.save(model, page.records).await?;
    }
    context.complete(model).await
}

fn relay(list: &str, body: &Value) -> Result<Pages> {
    let request = HttpRequest::post_json("/graphql", body)?;
    Ok(Pages::new(request, Paging::relay(&format!("/data/{list}")))
        .records_at(format!("/data/{list}/nodes"))
        .check(no_errors))
}

/// Refuses a response with errors, which GraphQL reports with status 200: part of a list is not the list.
fn no_errors(response: &HttpResponse) -> Result<()> {
    match response.value_at("/errors/0")? {
        None => Ok(()),
        Some(error) => {
            let told = text_at(&error, "/message")?.unwrap_or_default();
            Err(response.error(ErrorKind::Remote, "the API reports an error").with("told", told))
        }
    }
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct NewIssue {
    /// The team's id.
    team_id: String,
    /// Its title.
    title: String,
    /// Its text, in Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// 0 (none) to 4 (low); 1 is urgent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    /// The id of the user that it is assigned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assignee_id: Option<String>,
}

fn create_issue() -> ActionInfo {
    let info = provider().action("create_issue").description("Creates an issue").scope("write");
    info.input(schema::<NewIssue>()).output(schema::<Issue>())
}

async fn create(context: &ActionContext<'_>, input: NewIssue) -> Result<Value> {
    let query = format!(
        "mutation($input: IssueCreateInput!) {{ issueCreate(input: $input) {{ success issue {{ {ISSUE_FIELDS} }} }} }}"
    );
    let request = HttpRequest::post_json("/graphql", &json!({"query": query, "variables": {"input": input}}))?;
    let response = context.send(request).await?;
    no_errors(&response)?;
    let answer: Value = response.json()?;
    match answer.pointer("/data/issueCreate/issue") {
        Some(issue) if !issue.is_null() => Ok(issue.clone()),
        _ => Err(Error::new(ErrorKind::Remote, "the API did not create the issue, and did not say why")),
    }
}

/// An issue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// Its id, a UUID.
    pub id: String,
    /// Its name for people, such as `ENG-7`.
    pub identifier: String,
    /// Its title.
    pub title: String,
    /// Its text, in Markdown.
    #[serde(default)]
    pub description: Option<String>,
    /// 0 (none) to 4 (low); 1 is urgent.
    #[serde(default)]
    pub priority: f64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was archived.
    #[serde(default)]
    pub archived_at: Option<DateTime<Utc>>,
    /// Whether it is in the bin.
    #[serde(default)]
    pub trashed: Option<bool>,
}

/// A team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Team {
    /// Its id, a UUID.
    pub id: String,
    /// The beginning of its issues' names, such as `ENG`.
    pub key: String,
    /// Its name.
    pub name: String,
}

/// A person or an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct User {
    /// Its id, a UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// Whether it may sign in.
    #[serde(default)]
    pub active: bool,
}
