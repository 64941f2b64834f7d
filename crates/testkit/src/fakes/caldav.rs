//! CalDAV: one calendar, with sync tokens (RFC 6578) and `calendar-multiget` (RFC 4791).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use highwater_template::HttpResponse;

use super::{PAGE, date};
use crate::fake::{FakeApi, FakeRequest, with_header};

/// How a server writes the `href` of an entry. All of them name the same resource: RFC 4918 8.3 allows an absolute path and
/// a whole URL, RFC 3986 6.2.2 any character of a path with or without percent-encoding.
/// <https://www.rfc-editor.org/rfc/rfc4918#section-8.3>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// `/cal/a@b.ics`
    #[default]
    Plain,
    /// `/cal/a%40b.ics`
    Encoded,
    /// `https://host/cal/a@b.ics`
    Url,
}

/// The calendar `/cal/` of a CalDAV server.
#[derive(Debug, Default)]
pub struct CalDav {
    /// By name: the number of the last change, and the iCalendar text; `None` once it is deleted.
    entries: BTreeMap<String, (u64, Option<String>)>,
    serial: u64,
    /// Sync tokens before this one are refused.
    pub forgotten_before: u64,
    /// How `sync-collection` writes an entry's address.
    pub changes_spelling: Spelling,
    /// How `calendar-multiget` writes it.
    pub entries_spelling: Spelling,
}

impl CalDav {
    /// The path of the calendar.
    pub const PATH: &'static str = "/cal/";

    /// Adds or changes the entry `/cal/NAME.ics`.
    pub fn put(&mut self, name: &str, summary: &str) {
        self.serial += 1;
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//fake\r\nBEGIN:VEVENT\r\nUID:{name}\r\nDTSTAMP:20260101T000000Z\r\n\
             DTSTART:20260102T000000Z\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        self.entries.insert(format!("{name}.ics"), (self.serial, Some(text)));
    }

    /// Deletes an entry.
    pub fn delete(&mut self, name: &str) {
        self.serial += 1;
        self.entries.insert(format!("{name}.ics"), (self.serial, None));
    }

    /// Refuses every sync token issued so far.
    pub fn forget(&mut self) {
        self.serial += 1;
        self.forgotten_before = self.serial;
    }

    /// What changed since a token, a few at a time: RFC 6578 3.6 lets a server cut its answer, say so with status 507 of the
    /// collection, and give a token that leads on. <https://www.rfc-editor.org/rfc/rfc6578#section-3.6>
    fn changes(&self, token: &str) -> HttpResponse {
        let since = match token.strip_prefix("http://cal.example/sync/").map(str::parse::<u64>) {
            _ if token.is_empty() => None,
            Some(Ok(since)) if since >= self.forgotten_before => Some(since),
            // RFC 6578 3.2: the precondition DAV:valid-sync-token. <https://www.rfc-editor.org/rfc/rfc6578#section-3.2>
            _ => return error(403, "<D:error xmlns:D=\"DAV:\"><D:valid-sync-token/></D:error>"),
        };
        let mut changed: Vec<(&String, &(u64, Option<String>))> = self.entries.iter().collect();
        // What was deleted before the first list was never in it (3.5).
        changed.retain(|(_, (at, text))| since.map_or(text.is_some(), |since| *at > since));
        changed.sort_by_key(|(_, (at, _))| *at);
        let cut = changed.len() > PAGE;
        changed.truncate(PAGE);
        let reached = changed.last().filter(|_| cut).map_or(self.serial, |(_, (at, _))| *at);
        let mut body = BEGIN.to_owned();
        for (name, (at, text)) in changed {
            let href = spelled(name, self.changes_spelling);
            let _ = match text {
                Some(_) => write!(
                    body,
                    "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getetag>\"{at}\"</D:getetag></D:prop>\
                     <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
                ),
                None => write!(body, "<D:response><D:href>{href}</D:href>{GONE}</D:response>"),
            };
        }
        if cut {
            let _ = write!(
                body,
                "<D:response><D:href>{}</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status>\
                 <D:error><D:number-of-matches-within-limits/></D:error></D:response>",
                CalDav::PATH
            );
        }
        let _ = write!(body, "<D:sync-token>http://cal.example/sync/{reached}</D:sync-token>{END}");
        self.answer_with(207, body)
    }

