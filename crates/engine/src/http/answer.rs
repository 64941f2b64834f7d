//! Decodes answers for templates: removes content codings (RFC 9110, 8.4), converts JSON to UTF-8.
//!
//! Every answer to a template's request passes through here, whichever transport received it.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use highwater_core::{Error, ErrorKind};
use highwater_template::HttpResponse;

use super::charset;
use crate::mutants::mutant;

/// The largest accepted body in bytes, before and after decompression.
pub(crate) const MAX_BODY: usize = 64 * 1024 * 1024;

/// Why a received answer cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) error: Error,
    /// Whether a retry may help.
    pub(super) may_pass: bool,
}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        unreadable.error
    }
}

/// The kind for a faulty answer: never the one that means offline.
pub(super) fn fault() -> ErrorKind {
    if mutant!("unreadable-is-offline") { ErrorKind::Unavailable } else { ErrorKind::Remote }
}

/// Decodes an answer's codings and charset. Without a body there is nothing to decode, whatever the headers say
/// (`head`: the request was a `HEAD`). A refusal is handled by its status: an unreadable body of a refusal is dropped.
pub(super) fn readable(response: HttpResponse, head: bool) -> Result<HttpResponse, Unreadable> {
    if head || response.body.is_empty() || matches!(response.status, 204 | 304) {
        return Ok(response);
    }
    if response.status < 300 {
        return read(response);
    }
    let mut bare = response.clone();
    read(response).or_else(|_| {
        bare.body = Bytes::new();
        bare.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-encoding"));
        Ok(bare)
    })
}

fn read(mut response: HttpResponse) -> Result<HttpResponse, Unreadable> {
    let too_large = |response: &HttpResponse| Unreadable {
        error: response.error(ErrorKind::Remote, "the API's answer is larger than 64 MiB: request smaller pages"),
        may_pass: false,
    };
    if response.body.len() > MAX_BODY {
        return Err(too_large(&response));
    }
    for coding in codings(&response) {
        let unpacked = match coding.as_str() {
            "gzip" | "x-gzip" => gunzip(&response.body),
            "deflate" => inflate(&response.body, true).or_else(|_| inflate(&response.body, false)),
            _ => {
                let error = response.error(fault(), "the API's answer has an unknown content coding");
                return Err(Unreadable { error: error.with("coding", shown(&coding)), may_pass: false });
            }
        };
        response.body = match unpacked {
            Ok(unpacked) if unpacked.len() > MAX_BODY => return Err(too_large(&response)),
            Ok(unpacked) => unpacked.into(),
            Err(source) => {
                let error =
                    response.error(fault(), "the API's answer cannot be decompressed: it is damaged or truncated");
                return Err(Unreadable { error: error.with("coding", shown(&coding)).because(source), may_pass: true });
            }
        };
    }
    if response.header("content-encoding").is_some() {
        // The remaining headers describe the decoded body.
        let gone = ["content-encoding", "content-length"];
        response.headers.retain(|(name, _)| !gone.iter().any(|gone| name.eq_ignore_ascii_case(gone)));
    }
    match charset::to_utf8(response.header("content-type"), &response.body) {
        Ok(None) => {}
        Ok(Some(text)) => response.body = text.into(),
        Err(charset) => {
            let error = response.error(fault(), "the API's answer has an unknown charset");
            return Err(Unreadable { error: error.with("charset", shown(&charset)), may_pass: false });
        }
    }
    Ok(response)
}

/// The codings to decode, in order: the last one applied comes first. Names that belong elsewhere (a charset, MIME's `8bit`)
/// are ignored.
fn codings(response: &HttpResponse) -> Vec<String> {
    let headers = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    let names = headers.flat_map(|(_, value)| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    let none = |name: &str| matches!(name, "" | "identity" | "none" | "binary" | "8bit") || charset::is_charset(name);
    let mut names: Vec<String> = names.filter(|name| !none(name)).collect();
    names.reverse();
    names
}

/// A name from the API, for a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// Reads all gzip members. Bytes after them that do not begin a member are padding. Decompresses at most one byte more than
/// allowed.
fn gunzip(packed: &[u8]) -> io::Result<Vec<u8>> {
    let (mut rest, mut unpacked) = (packed, Vec::new());
    loop {
        let mut member = GzDecoder::new(rest);
        let room = (MAX_BODY + 1).saturating_sub(unpacked.len()) as u64;
        member.by_ref().take(room).read_to_end(&mut unpacked)?;
        if unpacked.len() > MAX_BODY {
            return Ok(unpacked);
        }
        rest = member.into_inner();
        if !rest.starts_with(&[0x1f, 0x8b]) {
            return Ok(unpacked);
        }
    }
}

/// Reads a deflate stream, in a zlib wrapper as in the standard, or without as some servers send it.
fn inflate(packed: &[u8], wrapped: bool) -> io::Result<Vec<u8>> {
    let (mut inflater, mut unpacked) = (Decompress::new(wrapped), Vec::new());
    loop {
        unpacked.reserve(packed.len().clamp(4096, 1 << 20));
        let (read, written) = (inflater.total_in(), inflater.total_out());
        let rest = packed.get(usize::try_from(read).unwrap_or(usize::MAX)..).unwrap_or_default();
        let status = inflater.decompress_vec(rest, &mut unpacked, FlushDecompress::None)?;
        if status == Status::StreamEnd || unpacked.len() > MAX_BODY {
            return Ok(unpacked);
        }
        if (read, written) == (inflater.total_in(), inflater.total_out()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn under(coding: &str, body: Vec<u8>) -> Result<HttpResponse, Unreadable> {
        readable(HttpResponse::new(200, vec![("Content-Encoding".to_owned(), coding.to_owned())], body), false)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bombs_are_bounded_and_cuts_are_noticed() {
        let spaces = vec![b' '; MAX_BODY + 1];
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&spaces).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(&spaces).unwrap();
        let bombs = [("gzip", gzip(&spaces)), ("deflate", zlib.finish().unwrap()), ("deflate", raw.finish().unwrap())];
        for (coding, bomb) in bombs {
            let cut = bomb[..bomb.len() / 2].to_vec();
            let error = under(coding, bomb).unwrap_err();
            assert!(!error.may_pass && error.error.to_string().contains("64 MiB"), "{}", error.error);
            let error = under(coding, cut).unwrap_err();
            assert!(error.may_pass && error.error.kind() == ErrorKind::Remote, "{}", error.error);
        }
    }

    #[test]
    fn headers_tell_of_the_body_as_it_is() {
        let read = under("GZip", gzip(b"[1]")).unwrap();
        assert_eq!((read.body.as_ref(), read.headers.len()), (&b"[1]"[..], 0));
        assert_eq!(under("gzip", [gzip(b"[1]"), vec![0; 9]].concat()).unwrap().body, "[1]", "padding");
        assert_eq!(under("gzip", Vec::new()).unwrap().body, "", "nothing to undo");
    }

    #[test]
    fn a_refusal_counts_by_its_status() {
        for status in [302, 401, 429, 500] {
            let headers =
                vec![("content-encoding".to_owned(), "gzip".to_owned()), ("retry-after".to_owned(), "5".to_owned())];
            let read = readable(HttpResponse::new(status, headers, "no gzip"), false).unwrap();
            assert_eq!((read.status, read.header("retry-after"), read.body.len()), (status, Some("5"), 0));
        }
    }
}
