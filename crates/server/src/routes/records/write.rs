//! A record as JSON: its payload as it is stored, with its id and its metadata.
//!
//! The payload is not parsed. Its bytes are copied, and the metadata is put before its last brace. Two members must not stand
//! twice: `id`, which is always a string here and may be a number in the payload, and the metadata's name, which an API could use
//! too. To find them the names of the outermost members are looked at, and no more of them than needed.

use std::ops::Range;

use highwater_core::{Action, Cursor, Error, ErrorKind, Metadata, Record, Result, Timestamp};
use memchr::{memchr, memchr2, memmem};
use serde_json::to_writer;

use crate::server::Compat;

/// How an escape of an ASCII letter begins: `\u005f` is `_`, and `\u0061` to `\u007a` are the small letters.
const ESCAPE: &[u8] = b"\\u00";

/// Writes records, one after the other.
pub(super) struct RecordWriter {
    /// The name of the metadata's member.
    member: &'static str,
    /// Finds it, as it would stand in a payload.
    finder: memmem::Finder<'static>,
    /// Finds an escape that may stand for a letter of it.
    escape: memmem::Finder<'static>,
    /// The last time that was written and its text: records of one batch share theirs.
    time: (Timestamp, String),
}

impl RecordWriter {
    pub(super) fn new(compat: Compat) -> Self {
        let member = match compat {
            Compat::Highwater => "_highwater_metadata",
            Compat::Nango => "_nango_metadata",
        };
        let time = Timestamp::UNIX_EPOCH;
        RecordWriter {
            member,
            finder: memmem::Finder::new(member),
            escape: memmem::Finder::new(ESCAPE),
            time: (time, time.to_string()),
        }
    }

    /// Writes a record. `cursor` is where a reader continues behind it.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, record: &Record, cursor: Cursor) -> Result<()> {
        out.push(b'{');
        let begin = out.len();
        let mut named = false;
        if let Some(payload) = &record.payload {
            named = self.copy(out, payload.as_bytes(), &record.id).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "a stored payload is not a JSON object").with("id", &record.id)
            })?;
        }
        if !named {
            comma(out, begin);
            out.extend_from_slice(b"\"id\":");
            string(out, &record.id);
        }
        comma(out, begin);
        string(out, self.member);
        out.push(b':');
        self.metadata(out, &record.metadata, cursor);
        out.push(b'}');
        Ok(())
    }

    /// Copies what is between the payload's braces. Returns whether that has the id, or `None` if it is no object.
    fn copy(&self, out: &mut Vec<u8>, payload: &[u8], id: &str) -> Option<bool> {
        let inner = payload.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?;
        let all = self.may_name_the_metadata(inner);
        let mut id_at: Option<Range<usize>> = None;
        let mut dropped: Option<Range<usize>> = None;
        let mut at = 0;
        while let Some(member) = next_member(inner, at) {
            let member = member?;
            at = member.value.end;
            let name = inner.get(member.name.clone())?;
            if is_name(name, "id") {
                id_at = Some(member.value);
                if !all {
                    break;
                }
            } else if all && is_name(name, self.member) {
                dropped = Some(member.name.start..member.value.end);
            }
        }
        let begin = out.len();
        let mut from = 0;
        let named = id_at.is_some();
        let mut holes = [id_at.map(|range| (range, true)), dropped.map(|range| (range, false))];
        holes.sort_by_key(|hole| hole.as_ref().map(|(range, _)| range.start));
        for (range, is_id) in holes.into_iter().flatten() {
            if is_id {
                out.extend_from_slice(inner.get(from..range.start)?);
                string(out, id);
                from = range.end;
            } else {
                out.extend_from_slice(inner.get(from..range.start)?);
                from = range.end;
                // One comma goes with the member: the one before it, or else the one behind it.
                while out.len() > begin && out.last().is_some_and(u8::is_ascii_whitespace) {
                    out.pop();
                }
                if out.len() > begin && out.last() == Some(&b',') {
                    out.pop();
                } else {
                    let rest = inner.get(from..)?.trim_ascii_start();
                    from = inner.len() - rest.strip_prefix(b",").unwrap_or(rest).len();
                }
            }
        }
        out.extend_from_slice(inner.get(from..)?);
        Some(named)
    }

    /// Whether the payload can have a member with the metadata's name: only if the name is in it, as it is or with a letter that is
    /// written as an escape. Line breaks and other escapes, which many texts have, do not count.
    fn may_name_the_metadata(&self, inner: &[u8]) -> bool {
        let spelled = |at: usize| matches!(inner.get(at + ESCAPE.len()), Some(b'5'..=b'7'));
        self.finder.find(inner).is_some() || self.escape.find_iter(inner).any(spelled)
    }

    fn metadata(&mut self, out: &mut Vec<u8>, metadata: &Metadata, cursor: Cursor) {
        let action: &[u8] = match metadata.last_action {
            Action::Added => b"ADDED",
            Action::Updated => b"UPDATED",
            Action::Deleted => b"DELETED",
        };
        out.extend_from_slice(b"{\"first_seen_at\":");
        self.time(out, Some(metadata.first_seen_at));
        out.extend_from_slice(b",\"last_modified_at\":");
        self.time(out, Some(metadata.last_modified_at));
        out.extend_from_slice(b",\"last_action\":\"");
        out.extend_from_slice(action);
        out.extend_from_slice(b"\",\"deleted_at\":");
        self.time(out, metadata.deleted_at);
        out.extend_from_slice(b",\"pruned_at\":");
        self.time(out, metadata.pruned_at);
        out.extend_from_slice(b",\"cursor\":");
        // Writing to a vector does not fail.
        let _ = to_writer(&mut *out, &cursor);
        out.push(b'}');
    }

    fn time(&mut self, out: &mut Vec<u8>, time: Option<Timestamp>) {
        let Some(time) = time else { return out.extend_from_slice(b"null") };
        if self.time.0 != time {
            self.time = (time, time.to_string());
        }
        out.push(b'"');
        out.extend_from_slice(self.time.1.as_bytes());
        out.push(b'"');
    }
}

