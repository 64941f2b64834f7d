//! Positions in the modification log.

mod allocate;
mod clock;
mod token;

pub(crate) use allocate::Allocator;
use allocate::MAX_TIME_MS;
pub(crate) use clock::{ClockWatch, SignsOfTime, position_ms};
pub(crate) use token::TokenKey;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// A position in the modification log: a ULID and a short tag that proves where it comes from.
///
/// Keep it as text and hand it back as it is. Texts of one stream sort as the positions do. The
/// tag lets the store recognise a cursor of another stream, another store or a lost history
/// instead of silently reading from a wrong place.
///
/// ```
/// use highwater_core::Cursor;
/// let start: Cursor = Cursor::START.to_string().parse()?;
/// assert_eq!(start, Cursor::START);
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// The halves of the ULID: a number of 16 bytes would have a cursor be a third padding.
    ulid: (u64, u64),
    epoch: u32,
    /// The prunes that a reading from START which is still below the horizon has behind it; else 0.
    drain: u32,
    /// The tag, and above it whether the reading is filtered.
    tag: u64,
}

/// Where an entry stands: its ULID and the write epoch that minted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    pub(crate) ulid: u128,
    pub(crate) epoch: u32,
}

impl Cursor {
    /// Before everything: a reader that holds nothing.
    pub const START: Cursor = Cursor { ulid: (0, 0), epoch: 0, drain: 0, tag: 0 };

    /// Returns the position as a number, which is greater the later the modification was written; 0 for
    /// [`START`](Cursor::START).
    ///
    /// The number is a ULID: 48 bits of Unix milliseconds above 80 random bits. Compare positions of one stream by it. To
    /// continue a reading keep the whole cursor, as text: a number alone does not prove which stream it belongs to.
    ///
    /// ```
    /// use highwater_core::Cursor;
    /// assert_eq!(Cursor::START.position(), 0);
    /// ```
    pub fn position(&self) -> u128 {
        let (high, low) = self.ulid;
        u128::from(high) << 64 | u128::from(low)
    }

    /// Returns the time at which the position was minted, by the writer's clock. A hint: only [`position`](Cursor::position)
    /// tells the order.
    pub fn time(&self) -> Timestamp {
        time_of(self.position())
    }

    /// Whether this is [`Cursor::START`].
    pub fn is_start(&self) -> bool {
        self.ulid == (0, 0)
    }

    /// The count of prunes at which the reading began that this cursor is in the middle of; 0 for none.
    pub(crate) fn drain(&self) -> u32 {
        self.drain
    }

    pub(crate) fn position_in_epoch(&self) -> Position {
        Position { ulid: self.position(), epoch: self.epoch }
    }
}

/// The upper and the lower half of a position.
fn halves(position: u128) -> (u64, u64) {
    ((position >> 64) as u64, position as u64)
}

/// The last position before all that can be minted at a time or later.
pub(crate) fn just_before(time: Timestamp) -> u128 {
    (u128::from(time.unix_ms().min(MAX_TIME_MS)) << 80).saturating_sub(1)
}

/// The time part of a position.
pub(crate) fn time_of(position: u128) -> Timestamp {
    Timestamp::from_unix_ms(position_ms(position))
}

/// The time part of a position in Unix milliseconds.
pub(crate) fn millis_of(position: u128) -> i64 {
    i64::try_from(position >> 80).unwrap_or(0)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; token::MAX_TEXT];
        f.write_str(token::write(self, &mut buffer))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        token::read(text).ok_or_else(|| {
            let shown: String = text.chars().take(48).collect();
            Error::new(
                ErrorKind::CursorMalformed,
                "this text is not a cursor; pass one exactly as a page gave it, or Cursor::START",
            )
            .with("text", format!("{shown:?}"))
        })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; token::MAX_TEXT];
        serializer.serialize_str(token::write(self, &mut buffer))
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
