//! What GitHub's webhooks mean to its syncs. An event that carries the whole record saves it; others request
//! a run.

use bytes::Bytes;
use highwater_core::Result;
use highwater_template::records::{text_at, value_at};
use highwater_template::webhooks::{WebhookEvent, WebhookReaction};

pub(super) fn issues(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    record(event, "issues", "Issue", "/issue")
}

pub(super) fn comments(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    record(event, "issue_comment", "Comment", "/comment")
}

pub(super) fn pull_requests(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    // Not the same record as in the list.
    run(event, &["pull_request", "pull_request_review"])
}

pub(super) fn releases(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    run(event, &["release"])
}

fn record(event: &WebhookEvent<'_>, name: &str, model: &str, pointer: &str) -> Result<WebhookReaction> {
    let reaction = WebhookReaction::new();
    if event.header("x-github-event") != Some(name) || !of_repository(event)? {
        return Ok(reaction);
    }
    let Some(record) = value_at(event.body(), pointer)? else { return Ok(reaction) };
    // It belongs to another repository now, or to none.
    if matches!(text_at(event.body(), "/action")?.as_deref(), Some("deleted" | "transferred")) {
        return Ok(reaction.delete_record(model, Bytes::copy_from_slice(record)));
    }
    Ok(reaction.save(model, Bytes::copy_from_slice(record)))
}

fn run(event: &WebhookEvent<'_>, names: &[&str]) -> Result<WebhookReaction> {
    let ours = event.header("x-github-event").is_some_and(|name| names.contains(&name)) && of_repository(event)?;
    Ok(if ours { WebhookReaction::new().request_run() } else { WebhookReaction::new() })
}

/// One webhook may serve every repository of an organisation.
fn of_repository(event: &WebhookEvent<'_>) -> Result<bool> {
    let is = |pointer: &str, setting: &str| -> Result<bool> {
        let found = text_at(event.body(), pointer)?;
        Ok(found.zip(event.config(setting)).is_some_and(|(found, wanted)| found.eq_ignore_ascii_case(wanted)))
    };
    Ok(is("/repository/owner/login", "owner")? && is("/repository/name", "repo")?)
}
