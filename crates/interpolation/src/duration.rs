//! ISO 8601 durations with calendar months and years.

use std::fmt;

use chrono::{DateTime, Datelike, FixedOffset, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};
use highwater_core::{Error, ErrorKind, Result};

/// An ISO 8601 duration: calendar months and an exact time.
///
/// ```
/// use highwater_interpolation::{datetime, duration::Duration};
/// let month = Duration::parse("P1M")?;
/// let start = datetime::parse("2024-01-31", "%Y-%m-%d")?;
/// assert_eq!(datetime::format(month.after(start)?, "%Y-%m-%d")?, "2024-02-29");
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duration {
    /// Calendar months, years included.
    pub months: i64,
    /// The rest, in microseconds.
    pub microseconds: i64,
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl Duration {
    /// Reads a text such as `P1D`, `PT0.000001S`, `P1M` or `-P1Y2M3DT4H`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if `text` is not a duration, has a fraction of a month or a year, or is too long for 64 bits
    /// of microseconds.
    pub fn parse(text: &str) -> Result<Duration> {
        Self::read(text).ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("{text:?} is not an ISO 8601 duration: write one such as P1D or PT1H"),
            )
        })
    }

    fn read(text: &str) -> Option<Duration> {
        let (sign, rest) = match text.as_bytes().first()? {
            b'-' => (-1, text.get(1..)?),
            b'+' => (1, text.get(1..)?),
            _ => (1, text),
        };
        let rest = rest.strip_prefix('P').filter(|rest| !rest.is_empty())?;
        let (date, time) = match rest.split_once('T') {
            Some((date, time)) => (date, time),
            None => (rest, ""),
        };
        let mut duration = Duration::default();
        duration.add_parts(date, &[('Y', 0), ('M', 0), ('W', 7 * DAY), ('D', DAY)])?;
        duration.add_parts(time, &[('H', 3600 * SECOND), ('M', 60 * SECOND), ('S', SECOND)])?;
        duration.scaled(sign)
    }

    /// Adds numbers with their units, which come in the order of `units`, each once.
    fn add_parts(&mut self, mut text: &str, mut units: &[(char, i64)]) -> Option<()> {
        while !text.is_empty() {
            let end = text.find(|c: char| c.is_ascii_alphabetic())?;
            let (number, tail) = text.split_at_checked(end)?;
            let unit = tail.chars().next()?;
            text = tail.get(1..)?;
            let position = units.iter().position(|(name, _)| *name == unit)?;
            let (_, microseconds) = *units.get(position)?;
            units = units.get(position + 1..)?;
            let plain = number.replace(',', ".");
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, "0"));
            if !digits(whole) || !digits(fraction) {
                return None;
            }
            if microseconds == 0 {
                // A part of a month has no length.
                let count: i64 = whole.parse().ok()?;
                if fraction.bytes().any(|byte| byte != b'0') {
                    return None;
                }
                let months = count.checked_mul(if unit == 'Y' { 12 } else { 1 })?;
                self.months = self.months.checked_add(months)?;
            } else {
                let value: f64 = plain.parse().ok()?;
                let product = (value * microseconds as f64).round_ties_even();
                if product.abs() > 1e18 {
                    return None;
                }
                self.microseconds = self.microseconds.checked_add(product as i64)?;
            }
        }
        Some(())
    }

    /// This duration `factor` times.
    pub(super) fn scaled(self, factor: i64) -> Option<Duration> {
        let months = self.months.checked_mul(factor)?;
        Some(Duration { months, microseconds: self.microseconds.checked_mul(factor)? })
    }

    pub(super) fn plus(self, other: Duration) -> Option<Duration> {
        let months = self.months.checked_add(other.months)?;
        Some(Duration { months, microseconds: self.microseconds.checked_add(other.microseconds)? })
    }

    /// Returns `instant` plus this duration. A day beyond the end of a month becomes the month's last day.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the result is outside of the years 1 to 9999.
    pub fn after(&self, instant: DateTime<FixedOffset>) -> Result<DateTime<FixedOffset>> {
        let moved = self.shift(instant.naive_local());
        moved.and_then(|moved| instant.offset().from_local_datetime(&moved).single()).ok_or_else(out_of_range)
    }

    /// Returns `instant` minus this duration. A day beyond the end of a month becomes the month's last day.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the result is outside of the years 1 to 9999.
    pub fn before(&self, instant: DateTime<FixedOffset>) -> Result<DateTime<FixedOffset>> {
        self.scaled(-1).ok_or_else(out_of_range)?.after(instant)
    }

    /// A calendar day moved; times below a day are dropped, towards the past where negative.
    pub(super) fn shift_date(&self, date: NaiveDate) -> Option<NaiveDate> {
        let whole_days = self.microseconds.div_euclid(DAY);
        let moved = Duration { microseconds: whole_days.checked_mul(DAY)?, ..*self };
        moved.shift(date.and_hms_opt(0, 0, 0)?).map(|moved| moved.date())
    }

    fn shift(&self, instant: NaiveDateTime) -> Option<NaiveDateTime> {
        let months = Months::new(u32::try_from(self.months.unsigned_abs()).ok()?);
        let moved = match self.months {
            0 => instant,
            1.. => instant.checked_add_months(months)?,
            _ => instant.checked_sub_months(months)?,
        };
        let moved = moved.checked_add_signed(TimeDelta::microseconds(self.microseconds))?;
        (1..=9999).contains(&moved.year()).then_some(moved)
    }
}

fn out_of_range() -> Error {
    Error::new(ErrorKind::Invalid, "a date is beyond the years 1 to 9999: use a shorter duration")
}

/// As Python prints a `timedelta`: `-1 day, 23:00:00`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (years, months) = (self.months / 12, self.months % 12);
        if years != 0 {
            write!(f, "{years} years, ")?;
        }
        if months != 0 {
            write!(f, "{months} {}, ", if months <= 1 { "month" } else { "months" })?;
        }
        let days = self.microseconds.div_euclid(DAY);
        let rest = self.microseconds.rem_euclid(DAY);
        if days != 0 {
            write!(f, "{days} {}, ", if days.abs() == 1 { "day" } else { "days" })?;
        }
        let seconds = rest / SECOND;
        write!(f, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        match rest % SECOND {
            0 => Ok(()),
            fraction => write!(f, ".{fraction:06}"),
        }
    }
}
