//! Templates over the simulated API, one per style of reading.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use highwater_core::{Error, ErrorKind, RecordId, Result};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::webhooks::{WebhookEvent, WebhookReaction, WebhookScheme};
use highwater_template::{HttpRequest, HttpResponse, SourceRecord, SyncContext, Template, TemplateInfo, Window};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use crate::disk::NAMES;
use crate::plan::{CONNECTIONS, Style};

pub(crate) const MODEL: &str = "Item";

/// The provider of every connection.
pub(crate) const PROVIDER: &str = "source";

/// The sync of every connection.
pub(crate) const SYNC: &str = "source/items";

/// Where the API of a connection is.
pub(crate) fn base_url(connection: &str) -> String {
    format!("https://{connection}.example")
}

/// More than the source's greatest delay.
const OVERLAP: Duration = Duration::from_secs(120);

/// The most pages in one run: an API that never ends must not hold a run forever.
const MAX_PAGES: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Items {
    info: TemplateInfo,
    /// How each connection is read.
    styles: [Style; CONNECTIONS],
}

impl Items {
    pub(crate) fn new(styles: [Style; CONNECTIONS], signs_in: bool) -> Self {
        let mut info = TemplateInfo::new(PROVIDER, "items", base_url(NAMES[0]));
        info.provider = info.provider.webhooks(WebhookScheme::GitHub);
        if signs_in {
            let [authorize, token] = ["authorize", "token"].map(|path| format!("{}/{path}", base_url(NAMES[0])));
            let oauth = OAuth2::new(authorize, token, DesktopSignIn::PkcePublic);
            info.provider = info.provider.auth(AuthKind::OAuth2(oauth));
        }
        Items { info: info.model(MODEL, "A record"), styles }
    }

    fn style(&self, connection: &str) -> Style {
        self.styles[usize::from(connection == NAMES[1])]
    }
}

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        match self.style(context.connection()) {
            Style::Offset => by_offset(context).await,
            Style::Keyset => listing(context, "keyset", json!({}), false).await.map(drop),
            Style::Since => since(context).await,
            Style::Feed => feed(context).await,
        }
    }

    fn webhook(&self, event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        let body: Value = event.json()?;
        let reaction = WebhookReaction::new();
        Ok(match self.style(body["source"].as_str().unwrap_or_default()) {
            // The next listing corrects what a late event leaves behind.
            Style::Offset | Style::Keyset if body["item"].is_null() => {
                reaction.delete(MODEL, body["id"].as_str().unwrap_or_default())
            }
            Style::Offset | Style::Keyset => reaction.save(MODEL, Bytes::from(body["item"].to_string())),
            // Records already read would not be read again.
            Style::Since | Style::Feed => reaction.request_run(),
        })
    }
}

/// A valid page: it says whether another follows.
#[derive(Deserialize)]
struct Page {
    /// Verbatim: a bad record does not make the page bad.
    #[serde(skip)]
    records: Vec<Bytes>,
    deleted: Vec<String>,
    next: Value,
    token: u64,
    /// The API says that the list is longer than what it returns.
    #[serde(default)]
    incomplete: bool,
}

async fn page(context: &mut SyncContext<'_>, request: HttpRequest) -> Result<Page> {
    let response: HttpResponse = context.send(request).await?;
    let page: Page = response.json()?;
    Ok(Page { records: response.elements_at("/items")?, ..page })
}

fn member(record: &Bytes, name: &str) -> Result<Value> {
    let value: Value = serde_json::from_slice(record)
        .map_err(|source| Error::new(ErrorKind::Remote, "the API sent a record that is not JSON").because(source))?;
    Ok(value[name].clone())
}

/// Reads everything by offset: each page must begin with the last record of the previous one, or the run fails.
async fn by_offset(context: &mut SyncContext<'_>) -> Result<()> {
    let mut from = 0;
    let mut last = Value::Null;
    for _ in 0..MAX_PAGES {
        let overlap = usize::from(from > 0);
        let request = HttpRequest::get("/offset").query("from", (from - overlap).to_string());
        let page = page(context, request).await?;
        let ids: Vec<Value> = page.records.iter().map(|record| member(record, "id")).collect::<Result<_>>()?;
        if overlap > 0 && ids.first() != Some(&last) {
            return Err(Error::new(ErrorKind::Remote, "the list moved while it was read: read it again"));
        }
        from += ids.len() - overlap;
        last = ids.last().cloned().unwrap_or(Value::Null);
        context.save(MODEL, page.records).await?;
        if page.next.is_null() {
            return context.complete(MODEL).await;
        }
    }
    Err(Error::new(ErrorKind::Remote, "the list does not end"))
}

