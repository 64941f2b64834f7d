//! Slack: lists by cursor, messages newest first, replies by thread, errors with status 200.

use std::collections::{BTreeMap, BTreeSet};

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{PAGE, ok, page, time};
use crate::fake::{FakeApi, FakeRequest, json as answer, with_header};

/// A workspace of Slack.
#[derive(Debug)]
pub struct Slack {
    users: BTreeMap<String, Value>,
    /// Channels, and whether the app is a member of each.
    channels: BTreeMap<String, bool>,
    private: BTreeSet<String>,
    archived: BTreeSet<String>,
    /// The token's scopes. <https://docs.slack.dev/reference/scopes>
    pub scopes: BTreeSet<&'static str>,
    /// Messages in a page. Apps outside the Marketplace get 15, with one request a minute.
    /// <https://docs.slack.dev/apis/web-api/rate-limits>
    pub page: usize,
    /// How many requests are refused for the rate limit, and with which status: 429 as documented, or 200.
    limited: (u32, u16),
    /// Cursors of messages issued so far are refused (`invalid_cursor`) when this changes.
    pub cursor_generation: u64,
    /// Whether the token has expired. Slack says so with status 200. <https://docs.slack.dev/authentication/using-token-rotation>
    pub token_expired: bool,
    /// Messages by channel and `ts`.
    messages: BTreeMap<(String, String), Value>,
    /// Seconds since the beginning of 2026; advances with every message.
    pub now: u64,
    /// Replies that are written just after a thread was read: channel and thread.
    late: Vec<(String, String)>,
}

impl Default for Slack {
    fn default() -> Self {
        let scopes = ["users:read", "channels:read", "channels:history", "groups:read", "groups:history", "chat:write"];
        Slack {
            users: BTreeMap::new(),
            channels: BTreeMap::new(),
            private: BTreeSet::new(),
            archived: BTreeSet::new(),
            scopes: scopes.into(),
            page: PAGE,
            limited: (0, 429),
            cursor_generation: 0,
            token_expired: false,
            messages: BTreeMap::new(),
            now: 0,
            late: Vec::new(),
        }
    }
}

impl Slack {
    /// Refuses the next requests for the rate limit.
    pub fn limit_next(&mut self, requests: u32, status: u16) {
        self.limited = (requests, status);
    }

    /// Adds a private channel, with the app as a member.
    pub fn put_private_channel(&mut self, id: &str) {
        self.channels.insert(id.to_owned(), true);
        self.private.insert(id.to_owned());
    }

    /// Adds or changes a user.
    pub fn put_user(&mut self, id: &str, name: &str) {
        self.users.insert(id.to_owned(), json!({"id": id, "name": name, "deleted": false}));
    }

    /// Adds a channel, with the app as a member or not.
    pub fn put_channel(&mut self, id: &str, member: bool) {
        self.channels.insert(id.to_owned(), member);
    }

    /// Archives a channel, which removes its apps. <https://github.com/elastic/connectors/issues/1972>
    pub fn archive_channel(&mut self, id: &str) {
        self.channels.insert(id.to_owned(), false);
        self.archived.insert(id.to_owned());
    }

    /// Removes a channel.
    pub fn remove_channel(&mut self, id: &str) {
        self.channels.remove(id);
    }

    /// Writes a message a second later than the last one; returns its `ts`.
    pub fn post(&mut self, channel: &str, text: &str) -> String {
        self.write(channel, text, None)
    }

    /// Writes a reply in a thread; returns its `ts`.
    pub fn reply(&mut self, channel: &str, thread: &str, text: &str) -> String {
        self.write(channel, text, Some(thread))
    }

    /// Changes the text of a message.
    pub fn edit(&mut self, channel: &str, ts: &str, text: &str) {
        let message = self.messages.get_mut(&(channel.to_owned(), ts.to_owned())).expect("there is such a message");
        message["text"] = json!(text);
        message["edited"] = json!({"ts": ts});
    }

