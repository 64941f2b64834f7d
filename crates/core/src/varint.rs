//! Numbers in as few bytes as they need, and texts behind their length: what keys, rows and hashes are made of.

use crate::error::{Error, Result};

/// Appends `bytes` behind their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The longest encoding of a number, in bytes.
pub(crate) const MAX_NUMBER: usize = 10;

/// Appends a number in as few bytes as it needs, seven bits each.
#[inline]
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    if number < 0x80 {
        return out.push(number as u8);
    }
    let (length, bytes) = number_bytes(number);
    out.extend_from_slice(&bytes[..length]);
}

/// A number in as few bytes as it needs, and how many they are.
#[inline]
pub(crate) fn number_bytes(mut number: u64) -> (usize, [u8; MAX_NUMBER]) {
    let (mut bytes, mut last) = ([0; MAX_NUMBER], 0);
    while number >= 0x80 {
        bytes[last] = (number as u8) | 0x80;
        number >>= 7;
        last += 1;
    }
    bytes[last] = number as u8;
    (last + 1, bytes)
}

/// Reads what the functions above wrote.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk().ok_or_else(too_short)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(too_short())
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| too_short())?;
        let (head, tail) = self.0.split_at_checked(length).ok_or_else(too_short)?;
        self.0 = tail;
        Ok(head)
    }
}

fn too_short() -> Error {
    Error::corrupt("a stored value ends too early: verify the store (Maintenance::Verify) to see what is affected")
}
