//! The source of truth: an API over changing records, with every known misbehaviour.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::disk::NAMES;
use crate::issuer::Issuer;
use crate::mischief::{self, Pages};
use crate::plan::Knob;
use crate::receivers::Receivers;
use crate::shared::Shared;

/// How late a change can become visible: less than the templates' overlap.
const LATE_MS: u64 = 60_000;

/// A record at the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Grows with every write at the source.
    pub(crate) version: u64,
    pub(crate) value: u64,
    pub(crate) created: u64,
    pub(crate) updated_ms: u64,
    /// Not shown before this time.
    visible_ms: u64,
}

#[derive(Debug, Default)]
struct Source {
    items: BTreeMap<String, Item>,
    /// Version and id of each delete the feed still knows.
    deletes: BTreeMap<u64, String>,
    /// The feed has forgotten changes up to here.
    feed_from: u64,
    version: u64,
    narrow: bool,
    /// The connection that it is the source of.
    name: &'static str,
    /// The events for webhooks, the latest last.
    events: Vec<Event>,
    /// When each id was last absent, or not shown: true time, for the check of deletes.
    absent: BTreeMap<String, u64>,
}

/// A change, as a webhook reports it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) body: String,
}

/// Events that may still be delivered.
const EVENTS: usize = 40;

impl Source {
    fn tell(&mut self, id: &str, item: Option<&Item>) {
        let item: Value = item.and_then(|item| serde_json::from_str(&text(id, item)).ok()).unwrap_or_default();
        let event = Event {
            id: format!("e{}", self.version),
            body: json!({"id": id, "item": item, "source": self.name}).to_string(),
        };
        self.events.push(event);
        let surplus = self.events.len().saturating_sub(EVENTS);
        self.events.drain(..surplus);
    }
}

/// The API of one connection.
#[derive(Debug)]
pub(crate) struct Api {
    shared: Arc<Shared>,
    source: Mutex<Source>,
    pub(crate) issuer: Issuer,
}

impl Api {
    pub(crate) fn new(shared: &Arc<Shared>, name: &'static str) -> Arc<Self> {
        let source = Mutex::new(Source { name, ..Source::default() });
        let api = Arc::new(Api { shared: Arc::clone(shared), source, issuer: Issuer::default() });
        for n in 0..shared.plan.records {
            api.put(&format!("r{n}"), 0);
        }
        api
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        lock(&self.source)
    }

    /// Some writes by others.
    pub(crate) fn write(&self, writes: u8) {
        for _ in 0..writes {
            let id = format!("r{}", self.shared.below(self.shared.plan.records + 6));
            if self.shared.below(4) == 0 {
                self.delete(&id);
            } else {
                self.put(&id, self.shared.below(3) as u64);
            }
        }
    }

    fn put(&self, id: &str, value: u64) {
        let now_ms = self.shared.true_ms();
        let late = if self.shared.chance(Knob::LateVisibility, 40) { self.shared.below(LATE_MS as usize) } else { 0 };
        let mut source = self.source();
        let updated_ms = if self.shared.plan.has(Knob::CoarseTime) { now_ms / 1000 * 1000 } else { now_ms };
        source.version += 1;
        let created = source.items.get(id).map_or(source.version, |item| item.created);
        if !source.items.contains_key(id) {
            source.absent.insert(id.to_owned(), now_ms);
        }
        let version = source.version;
        let item = Item { version, value, created, updated_ms, visible_ms: now_ms + late as u64 };
        source.tell(id, Some(&item));
        source.items.insert(id.to_owned(), item);
    }

    fn delete(&self, id: &str) {
        let now_ms = self.shared.true_ms();
        let mut source = self.source();
        if source.items.remove(id).is_some() {
            source.version += 1;
            let version = source.version;
            source.deletes.insert(version, id.to_owned());
            source.absent.insert(id.to_owned(), now_ms);
            source.tell(id, None);
        }
    }

    /// One of the latest events.
    pub(crate) fn event(&self, pick: u8) -> Option<Event> {
        let source = self.source();
        let count = source.events.len();
        // Mostly one of the very latest.
        let back = if pick < 192 { usize::from(pick) % 4 } else { usize::from(pick) % EVENTS };
        source.events.get(count.checked_sub(back + 1)?).cloned()
    }

    pub(crate) fn narrow(&self, narrow: bool) {
        let now_ms = self.shared.true_ms();
        let mut source = self.source();
        if source.narrow && !narrow {
            // They were not visible until now.
            let hidden: Vec<String> = source.items.keys().filter(|id| id.len() > 2).cloned().collect();
            source.absent.extend(hidden.into_iter().map(|id| (id, now_ms)));
        }
        source.narrow = narrow;
    }

    pub(crate) fn forget_feed(&self) {
        let mut source = self.source();
        source.feed_from = source.version;
        source.deletes.clear();
    }

    /// The current records, as values by id.
    pub(crate) fn truth(&self) -> BTreeMap<String, (u64, u64)> {
        self.source().items.iter().map(|(id, item)| (id.clone(), (item.version, item.value))).collect()
    }

