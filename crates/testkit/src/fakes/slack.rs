//! Slack: lists by cursor, messages newest first, answers by thread; faults with status 200.

use std::collections::BTreeMap;

use highwater_core::template::HttpResponse;
use serde_json::{Value, json};

use super::{ok, page, time};
use crate::fake::{FakeApi, FakeRequest};

/// A workspace of Slack.
#[derive(Debug, Default)]
pub struct Slack {
    users: BTreeMap<String, Value>,
    /// Channels, and whether the app is a member of each.
    channels: BTreeMap<String, bool>,
    /// Messages by channel and `ts`.
    messages: BTreeMap<(String, String), Value>,
    /// Seconds since the beginning of 2026; goes on with every message.
    pub now: u64,
    /// Answers that are written to a thread just after it was read: channel and thread.
    late: Vec<(String, String)>,
}

impl Slack {
    /// Adds or changes a user.
    pub fn put_user(&mut self, id: &str, name: &str) {
        self.users.insert(id.to_owned(), json!({"id": id, "name": name, "deleted": false}));
    }

    /// Adds a channel, with the app as a member or not.
    pub fn put_channel(&mut self, id: &str, member: bool) {
        self.channels.insert(id.to_owned(), member);
    }

    /// Removes a channel.
    pub fn remove_channel(&mut self, id: &str) {
        self.channels.remove(id);
    }

    /// Writes a message a second later than the last one; returns its `ts`.
    pub fn post(&mut self, channel: &str, text: &str) -> String {
        self.write(channel, text, None)
    }

    /// Writes an answer in a thread; returns its `ts`.
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

    /// Lets somebody answer in a thread just after the next page of it was given.
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

    /// The answers in a thread, oldest first.
    fn replies(&self, channel: &str, thread: &str) -> Vec<Value> {
        let of = |message: &&Value| message["thread_ts"] == thread;
        self.of(channel).filter(of).cloned().collect()
    }

    fn of<'s>(&'s self, channel: &'s str) -> impl DoubleEndedIterator<Item = &'s Value> + 's {
        self.messages.iter().filter(move |((known, _), _)| known == channel).map(|(_, message)| message)
    }

    /// A message as the channel's list has it: the first of a thread tells of the answers.
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
        let oldest = form.get("oldest").map_or("", String::as_str);
        let messages = self
            .of(channel)
            .rev()
            .filter(|message| message["thread_ts"].is_null() && message["ts"].as_str().is_some_and(|ts| ts >= oldest));
        self.list(messages.map(|message| self.listed(channel, message)).collect(), "messages", form)
    }

    fn thread(&mut self, channel: &str, form: &BTreeMap<String, String>) -> HttpResponse {
        let thread = form.get("ts").cloned().unwrap_or_default();
        let Some(first) = self.messages.get(&(channel.to_owned(), thread.clone())) else {
            return refuse("thread_not_found");
        };
        let first = self.listed(channel, first);
        let messages = [first].into_iter().chain(self.replies(channel, &thread)).collect();
        let answer = self.list(messages, "messages", form);
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
        let form = request.form();
        let channel = form.get("channel").cloned().unwrap_or_default();
        match request.segments().last().copied().unwrap_or_default() {
            "users.list" => self.list(self.users.values().cloned().collect(), "members", &form),
            "conversations.list" => {
                let channel = |(id, member): (&String, &bool)| json!({"id": id, "name": id.to_lowercase(), "is_member": member, "created": time(0)});
                self.list(self.channels.iter().map(channel).collect(), "channels", &form)
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

fn refuse(code: &str) -> HttpResponse {
    ok(&json!({"ok": false, "error": code}))
}
