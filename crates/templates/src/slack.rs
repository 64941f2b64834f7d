//! Slack: users, channels, messages.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use highwater_core::template::{
    ActionContext, ActionInfo, AuthKind, ConfigKey, DesktopSignIn, HttpRequest, HttpResponse, LimitHabits, LogLevel,
    OAuth2, PageRecord, Pages, Paging, Place, Provider, SyncContext, TemplateInfo, composite_id, string_at, text_at,
};
use highwater_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::common::{
    DELETES_BY_EVERY_RUN, DELETES_BY_REFRESH, action, complete, listed, model, schema, template, whole, with_member,
};

template! {
    /// Users of the workspace; deactivated ones have `deleted: true`.
    Users, whole_list::<User>("users", "User", "A person or an application", "users:read"), fetch_users
}
template! {
    /// Channels.
    Channels, whole_list::<Channel>("channels", "Channel", "A channel", "channels:read"), fetch_channels
}
template! {
    /// Messages of channels.
    ///
    /// Slack lists messages by when they were written: later edits and deletes are seen as far back as
    /// `lookback_days` says, and by a full refresh.
    Messages, messages(), fetch_messages
}
action! {
    /// Posts a message.
    PostMessage, post_message(), post
}

/// Slack.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://slack.com/oauth/v2/authorize",
        "https://slack.com/api/oauth.v2.access",
        DesktopSignIn::Broker,
    );
    Provider::new("slack", "https://slack.com/api")
        .auth(AuthKind::bearer("a bot token (xoxb-...), from your app's OAuth & Permissions"))
        .auth(AuthKind::OAuth2(oauth))
        .limits(LimitHabits::new().lock_out(Duration::from_secs(60)))
        .docs("https://docs.slack.dev/apis/web-api")
}

fn whole_list<T: JsonSchema>(name: &str, model_name: &str, description: &str, scope: &str) -> TemplateInfo {
    let info = provider().template(name).description(format!("The workspace's {name}")).scope(scope);
    info.model_info(model::<T>(model_name, description)).deletes(DELETES_BY_EVERY_RUN)
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
        .config(ConfigKey::with_default("lookback_days", "how far back edits are looked for", "1"))
        .incremental("by `oldest`, per channel")
        .deletes(DELETES_BY_REFRESH)
        .every(Duration::from_secs(900))
}

async fn fetch_users(context: &mut SyncContext<'_>) -> Result<()> {
    whole(context, "User", pages("/users.list", "/members", &[]), &[]).await
}

async fn fetch_channels(context: &mut SyncContext<'_>) -> Result<()> {
    whole(context, "Channel", pages(CHANNELS.0, "/channels", &[("types", CHANNELS.1)]), &[]).await
}

const CHANNELS: (&str, &str) = ("/conversations.list", "public_channel,private_channel");

/// A list of Slack: its methods take their arguments as a form.
fn pages(method: &str, records: &str, arguments: &[(&str, &str)]) -> Pages {
    let fields = [("limit", "200")].into_iter().chain(arguments.iter().copied());
    let paging = Paging::Cursor {
        at: "/response_metadata/next_cursor".to_owned(),
        to: Place::Form("cursor".to_owned()),
        more: None,
    };
    Pages::new(HttpRequest::new("POST", method).form(fields), paging).records_at(records).check(ok)
}

async fn fetch_messages(context: &mut SyncContext<'_>) -> Result<()> {
    let days: u64 = context.config("lookback_days")?.parse().map_err(|source| {
        Error::new(ErrorKind::Invalid, "the setting `lookback_days` is a whole number").because(source)
    })?;
    let mut known: BTreeMap<String, String> = context.last_checkpoint()?.unwrap_or_default();
    for channel in channels(context).await? {
        let newest = messages_of(context, &channel, known.get(&channel), days, &known).await?;
        if let Some(newest) = newest {
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

/// Saves a channel's messages, newest first; returns the newest `ts`. The checkpoint is the one of the channels that
/// are done: it never moves before a channel is.
async fn messages_of(
    context: &mut SyncContext<'_>,
    channel: &str,
    since: Option<&String>,
    days: u64,
    done: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    let oldest = since.map(|since| before(since, days)).transpose()?;
    let mut arguments = vec![("channel", channel)];
    if let Some(oldest) = &oldest {
        arguments.extend([("oldest", oldest.as_str()), ("inclusive", "true")]);
    }
    let mut pages = pages("/conversations.history", "/messages", &arguments);
    let mut newest = since.cloned();
    loop {
        let page = match pages.next(context).await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            // A channel that the app was thrown out of ends no sync of the others. A full refresh must not take it for
            // empty, though.
            Err(error) if error.context("error") == Some("not_in_channel") && !context.is_full_refresh() => {
                context.log(LogLevel::Warning, format!("channel {channel}: the app is not a member; passed over"));
                break;
            }
            Err(error) => return Err(error),
        };
        let mut records = Vec::with_capacity(page.records.len());
        for message in &page.records {
            let ts = string_at(message, "/ts")?;
            // Slack writes `ts` as ten digits, a point and six digits: their order is the order of the texts.
            newest = newest.max(Some(ts.clone()));
            let id = composite_id([channel, ts.as_str()]);
            records.push(PageRecord::with_id(id, with_member(message, "channel", &channel)?));
        }
        if !done.is_empty() {
            context.checkpoint(done)?;
        }
        context.apply("Message", records, Vec::new()).await?;
    }
    Ok(newest)
}

/// Slack reports faults in an answer of status 200.
fn ok(response: &HttpResponse) -> Result<()> {
    let Some(code) = text_at(&response.body, "/error")? else { return Ok(()) };
    let kind = match code.as_str() {
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" | "missing_scope" => {
            ErrorKind::Unauthorized
        }
        "channel_not_found" => ErrorKind::NotFound,
        "ratelimited" => ErrorKind::RateLimited,
        _ => ErrorKind::Remote,
    };
    Err(response.refusal(kind, "Slack refuses the request").with("error", code))
}

fn before(ts: &str, days: u64) -> Result<String> {
    let seconds: i64 = ts.split('.').next().and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::new(ErrorKind::Remote, "Slack sent a message whose `ts` cannot be read").with("ts", ts)
    })?;
    let back = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400);
    let since = DateTime::from_timestamp(seconds.saturating_sub(back).max(0), 0).map_or(0, |time| time.timestamp());
    Ok(format!("{since}.000000"))
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct NewMessage {
    /// The channel's id.
    channel: String,
    /// The message, in Slack's markup.
    text: String,
    /// The `ts` of the message it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread_ts: Option<String>,
}

fn post_message() -> ActionInfo {
    let info = provider().action("post_message").description("Posts a message").scope("chat:write");
    info.input(schema::<NewMessage>()).output(json!({"type": "object", "required": ["ok", "ts"]}))
}

async fn post(context: &ActionContext<'_>, input: NewMessage) -> Result<Value> {
    let response = context.send(HttpRequest::post_json("/chat.postMessage", &input)?).await?;
    ok(&response)?;
    response.json()
}

/// A person or an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its full name.
    #[serde(default)]
    pub real_name: Option<String>,
    /// Whether it was deactivated.
    #[serde(default)]
    pub deleted: bool,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it was archived.
    #[serde(default)]
    pub is_archived: bool,
    /// Whether it is private.
    #[serde(default)]
    pub is_private: bool,
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
