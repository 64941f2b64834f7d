//! The text form of a cursor: `<26-character ULID>.<7-character epoch><8-character tag>`, and seven
//! more characters while a reading from START is below the horizon: the count of prunes it began at.
//!
//! The tag is a keyed hash over the position, the epoch and the filter, under a key made from the
//! store's secret and the stream's name, so that a cursor of elsewhere is refused (P32 in `docs/guarantees.md`).

use siphasher::sip::SipHasher13;

use super::{Cursor, Position, halves};
use crate::mutants::mutant;
use crate::stream::StreamKey;

/// The longest text of a cursor, in bytes.
pub(super) const MAX_TEXT: usize = 49;
/// Without the count of prunes.
const SHORT_TEXT: usize = 42;
const START_TEXT: &str = "00000000000000000000000000";
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TAG_BITS: u32 = 40;
/// The mark of a filtered reading: in the text beside the epoch, in a [`Cursor`] above the tag.
const FILTERED_BIT: u64 = 1 << 32;
const FILTERED_TAG: u64 = 1 << TAG_BITS;

/// The key under which the cursors of one stream are tagged, ready to hash.
#[derive(Clone, Copy)]
pub(crate) struct TokenKey(SipHasher13);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    pub(crate) fn new(secret: &[u8; 32], stream: &StreamKey) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(secret);
        hasher.update(b"highwater cursor 1");
        if mutant!("tag-without-variant") {
            hasher.update(&StreamKey::new(stream.connection(), stream.model()).to_bytes());
        } else {
            hasher.update(&stream.to_bytes());
        }
        let mut key = [0; 16];
        hasher.finalize_xof().fill(&mut key);
        TokenKey(SipHasher13::new_with_key(&key))
    }

    /// The cursor of `position`, bound to the filter with this fingerprint (0: none).
    pub(crate) fn cursor(&self, position: Position, filter: u64) -> Cursor {
        self.cursor_in_drain(position, filter, 0)
    }

    /// The cursor of a reading from START that began at this count of prunes and is below the horizon.
    pub(crate) fn cursor_in_drain(&self, position: Position, filter: u64, drain: u32) -> Cursor {
        if position.ulid == 0 {
            return Cursor::START;
        }
        let tag = self.tag(position, filter, drain);
        Cursor { ulid: halves(position.ulid), epoch: position.epoch, drain, tag }
    }

    /// Whether `cursor` was tagged with this key and filter.
    pub(crate) fn vouches_for(&self, cursor: &Cursor, filter: u64) -> bool {
        cursor.tag == self.tag(cursor.position_in_epoch(), filter, cursor.drain)
    }

    /// Whether `cursor` says that it belongs to a filtered reading.
    pub(crate) fn is_filtered(cursor: &Cursor) -> bool {
        cursor.tag & FILTERED_TAG != 0
    }

    /// The tag, and the mark of a filter.
    fn tag(&self, position: Position, filter: u64, drain: u32) -> u64 {
        let mut message = [0; 32];
        message[..16].copy_from_slice(&position.ulid.to_be_bytes());
        message[16..20].copy_from_slice(&position.epoch.to_be_bytes());
        message[20..28].copy_from_slice(&filter.to_be_bytes());
        message[28..].copy_from_slice(&drain.to_be_bytes());
        // Each record of a page gets a cursor, and hardly one has more than its position.
        let message = if filter == 0 && drain == 0 { &message[..20] } else { &message[..] };
        let tag = self.0.hash(message) >> (64 - TAG_BITS);
        if filter == 0 { tag } else { tag | FILTERED_TAG }
    }
}

pub(super) fn write<'b>(cursor: &Cursor, buffer: &'b mut [u8; MAX_TEXT]) -> &'b str {
    if cursor.is_start() {
        return START_TEXT;
    }
    encode(cursor.position(), &mut buffer[..26]);
    buffer[26] = b'.';
    let epoch = u64::from(cursor.epoch) | if TokenKey::is_filtered(cursor) { FILTERED_BIT } else { 0 };
    encode(u128::from(epoch), &mut buffer[27..34]);
    encode(u128::from(cursor.tag & !FILTERED_TAG), &mut buffer[34..SHORT_TEXT]);
    encode(u128::from(cursor.drain), &mut buffer[SHORT_TEXT..]);
    let text = if cursor.drain == 0 { &buffer[..SHORT_TEXT] } else { &buffer[..] };
    std::str::from_utf8(text).unwrap_or(START_TEXT)
}

/// Accepts exactly what [`write`] produces.
pub(super) fn read(text: &str) -> Option<Cursor> {
    if text == START_TEXT {
        return Some(Cursor::START);
    }
    let (bytes, drain) = text.as_bytes().split_first_chunk::<SHORT_TEXT>()?;
    let drain = match drain.len() {
        0 => 0,
        7 => u32::try_from(decode(drain)?).ok().filter(|drain| *drain != 0)?,
        _ => return None,
    };
    if bytes[0] > b'7' || bytes[26] != b'.' {
        return None;
    }
    let position = decode(&bytes[..26])?;
    let epoch = u64::try_from(decode(&bytes[27..34])?).ok()?;
    let tag = u64::try_from(decode(&bytes[34..])?).ok()?;
    if position == 0 || epoch >= FILTERED_BIT << 1 {
        return None;
    }
    let filtered = if epoch & FILTERED_BIT == 0 { 0 } else { FILTERED_TAG };
    Some(Cursor {
        ulid: halves(position),
        epoch: u32::try_from(epoch & (FILTERED_BIT - 1)).ok()?,
        drain,
        tag: tag | filtered,
    })
}

fn encode(mut value: u128, out: &mut [u8]) {
    for place in out.iter_mut().rev() {
        *place = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
}

fn decode(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0_u128, |value, byte| {
        let digit = DIGITS[usize::from(*byte)];
        (digit < 32).then(|| value << 5 | u128::from(digit))
    })
}

const DIGITS: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 32 {
        digits[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(variant: &str) -> TokenKey {
        TokenKey::new(&[7; 32], &StreamKey::new("c", "m").with_variant(variant))
    }

    proptest! {
        #[test]
        fn p32_text_round_trips_and_sorts(ulids in proptest::collection::vec(1..u128::MAX, 2), epoch: u32, filter: u64, drain: u32) {
            let cursors: Vec<Cursor> =
                ulids.iter().map(|&ulid| key("a").cursor_in_drain(Position { ulid, epoch }, filter, drain)).collect();
            for cursor in &cursors {
                prop_assert_eq!(&cursor.to_string().parse::<Cursor>().unwrap(), cursor);
                prop_assert!(key("a").vouches_for(cursor, filter));
                prop_assert!(!key("b").vouches_for(cursor, filter));
            }
            prop_assert_eq!(
                cursors[0].position().cmp(&cursors[1].position()),
                cursors[0].to_string().cmp(&cursors[1].to_string())
            );
        }

        #[test]
        fn p32_no_text_is_accepted_twice(text in "[0-9A-Za-z.]{0,50}") {
            if let Some(cursor) = read(&text) {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn over_long_and_lower_case_ulids_are_refused() {
        let good = key("a").cursor(Position { ulid: 1 << 100, epoch: 5 }, 0).to_string();
        assert!(read(&good).is_some());
        assert!(read(&good.to_lowercase()).is_none());
        assert!(read(&format!("8{}", &good[1..])).is_none());
        assert!(read(&"8".repeat(26)).is_none());
    }
}
