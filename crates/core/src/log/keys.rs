//! The keys of small facts in [`Table::State`](crate::backend::Table::State).
//!
//! The first byte names the kind; docs/store-format.md describes the values.

use crate::stream::StreamKey;

pub(crate) const IDENTITY: &[u8] = b"i";
pub(crate) const HEAD: &[u8] = b"h";
pub(crate) const CODEC_CHECK: &[u8] = b"k";
pub(crate) const RECODING: &[u8] = b"x";
/// When the host last said that the clock is right.
pub(crate) const CLOCK_ACCEPTED: &[u8] = b"t";
pub(crate) const STREAMS: u8 = b's';
pub(crate) const DOCUMENTS: u8 = b'd';
pub(crate) const EPOCHS: u8 = b'e';

pub(crate) fn epoch(id: u32) -> [u8; 5] {
    numbered(EPOCHS, id)
}

pub(crate) fn stream(key: &StreamKey) -> Vec<u8> {
    prefixed(STREAMS, &key.to_bytes())
}

/// What a stream is called, once more: a name that damage changed reads as another stream's.
pub(crate) fn stream_name(stream: u32) -> [u8; 5] {
    numbered(b'n', stream)
}

pub(crate) fn options(stream: u32) -> [u8; 5] {
    numbered(b'o', stream)
}

/// The marks that one batch left for the open run of a stream.
pub(crate) fn marks(stream: u32, row: u32) -> [u8; 9] {
    let mut key = [0; 9];
    key[..5].copy_from_slice(&numbered(b'm', stream));
    key[5..].copy_from_slice(&row.to_be_bytes());
    key
}

pub(crate) fn fence(name: &str) -> Vec<u8> {
    prefixed(b'f', name.as_bytes())
}

pub(crate) fn document(key: &str) -> Vec<u8> {
    prefixed(DOCUMENTS, key.as_bytes())
}

/// A key or dictionary that payloads may need.
pub(crate) fn codec_need(name: &str) -> Vec<u8> {
    prefixed(b'k', name.as_bytes())
}

/// The content filters that a stream's readers have.
pub(crate) fn filters(stream: u32) -> [u8; 5] {
    numbered(b'w', stream)
}

pub(crate) fn consumers(stream: u32) -> [u8; 5] {
    numbered(b'c', stream)
}

pub(crate) fn consumer(stream: u32, name: &str) -> Vec<u8> {
    let mut key = consumers(stream).to_vec();
    key.extend_from_slice(name.as_bytes());
    key
}

/// What is kept of a stream's consumers that were removed. Earlier versions had a row for each, behind this its name.
pub(crate) fn removed_consumers(stream: u32) -> [u8; 5] {
    numbered(b'r', stream)
}

/// The first key behind every key that begins with `prefix`. None of our prefixes ends the key space.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

fn numbered(kind: u8, number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [kind, a, b, c, d]
}

fn prefixed(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(kind);
    key.extend_from_slice(rest);
    key
}
