//! Encodings of text other than UTF-8.

use std::borrow::Cow;

use highwater_core::Result;

use super::decode::Node;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Encoding {
    /// Each byte is the character of its number.
    Latin1,
    Other(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// What `encoding` of a decoder names; none for UTF-8, which needs no work.
    pub(crate) fn of(decoder: &Node<'_>) -> Result<Option<Self>> {
        let Some(node) = decoder.get("encoding") else { return Ok(None) };
        let given = node.text()?;
        let name = given.trim().to_ascii_lowercase().replace('_', "-");
        match name.as_str() {
            "" | "utf-8" | "utf8" | "ascii" | "us-ascii" => return Ok(None),
            // This one drops the mark at the beginning.
            "utf-8-sig" => return Ok(Some(Encoding::Other(encoding_rs::UTF_8))),
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" => return Ok(Some(Encoding::Latin1)),
            _ => {}
        }
        // Python has short names for code pages: `cp1252`, `1252`.
        let page = format!("windows-{}", name.trim_start_matches("cp"));
        let known = [name.as_str(), page.as_str()];
        let found = known.iter().find_map(|name| encoding_rs::Encoding::for_label(name.as_bytes()));
        match found {
            Some(encoding) => Ok(Some(Encoding::Other(encoding))),
            None => Err(node.unsupported(format!("the encoding {given} is not known: use utf-8"))),
        }
    }

    pub(crate) fn to_utf8(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Encoding::Latin1 => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
            Encoding::Other(encoding) => encoding.decode(bytes).0,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    fn read(name: &str, bytes: &[u8]) -> String {
        let value = json!({"encoding": name});
        Encoding::of(&Node::root(&value)).unwrap().unwrap().to_utf8(bytes).into_owned()
    }

    #[test]
    fn text_becomes_utf8() {
        assert_eq!(read("ISO-8859-1", b"caf\xe9\x80"), "caf\u{e9}\u{80}");
        assert_eq!(read("cp1252", b"caf\xe9\x80"), "caf\u{e9}\u{20ac}");
        assert_eq!(read("utf-16", b"a\x00b\x00"), "ab");
        assert_eq!(read("utf-8-sig", b"\xef\xbb\xbfid"), "id");
        let unknown = json!({"encoding": "klingon"});
        let error = Encoding::of(&Node::root(&unknown)).unwrap_err();
        assert!(error.to_string().contains("klingon"), "{error}");
    }
}
