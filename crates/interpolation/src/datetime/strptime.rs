//! `strptime` as Python does it: each directive takes the longest reading that lets the rest match.

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveTime, TimeZone, Weekday};

use crate::limits;

/// The instant `text` names by `format`, in UTC where the format has no offset.
pub(super) fn strptime(text: &str, format: &str) -> Option<DateTime<FixedOffset>> {
    let mut items = Vec::new();
    compile(format, &mut items)?;
    let mut fields = Fields::default();
    let mut steps = 0;
    fields.matches(text, &items, &mut steps).then_some(())?;
    fields.instant()
}

/// The first directive of a format that Python does not know.
pub(super) fn unknown_directive(format: &str) -> Option<String> {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            match chars.next() {
                Some(kind) if DIRECTIVES.contains(kind) || "%cxX".contains(kind) => {}
                kind => return Some(format!("%{}", kind.map(String::from).unwrap_or_default())),
            }
        }
    }
    None
}

const DIRECTIVES: &str = "aAbBpdHIjmMSUWwuVyYGfzZ";

enum Item {
    Literal(char),
    Whitespace,
    Directive(char),
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

fn compile(format: &str, items: &mut Vec<Item>) -> Option<()> {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => match chars.next()? {
                '%' => items.push(Item::Literal('%')),
                'c' => compile("%a %b %d %H:%M:%S %Y", items)?,
                'x' => compile("%m/%d/%y", items)?,
                'X' => compile("%H:%M:%S", items)?,
                kind if DIRECTIVES.contains(kind) => items.push(Item::Directive(kind)),
                _ => return None,
            },
            c if c.is_whitespace() => {
                if !matches!(items.last(), Some(Item::Whitespace)) {
                    items.push(Item::Whitespace);
                }
            }
            c => items.push(Item::Literal(c)),
        }
    }
    Some(())
}

#[derive(Clone, Copy, Default)]
struct Fields {
    year: Option<i32>,
    iso_year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    ordinal: Option<u32>,
    hour: Option<u32>,
    half_day: Option<bool>,
    twelve: bool,
    minute: u32,
    second: u32,
    microsecond: u32,
    offset: Option<i32>,
    /// From Monday.
    weekday: Option<u32>,
    /// The week and the directive that gave it.
    week: Option<(u32, char)>,
}

impl Fields {
    fn matches(&mut self, text: &str, items: &[Item], steps: &mut usize) -> bool {
        *steps += 1;
        if *steps > limits::DATETIME_STEPS {
            return false;
        }
        let Some((item, items)) = items.split_first() else {
            return text.is_empty();
        };
        match item {
            Item::Literal(c) => {
                let mut chars = text.chars();
                let equal = chars.next().is_some_and(|found| found == *c || found.to_lowercase().eq(c.to_lowercase()));
                equal && self.matches(chars.as_str(), items, steps)
            }
            Item::Whitespace => {
                // Directives that begin with a space may want one back.
                let longest = text.len() - text.trim_start().len();
                (1..=longest).rev().any(|length| {
                    text.get(length..).is_some_and(|rest| {
                        let mut tried = *self;
                        let matched = tried.matches(rest, items, steps);
                        if matched {
                            *self = tried;
                        }
                        matched
                    })
                })
            }
            Item::Directive(kind) => readings(*kind, text).into_iter().any(|(length, value)| {
                let Some(rest) = text.get(length..) else {
                    return false;
                };
                let mut tried = *self;
                tried.set(*kind, value);
                let matched = tried.matches(rest, items, steps);
                if matched {
                    *self = tried;
                }
                matched
            }),
        }
    }

    fn set(&mut self, kind: char, value: i64) {
        let small = u32::try_from(value).unwrap_or(0);
        let signed = i32::try_from(value).unwrap_or(0);
        match kind {
            'Y' => self.year = Some(signed),
            'y' => self.year = Some(if signed <= 68 { 2000 + signed } else { 1900 + signed }),
            'G' => self.iso_year = Some(signed),
            'm' | 'b' | 'B' => self.month = Some(small),
            'd' => self.day = Some(small),
            'j' => self.ordinal = Some(small),
            'H' => (self.hour, self.twelve) = (Some(small), false),
            'I' => (self.hour, self.twelve) = (Some(small), true),
            'p' => self.half_day = Some(small == 1),
            'M' => self.minute = small,
            'S' => self.second = small,
            'f' => self.microsecond = small,
            'z' => self.offset = Some(signed),
            'a' | 'A' => self.weekday = Some(small),
            'u' => self.weekday = Some(small.saturating_sub(1)),
            'w' => self.weekday = Some((small + 6) % 7),
            'U' | 'W' | 'V' => self.week = Some((small, kind)),
            _ => {}
        }
    }

    fn instant(&self) -> Option<DateTime<FixedOffset>> {
        let hour = match (self.hour, self.twelve) {
            (Some(hour), true) => match self.half_day {
                Some(true) => hour % 12 + 12,
                _ if hour == 12 && self.half_day.is_none() => 0,
                _ => hour % 12,
            },
            (hour, _) => hour.unwrap_or(0),
        };
        let time = NaiveTime::from_hms_micro_opt(hour, self.minute, self.second, self.microsecond)?;
        let offset = FixedOffset::east_opt(self.offset.unwrap_or(0))?;
        super::in_range(offset.from_local_datetime(&self.date()?.and_time(time)).single()?)
    }