    /// Whether the API has at some time since then not shown the record.
    pub(crate) fn was_absent_since(&self, id: &str, since_ms: u64) -> bool {
        let source = self.source();
        source.items.get(id).is_none_or(|item| item.visible_ms > since_ms)
            || source.absent.get(id).is_some_and(|at| *at >= since_ms)
            || source.narrow
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let url = request.url.strip_prefix("https://").unwrap_or_default();
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let get = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).filter(|text| !text.is_empty())
        };
        let number = |name: &str| get(name).and_then(|text| text.parse::<u64>().ok());
        let path = url.split(['?']).next().and_then(|url| url.split_once('/')).map_or("", |(_, path)| path);
        if path == "changes" {
            return self.changes(number("token").unwrap_or(0));
        }
        let size = self.shared.plan.page_size;
        let now_ms = self.shared.true_ms();
        let source = self.source();
        // A feed's own listing is a snapshot.
        let shown = |item: &Item| item.visible_ms <= now_ms || path == "snapshot";
        let mut found: Vec<(&String, &Item)> =
            source.items.iter().filter(|(id, item)| shown(item) && !(source.narrow && id.len() > 2)).collect();
        if found.len() < source.items.len() && source.items.values().any(|item| !shown(item)) {
            self.shared.reached("changed shown late");
        }
        let next = match path {
            "offset" => {
                // Pages overlap by one.
                let size = size.max(2);
                let from = number("from").unwrap_or(0) as usize;
                found.sort_by_key(|(_, item)| item.created);
                let rest = found.len().saturating_sub(from);
                found = found.into_iter().skip(from).take(size).collect();
                (rest > size).then(|| json!(from + size))
            }
            "since" => {
                let since = number("since").unwrap_or(0);
                let after = (number("at").unwrap_or(0), get("id").unwrap_or(""));
                found.retain(|(id, item)| item.updated_ms >= since && (item.updated_ms, id.as_str()) > after);
                found.sort_by_key(|(id, item)| (item.updated_ms, id.as_str()));
                if found.windows(2).any(|pair| pair[0].1.updated_ms == pair[1].1.updated_ms) {
                    self.shared.reached("ties in time");
                }
                let more = found.len() > size;
                found.truncate(size);
                found.last().filter(|_| more).map(|(id, item)| json!([item.updated_ms, id]))
            }
            _ => {
                let after = get("after").unwrap_or("");
                found.retain(|(id, _)| id.as_str() > after);
                let more = found.len() > size;
                found.truncate(size);
                found.last().filter(|_| more).map(|(id, _)| json!(id))
            }
        };
        // A feed's first token: changes after the beginning of the listing are reported again.
        let token = source.version;
        self.page(&found, &[], next, token, path != "offset")
    }

    fn changes(&self, token: u64) -> HttpResponse {
        let size = self.shared.plan.page_size;
        let source = self.source();
        if token < source.feed_from {
            self.shared.reached("source token expired");
            return HttpResponse::new(410, Vec::new(), r#"{"error":"gone"}"#);
        }
        let mut changed: Vec<(u64, &String)> = source.deletes.iter().map(|(version, id)| (*version, id)).collect();
        changed.extend(source.items.iter().map(|(id, item)| (item.version, id)));
        changed.retain(|(version, _)| *version > token);
        changed.sort_unstable();
        let more = changed.len() > size;
        changed.truncate(size);
        let token = changed.last().map_or(token, |(version, _)| *version);
        let mut items = Vec::new();
        let mut deleted = Vec::new();
        for (version, id) in changed {
            match source.items.get(id) {
                Some(item) if item.version == version => items.push((id, item)),
                // Deleted and restored since: its current state comes later in the feed.
                Some(_) => {}
                None => deleted.push(id.clone()),
            }
        }
        self.page(&items, &deleted, more.then(|| json!(token)), token, true)
    }

    fn page(
        &self,
        items: &[(&String, &Item)],
        deleted: &[String],
        next: Option<Value>,
        token: u64,
        messy: bool,
    ) -> HttpResponse {
        let shared = &self.shared;
        let mut texts: Vec<String> = items.iter().map(|(id, item)| self.spelled(id, item)).collect();
        if messy && !texts.is_empty() && shared.chance(Knob::Duplicates, 20) {
            shared.reached("duplicate in a page");
            texts.push(texts[shared.below(texts.len())].clone());
        }
        if messy && shared.chance(Knob::Unsorted, 50) {
            shared.shuffle(&mut texts);
        }
        let next = next.unwrap_or(Value::Null);
        let mut body = format!(
            r#"{{"items":[{}],"deleted":{},"next":{next},"token":{token}}}"#,
            texts.join(","),
            Value::from(deleted)
        );
        if shared.chance(Knob::Truncated, 6) {
            shared.reached("truncated body");
            body.truncate(shared.below(body.len()));
        }
        HttpResponse::new(200, Vec::new(), body)
    }

    fn spelled(&self, id: &str, item: &Item) -> String {
        if !self.shared.chance(Knob::Respelled, 50) {
            return text(id, item);
        }
        self.shared.reached("respelled");
        let Item { version, value, updated_ms, .. } = item;
        format!(
            r#"{{ "value":{value}.0, "kind":"\u0{:03x}", "version":{version}e0,"updated":{updated_ms}, "id" : "{id}"}}"#,
            kind(*value) as u32
        )
    }
}