    /// Returns the requested entries. One that does not exist has a 404 of its own (RFC 4791 7.9).
    /// <https://www.rfc-editor.org/rfc/rfc4791#section-7.9>
    fn multiget(&self, hrefs: &[String]) -> HttpResponse {
        let mut body = BEGIN.to_owned();
        for asked in hrefs {
            let name = named(asked);
            let href = spelled(&name, self.entries_spelling);
            let _ = match self.entries.get(&name) {
                Some((at, Some(text))) => write!(
                    body,
                    "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getetag>\"{at}\"</D:getetag>\
                     <C:calendar-data>{text}</C:calendar-data></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
                ),
                _ => write!(body, "<D:response><D:href>{href}</D:href>{GONE}</D:response>"),
            };
        }
        body.push_str(END);
        self.answer_with(207, body)
    }

    fn answer_with(&self, status: u16, body: String) -> HttpResponse {
        let headers = vec![("content-type".to_owned(), "application/xml; charset=utf-8".to_owned())];
        with_header(HttpResponse::new(status, headers, body), "Date", date(self.serial))
    }
}

impl FakeApi for CalDav {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.header("authorization").is_none() {
            return with_header(error(401, ""), "WWW-Authenticate", "Basic realm=\"calendars\"");
        }
        if request.path != CalDav::PATH {
            return error(404, "");
        }
        if request.method != "REPORT" {
            return error(405, "");
        }
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if body.contains("sync-collection") {
            // RFC 6578 3.2: "only defined when the Depth header has value "0"; other values result in a 400".
            if request.header("depth").is_some_and(|depth| depth != "0") {
                return error(400, "");
            }
            return self.changes(texts(&body, "sync-token").first().map_or("", String::as_str));
        }
        if body.contains("calendar-multiget") {
            return self.multiget(&texts(&body, "href"));
        }
        // RFC 3253 3.6: the precondition DAV:supported-report.
        error(403, "<D:error xmlns:D=\"DAV:\"><D:supported-report/></D:error>")
    }
}

const BEGIN: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:multistatus xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\">";
const END: &str = "</D:multistatus>";
const GONE: &str = "<D:status>HTTP/1.1 404 Not Found</D:status>";

fn error(status: u16, body: &str) -> HttpResponse {
    HttpResponse::new(status, vec![("content-type".to_owned(), "application/xml".to_owned())], body.to_owned())
}

fn spelled(name: &str, spelling: Spelling) -> String {
    let plain = name.replace('&', "&amp;");
    match spelling {
        Spelling::Plain => format!("{}{plain}", CalDav::PATH),
        Spelling::Url => format!("https://cal.example{}{plain}", CalDav::PATH),
        Spelling::Encoded => {
            let encoded = url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>();
            format!("{}{}", CalDav::PATH, encoded.replace('+', "%20"))
        }
    }
}

/// Returns the name in an address, however it is spelled.
fn named(href: &str) -> String {
    let last = href.rsplit('/').next().unwrap_or_default();
    let pair = format!("n={}", last.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map_or_else(String::new, |(_, name)| name.into_owned())
}

/// Returns the texts of the elements with a local name, whatever prefix the client chose.
fn texts(body: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in body.match_indices('<') {
        let Some((tag, rest)) = body[at + 1..].split_once('>') else { continue };
        let local = tag.split_whitespace().next().unwrap_or_default().rsplit(':').next().unwrap_or_default();
        if local == name && !tag.starts_with('/') && !tag.ends_with('/') {
            let text = rest.split('<').next().unwrap_or_default();
            found.push(text.replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'").replace("&amp;", "&"));
        }
    }
    found
}
