//! The name of a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// Identifies one run over a stream, so that a resumed run continues its own bookkeeping.
///
/// A ULID: as text it has 26 characters, which sort by the time at which the runs began.
///
/// ```
/// use highwater_core::{RunId, Timestamp};
/// let first = RunId::new(Timestamp::from_unix_ms(1_000), 7);
/// let second = RunId::new(Timestamp::from_unix_ms(1_001), 0);
/// assert!(first < second && first.to_string() < second.to_string());
/// assert_eq!(first.to_string().parse::<RunId>()?, first);
/// assert_eq!(first.time().unix_ms(), 1_000);
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RunId(u128);

impl RunId {
    /// A run that begins at `time`; the lower 80 bits of `random` tell it from others of that millisecond.
    pub const fn new(time: Timestamp, random: u128) -> Self {
        RunId(Ulid::from_parts(time.unix_ms(), random).0)
    }

    /// The time in the id: when the run began.
    pub const fn time(self) -> Timestamp {
        Timestamp::from_unix_ms(Ulid(self.0).timestamp_ms())
    }

    /// The id as a number, which sorts as the text does.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id that has this number.
    pub const fn from_u128(number: u128) -> Self {
        RunId(number)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Ulid(self.0), f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid =
            |_| Error::new(ErrorKind::Invalid, "not a run id: it is a ULID of 26 characters").with("id", text);
        Ulid::from_string(text).map(|ulid| RunId(ulid.0)).map_err(invalid)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
