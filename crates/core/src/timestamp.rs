//! Points in time, in Unix milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};

/// A point in time: milliseconds since the Unix epoch, in UTC.
///
/// Every public structure of Highwater gives time in this type, so that no date library is part of the API. Dates convert
/// by way of [`SystemTime`]: `chrono::DateTime::<Utc>::from(SystemTime::from(timestamp))`.
///
/// Prints, parses and serialises as RFC 3339 text in UTC. Fractions of a millisecond are cut off, and times before 1970
/// become the epoch.
///
/// ```
/// use std::time::Duration;
/// use highwater_core::Timestamp;
/// let noon: Timestamp = "2026-11-30T12:00:00Z".parse()?;
/// assert_eq!(noon.unix_ms(), 1_796_040_000_000);
/// assert_eq!((noon + Duration::from_millis(1_500)).to_string(), "2026-11-30T12:00:01.500Z");
/// assert_eq!(noon.duration_since(noon - Duration::from_secs(60)), Duration::from_secs(60));
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z, the earliest.
    pub const UNIX_EPOCH: Timestamp = Timestamp(0);

    /// So many milliseconds after the Unix epoch.
    pub const fn from_unix_ms(milliseconds: u64) -> Self {
        Timestamp(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero where `earlier` is later.
    pub const fn duration_since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    fn date(self) -> DateTime<Utc> {
        i64::try_from(self.0).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// Adds whole milliseconds; stops at the latest time there is.
impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Subtracts whole milliseconds; stops at the Unix epoch.
impl std::ops::Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.date().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339 text, with any offset.
    fn from_str(text: &str) -> Result<Self, Error> {
        let date = DateTime::parse_from_rfc3339(text).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the text is not a time of RFC 3339, such as 2026-11-30T12:00:00Z")
                .because(source)
                .with("text", text)
        })?;
        Ok(Timestamp(u64::try_from(date.timestamp_millis()).unwrap_or(0)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Stops at the latest time that the platform can express.
impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        // A date's range is narrower than any platform's.
        timestamp.date().into()
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A [`Timestamp`] as a number of Unix milliseconds, for `#[serde(with = "unix_ms")]`.
///
/// Members that are written so have names that end in `_ms`.
pub mod unix_ms {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Timestamp;

    /// Writes the milliseconds.
    ///
    /// # Errors
    ///
    /// Those of `serializer`.
    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        time.unix_ms().serialize(serializer)
    }

    /// Reads milliseconds.
    ///
    /// # Errors
    ///
    /// Where there is something other than a whole number that is not negative.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(deserializer).map(Timestamp::from_unix_ms)
    }

    /// The same for a time that may be absent, for `#[serde(with = "unix_ms::option")]`.
    pub mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use super::Timestamp;

        /// Writes the milliseconds, or null.
        ///
        /// # Errors
        ///
        /// Those of `serializer`.
        pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            time.map(Timestamp::unix_ms).serialize(serializer)
        }

        /// Reads milliseconds, or null.
        ///
        /// # Errors
        ///
        /// Where there is something other than null or a whole number that is not negative.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
            Option::<u64>::deserialize(deserializer).map(|time| time.map(Timestamp::from_unix_ms))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_prints_and_comes_back_within_its_range() {
        for ms in [0, 1, 999, 1_000, 1_796_000_000_000, 253_402_300_799_999] {
            let time = Timestamp::from_unix_ms(ms);
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
            assert_eq!(serde_json::from_str::<Timestamp>(&serde_json::to_string(&time).unwrap()).unwrap(), time);
        }
        let last = Timestamp::from_unix_ms(u64::MAX);
        assert!(last.to_string().starts_with("+262142-12-31"), "{last}");
        assert!(SystemTime::from(last) > SystemTime::from(Timestamp::from_unix_ms(1)));
        assert_eq!((last + Duration::MAX, Timestamp::UNIX_EPOCH - Duration::MAX), (last, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn offsets_fractions_and_times_before_1970_are_taken() {
        let noon: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        assert_eq!("2026-11-30T13:30:00.0009+01:30".parse::<Timestamp>().unwrap(), noon);
        assert_eq!("1969-12-31T23:59:59Z".parse::<Timestamp>().unwrap(), Timestamp::UNIX_EPOCH);
        let error = "yesterday".parse::<Timestamp>().unwrap_err();
        assert_eq!((error.kind(), error.context("text")), (ErrorKind::Invalid, Some("yesterday")));
    }

    #[test]
    fn the_numbers_of_a_document_are_read() {
        #[derive(Serialize, Deserialize)]
        struct Row {
            #[serde(rename = "at_ms", with = "unix_ms")]
            at: Timestamp,
            #[serde(rename = "end_ms", with = "unix_ms::option", default)]
            end: Option<Timestamp>,
        }
        let row: Row = serde_json::from_str(r#"{"at_ms":7}"#).unwrap();
        assert_eq!((row.at.unix_ms(), row.end), (7, None));
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"at_ms":7,"end_ms":null}"#);
    }
}
