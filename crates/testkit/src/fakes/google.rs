//! Google's three feeds of changes.

use std::collections::BTreeMap;

use highwater_core::template::HttpResponse;
use serde_json::{Value, json};

use super::{date, ok, page, refuse, time};
use crate::fake::{FakeApi, FakeRequest, with_header};

/// Google Calendar's events with sync tokens. A second passes with every change.
#[derive(Debug, Default)]
pub struct Calendar {
    /// Events by id, with the number of their last change; cancelled ones stay.
    events: BTreeMap<String, (u64, Value)>,
    serial: u64,
    /// Tokens before this one are forgotten (410).
    pub forgotten_before: u64,
}

impl Calendar {
    /// Adds or changes an event.
    pub fn put(&mut self, id: &str, summary: &str) {
        self.serial += 1;
        let event = json!({"id": id, "status": "confirmed", "summary": summary, "updated": time(self.serial)});
        self.events.insert(id.to_owned(), (self.serial, event));
    }

    /// Cancels an event.
    pub fn cancel(&mut self, id: &str) {
        self.serial += 1;
        let event = json!({"id": id, "status": "cancelled", "updated": time(self.serial)});
        self.events.insert(id.to_owned(), (self.serial, event));
    }

    /// Forgets every token given so far.
    pub fn forget(&mut self) {
        self.serial += 1;
        self.forgotten_before = self.serial;
    }
}

impl FakeApi for Calendar {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.segments() != ["calendar", "v3", "calendars", "primary", "events"] {
            return refuse(404, "not found");
        }
        let since: Option<u64> = match request.query("syncToken").map(str::parse) {
            Some(Ok(token)) if token < self.forgotten_before => return refuse(410, "Sync token is no longer valid"),
            Some(Ok(token)) => Some(token),
            Some(Err(_)) => return refuse(400, "invalid sync token"),
            None => None,
        };
        let mut found: Vec<&(u64, Value)> = self.events.values().collect();
        match (since, request.query("updatedMin")) {
            (Some(_), Some(_)) => return refuse(400, "updatedMin goes with no sync token"),
            (Some(since), None) => found.retain(|(changed, _)| *changed > since),
            (None, Some(least)) => found.retain(|(_, event)| event["updated"].as_str() >= Some(least)),
            // A first list has no cancelled events, unless one asks for them.
            (None, None) => found.retain(|(_, event)| event["status"] != "cancelled"),
        }
        let items: Vec<Value> = found.into_iter().map(|(_, event)| event.clone()).collect();
        let (items, next) = page(&items, request.query("pageToken"));
        let answer = match next {
            Some(next) => json!({"items": items, "nextPageToken": next}),
            None => json!({"items": items, "nextSyncToken": self.serial.to_string()}),
        };
        with_header(ok(&answer), "Date", date(self.serial))
    }
}

/// Gmail's messages and history.
#[derive(Debug, Default)]
pub struct Gmail {
    messages: BTreeMap<String, Value>,
    history: Vec<(u64, Value)>,
    serial: u64,
    /// History before this is forgotten (404).
    pub forgotten_before: u64,
}

impl Gmail {
    /// A message arrives.
    pub fn receive(&mut self, id: &str) {
        self.serial += 1;
        let message =
            json!({"id": id, "threadId": id, "labelIds": ["INBOX", "UNREAD"], "snippet": format!("Hello {id}")});
        self.messages.insert(id.to_owned(), message);
        self.history.push((self.serial, json!({"messagesAdded": [{"message": {"id": id, "threadId": id}}]})));
    }

    /// A message is read.
    pub fn read(&mut self, id: &str) {
        self.serial += 1;
        if let Some(message) = self.messages.get_mut(id) {
            message["labelIds"] = json!(["INBOX"]);
        }
        let change = json!({"labelsRemoved": [{"message": {"id": id, "threadId": id}, "labelIds": ["UNREAD"]}]});
        self.history.push((self.serial, change));
    }

    /// A message is deleted for good.
    pub fn delete(&mut self, id: &str) {
        self.serial += 1;
        self.messages.remove(id);
        self.history.push((self.serial, json!({"messagesDeleted": [{"message": {"id": id, "threadId": id}}]})));
    }
}

impl FakeApi for Gmail {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        match request.segments().as_slice() {
            ["gmail", "v1", "users", "me", "profile"] => ok(&json!({"historyId": self.serial.to_string()})),
            ["gmail", "v1", "users", "me", "messages"] => {
                let ids: Vec<Value> = self.messages.keys().map(|id| json!({"id": id, "threadId": id})).collect();
                list("messages", &ids, request, None)
            }
            ["gmail", "v1", "users", "me", "messages", id] => match self.messages.get(*id) {
                Some(message) => ok(message),
                None => refuse(404, "Requested entity was not found."),
            },
            ["gmail", "v1", "users", "me", "history"] => {
                let Some(since) = request.number("startHistoryId") else { return refuse(400, "startHistoryId") };
                if since < self.forgotten_before {
                    return refuse(404, "Requested entity was not found.");
                }
                let changes = self.history.iter().filter(|(at, _)| *at > since).map(|(_, change)| change.clone());
                list("history", &changes.collect::<Vec<_>>(), request, Some(self.serial))
            }
            _ => refuse(404, "not found"),
        }
    }
}

/// Google leaves an empty list out.
fn list(name: &str, items: &[Value], request: &FakeRequest, history: Option<u64>) -> HttpResponse {
    let (items, next) = page(items, request.query("pageToken"));
    let mut body = json!({});
    if !items.is_empty() {
        body[name] = Value::from(items.clone());
    }
    if let Some(next) = next {
        body["nextPageToken"] = Value::from(next);
    }
    match history {
        Some(history) => body["historyId"] = Value::from(history.to_string()),
        None => body["resultSizeEstimate"] = Value::from(items.len()),
    }
    ok(&body)
}

/// Google Drive's files and changes.
#[derive(Debug, Default)]
pub struct Drive {
    files: BTreeMap<String, Value>,
    changes: Vec<Value>,
}

impl Drive {
    /// Adds or changes a file.
    pub fn put(&mut self, id: &str, name: &str, trashed: bool) {
        let file = json!({"id": id, "name": name, "mimeType": "text/plain", "trashed": trashed});
        self.files.insert(id.to_owned(), file.clone());
        self.changes.push(json!({"fileId": id, "removed": false, "file": file}));
    }

    /// Removes a file for good.
    pub fn remove(&mut self, id: &str) {
        self.files.remove(id);
        self.changes.push(json!({"fileId": id, "removed": true}));
    }
}

impl FakeApi for Drive {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        match request.segments().as_slice() {
            ["drive", "v3", "changes", "startPageToken"] => {
                ok(&json!({"startPageToken": self.changes.len().to_string()}))
            }
            ["drive", "v3", "files"] => list("files", &self.files.values().cloned().collect::<Vec<_>>(), request, None),
            ["drive", "v3", "changes"] => {
                let Some(token) = request.query("pageToken") else { return refuse(400, "pageToken is required") };
                let (changes, next) = page(&self.changes, Some(token));
                match next {
                    Some(next) => ok(&json!({"changes": changes, "nextPageToken": next})),
                    None => ok(&json!({"changes": changes, "newStartPageToken": self.changes.len().to_string()})),
                }
            }
            _ => refuse(404, "not found"),
        }
    }
}
