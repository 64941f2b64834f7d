//! What Slack's events mean to its syncs (<https://docs.slack.dev/apis/events-api>).
//!
//! Events come at least once and in any order. Each has its time (`event_ts`, in the format of all times of Slack), so that a
//! late one never replaces a newer one.

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater_core::{Result, SourceVersion};
use highwater_template::records::{composite_id, string_at, text_at, value_at};
use highwater_template::webhooks::{WebhookEvent, WebhookReaction};
use highwater_template::{SourceDelete, SourceRecord};
use serde_json::value::RawValue;

use crate::common::read;

/// Members of a message's event that the message in a channel's list does not have.
const OF_THE_EVENT: [&str; 2] = ["channel_type", "event_ts"];

/// Messages, their changes and deletes: <https://docs.slack.dev/reference/events/message>, and the pages of its subtypes
/// `message_changed` and `message_deleted`. The next run reads what `message_replied` says about a thread's first message.
pub(super) fn messages(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    let nothing = WebhookReaction::new();
    let Some(inner) = Inner::of(event)? else { return Ok(if lost(event)? { nothing.request_run() } else { nothing }) };
    if inner.kind == "channel_history_changed" || inner.kind == "group_history_changed" {
        return Ok(nothing.request_run());
    }
    let (Some(channel), Some(ts)) = (inner.text("/channel")?, inner.text("/ts")?) else { return Ok(nothing) };
    if inner.kind != "message" || !wanted(event, &inner, &channel)? {
        return Ok(nothing);
    }
    let version = inner.version()?.unwrap_or(SourceVersion::Text(ts.into()));
    match inner.text("/subtype")?.as_deref() {
        Some("message_deleted") => {
            let id = composite_id([channel.as_str(), &string_at(inner.body, "/deleted_ts")?]);
            Ok(nothing.delete("Message", SourceDelete::new(id).version(version)))
        }
        Some("message_replied") => Ok(nothing),
        Some("message_changed") => match value_at(inner.body, "/message")? {
            Some(message) => save(event, &channel, message, version),
            None => Ok(nothing.request_run()),
        },
        _ => save(event, &channel, inner.body, version),
    }
}

/// Channels: events carry parts of them, so the list is read again, which every run reads completely.
pub(super) fn channels(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    let asked = match Inner::of(event)? {
        Some(inner) => {
            let of_channels = ["channel_", "group_"].iter().any(|prefix| inner.kind.starts_with(prefix));
            of_channels && !inner.kind.ends_with("_history_changed")
        }
        None => lost(event)?,
    };
    Ok(if asked { WebhookReaction::new().request_run() } else { WebhookReaction::new() })
}

/// Users: <https://docs.slack.dev/reference/events/user_change> and `team_join` carry the whole user.
pub(super) fn users(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    let nothing = WebhookReaction::new();
    let Some(inner) = Inner::of(event)? else { return Ok(if lost(event)? { nothing.request_run() } else { nothing }) };
    if inner.kind != "user_change" && inner.kind != "team_join" {
        return Ok(nothing);
    }
    let Some(user) = value_at(inner.body, "/user")?.filter(|user| user.starts_with(b"{")) else {
        return Ok(nothing.request_run());
    };
    let user = Bytes::copy_from_slice(user);
    Ok(match inner.version()? {
        Some(version) => nothing.save_at("User", user, version),
        None => nothing.save("User", user),
    })
}

/// The event within an `event_callback`.
struct Inner<'e> {
    kind: String,
    body: &'e [u8],
}

impl<'e> Inner<'e> {
    fn of(event: &WebhookEvent<'e>) -> Result<Option<Self>> {
        if text_at(event.body(), "/type")?.as_deref() != Some("event_callback") {
            return Ok(None);
        }
        let Some(body) = value_at(event.body(), "/event")? else { return Ok(None) };
        Ok(text_at(body, "/type")?.map(|kind| Inner { kind, body }))
    }

    fn text(&self, pointer: &str) -> Result<Option<String>> {
        text_at(self.body, pointer)
    }

    fn version(&self) -> Result<Option<SourceVersion>> {
        Ok(self.text("/event_ts")?.map(|ts| SourceVersion::Text(ts.into())))
    }
}

/// Returns whether Slack dropped events, because there were more than 30,000 in an hour
/// (<https://docs.slack.dev/reference/events/app_rate_limited>).
fn lost(event: &WebhookEvent<'_>) -> Result<bool> {
    Ok(text_at(event.body(), "/type")?.as_deref() == Some("app_rate_limited"))
}

/// Returns whether the sync reads this channel: one that was chosen, or any but direct messages.
fn wanted(event: &WebhookEvent<'_>, inner: &Inner<'_>, channel: &str) -> Result<bool> {
    let chosen = event.config("channels").unwrap_or_default();
    let mut chosen = chosen.split(',').map(str::trim).filter(|id| !id.is_empty()).peekable();
    if chosen.peek().is_some() {
        return Ok(chosen.any(|id| id == channel));
    }
    Ok(match inner.text("/channel_type")? {
        Some(kind) => kind == "channel" || kind == "group",
        None => channel.starts_with(['C', 'G']),
    })
}

fn save(event: &WebhookEvent<'_>, channel: &str, message: &[u8], version: SourceVersion) -> Result<WebhookReaction> {
    let (ts, thread) = (string_at(message, "/ts")?, text_at(message, "/thread_ts")?);
    let broadcast = text_at(message, "/subtype")?.as_deref() == Some("thread_broadcast");
    let is_reply = thread.is_some_and(|thread| thread != ts) && !broadcast;
    if is_reply && event.config("replies") == Some("false") {
        return Ok(WebhookReaction::new());
    }
    let mut members: BTreeMap<String, Box<RawValue>> = read(message)?;
    members.retain(|name, _| !OF_THE_EVENT.contains(&name.as_str()));
    members.insert("channel".to_owned(), read(serde_json::json!(channel).to_string().as_bytes())?);
    let record = serde_json::to_vec(&members).map_err(|source| {
        highwater_core::Error::new(highwater_core::ErrorKind::Internal, "the message cannot be written as JSON")
            .because(source)
    })?;
    let id = composite_id([channel, &ts]);
    Ok(WebhookReaction::new().save_at("Message", SourceRecord::with_id(id, record), version))
}
