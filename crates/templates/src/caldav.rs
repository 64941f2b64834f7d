//! CalDAV: the entries of a calendar, by sync token (RFC 6578, RFC 4791).

mod address;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, RecordId, Result};
use highwater_template::auth::{AuthKind, CredentialUse};
use highwater_template::{ConfigKey, HttpRequest, HttpResponse, Provider, SourceRecord, SyncContext, TemplateInfo};
use serde::{Deserialize, Serialize};

use crate::common::{complete, model, schemas, template};
use address::one_spelling;
use xml::{Entry, MultiStatus};

schemas!("caldav": CalendarEntry);

/// Entries fetched with one request.
const CHUNK: usize = 100;

template! {
    /// Entries of a calendar (events, tasks), each with its iCalendar text.
    ///
    /// A server that knows the sync token reports what changed and what was deleted. One that does not refuses it, and
    /// everything is read again.
    Entries, info(), fetch
}

/// Describes a CalDAV server: Radicale, Nextcloud, Fastmail, iCloud, ...
pub fn provider() -> Provider {
    Provider::new("caldav", "https://{host}")
        .auth(AuthKind::basic("your account's name and password, or an app password"))
        .auth(AuthKind::bearer("an access token"))
        .docs("https://www.rfc-editor.org/rfc/rfc6578")
}

fn info() -> TemplateInfo {
    provider()
        .template("entries")
        .credentials(CredentialUse::Optional)
        .description("Entries of a calendar")
        .model_info(model::<CalendarEntry>(
            "Entry",
            "An event or a task; its id is its path on the server, in one spelling",
        ))
        .config(ConfigKey::required("host", "the server's name"))
        .config(ConfigKey::required("calendar", "the calendar's path, such as /dav/calendars/me/work/"))
        .incremental("by sync token")
        .deletes("reported by the server")
        .interval(Duration::from_secs(300))
}

/// An entry of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CalendarEntry {
    /// Its path on the server: percent-encoded but for letters, digits, `-`, `.`, `_`, `~` and `/`, however the server
    /// spells it.
    pub id: String,
    /// The server's name for this version of it.
    pub etag: String,
    /// Its iCalendar text.
    pub calendar_data: String,
}