    /// Deletes a message.
    pub fn delete(&mut self, channel: &str, ts: &str) {
        self.messages.remove(&(channel.to_owned(), ts.to_owned()));
    }

    /// Writes a reply in a thread just after its next page was returned.
    pub fn reply_after_reading(&mut self, channel: &str, thread: &str) {
        self.late.push((channel.to_owned(), thread.to_owned()));
    }

    fn write(&mut self, channel: &str, text: &str, thread: Option<&str>) -> String {
        self.now += 1;
        let ts = format!("{}.000{:03}", 1_767_225_600 + self.now, self.now % 1000);
        let mut message = json!({"type": "message", "ts": ts, "user": "U1", "text": text});
        if let Some(thread) = thread {
            message["thread_ts"] = json!(thread);
        }
        self.messages.insert((channel.to_owned(), ts.clone()), message);
        ts
    }

    fn list(&self, items: Vec<Value>, member: &str, form: &BTreeMap<String, String>) -> HttpResponse {
        let (items, next) = page(&items, form.get("cursor").map(String::as_str));
        let next = next.unwrap_or_default();
        ok(&json!({"ok": true, member: items, "response_metadata": {"next_cursor": next}}))
    }

    /// Messages of a channel or a thread. A cursor names a time, as Slack's does (`next_ts:...`, encoded), so that what is
    /// written meanwhile moves nothing. <https://docs.slack.dev/apis/web-api/pagination>
    fn messages(&self, items: Vec<Value>, newest_first: bool, form: &BTreeMap<String, String>) -> HttpResponse {
        let ts = |message: &Value| message["ts"].as_str().unwrap_or_default().to_owned();
        let (oldest, latest) = (form.get("oldest"), form.get("latest"));
        let inclusive = form.get("inclusive").is_some_and(|text| text == "true" || text == "1");
        let mut items = items;
        items.retain(|message| {
            let ts = ts(message);
            oldest.is_none_or(|oldest| ts > *oldest || (inclusive && ts == *oldest))
                && latest.is_none_or(|latest| ts < *latest || (inclusive && ts == *latest))
                // The first message of a thread comes with every page of it.
                || (!newest_first && form.get("ts") == Some(&ts))
        });
        let prefix = format!("next_ts:{}:", self.cursor_generation);
        let from =
            match form.get("cursor").filter(|cursor| !cursor.is_empty()) {
                None => 0,
                Some(cursor) => match cursor.strip_prefix(&prefix) {
                    Some(next) => items
                        .iter()
                        .position(|message| {
                            if newest_first { ts(message).as_str() <= next } else { ts(message).as_str() >= next }
                        })
                        .unwrap_or(items.len()),
                    None => return refuse("invalid_cursor"),
                },
            };
        let limit = form.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100).min(self.page);
        let until = (from + limit).min(items.len());
        let next = items.get(until).map_or_else(String::new, |next| format!("{prefix}{}", ts(next)));
        ok(&json!({
            "ok": true, "messages": items[from..until], "has_more": until < items.len(),
            "response_metadata": {"next_cursor": next},
        }))
    }

    fn lacks(&self, scope: &str) -> Option<HttpResponse> {
        let provided = self.scopes.iter().copied().collect::<Vec<_>>().join(",");
        (!self.scopes.contains(scope))
            .then(|| ok(&json!({"ok": false, "error": "missing_scope", "needed": scope, "provided": provided})))
    }

    /// The scope that reading a channel needs: `channels:...` or `groups:...`.
    fn scope(&self, channel: &str, what: &str) -> String {
        format!("{}:{what}", if self.private.contains(channel) { "groups" } else { "channels" })
    }

    /// Returns the replies in a thread, oldest first.
    fn replies(&self, channel: &str, thread: &str) -> Vec<Value> {
        let of = |message: &&Value| message["thread_ts"] == thread;
        self.of(channel).filter(of).cloned().collect()
    }

    fn of<'s>(&'s self, channel: &'s str) -> impl DoubleEndedIterator<Item = &'s Value> + 's {
        self.messages.iter().filter(move |((known, _), _)| known == channel).map(|(_, message)| message)
    }

    /// Returns a message as the channel's list has it. The first of a thread counts its replies.
    fn listed(&self, channel: &str, message: &Value) -> Value {
        let replies = self.replies(channel, message["ts"].as_str().unwrap_or_default());
        let mut message = message.clone();
        if let Some(last) = replies.last() {
            message["thread_ts"] = message["ts"].clone();
            message["reply_count"] = json!(replies.len());
            message["latest_reply"] = last["ts"].clone();
        }
        message
    }

    fn history(&self, channel: &str, form: &BTreeMap<String, String>) -> HttpResponse {
        let messages = self.of(channel).rev().filter(|message| message["thread_ts"].is_null());
        self.messages(messages.map(|message| self.listed(channel, message)).collect(), true, form)
    }

    fn thread(&mut self, channel: &str, form: &BTreeMap<String, String>) -> HttpResponse {
        let thread = form.get("ts").cloned().unwrap_or_default();
        let Some(first) = self.messages.get(&(channel.to_owned(), thread.clone())) else {
            return refuse("thread_not_found");
        };
        let first = self.listed(channel, first);
        let messages = [first].into_iter().chain(self.replies(channel, &thread)).collect();
        let answer = self.messages(messages, false, form);
        for (channel, thread) in std::mem::take(&mut self.late) {
            self.reply(&channel, &thread, "One more thing");
        }
        answer
    }
}

