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

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::error::{Error, ErrorKind};

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

    /// The position as a ULID.
    pub fn ulid(&self) -> Ulid {
        Ulid::from(self.ulid)
    }

    /// The time the position was minted at, as the writer's clock showed it. A hint: order is
    /// told by the cursor alone.
    pub fn time(&self) -> DateTime<Utc> {
        time_of(self.position().ulid)
    }

    /// Whether this is [`Cursor::START`].
    pub fn is_start(&self) -> bool {
        self.ulid == (0, 0)
    }

    /// The count of prunes at which the reading began that this cursor is in the middle of; 0 for none.
    pub(crate) fn drain(&self) -> u32 {
        self.drain
    }

    pub(crate) fn position(&self) -> Position {
        Position { ulid: self.ulid().0, epoch: self.epoch }
    }
}

/// The last position before all that can be minted at a time or later.
pub(crate) fn just_before(time: DateTime<Utc>) -> u128 {
    let milliseconds = u64::try_from(time.timestamp_millis()).unwrap_or(0).min(MAX_TIME_MS);
    (u128::from(milliseconds) << 80).saturating_sub(1)
}

/// The time part of a position. Positions never lie beyond chrono's range: 48 bits of milliseconds.
pub(crate) fn time_of(position: u128) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis_of(position)).unwrap_or_default()
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
