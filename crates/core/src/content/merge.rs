//! Partial updates: a patch laid over a record.

use std::borrow::Cow;
use std::collections::HashMap;

use super::scan::{MAX_DEPTH, Scanner};
use crate::error::{Error, Result};

type Members<'a> = Vec<(Cow<'a, [u8]>, &'a [u8])>;

/// Lays `patch` over `base`, both JSON objects: objects member by member, everything else (arrays
/// too) replaced. Values keep their spelling, members of `base` their place.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if either is not a JSON object, or is nested more than 128 deep.
///
/// ```
/// let merged = highwater_core::content::deep_merge(br#"{"a": {"x": 1, "y": 2}}"#, br#"{"a": {"y": 3}}"#)?;
/// assert_eq!(merged, br#"{"a":{"x":1,"y":3}}"#);
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub fn deep_merge(base: &[u8], patch: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(base.len() + patch.len());
    merge_objects(base, patch, 0, &mut out)?;
    Ok(out)
}

fn merge_objects(base: &[u8], patch: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<()> {
    let base_members = members(base)?;
    let patch_members = members(patch)?;
    // Of two values for one key none is the patch's word.
    let mut laid = HashMap::with_capacity(patch_members.len());
    for (key, value) in &patch_members {
        if laid.insert(&**key, *value).is_some() {
            let name = String::from_utf8_lossy(key).into_owned();
            return Err(Error::invalid("an object of the patch has the same key twice").with("key", name));
        }
    }
    out.push(b'{');
    let mut first = true;
    for (key, value) in &base_members {
        write_key(key, &mut first, out);
        match laid.remove(&**key) {
            Some(new) if depth < MAX_DEPTH && both_objects(value, new) => merge_objects(value, new, depth + 1, out)?,
            Some(new) => out.extend_from_slice(new),
            None => out.extend_from_slice(value),
        }
    }
    for (key, value) in &patch_members {
        if laid.contains_key(&**key) {
            write_key(key, &mut first, out);
            out.extend_from_slice(value);
        }
    }
    out.push(b'}');
    Ok(())
}

fn members(object: &[u8]) -> Result<Members<'_>> {
    let mut scanner = Scanner::new(object);
    let mut members = Vec::new();
    scanner.members(0, |key, value| {
        members.push((key, value));
        Ok(())
    })?;
    scanner.expect_end()?;
    Ok(members)
}

fn both_objects(a: &[u8], b: &[u8]) -> bool {
    a.first() == Some(&b'{') && b.first() == Some(&b'{')
}

fn write_key(key: &[u8], first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    out.push(b'"');
    for byte in key {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.extend_from_slice(b"\":");
}
