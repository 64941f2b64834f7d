//! Google's three feeds of changes.

use std::collections::BTreeMap;

use highwater_template::HttpResponse;
use serde_json::{Value, json};

use super::{date, ok, page, refuse, time};
use crate::fake::{FakeApi, FakeRequest, with_header};

/// Google Calendar's events with sync tokens. A second passes with every change.
#[derive(Debug, Default)]
pub struct Calendar {
    /// Events by id, with the number of their last change; cancelled ones stay.
    events: BTreeMap<String, (u64, Value)>,
    serial: u64,
    /// Tokens before this one are refused (410).
    pub forgotten_before: u64,
    /// Whether such a token gets a 400 (invalid) instead. Undocumented, but reported by clients.
    pub forgets_by_400: bool,
    /// Page tokens of the list are of this generation; others are refused.
    pub page_generation: u64,
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

    /// Refuses every token issued so far.
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
            Some(Ok(token)) if token < self.forgotten_before && !self.forgets_by_400 => {
                // <https://developers.google.com/workspace/calendar/api/guides/sync#full_sync_required_by_server>
                return refuse(410, "Sync token is no longer valid, a full sync is required.");
            }
            Some(Ok(token)) if token >= self.forgotten_before => Some(token),
            Some(_) => return refuse(400, "Invalid sync token value."),
            None => None,
        };
        let mut found: Vec<&(u64, Value)> = self.events.values().collect();
        match (since, request.query("updatedMin")) {
            (Some(_), Some(_)) => return refuse(400, "updatedMin goes with no sync token"),
            (Some(since), None) => found.retain(|(changed, _)| *changed > since),
            (None, Some(least)) => found.retain(|(_, event)| event["updated"].as_str() >= Some(least)),
            // A first list has no cancelled events unless they are requested.
            (None, None) => found.retain(|(_, event)| event["status"] != "cancelled"),
        }
        let items: Vec<Value> = found.into_iter().map(|(_, event)| event.clone()).collect();
        let (items, next) = match paged(&items, request, self.page_generation) {
            Ok(page) => page,
            Err(refusal) => return refusal,
        };
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
    /// History before this is refused (404).
    /// <https://developers.google.com/workspace/gmail/api/guides/sync#limitations>
    pub forgotten_before: u64,
    /// Page tokens of the list are of this generation; others are refused.
    pub page_generation: u64,
}

impl Gmail {
    /// Adds a message.
    pub fn receive(&mut self, id: &str) {
        self.serial += 1;
        let message =
            json!({"id": id, "threadId": id, "labelIds": ["INBOX", "UNREAD"], "snippet": format!("Hello {id}")});
        self.messages.insert(id.to_owned(), message);
        self.history.push((self.serial, json!({"messagesAdded": [{"message": {"id": id, "threadId": id}}]})));
    }

    /// Marks a message as read.
    pub fn read(&mut self, id: &str) {
        self.serial += 1;
        if let Some(message) = self.messages.get_mut(id) {
            message["labelIds"] = json!(["INBOX"]);
        }
        let change = json!({"labelsRemoved": [{"message": {"id": id, "threadId": id}, "labelIds": ["UNREAD"]}]});
        self.history.push((self.serial, change));
    }

    /// Deletes a message for good.
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
                list("messages", &ids, request, None, self.page_generation)
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
                list("history", &changes.collect::<Vec<_>>(), request, Some(self.serial), 0)
            }
            _ => refuse(404, "not found"),
        }
    }
}

/// Google leaves an empty list out.
fn list(name: &str, items: &[Value], request: &FakeRequest, history: Option<u64>, generation: u64) -> HttpResponse {
    let (items, next) = match paged(items, request, generation) {
        Ok(page) => page,
        Err(refusal) => return refusal,
    };
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

/// A page of a list. Page tokens are good for some hours; one that is refused "should be discarded, and pagination should be
/// restarted from the first page of results". <https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list>
fn paged(
    items: &[Value],
    request: &FakeRequest,
    generation: u64,
) -> Result<(Vec<Value>, Option<String>), HttpResponse> {
    let token = match request.query("pageToken").map(|token| token.split_once('~').unwrap_or((token, "0"))) {
        None => None,
        Some((place, of)) if of == generation.to_string() => Some(place),
        Some(_) => return Err(refuse(400, "Invalid Value")),
    };
    let (items, next) = page(items, token);
    Ok((items, next.map(|next| if generation == 0 { next } else { format!("{next}~{generation}") })))
}

/// Google Drive's files and changes.
#[derive(Debug, Default)]
pub struct Drive {
    files: BTreeMap<String, Value>,
    changes: Vec<Value>,
    /// Page tokens of the list are of this generation; others are refused.
    pub page_generation: u64,
    /// Whether the list reports an `incompleteSearch` and leaves its last file out.
    /// <https://developers.google.com/workspace/drive/api/reference/rest/v3/files/list>
    pub incomplete_search: bool,
}

impl Drive {
    /// Adds or changes a file.
    pub fn put(&mut self, id: &str, name: &str, trashed: bool) {
        let file = json!({"id": id, "name": name, "mimeType": "text/plain", "trashed": trashed});
        self.files.insert(id.to_owned(), file.clone());
        self.changes.push(json!({"fileId": id, "removed": false, "file": file}));
    }

    fn list(&self, request: &FakeRequest) -> HttpResponse {
        let shown = self.files.len() - usize::from(self.incomplete_search);
        let files: Vec<Value> = self.files.values().take(shown).cloned().collect();
        match paged(&files, request, self.page_generation) {
            Ok((files, next)) => {
                let mut body = json!({"files": files, "incompleteSearch": self.incomplete_search});
                if let Some(next) = next {
                    body["nextPageToken"] = Value::from(next);
                }
                ok(&body)
            }
            Err(refusal) => refusal,
        }
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
            ["drive", "v3", "files"] => self.list(request),
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
