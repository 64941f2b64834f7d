//! Converts JSON and XML from other charsets than UTF-8, and removes byte-order marks.

/// The characters of 0x80 to 0x9f in windows-1252 (https://encoding.spec.whatwg.org/#windows-1252, which is what
/// `iso-8859-1` means too).
const WESTERN: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Whether a name is that of a charset: some servers send one as a content coding.
pub(super) fn is_charset(name: &str) -> bool {
    WIDE.contains(&name) || NARROW.contains(&name) || UNICODE.contains(&name)
}

const WIDE: [&str; 3] = ["utf-16", "utf-16le", "utf-16be"];

/// Names of windows-1252, and of charsets that are read as it.
const NARROW: [&str; 8] =
    ["iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "l1", "windows-1252", "cp1252"];

const UNICODE: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];

/// Converts JSON or XML to UTF-8 without a mark; `None` if it already is, or if the body is neither. A mark decides, then UTF-8
/// if the bytes are valid UTF-8 (JSON is UTF-8, whatever charset a server adds by default), then the declared charset.
///
/// # Errors
///
/// The name of the declared charset, if it is needed and unknown.
pub(super) fn to_utf8(content_type: Option<&str>, body: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let is_known = content_type.is_some_and(is_known);
    let looks_like_json = |rest: &[u8]| matches!(rest.trim_ascii_start().first(), Some(b'{' | b'['));
    if let Some(rest) = body.strip_prefix(b"\xef\xbb\xbf") {
        return Ok((is_known || looks_like_json(rest)).then(|| rest.to_vec()));
    }
    if !is_known {
        return Ok(None);
    }
    if let Some(rest) = body.strip_prefix(b"\xff\xfe") {
        return Ok(Some(wide(rest, u16::from_le_bytes)));
    }
    if let Some(rest) = body.strip_prefix(b"\xfe\xff") {
        return Ok(Some(wide(rest, u16::from_be_bytes)));
    }
    let Some(charset) = content_type.and_then(charset) else { return Ok(None) };
    match charset.as_str() {
        "utf-16le" => Ok(Some(wide(body, u16::from_le_bytes))),
        // Without a mark, the bytes of ASCII characters show the byte order.
        "utf-16" if body.get(1) == Some(&0) => Ok(Some(wide(body, u16::from_le_bytes))),
        "utf-16" | "utf-16be" => Ok(Some(wide(body, u16::from_be_bytes))),
        _ if std::str::from_utf8(body).is_ok() => Ok(None),
        name if NARROW.contains(&name) => Ok(Some(western(body))),
        // Invalid characters are reported by the parser.
        name if UNICODE.contains(&name) => Ok(None),
        _ => Err(charset),
    }
}

/// Whether a body has a type whose charset is converted.
fn is_known(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["/json", "+json", "/xml", "+xml"].iter().any(|kind| media.ends_with(kind))
}

fn charset(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then_some(value)
    })
}

fn wide(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into()
}

fn western(bytes: &[u8]) -> Vec<u8> {
    let decoded = bytes.iter().map(|byte| match byte {
        0x80..=0x9f => WESTERN[usize::from(byte - 0x80)],
        byte => char::from(*byte),
    });
    decoded.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_and_xml_are_changed() {
        assert_eq!(to_utf8(Some("application/xml; charset=latin1"), b"<a>\xe9</a>"), Ok(Some("<a>é</a>".into())));
        assert_eq!(to_utf8(Some("text/csv"), b"\xef\xbb\xbfid,name\n"), Ok(None));
        assert_eq!(to_utf8(Some("text/csv; charset=utf-16"), b"i\0d\0"), Ok(None));
        assert_eq!(to_utf8(None, b"\xff\xfe[\0]\0"), Ok(None), "no type: bytes are bytes");
        assert_eq!(to_utf8(None, b"\xef\xbb\xbf [1]"), Ok(Some(b" [1]".to_vec())));
        assert_eq!(to_utf8(Some("application/json"), b"[1]"), Ok(None));
        assert_eq!(to_utf8(Some("Application/JSON; charset=utf-16"), b"[\0]\0"), Ok(Some(b"[]".to_vec())));
        assert_eq!(to_utf8(Some("text/json; charset=\"latin1\""), b"\x80\x81"), Ok(Some("€\u{81}".into())));
        assert_eq!(to_utf8(Some("text/json; charset=koi8-r"), b"[\xff]"), Err("koi8-r".to_owned()));
        assert_eq!(to_utf8(Some("text/json; charset=koi8-r"), b"[1]"), Ok(None));
    }
}