impl FakeApi for Slack {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.header("authorization") != Some("Bearer token") {
            return refuse("not_authed");
        }
        if self.token_expired {
            return refuse("token_expired");
        }
        if let (1.., status) = self.limited {
            self.limited.0 -= 1;
            // <https://docs.slack.dev/apis/web-api/rate-limits#headers>
            let refusal = answer(status, json!({"ok": false, "error": "ratelimited"}).to_string());
            return with_header(refusal, "Retry-After", "60");
        }
        let form = request.form();
        let channel = form.get("channel").cloned().unwrap_or_default();
        let lacks = match request.segments().last().copied().unwrap_or_default() {
            "users.list" => self.lacks("users:read"),
            "conversations.list" => {
                let types = form.get("types").map_or("public_channel", String::as_str);
                types.split(',').find_map(|kind| {
                    self.lacks(if kind == "private_channel" { "groups:read" } else { "channels:read" })
                })
            }
            _ => self.lacks(&self.scope(&channel, "history")).filter(|_| self.channels.contains_key(&channel)),
        };
        if let Some(refusal) = lacks {
            return refusal;
        }
        match request.segments().last().copied().unwrap_or_default() {
            "users.list" => self.list(self.users.values().cloned().collect(), "members", &form),
            "conversations.list" => {
                let channels = self.channels.iter().map(|(id, member)| {
                    json!({"id": id, "name": id.to_lowercase(), "is_member": member, "created": time(0),
                        "is_private": self.private.contains(id), "is_archived": self.archived.contains(id)})
                });
                self.list(channels.collect(), "channels", &form)
            }
            "conversations.history" | "conversations.replies" if !self.channels.contains_key(&channel) => {
                refuse("channel_not_found")
            }
            "conversations.history" | "conversations.replies" if !self.channels[&channel] => refuse("not_in_channel"),
            "conversations.history" => self.history(&channel, &form),
            "conversations.replies" => self.thread(&channel, &form),
            _ => refuse("unknown_method"),
        }
    }
}

/// <https://docs.slack.dev/apis/web-api#evaluating-responses>
fn refuse(code: &str) -> HttpResponse {
    ok(&json!({"ok": false, "error": code}))
}