/// The sync token. Earlier versions stored it as a text, and records under the server's own spelling of an address.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Checkpoint {
    Spelled(String),
    Token { token: String },
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let calendar = context.config("calendar")?.to_owned();
    let mut token = match context.last_checkpoint()? {
        None => String::new(),
        Some(Checkpoint::Token { token }) => token,
        Some(Checkpoint::Spelled(_)) => {
            let message = "this version stores addresses in one spelling: everything has to be read again, once";
            return Err(Error::new(ErrorKind::SourceReset, message));
        }
    };
    loop {
        let changes = changes(context, &calendar, &token).await?;
        let changed: Vec<(String, String)> = changes.changed.into_iter().collect();
        let mut deleted = changes.deleted;
        let next = Checkpoint::Token { token: changes.token.clone() };
        let mut chunks = changed.chunks(CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            let found = entries(context, &calendar, chunk).await?;
            deleted.extend(found.gone);
            // Requested again with the old token, until the server shows it or says that it was deleted.
            if let Some(hidden) = found.hidden {
                context.mark_incomplete("Entry", format!("the server names an entry and does not show it: {hidden}"));
            }
            if chunks.peek().is_none() {
                // The token goes with the last of the changes that it covers.
                context.checkpoint(&next)?;
            }
            let gone = if chunks.peek().is_some() {
                found.spellings
            } else {
                deleted.drain(..).chain(found.spellings).collect()
            };
            context.apply("Entry", found.records, gone).await?;
        }
        if changed.is_empty() {
            context.checkpoint(&next)?;
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
    /// Addresses as the server spells them, by their one spelling.
    changed: BTreeMap<String, String>,
    deleted: Vec<RecordId>,
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
    let request = report(calendar, body).header("depth", "0").accept_status(403).accept_status(409).accept_status(412);
    let response = context.send(request).await?;
    // RFC 6578 3.2: a token that the server does not accept is a failed precondition.
    if matches!(response.status, 403 | 409 | 412) && !token.is_empty() && says_token(&response) {
        let message = "the server no longer knows the sync token: everything has to be read again";
        return Err(response.error(ErrorKind::SourceReset, message));
    }
    let response = response.error_for_status()?;
    let answer = xml::multi_status(&response.body)?;
    let token = answer.sync_token.clone().ok_or_else(|| {
        Error::new(ErrorKind::Remote, "the server gave no sync token: it does not support sync-collection")
    })?;
    let collection = one_spelling(calendar);
    let mut found = Changes { changed: BTreeMap::new(), deleted: Vec::new(), token, truncated: false };
    for Entry { href, status, etag, .. } in answer.entries {
        let id = one_spelling(&href);
        match status {
            Some(404 | 410) => {
                found.deleted.extend((href != id).then(|| href.into()));
                found.deleted.push(id.into());
            }
            // The server has more, which the new token gets.
            Some(507) => found.truncated = true,
            // The collection itself may be listed; it has no version.
            _ if id.trim_end_matches('/') == collection.trim_end_matches('/') || etag.is_none() => {}
            _ => {
                found.changed.insert(id, href);
            }
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Found {
    records: Vec<SourceRecord>,
    /// Ids of entries that were deleted since.
    gone: Vec<RecordId>,
    /// The server's spellings: ids of the same records in earlier versions.
    spellings: Vec<RecordId>,
    /// An entry that the server neither shows nor reports as deleted.
    hidden: Option<String>,
}

/// Fetches the entries at these addresses.
async fn entries(context: &SyncContext<'_>, calendar: &str, addresses: &[(String, String)]) -> Result<Found> {
    let wanted: String = addresses.iter().map(|(_, href)| format!("<d:href>{}</d:href>", xml::escaped(href))).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><c:calendar-multiget xmlns:d=\"DAV:\" xmlns:c=\"urn:ietf:params:xml:ns:caldav\">\
         <d:prop><d:getetag/><c:calendar-data/></d:prop>{wanted}</c:calendar-multiget>"
    );
    let MultiStatus { entries, .. } = xml::multi_status(&context.send(report(calendar, body)).await?.body)?;
    let mut missing: BTreeSet<&str> = addresses.iter().map(|(id, _)| id.as_str()).collect();
    let mut found = Found::default();
    for entry in entries {
        let id = one_spelling(&entry.href);
        // What was not requested is of another calendar, or comes with another report.
        if !missing.contains(id.as_str()) {
            continue;
        }
        found.spellings.extend((entry.href != id).then(|| entry.href.into()));
        match (entry.etag, entry.calendar_data) {
            (Some(etag), Some(calendar_data)) => {
                missing.remove(id.as_str());
                let record = CalendarEntry { id, etag, calendar_data };
                let text = serde_json::to_vec(&record).map_err(|source| {
                    Error::new(ErrorKind::Internal, "an entry cannot be written as JSON").because(source)
                })?;
                found.records.push(SourceRecord::from(Bytes::from(text)));
            }
            // Deleted only if the server says so: it may be unable to show an entry for now.
            _ if matches!(entry.status, Some(404 | 410)) => {
                missing.remove(id.as_str());
                found.gone.push(id.into());
            }
            _ => {}
        }
    }
    let spelled = addresses.iter().filter(|(id, href)| id != href && !missing.contains(id.as_str()));
    found.spellings.extend(spelled.map(|(_, href)| RecordId::from(href.as_str())));
    found.hidden = missing.first().map(|id| (*id).to_owned());
    Ok(found)
}

fn report(calendar: &str, body: String) -> HttpRequest {
    HttpRequest::new("REPORT", calendar).body("application/xml; charset=utf-8", body)
}

fn says_token(response: &HttpResponse) -> bool {
    let wanted = b"valid-sync-token";
    response.body.windows(wanted.len()).any(|window| window == wanted)
}
