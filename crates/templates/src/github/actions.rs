//! Writing to GitHub.

use highwater_core::Result;
use highwater_template::HttpRequest;
use highwater_template::actions::{ActionContext, ActionInfo};
use highwater_template::http::escape;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Comment, Issue, owner, provider, repo};
use crate::common::{HasSchema, action, schema, schemas};

schemas!("github": IssueToClose, NewComment, NewIssue);

action! {
    /// Opens an issue.
    CreateIssue, describe::<NewIssue, Issue>("create_issue", "Opens an issue"), create
}

action! {
    /// Closes an issue.
    CloseIssue, describe::<IssueToClose, Issue>("close_issue", "Closes an issue"), close
}

action! {
    /// Comments on an issue or a pull request.
    CommentOnIssue, describe::<NewComment, Comment>("comment", "Comments on an issue or a pull request"), comment
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct NewIssue {
    /// Its title.
    title: String,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// Names of its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    /// Accounts it is assigned to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    assignees: Vec<String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct IssueToClose {
    /// Its number in the repository.
    number: u64,
    /// `completed` or `not_planned`.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct NewComment {
    /// The issue's number in the repository.
    number: u64,
    /// The comment's text.
    body: String,
}

fn describe<I: HasSchema, O: HasSchema>(name: &str, description: &str) -> ActionInfo {
    let info = provider().action(name).description(description).scope("repo").config(owner()).config(repo());
    info.input(schema::<I>()).output(schema::<O>())
}

fn path(context: &ActionContext<'_>, rest: &str) -> Result<String> {
    Ok(format!("/repos/{}/{}/{rest}", escape(context.config("owner")?), escape(context.config("repo")?)))
}

async fn create(context: &ActionContext<'_>, input: NewIssue) -> Result<Value> {
    context.send(HttpRequest::post_json(path(context, "issues")?, &input)?).await?.json()
}

async fn close(context: &ActionContext<'_>, input: IssueToClose) -> Result<Value> {
    let reason = input.reason.as_deref().unwrap_or("completed");
    let request = HttpRequest::new("PATCH", path(context, &format!("issues/{}", input.number))?);
    context.send(request.json(&json!({"state": "closed", "state_reason": reason}))?).await?.json()
}

async fn comment(context: &ActionContext<'_>, input: NewComment) -> Result<Value> {
    let path = path(context, &format!("issues/{}/comments", input.number))?;
    context.send(HttpRequest::post_json(path, &json!({"body": input.body}))?).await?.json()
}