/// Reads everything, each page after the last id. `resumable` decides whether it continues after an interruption.
/// Returns the checkpoint's state at the end.
async fn listing(context: &mut SyncContext<'_>, path: &str, mut state: Value, resumable: bool) -> Result<Value> {
    let mut window = Window::new(state["newest"].as_str(), OVERLAP, context.started_at())?;
    for _ in 0..MAX_PAGES {
        let after = state["after"].as_str().unwrap_or("").to_owned();
        let page = page(context, HttpRequest::get(format!("/{path}")).query("after", after)).await?;
        if state["token"].is_null() {
            state["token"] = page.token.into();
        }
        let records = timed(context, &mut window, page.records);
        if page.incomplete {
            context.mark_incomplete(MODEL, "the list has a cap");
            context.apply(MODEL, records, Vec::new()).await?;
            // Only a list that is read from the start each time may end this way: the others start over.
            if resumable {
                return Err(Error::new(ErrorKind::Remote, "the list has a cap"));
            }
            if context.is_full_refresh() {
                // Nothing is deleted, whatever is declared now.
                context.complete(MODEL).await?;
            }
            return Ok(state);
        }
        state["newest"] = window.checkpoint().into();
        state["after"] = page.next.clone();
        if resumable && !page.next.is_null() {
            context.checkpoint(&json!({"listing": state}))?;
        }
        context.apply(MODEL, records, Vec::new()).await?;
        if page.next.is_null() {
            if context.is_full_refresh() {
                context.complete(MODEL).await?;
            }
            return Ok(state);
        }
    }
    Err(Error::new(ErrorKind::Remote, "the list does not end"))
}

/// Returns the records whose times can be read, and records these; the others are set aside.
fn timed(context: &mut SyncContext<'_>, window: &mut Window, records: Vec<Bytes>) -> Vec<SourceRecord> {
    context.read_each(MODEL, records, |record| {
        window.observe(&time_of(record)?)?;
        Ok(SourceRecord::from(record.clone()))
    })
}

fn time_of(record: &Bytes) -> Result<String> {
    let unreadable = || Error::new(ErrorKind::Remote, "the API sent a time that cannot be read");
    let at_ms = member(record, "updated")?.as_i64().ok_or_else(unreadable)?;
    Ok(DateTime::from_timestamp_millis(at_ms).unwrap_or_default().to_rfc3339())
}

async fn since(context: &mut SyncContext<'_>) -> Result<()> {
    let last: Value = context.last_checkpoint()?.unwrap_or_else(|| json!({"listing": {}}));
    if let Some(state) = last.get("listing") {
        let state = listing(context, "keyset", state.clone(), true).await?;
        return context.checkpoint(&json!({"newest": state["newest"]}));
    }
    let mut window = Window::new(last["newest"].as_str(), OVERLAP, context.started_at())?;
    let from = window.since_rfc3339_millis().and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
    let from = from.map_or(0, |time| time.timestamp_millis());
    let mut behind = Value::Null;
    for _ in 0..MAX_PAGES {
        let mut request = HttpRequest::get("/since").query("since", from.to_string());
        if let (Some(at), Some(id)) = (behind[0].as_u64(), behind[1].as_str()) {
            request = request.query("at", at.to_string()).query("id", id);
        }
        let page = page(context, request).await?;
        let records = timed(context, &mut window, page.records);
        context.checkpoint(&json!({"newest": window.checkpoint()}))?;
        context.apply(MODEL, records, Vec::new()).await?;
        behind = page.next;
        if behind.is_null() {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Remote, "the list does not end"))
}

async fn feed(context: &mut SyncContext<'_>) -> Result<()> {
    let last: Value = context.last_checkpoint()?.unwrap_or_else(|| json!({"listing": {}}));
    if let Some(state) = last.get("listing") {
        let state = listing(context, "snapshot", state.clone(), true).await?;
        return context.checkpoint(&json!({"token": state["token"]}));
    }
    let mut token = last["token"].as_u64().unwrap_or(0);
    for _ in 0..MAX_PAGES {
        let page = page(context, HttpRequest::get("/changes").query("token", token.to_string())).await?;
        token = page.token;
        context.checkpoint(&json!({"token": token}))?;
        let records = page.records.into_iter().map(Into::into).collect();
        context.apply(MODEL, records, page.deleted.into_iter().map(RecordId::from).collect()).await?;
        if page.next.is_null() {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Remote, "the feed does not end"))
}