    fn date(&self) -> Option<NaiveDate> {
        if let Some(iso_year) = self.iso_year {
            let (Some((week, 'V')), Some(weekday), None) = (self.week, self.weekday, self.ordinal) else {
                return None;
            };
            return NaiveDate::from_isoywd_opt(iso_year, week, Weekday::try_from(u8::try_from(weekday).ok()?).ok()?);
        }
        if matches!(self.week, Some((_, 'V'))) {
            return None;
        }
        let year = self.year.unwrap_or(1900);
        if let Some(ordinal) = self.ordinal {
            return NaiveDate::from_ymd_opt(year, 1, 1)?.checked_add_days(Days::new(u64::from(ordinal) - 1));
        }
        if let (Some((week, kind)), Some(weekday), Some(_)) = (self.week, self.weekday, self.year) {
            let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
            let from_sunday = kind == 'U';
            let (first_weekday, weekday) = match from_sunday {
                true => (chrono::Datelike::weekday(&first).num_days_from_sunday(), (weekday + 1) % 7),
                false => (chrono::Datelike::weekday(&first).num_days_from_monday(), weekday),
            };
            let week_zero = i64::from((7 - first_weekday) % 7);
            let days = match week {
                0 => i64::from(weekday) - i64::from(first_weekday),
                _ => week_zero + 7 * (i64::from(week) - 1) + i64::from(weekday),
            };
            return first.checked_add_signed(chrono::TimeDelta::days(days));
        }
        NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))
    }
}

/// What `kind` may read at the start of `text`: lengths and values, longest first.
fn readings(kind: char, text: &str) -> Vec<(usize, i64)> {
    match kind {
        'Y' | 'G' => numbers(text, 4, 4, 0, 9999),
        'y' => numbers(text, 2, 2, 0, 99),
        'm' => numbers(text, 1, 2, 1, 12),
        'd' => match text.strip_prefix(' ') {
            Some(rest) => numbers(rest, 1, 1, 1, 9).into_iter().map(|(length, value)| (length + 1, value)).collect(),
            None => numbers(text, 1, 2, 1, 31),
        },
        'H' => numbers(text, 1, 2, 0, 23),
        'I' => numbers(text, 1, 2, 1, 12),
        'M' => numbers(text, 1, 2, 0, 59),
        'S' => numbers(text, 1, 2, 0, 61),
        'U' | 'W' => numbers(text, 1, 2, 0, 53),
        'V' => numbers(text, 1, 2, 0, 53),
        'j' => numbers(text, 1, 3, 1, 366),
        'w' => numbers(text, 1, 1, 0, 6),
        'u' => numbers(text, 1, 1, 1, 7),
        'f' => numbers(text, 1, 6, 0, 999_999)
            .into_iter()
            .map(|(length, value)| (length, (length..6).fold(value, |scaled, _| scaled * 10)))
            .collect(),
        'b' => names(text, MONTHS.iter().zip(1..).map(|(name, value)| (name.get(..3).unwrap_or(name), value))),
        'B' => names(text, MONTHS.iter().zip(1..).map(|(name, value)| (*name, value))),
        'a' => names(text, WEEKDAYS.iter().zip(0..).map(|(name, value)| (name.get(..3).unwrap_or(name), value))),
        'A' => names(text, WEEKDAYS.iter().zip(0..).map(|(name, value)| (*name, value))),
        'p' => names(text, [("am", 0), ("pm", 1)].into_iter()),
        'Z' => names(text, [("utc", 0), ("gmt", 0)].into_iter()),
        'z' => offsets(text),
        _ => Vec::new(),
    }
}

fn numbers(text: &str, least: usize, most: usize, minimum: i64, maximum: i64) -> Vec<(usize, i64)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (least..=digits)
        .rev()
        .filter_map(|length| text.get(..length)?.parse().ok().map(|value: i64| (length, value)))
        .filter(|(_, value)| (minimum..=maximum).contains(value))
        .collect()
}

fn names<'n>(text: &str, names: impl Iterator<Item = (&'n str, i64)>) -> Vec<(usize, i64)> {
    names
        .filter(|(name, _)| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
        .map(|(name, value)| (name.len(), value))
        .collect()
}

/// `Z`, or hours and minutes, with seconds and their fraction where given.
fn offsets(text: &str) -> Vec<(usize, i64)> {
    if text.starts_with('Z') {
        return vec![(1, 0)];
    }
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Vec::new(),
    };
    let two = |at: usize, maximum: i64| {
        let part = text.get(at..at + 2).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse::<i64>().ok().filter(|value| *value <= maximum)
    };
    let colon = |at: usize| usize::from(text.as_bytes().get(at) == Some(&b':'));
    let mut found = Vec::new();
    let minutes_at = 3 + colon(3);
    if let (Some(hours), Some(minutes)) = (two(1, 99), two(minutes_at, 59)) {
        let short = minutes_at + 2;
        let seconds_at = short + colon(short);
        if let Some(seconds) = two(seconds_at, 59)
            && colon(3) == colon(short)
        {
            found.push((seconds_at + 2, sign * (hours * 3600 + minutes * 60 + seconds)));
        }
        found.push((short, sign * (hours * 3600 + minutes * 60)));
    }
    found
}
