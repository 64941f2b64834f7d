//! The XML document of a WebDAV response (`multistatus`), as far as it is needed.

use highwater_core::{Error, ErrorKind, Result};
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// The most entries that a response may have.
const MAX_ENTRIES: usize = 1_000_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MultiStatus {
    pub(super) sync_token: Option<String>,
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) href: String,
    /// The status of the whole entry; properties have their own.
    pub(super) status: Option<u16>,
    pub(super) etag: Option<String>,
    pub(super) calendar_data: Option<String>,
}

/// Parses a `multistatus`. Servers choose their own prefixes, so names are compared with their namespaces.
pub(super) fn multi_status(body: &[u8]) -> Result<MultiStatus> {
    let mut reader = NsReader::from_reader(body);
    let mut answer = MultiStatus::default();
    let (mut path, mut text): (Vec<String>, String) = (Vec::new(), String::new());
    let mut found = false;
    let unreadable =
        || Error::new(ErrorKind::Remote, "the server's answer is not the multistatus XML that was expected");
    loop {
        match reader.read_resolved_event().map_err(|source| unreadable().because(source))? {
            (namespace, Event::Start(tag)) => {
                let name = String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
                let known = matches!(namespace, ResolveResult::Bound(ns) if matches!(ns.as_ref(), b"DAV:" | b"urn:ietf:params:xml:ns:caldav"));
                if path.len() > 64 || answer.entries.len() >= MAX_ENTRIES {
                    return Err(unreadable());
                }
                path.push(if known { name } else { "?".to_owned() });
                found |= matches!(path.as_slice(), [root] if root == "multistatus");
                text.clear();
                if path.last().is_some_and(|name| name == "response") {
                    answer.entries.push(Entry::default());
                }
            }
            (_, Event::Text(piece)) => text.push_str(&piece.decode().map_err(|source| unreadable().because(source))?),
            (_, Event::CData(piece)) => text.push_str(&String::from_utf8_lossy(&piece)),
            (_, Event::GeneralRef(entity)) => {
                let resolved = entity.resolve_char_ref().map_err(|source| unreadable().because(source))?;
                let name = String::from_utf8_lossy(&entity).into_owned();
                match resolved {
                    Some(character) => text.push(character),
                    None => text.push_str(quick_xml::escape::resolve_predefined_entity(&name).ok_or_else(unreadable)?),
                }
            }
            (_, Event::End(_)) => {
                take(&mut answer, &path, &mut text);
                path.pop();
                text.clear();
            }
            // A page of HTML, or no body at all, is not an empty list.
            (_, Event::Eof) if path.is_empty() && found => return Ok(answer),
            (_, Event::Eof) => return Err(unreadable()),
            _ => {}
        }
    }
}

fn take(answer: &mut MultiStatus, path: &[String], text: &mut String) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let text = std::mem::take(text);
    match (path.as_slice(), answer.entries.last_mut()) {
        (["multistatus", "sync-token"], _) => answer.sync_token = Some(text.trim().to_owned()),
        (["multistatus", "response", "href"], Some(entry)) => entry.href = text.trim().to_owned(),
        (["multistatus", "response", "status"], Some(entry)) => entry.status = status(&text),
        (["multistatus", "response", "propstat", "prop", "getetag"], Some(entry)) => {
            entry.etag = (!text.is_empty()).then(|| text.trim().to_owned());
        }
        (["multistatus", "response", "propstat", "prop", "calendar-data"], Some(entry)) => {
            entry.calendar_data = (!text.is_empty()).then_some(text);
        }
        _ => {}
    }
}

/// Parses a status line such as `HTTP/1.1 404 Not Found`.
fn status(line: &str) -> Option<u16> {
    line.split_whitespace().nth(1)?.parse().ok()
}

pub(super) fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_prefixes_of_the_servers_choice() {
        let body = r#"<?xml version='1.0'?><x:multistatus xmlns:x="DAV:" xmlns="urn:ietf:params:xml:ns:caldav">
            <x:response><x:href>/u/a%26b.ics</x:href><x:propstat><x:prop><x:getetag>"1"</x:getetag>
              <calendar-data>BEGIN:VCALENDAR&#13;
SUMMARY:Fish &amp; chips</calendar-data></x:prop><x:status>HTTP/1.1 200 OK</x:status></x:propstat></x:response>
            <x:response><x:href>/u/gone.ics</x:href><x:status>HTTP/1.1 404 Not Found</x:status></x:response>
            <x:sync-token>http://x/sync/7</x:sync-token></x:multistatus>"#;
        let answer = multi_status(body.as_bytes()).unwrap();
        assert_eq!(answer.sync_token.as_deref(), Some("http://x/sync/7"));
        assert_eq!(answer.entries[0].status, None, "a property's status is not the entry's");
        assert_eq!(answer.entries[0].etag.as_deref(), Some("\"1\""));
        assert_eq!(answer.entries[0].calendar_data.as_deref(), Some("BEGIN:VCALENDAR\r\nSUMMARY:Fish & chips"));
        assert_eq!((answer.entries[1].href.as_str(), answer.entries[1].status), ("/u/gone.ics", Some(404)));
        for broken in [
            "",
            "<a>",
            "<html>sorry</html",
            "<html>sorry</html>",
            "<multistatus/>",
            r#"<multistatus xmlns="DAV:"><response>"#,
            r#"<m xmlns="DAV:"><response>&bogus;</response></m>"#,
        ] {
            assert_eq!(multi_status(broken.as_bytes()).unwrap_err().kind(), ErrorKind::Remote, "{broken}");
        }
        assert_eq!(multi_status(br#"<d:multistatus xmlns:d="DAV:"></d:multistatus>"#).unwrap(), MultiStatus::default());
        assert!(multi_status("<a>".repeat(10_000).as_bytes()).is_err(), "a deep one is refused");
    }
}
