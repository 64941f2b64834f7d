//! ISO 8601 as `dateutil.parser.isoparse` reads it.

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc, Weekday};

pub(super) fn parse(text: &str) -> Option<DateTime<FixedOffset>> {
    if !text.is_ascii() {
        return None;
    }
    let (date, length) = common_date(text).or_else(|| uncommon_date(text))?;
    let (time, offset, next_day) = match text.get(length..) {
        None | Some("") => (NaiveTime::MIN, None, false),
        Some(rest) => time(rest.get(1..)?)?,
    };
    let date = if next_day { date.checked_add_days(Days::new(1))? } else { date };
    let offset = offset.unwrap_or(FixedOffset::east_opt(0)?);
    let instant = offset.from_local_datetime(&NaiveDateTime::new(date, time)).single()?;
    super::in_range(instant.with_timezone(&Utc).fixed_offset())
}

fn digits(text: &str, from: usize, count: usize) -> Option<u32> {
    let part = text.get(from..from + count)?;
    part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
}

/// `YYYY`, `YYYY-MM`, `YYYY-MM-DD` and `YYYYMMDD`.
fn common_date(text: &str) -> Option<(NaiveDate, usize)> {
    let year = i32::try_from(digits(text, 0, 4)?).ok()?;
    let dated = |month, day, length| Some((NaiveDate::from_ymd_opt(year, month, day).filter(|_| year > 0)?, length));
    if text.len() == 4 {
        return dated(1, 1, 4);
    }
    let separated = text.as_bytes().get(4) == Some(&b'-');
    let at = 4 + usize::from(separated);
    let month = digits(text, at, 2)?;
    if text.len() == at + 2 {
        return if separated { dated(month, 1, at + 2) } else { None };
    }
    if separated && text.as_bytes().get(at + 2) != Some(&b'-') {
        return None;
    }
    let at = at + 2 + usize::from(separated);
    dated(month, digits(text, at, 2)?, at + 2)
}

/// Weeks (`2024-W05-1`) and days of the year (`2024-032`).
fn uncommon_date(text: &str) -> Option<(NaiveDate, usize)> {
    let year = i32::try_from(digits(text, 0, 4)?).ok()?;
    let separated = text.as_bytes().get(4) == Some(&b'-');
    let at = 4 + usize::from(separated);
    if text.as_bytes().get(at) != Some(&b'W') {
        return Some((NaiveDate::from_yo_opt(year, digits(text, at, 3)?)?, at + 3));
    }
    let week = digits(text, at + 1, 2)?;
    let mut at = at + 3;
    let mut day = 1;
    if text.len() > at {
        if (text.as_bytes().get(at) == Some(&b'-')) != separated {
            return None;
        }
        at += usize::from(separated);
        day = digits(text, at, 1)?;
        at += 1;
    }
    let weekday = Weekday::try_from(u8::try_from(day).ok()?.checked_sub(1)?).ok()?;
    let monday = NaiveDate::from_isoywd_opt(year, 1, Weekday::Mon)?;
    let days = week.checked_sub(1)? * 7 + weekday.num_days_from_monday();
    (week < 54).then(|| monday.checked_add_days(Days::new(days.into())))?.map(|date| (date, at))
}

/// The time of day, its offset, and whether it is 24:00.
fn time(text: &str) -> Option<(NaiveTime, Option<FixedOffset>, bool)> {
    if text.len() < 2 {
        return None;
    }
    let mut parts = [0u32; 3];
    let (mut position, mut separated, mut microseconds, mut offset) = (0, false, 0, None);
    for index in 0..=4 {
        let rest = text.get(position..)?;
        let Some(first) = rest.chars().next() else {
            break;
        };
        if matches!(first, '-' | '+' | 'Z' | 'z') {
            offset = Some(zone(rest)?);
            position = text.len();
            break;
        }
        if index == 1 && first == ':' {
            separated = true;
            position += 1;
        } else if index == 2 && separated {
            if first != ':' {
                return None;
            }
            position += 1;
        }
        match index {
            0..=2 => {
                *parts.get_mut(index)? = digits(text, position, 2)?;
                position += 2;
            }
            3 if matches!(first, '.' | ',') => {
                let fraction: String = rest.chars().skip(1).take_while(char::is_ascii_digit).collect();
                let shown: String = fraction.chars().chain("000000".chars()).take(6).collect();
                microseconds = if fraction.is_empty() { return None } else { shown.parse().ok()? };
                position += fraction.len() + 1;
            }
            _ => {}
        }
    }
    if position < text.len() {
        return None;
    }
    let [hour, minute, second] = parts;
    if hour == 24 {
        return (minute == 0 && second == 0 && microseconds == 0).then_some((NaiveTime::MIN, offset, true));
    }
    Some((NaiveTime::from_hms_micro_opt(hour, minute, second, microseconds)?, offset, false))
}

fn zone(text: &str) -> Option<FixedOffset> {
    if matches!(text, "Z" | "z") {
        return FixedOffset::east_opt(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let hours = digits(text, 1, 2)?;
    let minutes = match text.len() {
        3 => 0,
        5 => digits(text, 3, 2)?,
        6 if text.as_bytes().get(3) == Some(&b':') => digits(text, 4, 2)?,
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    (hours < 24 && minutes < 60).then(|| FixedOffset::east_opt(sign * seconds))?
}
