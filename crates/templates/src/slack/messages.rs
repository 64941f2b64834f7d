//! Messages of channels, and the replies in their threads.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::records::{composite_id, string_at, text_at};
use highwater_template::{ConfigKey, LogLevel, SourceRecord, SyncContext, TemplateInfo};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CHANNELS, events, pages, provider};
use crate::common::{DELETES_BY_REFRESH, complete, listed, model, schemas, template, with_member};

schemas!("slack": Message);

template! {
    /// Messages of channels.
    ///
    /// Slack lists messages by the time they were written, and the replies of each thread separately. Later edits, and replies in
    /// old threads, are found as far back as `lookback_days` says, and by a full refresh.
    Messages, messages(), fetch_messages, events::messages
}
fn messages() -> TemplateInfo {
    provider()
        .template("messages")
        .description("Messages of channels that the app is a member of")
        .scope("channels:history")
        .scope("channels:read")
        .scope("groups:history")
        .scope("groups:read")
        .model_info(model::<Message>("Message", "A message; its id is made of its channel and its `ts`"))
        .config(ConfigKey::optional(
            "channels",
            "ids of channels, separated by commas; by default all channels of which the app is a member",
        ))
        .config(ConfigKey::with_default("lookback_days", "how far back edits and answers are looked for", "1"))
        .config(ConfigKey::with_default("replies", "whether answers in threads are read: true or false", "true"))
        .incremental("by `oldest`, per channel")
        .deletes(DELETES_BY_REFRESH)
        .interval(Duration::from_secs(900))
}

/// The settings.
#[derive(Clone, Copy)]
struct Settings {
    /// How far back edits and replies are looked for.
    days: u64,
    replies: bool,
}

/// The state of the channels: the newest `ts` of each that was read to its end.
type Known = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    /// As earlier versions stored it.
    Known(Known),
    Checkpoint {
        channels: Known,
        reading: Option<Place>,
    },
}

/// Where a channel continues. Messages come newest first, so everything from `latest` on is saved. Unlike Slack's cursors, a time
/// does not expire.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Place {
    channel: String,
    /// The newest `ts` of the channel, once it is read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
    /// The oldest message that is saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<String>,
    /// The newest reply to it that is saved, where there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replies: Option<String>,
}

impl Place {
    fn checkpoint(&self, context: &mut SyncContext<'_>, known: &Known) -> Result<()> {
        context.checkpoint(&json!({"channels": known, "reading": self}))
    }
}

async fn fetch_messages(context: &mut SyncContext<'_>) -> Result<()> {
    let days: u64 = context.config("lookback_days")?.parse().map_err(|source| {
        Error::new(ErrorKind::Invalid, "the setting `lookback_days` has to be a whole number").because(source)
    })?;
    let replies: bool = context.config("replies")?.parse().map_err(|source| {
        Error::new(ErrorKind::Invalid, "the setting `replies` has to be `true` or `false`").because(source)
    })?;
    let settings = Settings { days, replies };
    let (mut known, reading) = match context.last_checkpoint()? {
        None => (Known::new(), None),
        Some(Stored::Known(known)) => (known, None),
        Some(Stored::Checkpoint { channels, reading }) => (channels, reading),
    };
    let place = |channel| (Place { channel, ..Place::default() }, &settings);
    let just_new = Settings { days: 0, ..settings };
    let mut places: Vec<(Place, &Settings)> = channels(context).await?.into_iter().map(place).collect();
    // An interrupted run continues with the channel that it was reading, so that every channel is reached however short the runs are.
    if let Some(reading) = reading
        && let Some(turn) = places.iter().position(|(place, _)| place.channel == reading.channel)
    {
        places.rotate_left(turn);
        // Read again at the end, for what was written since the interruption.
        let again = std::mem::replace(&mut places[0].0, reading);
        places.push((again, &just_new));
    }
    for (place, settings) in places {
        let channel = place.channel.clone();
        if let Some(newest) = messages_of(context, settings, &known, place).await? {
            known.insert(channel, newest);
        }
    }
    context.checkpoint(&json!({"channels": known}))?;
    complete(context, "Message").await
}

async fn channels(context: &mut SyncContext<'_>) -> Result<Vec<String>> {
    let chosen: Vec<String> = listed(context, "channels").into_iter().map(str::to_owned).collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let mut pages = pages(CHANNELS.0, "/channels", &[("types", CHANNELS.1)]);
    let mut found = Vec::new();
    while let Some(page) = pages.next(context).await? {
        // Slack does not show messages of channels that the app is not a member of.
        let channels = context.read_each("Message", page.records, |channel| {
            let is = |pointer| Ok::<_, Error>(text_at(channel, pointer)?.as_deref() == Some("true"));
            let left_out = text_at(channel, "/is_member")?.as_deref() == Some("false");
            Ok((string_at(channel, "/id")?, left_out, is("/is_archived")?))
        });
        for (id, left_out, archived) in channels {
            if !left_out {
                found.push(id);
            } else if archived {
                // Archiving a channel removes its apps, but its messages still exist.
                context.mark_uncertain("Message", "an archived channel shows its messages to no app");
            }
        }
    }
    Ok(found)
}

