//! Messages of channels, and the answers in their threads.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use highwater_core::template::{
    ConfigKey, FetchedPage, LogLevel, PageRecord, SyncContext, TemplateInfo, composite_id, string_at, text_at,
};
use highwater_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CHANNELS, events, pages, provider};
use crate::common::{DELETES_BY_REFRESH, complete, listed, model, template, with_member};

template! {
    /// Messages of channels.
    ///
    /// Slack lists messages by when they were written, and the answers of each thread by themselves: later edits, and
    /// answers to old threads, are seen as far back as `lookback_days` says, and by a full refresh.
    Messages, messages(), fetch_messages, events::messages
}
fn messages() -> TemplateInfo {
    provider()
        .template("messages")
        .description("Messages of channels that the app is a member of")
        .scope("channels:history")
        .scope("channels:read")
        .model_info(model::<Message>("Message", "A message; its id is made of its channel and its `ts`"))
        .config(ConfigKey::optional(
            "channels",
            "ids of channels, parted by commas; all the app is a member of unless given",
        ))
        .config(ConfigKey::with_default("lookback_days", "how far back edits and answers are looked for", "1"))
        .config(ConfigKey::with_default("replies", "whether answers in threads are read: true or false", "true"))
        .incremental("by `oldest`, per channel")
        .deletes(DELETES_BY_REFRESH)
        .every(Duration::from_secs(900))
}

/// What of a channel a run reads.
struct Reading<'r> {
    channel: &'r str,
    /// The newest `ts` that the last run knew of.
    since: Option<&'r str>,
    days: u64,
    replies: bool,
    /// The checkpoint of the channels that are done: it never moves before a channel is.
    done: &'r BTreeMap<String, String>,
}

async fn fetch_messages(context: &mut SyncContext<'_>) -> Result<()> {
    let days: u64 = context.config("lookback_days")?.parse().map_err(|source| {
        Error::new(ErrorKind::Invalid, "the setting `lookback_days` is a whole number").because(source)
    })?;
    let replies: bool = context.config("replies")?.parse().map_err(|source| {
        Error::new(ErrorKind::Invalid, "the setting `replies` is `true` or `false`").because(source)
    })?;
    let mut known: BTreeMap<String, String> = context.last_checkpoint()?.unwrap_or_default();
    for channel in channels(context).await? {
        let since = known.get(&channel).map(String::as_str);
        let reading = Reading { channel: &channel, since, days, replies, done: &known };
        if let Some(newest) = messages_of(context, &reading).await? {
            known.insert(channel, newest);
        }
    }
    context.checkpoint(&known)?;
    complete(context, "Message").await
}

async fn channels(context: &SyncContext<'_>) -> Result<Vec<String>> {
    let chosen: Vec<String> = listed(context, "channels").into_iter().map(str::to_owned).collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let mut pages = pages(CHANNELS.0, "/channels", &[("types", CHANNELS.1)]);
    let mut found = Vec::new();
    while let Some(page) = pages.next(context).await? {
        for channel in &page.records {
            if text_at(channel, "/is_member")?.as_deref() != Some("false") {
                found.push(string_at(channel, "/id")?);
            }
        }
    }
    Ok(found)
}

/// Saves a channel's messages, newest first, and their answers; returns the newest `ts` that is known of all.
async fn messages_of(context: &mut SyncContext<'_>, reading: &Reading<'_>) -> Result<Option<String>> {
    let oldest = reading.since.map(|since| before(since, reading.days)).transpose()?;
    let mut arguments = vec![("channel", reading.channel)];
    if let Some(oldest) = &oldest {
        arguments.extend([("oldest", oldest.as_str()), ("inclusive", "true")]);
    }
    let mut pages = pages("/conversations.history", "/messages", &arguments);
    let mut newest = None;
    loop {
        let page = match pages.next(context).await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            // A channel that the app was thrown out of ends no sync of the others. A full refresh must not take it for
            // empty, though.
            Err(error) if error.context("error") == Some("not_in_channel") && !context.is_full_refresh() => {
                let channel = reading.channel;
                context.log(LogLevel::Warning, format!("channel {channel}: the app is not a member; passed over"));
                break;
            }
            Err(error) => return Err(error),
        };
        // Only what the first page knew: an answer given later, in a thread read before, must be newer than this.
        if newest.is_none() {
            newest = Some(newest_of(&page)?.max(reading.since.map(str::to_owned)).unwrap_or_default());
        }
        save(context, reading, &page.records).await?;
        for message in &page.records {
            let latest = text_at(message, "/latest_reply")?.filter(|_| reading.replies);
            if latest.is_some_and(|latest| reading.since.is_none_or(|since| latest.as_str() > since)) {
                replies_to(context, reading, &string_at(message, "/ts")?).await?;
            }
        }
    }
    Ok(newest.filter(|newest| !newest.is_empty()))
}

/// Saves the answers of a thread. Its first message, and answers sent to the channel too, are in the channel's list.
async fn replies_to(context: &mut SyncContext<'_>, reading: &Reading<'_>, thread: &str) -> Result<()> {
    let arguments = [("channel", reading.channel), ("ts", thread)];
    let mut pages = pages("/conversations.replies", "/messages", &arguments);
    loop {
        let page = match pages.next(context).await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            // It was deleted since the channel's list was read.
            Err(error) if error.context("error") == Some("thread_not_found") => break,
            Err(error) => return Err(error),
        };
        let mut replies = Vec::with_capacity(page.records.len());
        for message in page.records {
            let broadcast = text_at(&message, "/subtype")?.as_deref() == Some("thread_broadcast");
            if !broadcast && string_at(&message, "/ts")? != thread {
                replies.push(message);
            }
        }
        save(context, reading, &replies).await?;
    }
    Ok(())
}

async fn save(context: &mut SyncContext<'_>, reading: &Reading<'_>, messages: &[Bytes]) -> Result<()> {
    let mut records = Vec::with_capacity(messages.len());
    for message in messages {
        let id = composite_id([reading.channel, &string_at(message, "/ts")?]);
        records.push(PageRecord::with_id(id, with_member(message, "channel", &reading.channel)?));
    }
    if !reading.done.is_empty() {
        context.checkpoint(reading.done)?;
    }
    context.apply("Message", records, Vec::new()).await.map(drop)
}

/// The newest `ts` that a page knows of. Slack writes it as ten digits, a point and six digits: the order of times is
/// the order of the texts.
fn newest_of(page: &FetchedPage) -> Result<Option<String>> {
    let mut newest = None;
    for message in &page.records {
        newest = newest.max(Some(string_at(message, "/ts")?)).max(text_at(message, "/latest_reply")?);
    }
    Ok(newest)
}

fn before(ts: &str, days: u64) -> Result<String> {
    let seconds: i64 = ts.split('.').next().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::new(ErrorKind::Remote, "Slack sent a message whose `ts` cannot be read").with("ts", ts)
    })?;
    let back = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400);
    let since = DateTime::from_timestamp(seconds.saturating_sub(back).max(0), 0).map_or(0, |time| time.timestamp());
    Ok(format!("{since}.000000"))
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Its channel.
    pub channel: String,
    /// When it was written, and its name within the channel.
    pub ts: String,
    /// Who wrote it.
    #[serde(default)]
    pub user: Option<String>,
    /// Its text.
    #[serde(default)]
    pub text: String,
    /// The `ts` of the message it answers.
    #[serde(default)]
    pub thread_ts: Option<String>,
}
