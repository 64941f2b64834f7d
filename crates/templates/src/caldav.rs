//! CalDAV: the entries of a calendar, by sync token (RFC 6578, RFC 4791).

mod xml;

use std::time::Duration;

use bytes::Bytes;
use highwater_core::template::{
    AuthKind, ConfigKey, HttpRequest, HttpResponse, PageRecord, Provider, SyncContext, TemplateInfo, TokenUse,
};
use highwater_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{complete, model, template};
use xml::{Entry, MultiStatus};

/// Entries fetched with one request.
const CHUNK: usize = 100;

template! {
    /// Entries of a calendar (events, tasks), each with its iCalendar text.
    ///
    /// A server that knows the sync token tells what changed and what is gone; one that does not refuses it, and the next
    /// run begins anew.
    Entries, info(), fetch
}

/// CalDAV: Radicale, Nextcloud, Fastmail, iCloud, ...
pub fn provider() -> Provider {
    Provider::new("caldav", "https://{host}")
        .auth(AuthKind::basic("your account's name and password, or an app password"))
        .auth(AuthKind::bearer("an access token"))
        .docs("https://www.rfc-editor.org/rfc/rfc6578")
}

fn info() -> TemplateInfo {
    provider()
        .template("entries")
        .token(TokenUse::Optional)
        .description("Entries of a calendar")
        .model_info(model::<CalendarEntry>("Entry", "An event or a task; its id is its path on the server"))
        .config(ConfigKey::required("host", "the server's name"))
        .config(ConfigKey::required("calendar", "the calendar's path, such as /dav/calendars/me/work/"))
        .incremental("by sync token")
        .deletes("told by the server")
        .every(Duration::from_secs(300))
}

/// An entry of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalendarEntry {
    /// Its path on the server.
    pub id: String,
    /// The server's name for this version of it.
    pub etag: String,
    /// Its iCalendar text.
    pub calendar_data: String,
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let calendar = context.config("calendar")?.to_owned();
    let mut token: String = context.last_checkpoint()?.unwrap_or_default();
    loop {
        let changes = changes(context, &calendar, &token).await?;
        let mut chunks = changes.changed.chunks(CHUNK).peekable();
        let mut deleted = changes.deleted;
        while let Some(chunk) = chunks.next() {
            let (entries, gone) = entries(context, &calendar, chunk).await?;
            deleted.extend(gone);
            if chunks.peek().is_some() {
                context.apply("Entry", entries, Vec::new()).await?;
            } else {
                // With the last of what the token tells, the token itself.
                context.checkpoint(&changes.token)?;
                context.apply("Entry", entries, std::mem::take(&mut deleted)).await?;
            }
        }
        if changes.changed.is_empty() {
            context.checkpoint(&changes.token)?;
            context.apply("Entry", Vec::new(), deleted).await?;
        }
        if !changes.truncated || changes.token == token {
            break;
        }
        token = changes.token;
    }
    complete(context, "Entry").await
}

struct Changes {
    changed: Vec<String>,
    deleted: Vec<String>,
    token: String,
    truncated: bool,
}

async fn changes(context: &SyncContext<'_>, calendar: &str, token: &str) -> Result<Changes> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><d:sync-collection xmlns:d=\"DAV:\"><d:sync-token>{}</d:sync-token>\
         <d:sync-level>1</d:sync-level><d:prop><d:getetag/></d:prop></d:sync-collection>",
        xml::escaped(token)
    );
    // RFC 6578 3.2: the report is defined for depth 0 alone, whatever `sync-level` says; other depths get a 400.
    let request = report(calendar, body).header("depth", "0").accepting(403).accepting(409).accepting(412);
    let response = context.send(request).await?;
    // RFC 6578 §3.2: a token that the server does not take is a failed precondition.
    if matches!(response.status, 403 | 409 | 412) && !token.is_empty() && says_token(&response) {
        return Err(response
            .refusal(ErrorKind::SourceReset, "the server forgot the sync token: everything has to be read again"));
    }
    let answer = xml::multi_status(&response.successful()?.body)?;
    let token = answer.sync_token.clone().ok_or_else(|| {
        Error::new(ErrorKind::Remote, "the server gave no sync token: it does not support sync-collection")
    })?;
    let mut found = Changes { changed: Vec::new(), deleted: Vec::new(), token, truncated: false };
    for Entry { href, status, etag, .. } in answer.entries {
        match status {
            Some(404 | 410) => found.deleted.push(href),
            // The server has more, to be asked for with the new token.
            Some(507) => found.truncated = true,
            // The collection itself may be listed; it has no version.
            _ if href.trim_end_matches('/') == calendar.trim_end_matches('/') || etag.is_none() => {}
            _ => found.changed.push(href),
        }
    }
    Ok(found)
}

/// The entries at these paths, and the paths of those that are gone meanwhile.
async fn entries(
    context: &SyncContext<'_>,
    calendar: &str,
    hrefs: &[String],
) -> Result<(Vec<PageRecord>, Vec<String>)> {
    let wanted: String = hrefs.iter().map(|href| format!("<d:href>{}</d:href>", xml::escaped(href))).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><c:calendar-multiget xmlns:d=\"DAV:\" xmlns:c=\"urn:ietf:params:xml:ns:caldav\">\
         <d:prop><d:getetag/><c:calendar-data/></d:prop>{wanted}</c:calendar-multiget>"
    );
    let MultiStatus { entries, .. } = xml::multi_status(&context.send(report(calendar, body)).await?.body)?;
    if entries.len() < hrefs.len() {
        return Err(Error::new(ErrorKind::Remote, "the server left entries out that it was asked for")
            .with("asked", hrefs.len())
            .with("answered", entries.len()));
    }
    let (mut found, mut gone) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries {
        let (Some(etag), Some(calendar_data)) = (entry.etag, entry.calendar_data) else {
            // Only what the server says is gone is gone: without that, an entry that it cannot show now would be deleted.
            if !matches!(entry.status, Some(404 | 410)) {
                return Err(Error::new(ErrorKind::Remote, "the server does not show an entry: try again later")
                    .with("href", entry.href));
            }
            gone.push(entry.href);
            continue;
        };
        let record = CalendarEntry { id: entry.href, etag, calendar_data };
        let text = serde_json::to_vec(&record)
            .map_err(|source| Error::new(ErrorKind::Internal, "an entry cannot be written as JSON").because(source))?;
        found.push(PageRecord::from(Bytes::from(text)));
    }
    Ok((found, gone))
}

fn report(calendar: &str, body: String) -> HttpRequest {
    HttpRequest::new("REPORT", calendar).body("application/xml; charset=utf-8", body)
}

fn says_token(response: &HttpResponse) -> bool {
    let wanted = b"valid-sync-token";
    response.body.windows(wanted.len()).any(|window| window == wanted)
}