/// Saves a channel's messages, newest first, and their replies. Returns the newest `ts`.
async fn messages_of(
    context: &mut SyncContext<'_>,
    settings: &Settings,
    known: &Known,
    mut place: Place,
) -> Result<Option<String>> {
    let channel = place.channel.clone();
    let since = known.get(&channel);
    let oldest = since.map(|since| before(since, settings.days)).transpose()?;
    let bounds = [("oldest", oldest), ("latest", place.latest.clone())];
    let bounds: Vec<(&str, String)> = bounds.into_iter().filter_map(|(name, ts)| Some((name, ts?))).collect();
    let mut arguments = vec![("channel", channel.as_str()), ("inclusive", "true")];
    arguments.extend(bounds.iter().map(|(name, ts)| (*name, ts.as_str())));
    let mut pages = pages("/conversations.history", "/messages", &arguments);
    loop {
        let page = match pages.next(context).await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            // A channel that the app was removed from must not end the sync of the others, and its messages still exist.
            Err(error) if error.context("error") == Some("not_in_channel") => {
                context.log(LogLevel::Warning, format!("channel {channel}: the app is not a member; passed over"));
                context.mark_uncertain("Message", format!("the app is not a member of channel {channel}"));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let messages = read_messages(context, &channel, page.records);
        // Only as the first page had it: a later reply, in a thread that was read before, has to be newer than this.
        if place.newest.is_none() {
            let times = messages.iter().flat_map(|message| [Some(&message.ts), message.latest_reply.as_ref()]);
            place.newest = times.flatten().max().max(since).cloned();
        }
        let unread = |message: &&Read| {
            let latest = message.latest_reply.as_ref().filter(|_| settings.replies);
            latest.is_some_and(|latest| since.is_none_or(|since| latest > since))
        };
        let threads: Vec<(String, Option<String>)> =
            messages.iter().filter(unread).map(|message| (message.ts.clone(), message.latest_reply.clone())).collect();
        let last = messages.last().map(|message| message.ts.clone());
        let records = messages.into_iter().map(|message| message.record).collect();
        // The position moves with what was read: with the page, or with the replies to each of its messages.
        if let (true, Some(last)) = (threads.is_empty(), &last) {
            (place.latest, place.replies) = (Some(last.clone()), None);
        }
        place.checkpoint(context, known)?;
        context.apply("Message", records, Vec::new()).await?;
        for (thread, latest_reply) in threads {
            if place.latest.as_ref() != Some(&thread) {
                (place.latest, place.replies) = (Some(thread), None);
            }
            if place.replies < latest_reply {
                replies_to(context, known, &mut place, latest_reply).await?;
            }
        }
        if place.latest != last && last.is_some() {
            (place.latest, place.replies) = (last, None);
            place.checkpoint(context, known)?;
            context.apply("Message", Vec::new(), Vec::new()).await?;
        }
    }
    Ok(place.newest)
}

/// Saves the replies to the message at `place`, after those that are saved. The first message of a thread, and replies that were
/// also sent to the channel, are in the channel's list.
async fn replies_to(
    context: &mut SyncContext<'_>,
    known: &Known,
    place: &mut Place,
    latest_reply: Option<String>,
) -> Result<()> {
    let (channel, thread) = (place.channel.clone(), place.latest.clone().unwrap_or_default());
    let mut arguments = vec![("channel", channel.as_str()), ("ts", thread.as_str())];
    let behind = place.replies.clone();
    arguments.extend(behind.as_deref().map(|behind| ("oldest", behind)));
    let mut pages = pages("/conversations.replies", "/messages", &arguments);
    loop {
        let page = match pages.next(context).await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            // It was deleted after the channel's list was read.
            Err(error) if error.context("error") == Some("thread_not_found") => break,
            Err(error) => return Err(error),
        };
        let mut replies = read_messages(context, &channel, page.records);
        replies.retain(|reply| reply.ts != thread);
        let newest = replies.iter().map(|reply| reply.ts.clone()).max().max(place.replies.take());
        // At the end, all replies that the channel's list counted are saved, even if the newest was deleted meanwhile.
        place.replies = if page.next.is_none() { newest.max(latest_reply.clone()) } else { newest };
        replies.retain(|reply| !reply.broadcast);
        place.checkpoint(context, known)?;
        context.apply("Message", replies.into_iter().map(|reply| reply.record).collect(), Vec::new()).await?;
    }
    Ok(())
}

/// The parts of a message that are used here. Slack writes a `ts` as ten digits, a point and six digits, so texts sort as times.
struct Read {
    ts: String,
    latest_reply: Option<String>,
    /// Whether it is a reply that was also sent to the channel.
    broadcast: bool,
    record: SourceRecord,
}

fn read_messages(context: &mut SyncContext<'_>, channel: &str, messages: Vec<Bytes>) -> Vec<Read> {
    context.read_each("Message", messages, |message| {
        let ts = string_at(message, "/ts")?;
        let record = SourceRecord::with_id(composite_id([channel, &ts]), with_member(message, "channel", &channel)?);
        let broadcast = text_at(message, "/subtype")?.as_deref() == Some("thread_broadcast");
        Ok(Read { ts, latest_reply: text_at(message, "/latest_reply")?, broadcast, record })
    })
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