/// Adds a comma unless nothing stands before it since `begin`.
fn comma(out: &mut Vec<u8>, begin: usize) {
    if out.get(begin..).is_some_and(|written| !written.trim_ascii().is_empty()) {
        out.push(b',');
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector does not fail.
    let _ = to_writer(out, text);
}

/// Whether a name, as it stands between its quotes and with them, is `wanted`.
fn is_name(quoted: &[u8], wanted: &str) -> bool {
    let bare = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if memchr(b'\\', bare).is_none() {
        return bare == wanted.as_bytes();
    }
    serde_json::from_slice::<String>(quoted).is_ok_and(|name| name == wanted)
}

/// The name of a member with its quotes, and its value.
struct Member {
    name: Range<usize>,
    value: Range<usize>,
}

/// Finds the next member of an object at or after `at`. `None` at the end; the inner one where it is not JSON.
fn next_member(inner: &[u8], at: usize) -> Option<Option<Member>> {
    let begin = skip(inner, at, |byte| byte.is_ascii_whitespace() || byte == b',');
    if begin >= inner.len() {
        return None;
    }
    Some((|| {
        let name = begin..string_end(inner, begin)?;
        let colon = skip(inner, name.end, |byte| byte.is_ascii_whitespace());
        if inner.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip(inner, colon + 1, |byte| byte.is_ascii_whitespace());
        Some(Member { name, value: value..value_end(inner, value)? })
    })())
}

fn skip(bytes: &[u8], at: usize, over: impl Fn(u8) -> bool) -> usize {
    bytes.get(at..).map_or(bytes.len(), |rest| at + rest.iter().position(|byte| !over(*byte)).unwrap_or(rest.len()))
}

/// The place behind the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The place behind the value that begins at `at`.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let (mut at, mut depth) = (at, 0_usize);
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = string_end(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => Some(skip(bytes, at, |byte| !matches!(byte, b',' | b' ' | b'\t' | b'\n' | b'\r'))),
    }
}
