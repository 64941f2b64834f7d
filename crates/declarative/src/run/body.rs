//! Decodes the bodies of responses.

use std::borrow::Cow;
use std::io::Read;

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};
use quick_xml::events::{BytesStart, Event};

use crate::model::Decoder;

/// What a response's body holds.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// One for plain JSON, one per row or line for others. A JSON list is its items.
    pub bodies: Vec<Value>,
    /// Lines that are not JSON: they are passed over, as in the reference.
    pub bad_lines: Vec<Bytes>,
    /// The path to the items, where the body has none.
    pub lacks: Option<String>,
}

/// The bodies in a response.
pub(crate) fn decode(decoder: &Decoder, bytes: &[u8], limit: usize) -> Result<Vec<Value>> {
    decode_noting(decoder, bytes, limit).map(|decoded| decoded.bodies)
}

/// The bodies in a response, and what in it is not a body.
pub(crate) fn decode_noting(decoder: &Decoder, bytes: &[u8], limit: usize) -> Result<Decoded> {
    let mut decoded = Decoded::default();
    decode_into(decoder, bytes, limit, &mut decoded)?;
    Ok(decoded)
}

fn decode_into(decoder: &Decoder, bytes: &[u8], limit: usize, decoded: &mut Decoded) -> Result<()> {
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| unreadable("JSON", &error.to_string()));
    match decoder {
        Decoder::Json => match json(bytes)? {
            Value::Array(items) => decoded.bodies.extend(items),
            value => decoded.bodies.push(value),
        },
        Decoder::JsonLines => {
            for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                match serde_json::from_slice(line) {
                    Ok(value) => decoded.bodies.push(value),
                    Err(_) => decoded.bad_lines.push(Bytes::copy_from_slice(line)),
                }
            }
        }
        Decoder::JsonItems(path) => {
            let body = json(bytes)?;
            let segments: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
            match crate::dpath::dpath_get(&body, &segments) {
                Some(Value::Array(items)) => decoded.bodies.extend(items.iter().cloned()),
                _ => decoded.lacks = Some(path.clone()),
            }
        }
        Decoder::Csv { delimiter, none } => {
            refuse_page(bytes)?;
            decoded.bodies.extend(rows(bytes, *delimiter, none)?);
        }
        Decoder::Xml => decoded.bodies.push(xml(bytes)?),
        Decoder::Lines => {
            refuse_page(bytes)?;
            let text = String::from_utf8_lossy(bytes);
            let line = |line: &str| Value::Object(Map::from_iter([("record".to_owned(), Value::from(line))]));
            decoded.bodies.extend(text.lines().map(line));
        }
        Decoder::Gzip(inner) => {
            if !bytes.starts_with(&[0x1f, 0x8b]) {
                return decode_into(inner, bytes, limit, decoded);
            }
            let unpacked = read_bounded(flate2::read::MultiGzDecoder::new(bytes), limit)?;
            decode_into(inner, &unpacked, limit, decoded)?;
        }
        Decoder::Zip(inner) => {
            for file in unzip(bytes, limit)? {
                decode_into(inner, &file, limit, decoded)?;
            }
        }
        Decoder::Recoded(encoding, inner) => {
            decode_into(inner, encoding.to_utf8(bytes).as_bytes(), limit, decoded)?;
        }
    }
    Ok(())
}

/// A page for people is not a table, though its lines would pass for rows.
pub(super) fn refuse_page(bytes: &[u8]) -> Result<()> {
    let begin = bytes.trim_ascii_start();
    let begins = |name: &[u8]| begin.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    match begins(b"<!doctype html") || begins(b"<html") {
        true => Err(Error::new(ErrorKind::Remote, "the response is a web page: the API may be down for maintenance")),
        false => Ok(()),
    }
}

fn unreadable(kind: &str, reason: &str) -> Error {
    Error::new(ErrorKind::Remote, format!("the response is not {kind}: {reason}"))
}

pub(super) fn read_bounded(reader: impl Read, limit: usize) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(bound).read_to_end(&mut unpacked).map_err(|error| unreadable("compressed data", &error.to_string()))?;
    if unpacked.len() > limit {
        return Err(Error::new(
            ErrorKind::Remote,
            "the unpacked response is larger than the limit: ask for smaller pages",
        ));
    }
    Ok(unpacked)
}

/// Where the values of a row go that no column has; Python's name for it is `None`.
const BEYOND: &str = "null";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