/// A record as the API returns it.
fn text(id: &str, item: &Item) -> String {
    let Item { version, value, updated_ms, .. } = item;
    let kind = kind(*value);
    format!(r#"{{"id":"{id}","version":{version},"value":{value},"kind":"{kind}","updated":{updated_ms}}}"#)
}

/// The member that the filtered consumer filters by.
pub(crate) fn kind(value: u64) -> char {
    if value == 1 { 'x' } else { 'y' }
}

/// Transports requests to the APIs, with faults.
#[derive(Debug)]
pub(crate) struct SimTransport {
    pub(crate) shared: Arc<Shared>,
    pub(crate) apis: Vec<Arc<Api>>,
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) life: u64,
    pub(crate) pages: Pages,
}

impl SimTransport {
    /// A delivery of a webhook, in flight to its receiver.
    async fn deliver(&self, place: usize, request: &HttpRequest) -> Result<HttpResponse> {
        let row = self.receivers.sent(place, request);
        self.shared.gate(self.life, "delivery").await;
        let answer = self.receivers.answer(row, self.life).await;
        self.shared.gate(self.life, "answer to a delivery").await;
        answer
    }
}

#[async_trait]
impl Transport for SimTransport {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        if let Some(place) = self.receivers.place(&request) {
            return self.deliver(place, &request).await;
        }
        let shared = &self.shared;
        shared.gate(self.life, "request").await;
        let connection = usize::from(request.url.starts_with("https://b."));
        if !NAMES.iter().any(|name| request.url.starts_with(&format!("https://{name}.example/"))) {
            shared.broken("origins", format!("{} was asked for, which is of no API here", request.url));
        }
        let api = &self.apis[connection];
        if request.url.ends_with(".example/token") {
            return api.issuer.answer(shared, &request, self.life).await;
        }
        if shared.chance(Knob::Timeouts, 5) {
            shared.reached("timeout before the effect");
            tokio::time::sleep(Duration::from_secs(30)).await;
            return Err(Error::new(ErrorKind::Unavailable, "the API did not answer in time"));
        }
        if let Some(odd) = mischief::instead(shared, &request) {
            shared.note(|| format!("{} -> {} {:?}", request.url, odd.status, odd.headers));
            shared.gate(self.life, "answer").await;
            return Ok(odd);
        }
        mischief::arrived(&mut request);
        if shared.plan.has(Knob::SignIn)
            && let Some(refused) = api.issuer.admit(shared, &request)
        {
            shared.note(|| format!("{} -> {}", request.url, refused.status));
            shared.gate(self.life, "answer").await;
            return Ok(refused);
        }
        let answer = self.pages.changed(shared, &request, api.answer(&request));
        shared.note(|| format!("{} -> {} {}", request.url, answer.status, String::from_utf8_lossy(&answer.body)));
        if shared.chance(Knob::Drift, 30) {
            shared.reached("drift between pages");
            api.write(1 + shared.below(3) as u8);
        }
        shared.gate(self.life, "answer").await;
        if shared.chance(Knob::Timeouts, 5) {
            shared.reached("timeout after the effect");
            return Err(Error::new(ErrorKind::Unavailable, "the API's answer broke off"));
        }
        if shared.chance(Knob::ServerErrors, 8) {
            shared.reached("server error");
            return Ok(HttpResponse::new([500, 502, 503][shared.below(3)], Vec::new(), "oops"));
        }
        if shared.chance(Knob::RateLimits, 8) {
            shared.reached("rate limit");
            let headers = vec![("Retry-After".to_owned(), shared.below(30).to_string())];
            return Ok(HttpResponse::new(429, headers, "slow down"));
        }
        if shared.chance(Knob::ErrorInside200, 4) {
            shared.reached("error inside a 200");
            return Ok(HttpResponse::new(200, Vec::new(), r#"{"error":"try again later"}"#));
        }
        if answer.status == 200
            && shared.chance(Knob::EmptyPages, 15)
            && let Some(empty) = empty_page(&request)
        {
            shared.reached("empty page with a next one");
            return Ok(empty);
        }
        Ok(answer)
    }
}

/// An empty page that points to the same place again.
fn empty_page(request: &HttpRequest) -> Option<HttpResponse> {
    let query = request.url.split_once('?').map_or("", |(_, query)| query);
    let get = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
    let (next, token) = if request.url.contains("/changes") {
        let token: u64 = get("token").parse().ok()?;
        (json!(token), token)
    } else if request.url.contains("/keyset") || request.url.contains("/snapshot") {
        (json!(get("after")), 0)
    } else {
        return None;
    };
    let body = json!({"items": [], "deleted": [], "next": next, "token": token, "empty": true});
    Some(HttpResponse::new(200, Vec::new(), body.to_string()))
}