fn rows(bytes: &[u8], delimiter: u8, none: &[String]) -> Result<Vec<Value>> {
    // The reader drops one mark; in the reference it stays in the first name.
    let bytes = match bytes.starts_with(BYTE_ORDER_MARK) {
        true => Cow::Owned([BYTE_ORDER_MARK, bytes].concat()),
        false => Cow::Borrowed(bytes),
    };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(&*bytes);
    let failed = |error: csv::Error| unreadable("CSV", &error.to_string());
    let names = reader.headers().map_err(failed)?.clone();
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(failed)?;
        let mut record = Map::new();
        for (place, name) in names.iter().enumerate() {
            let value = match row.get(place) {
                Some(text) if none.iter().any(|none| none == text) => Value::Null,
                Some(text) => Value::from(text),
                None => Value::Null,
            };
            record.insert(name.to_owned(), value);
        }
        if row.len() > names.len() {
            let beyond = row.iter().skip(names.len()).map(Value::from).collect();
            record.insert(BEYOND.to_owned(), Value::Array(beyond));
        }
        rows.push(Value::Object(record));
    }
    Ok(rows)
}

/// An element becomes a member: attributes as `@name`, text as `#text`, elements of one name as a list.
fn xml(bytes: &[u8]) -> Result<Value> {
    const MAX_DEPTH: usize = 128;
    let failed = |reason: String| unreadable("XML", &reason);
    let mut reader = quick_xml::Reader::from_reader(bytes);
    let mut open: Vec<(String, Map, String)> = vec![(String::new(), Map::new(), String::new())];
    let mut buffer = Vec::new();
    loop {
        let event = reader.read_event_into(&mut buffer).map_err(|error| failed(error.to_string()))?;
        match event {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH {
                    return Err(failed("it is nested more than 128 deep".to_owned()));
                }
                open.push((name_of(&start), attributes(&start), String::new()));
            }
            Event::Empty(start) => {
                let element = closed(attributes(&start), String::new());
                if let Some((_, parent, _)) = open.last_mut() {
                    add(parent, name_of(&start), element);
                }
            }
            Event::End(_) => {
                let (name, members, text) = open
                    .pop()
                    .filter(|_| !open.is_empty())
                    .ok_or_else(|| failed("an end without a start".to_owned()))?;
                let element = closed(members, text);
                if let Some((_, parent, _)) = open.last_mut() {
                    add(parent, name, element);
                }
            }
            Event::Text(text) => {
                if let Some((_, _, known)) = open.last_mut() {
                    known.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Event::CData(data) => {
                if let Some((_, _, known)) = open.last_mut() {
                    known.push_str(&String::from_utf8_lossy(&data));
                }
            }
            Event::GeneralRef(reference) => {
                if let Some((_, _, known)) = open.last_mut() {
                    known.push_str(&entity(&String::from_utf8_lossy(&reference)));
                }
            }
            Event::Eof => break,
            _ => {}
        }
        buffer.clear();
    }
    match open.pop() {
        Some((_, root, _)) if open.is_empty() => Ok(Value::Object(root)),
        _ => Err(failed("an element does not end".to_owned())),
    }
}

fn entity(name: &str) -> String {
    match name {
        "amp" => "&".to_owned(),
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "quot" => "\"".to_owned(),
        "apos" => "'".to_owned(),
        _ => {
            let number = name.strip_prefix('#').and_then(|digits| match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => digits.parse().ok(),
            });
            number.and_then(char::from_u32).map_or_else(|| format!("&{name};"), String::from)
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        match after.split_once(';') {
            Some((name, tail)) => {
                out.push_str(&entity(name));
                rest = tail;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn name_of(start: &BytesStart<'_>) -> String {
    String::from_utf8_lossy(start.name().into_inner()).into_owned()
}

fn attributes(start: &BytesStart<'_>) -> Map {
    let attribute = |attribute: quick_xml::events::attributes::Attribute<'_>| {
        let name = format!("@{}", String::from_utf8_lossy(attribute.key.into_inner()));
        (name, Value::from(unescaped(&String::from_utf8_lossy(&attribute.value))))
    };
    start.attributes().flatten().map(attribute).collect()
}

fn closed(mut members: Map, text: String) -> Value {
    let text = text.trim();
    match (members.is_empty(), text.is_empty()) {
        (true, true) => Value::Null,
        (true, false) => Value::from(text),
        (false, true) => Value::Object(members),
        (false, false) => {
            members.insert("#text".to_owned(), Value::from(text));
            Value::Object(members)
        }
    }
}

fn add(parent: &mut Map, name: String, element: Value) {
    match parent.get_mut(&name) {
        Some(Value::Array(items)) => items.push(element),
        Some(first) => {
            let first = first.take();
            parent.insert(name, Value::Array(vec![first, element]));
        }
        None => drop(parent.insert(name, element)),
    }
}

/// The files of a zip archive, in the order of its directory.
fn unzip(bytes: &[u8], limit: usize) -> Result<Vec<Vec<u8>>> {
    let failed = || unreadable("zip archive", "its directory cannot be read");
    let short = |at: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(2)?)?.first_chunk::<2>()?;
        Some(usize::from(u16::from_le_bytes(*bytes)))
    };
    let long = |at: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(4)?)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let tail = bytes.len().saturating_sub(22 + 65_536);
    let end = (tail..bytes.len().saturating_sub(21)).rev().find(|at| bytes.get(*at..*at + 4) == Some(b"PK\x05\x06"));
    let end = end.ok_or_else(failed)?;
    let (count, mut at) = (short(end + 10).ok_or_else(failed)?, long(end + 16).ok_or_else(failed)?);
    let mut files = Vec::new();
    let mut left = limit;
    for _ in 0..count {
        if bytes.get(at..at + 4) != Some(b"PK\x01\x02") {
            return Err(failed());
        }
        let field = |offset: usize| short(at + offset).ok_or_else(failed);
        let (method, name, extra, comment) = (field(10)?, field(28)?, field(30)?, field(32)?);
        let packed = long(at + 20).ok_or_else(failed)?;
        let local = long(at + 42).ok_or_else(failed)?;
        let data = local + 30 + short(local + 26).ok_or_else(failed)? + short(local + 28).ok_or_else(failed)?;
        let data = bytes.get(data..data.saturating_add(packed)).ok_or_else(failed)?;
        let file = match method {
            0 => data.to_vec(),
            8 => read_bounded(flate2::read::DeflateDecoder::new(data), left)?,
            _ => return Err(unreadable("zip archive", "it is packed in an unknown way")),
        };
        left = left.saturating_sub(file.len());
        let folder = bytes.get(at + 46..(at + 46).saturating_add(name)).is_some_and(|name| name.ends_with(b"/"));
        if !folder {
            files.push(file);
        }
        at += 46 + name + extra + comment;
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    #[test]
    fn xml_becomes_members_and_lists() {
        let text = br#"<?xml version="1.0"?><r><i id="1">a &amp; b</i><i id="2"/><n>5</n><e/></r>"#;
        let value = json!({"r": {"i": [{"@id": "1", "#text": "a & b"}, {"@id": "2"}], "n": "5", "e": null}});
        assert_eq!(decode(&Decoder::Xml, text, 1000).unwrap(), [value]);
        assert!(decode(&Decoder::Xml, b"<a><b></a>", 1000).is_err());
        assert!(decode(&Decoder::Xml, "<a>".repeat(1000).as_bytes(), 10_000).is_err());
    }

    #[test]
    fn rows_lines_and_packed_bodies() {
        let csv = Decoder::Csv { delimiter: b';', none: vec!["-".into()] };
        assert_eq!(
            decode(&csv, b"a;b\n1;-\n\"x;y\";2\n", 1000).unwrap(),
            [json!({"a": "1", "b": null}), json!({"a": "x;y", "b": "2"})]
        );
        assert_eq!(decode(&Decoder::JsonLines, b"{\"a\":1}\n\n[2]\n", 1000).unwrap(), [json!({"a": 1}), json!([2])]);
        let lines = decode_noting(&Decoder::JsonLines, b"{\"a\":1}\n{\n[2]\n", 1000).unwrap();
        assert_eq!((lines.bodies.len(), lines.bad_lines), (2, vec![Bytes::from_static(b"{")]));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, b"{\"a\": 1}").unwrap();
        let packed = packed.finish().unwrap();
        let gzip = Decoder::Gzip(Box::new(Decoder::Json));
        assert_eq!(decode(&gzip, &packed, 1000).unwrap(), [json!({"a": 1})]);
        assert!(decode(&gzip, &packed, 4).unwrap_err().message().contains("larger than the limit"));
    }
}
