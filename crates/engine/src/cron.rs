//! Cron expressions in UTC: reading them, and their next slot.
//!
//! In UTC no hour is missing and none comes twice, so a slot is found by stepping over days. The tests compare with `croner`,
//! which read the expressions of earlier versions and needs 13 crates of build-time macros.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Timelike, Utc};

/// The last year of a slot.
const LAST_YEAR: u16 = 5000;

/// The names of months and weekdays. They are read in every field.
const NAMES: [(&str, &str); 20] = [
    // The end of a range.
    ("-SUN", "-7"),
    ("SUN", "0"),
    ("MON", "1"),
    ("TUE", "2"),
    ("WED", "3"),
    ("THU", "4"),
    ("FRI", "5"),
    ("SAT", "6"),
    ("JAN", "1"),
    ("FEB", "2"),
    ("MAR", "3"),
    ("APR", "4"),
    ("MAY", "5"),
    ("JUN", "6"),
    ("JUL", "7"),
    ("AUG", "8"),
    ("SEP", "9"),
    ("OCT", "10"),
    ("NOV", "11"),
    ("DEC", "12"),
];

/// An expression that was read.
#[derive(Debug)]
pub(crate) struct Cron {
    seconds: Field,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
    years: Field,
    /// A day has to match the day of the month and the weekday; otherwise one of them is enough.
    both_days: bool,
}

/// The values that a field matches.
#[derive(Debug, Default)]
struct Field {
    /// `*` alone.
    any: bool,
    values: Numbers,
    /// `15W`: the weekday nearest to a day.
    nearest: Numbers,
    /// `L` and `LW`: the last day of the month, and its last weekday.
    last_day: bool,
    last_weekday: bool,
    /// `MON#1`: the weekdays of the first seven days of a month, of the second seven, and so on.
    nth: [Numbers; 5],
    /// `FRIL`: the last of a weekday in the month.
    last: Numbers,
}

/// What a field may contain.
struct Rules {
    least: u16,
    most: u16,
    letters: &'static str,
}

const SECONDS: Rules = Rules { least: 0, most: 59, letters: "" };
const HOURS: Rules = Rules { least: 0, most: 23, letters: "" };
const DAYS: Rules = Rules { least: 1, most: 31, letters: "LW" };
const MONTHS: Rules = Rules { least: 1, most: 12, letters: "" };
/// Sunday is 0 and 7.
const WEEKDAYS: Rules = Rules { least: 0, most: 7, letters: "#L" };
const YEARS: Rules = Rules { least: 1, most: LAST_YEAR, letters: "" };

impl Cron {
    /// Reads an expression. The error is the part that cannot be read.
    pub(crate) fn parse(expression: &str) -> Result<Self, String> {
        let text = expression.trim().to_ascii_uppercase();
        let text = match &*text {
            "@YEARLY" | "@ANNUALLY" => "0 0 1 1 *",
            "@MONTHLY" => "0 0 1 * *",
            "@WEEKLY" => "0 0 * * 0",
            "@DAILY" => "0 0 * * *",
            "@HOURLY" => "0 * * * *",
            text => text,
        };
        let mut fields = text.split_whitespace().map(with_numbers).collect::<Result<Vec<String>, String>>()?;
        if fields.len() == 5 {
            fields.insert(0, "0".to_owned());
        }
        if fields.len() == 6 {
            fields.push("*".to_owned());
        }
        let Ok([seconds, minutes, hours, days, months, weekdays, years]) = <[String; 7]>::try_from(fields) else {
            return Err(text.to_owned());
        };
        let (days, weekdays) = (days.replace('?', "*"), weekdays.replace('?', "*"));
        let (both_days, weekdays) = match weekdays.strip_prefix('+') {
            Some(weekdays) => (true, weekdays),
            None => (false, &*weekdays),
        };
        Ok(Cron {
            seconds: Field::parse(&seconds, &SECONDS)?,
            minutes: Field::parse(&minutes, &SECONDS)?,
            hours: Field::parse(&hours, &HOURS)?,
            days: Field::parse(&days, &DAYS)?,
            months: Field::parse(&months, &MONTHS)?,
            weekdays: Field::parse(weekdays, &WEEKDAYS)?,
            years: Field::parse(&years, &YEARS)?,
            both_days,
        })
    }

    /// The first slot after a time, in whole seconds; `None` after the last one.
    pub(crate) fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let start = DateTime::from_timestamp(after.timestamp().checked_add(1)?, 0)?;
        let (mut date, mut from) = (start.date_naive(), start.num_seconds_from_midnight());
        while date.year() <= i32::from(LAST_YEAR) {
            let following = if !self.years.values.has(u32::try_from(date.year()).ok()?) {
                NaiveDate::from_ymd_opt(date.year() + 1, 1, 1)
            } else if !self.months.values.has(date.month()) {
                date.with_day(1)?.checked_add_months(Months::new(1))
            } else if self.has_day(date)
                && let Some(second) = self.second_of_day(from)
            {
                return Some(date.and_time(NaiveTime::from_num_seconds_from_midnight_opt(second, 0)?).and_utc());
            } else {
                date.succ_opt()
            };
            (date, from) = (following?, 0);
        }
        None
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        match (self.days.any, self.weekdays.any) {
            (_, true) => self.days.has_day_of_month(date),
            (true, false) => self.weekdays.has_weekday(date),
            (false, false) if self.both_days => self.days.has_day_of_month(date) && self.weekdays.has_weekday(date),
            (false, false) => self.days.has_day_of_month(date) || self.weekdays.has_weekday(date),
        }
    }

    /// The first matching second of a day, from this one on.
    fn second_of_day(&self, from: u32) -> Option<u32> {
        let matching = |field: &Field, from: u32| field.values.from(from).collect::<Vec<_>>();
        for hour in matching(&self.hours, from / 3600) {
            let from = from.saturating_sub(hour * 3600);
            for minute in matching(&self.minutes, from / 60) {
                if let Some(second) = self.seconds.values.from(from.saturating_sub(minute * 60)).next() {
                    return Some(hour * 3600 + minute * 60 + second);
                }
            }
        }
        None
    }
}

impl Field {
    fn parse(text: &str, rules: &Rules) -> Result<Self, String> {
        let is_known = |c: char| c.is_ascii_digit() || "*/,-".contains(c) || rules.letters.contains(c);
        let mut field = Field { any: text == "*", ..Field::default() };
        if field.any {
            (rules.least..=rules.most).for_each(|value| field.values.insert(value));
        } else if !text.chars().all(is_known) || !text.split(',').all(|item| field.add(item, rules).is_some()) {
            return Err(text.to_owned());
        }
        Ok(field)
    }

    /// Adds an item of the list; `None` if it cannot be read.
    fn add(&mut self, item: &str, rules: &Rules) -> Option<()> {
        let number = |text: &str| text.parse::<u16>().ok().filter(|value| (rules.least..=rules.most).contains(value));
        if let Some((day, _)) = item.split_once('W') {
            match day {
                "L" => self.last_weekday = true,
                day => self.nearest.insert(number(day)?),
            }
            return Some(());
        }
        if item == "L" {
            self.last_day = true;
            return Some(());
        }
        let (item, values) = match item.split_once('#') {
            Some((item, nth)) => match nth.strip_suffix('L') {
                Some(between) => (item, between.bytes().all(|byte| byte.is_ascii_digit()).then_some(&mut self.last)?),
                None => (item, self.nth.get_mut(nth.parse::<usize>().ok()?.checked_sub(1)?)?),
            },
            None => match item.strip_suffix('L') {
                Some(item) if rules.letters.contains('#') && !item.contains(['-', '/']) => (item, &mut self.last),
                _ => (item, &mut self.values),
            },
        };
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u16>().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None if step.is_none() => (number(range)?, number(range)?),
            // `5/15` means different things to different programs.
            None => (range == "*").then_some((rules.least, rules.most))?,
        };
        if first > last {
            return None;
        }
        // Sunday as 7.
        let is_weekday = rules.letters.contains('#');
        let step = usize::from(step.unwrap_or(1));
        (first..=last).step_by(step).for_each(|value| values.insert(if is_weekday { value % 7 } else { value }));
        Some(())
    }

    fn has_day_of_month(&self, date: NaiveDate) -> bool {
        let (day, length) = (date.day(), u32::from(date.num_days_in_month()));
        let end = match (self.last_weekday, date.weekday().num_days_from_monday()) {
            (false, _) => self.last_day && day == length,
            // Monday to Thursday, Friday.
            (true, 0..=3) => day == length,
            (true, 4) => day + 2 >= length,
            (true, _) => false,
        };
        self.values.has(day) || end || self.is_nearest(date, length)
    }

    /// Whether a day stands for one with a `W`: that day itself, or the weekday nearest to it within the month.
    fn is_nearest(&self, date: NaiveDate, length: u32) -> bool {
        let day = date.day();
        (day.saturating_sub(2).max(1)..=(day + 2).min(length)).filter(|wanted| self.nearest.has(*wanted)).any(
            |wanted| {
                let weekday = date.with_day(wanted).map(|date| date.weekday().num_days_from_monday());
                day == match weekday {
                    Some(5) if wanted > 1 => wanted - 1,
                    Some(5) => wanted + 2,
                    Some(6) if wanted < length => wanted + 1,
                    Some(6) => wanted - 2,
                    _ => wanted,
                }
            },
        )
    }

    fn has_weekday(&self, date: NaiveDate) -> bool {
        let (day, weekday) = (date.day(), date.weekday().num_days_from_sunday());
        let nth = self.nth.get((day as usize - 1) / 7).is_some_and(|nth| nth.has(weekday));
        let is_last = day + 7 > u32::from(date.num_days_in_month());
        self.values.has(weekday) || nth || is_last && self.last.has(weekday)
    }
}

/// A field with numbers in place of names.
fn with_numbers(field: &str) -> Result<String, String> {
    if !is_field(field) {
        return Err(field.to_owned());
    }
    Ok(NAMES.iter().fold(field.to_owned(), |field, (name, number)| field.replace(name, number)))
}

/// Whether each item of a field is present and consists of whole words: `JANFEB` is not 12.
fn is_field(field: &str) -> bool {
    field.split(',').all(|item| !item.is_empty()) && field.split(|c: char| !c.is_alphanumeric()).all(is_word)
}

fn is_word(word: &str) -> bool {
    let letters = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = letters.len() < word.len();
    letters.chars().all(|c| c.is_ascii_alphabetic())
        && match letters.len() {
            0 | 1 => true,
            2 | 3 => !digits,
            // The last Friday: `FRIL`.
            4 => !digits && letters.ends_with('L'),
            _ => false,
        }
}

/// A set of small numbers.
#[derive(Debug, Default)]
struct Numbers(Vec<u64>);

impl Numbers {
    fn insert(&mut self, number: u16) {
        let place = usize::from(number) / 64;
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(place) {
            *bits |= 1 << (number % 64);
        }
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    /// Its numbers from this one on, in order.
    fn from(&self, number: u32) -> impl Iterator<Item = u32> {
        (number..self.0.len() as u32 * 64).filter(|number| self.has(*number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An item of a field whose values go up to `most`, sometimes one that cannot be read.
    fn item(most: u16, others: &'static [&'static str]) -> impl Strategy<Value = String> {
        let value = move || prop_oneof![20 => 0..=most, 1 => Just(most + 1)];
        prop_oneof![
            6 => value().prop_map(|value| value.to_string()),
            3 => (value(), value()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            2 => (value(), 0..8_u16).prop_map(|(_, step)| format!("*/{step}")),
            2 => (value(), value(), 1..8_u16).prop_map(|(a, b, step)| format!("{a}-{b}/{step}")),
            4 => prop::sample::select(others).prop_map(str::to_owned),
        ]
    }

    fn field(most: u16, others: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop_oneof![
            3 => Just("*".to_owned()),
            3 => prop::collection::vec(item(most, others), 1..4).prop_map(|items| items.join(",")),
        ]
    }

    fn expression() -> impl Strategy<Value = String> {
        let days = field(31, &["L", "LW", "15W", "1W", "31W", "0W", "?", "5L", "1#2", "w", "l"]);
        let months = field(12, &["JAN", "feb-nov", "DEC", "L", "MON", "SUN"]);
        let weekdays = field(
            7,
            &[
                "MON", "fri-SUN", "5#2", "1-3#L", "FRIL", "3L", "sun#1", "6#0", "6#6", "*/2#3", "L", "?", "7", "7#L",
                "5#2L",
            ],
        );
        let plus = prop::sample::select(&["", "", "+"][..]);
        let ends = prop::sample::select(&["", "", " 2026", " 2024-2040/3", " *", " 0", " 2026 1"][..]);
        let seconds =
            prop_oneof![4 => Just(String::new()), 1 => field(59, &["?", "JAN"]).prop_map(|field| field + " ")];
        (seconds, field(59, &["?", "SUN"]), field(23, &["", "L"]), days, months, plus, weekdays, ends).prop_map(
            |(seconds, minutes, hours, days, months, plus, weekdays, ends)| {
                format!("{seconds}{minutes} {hours} {days} {months} {plus}{weekdays}{ends}")
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn cron_expressions_mean_what_they_mean_to_croner(text in expression(), seconds in 0..4_000_000_000_i64) {
            let theirs = text.split_whitespace().all(is_field).then(|| text.parse::<croner::Cron>().ok()).flatten();
            let ours = Cron::parse(&text);
            prop_assert_eq!(ours.is_ok(), theirs.is_some(), "{}", text);
            if let (Ok(ours), Some(theirs)) = (ours, theirs) {
                let mut at = DateTime::from_timestamp(seconds, 0).unwrap();
                for _ in 0..4 {
                    let next = ours.next(at);
                    prop_assert_eq!(next, theirs.find_next_occurrence(&at, false).ok(), "{} after {}", text, at);
                    let Some(next) = next else { break };
                    at = next;
                }
            }
        }
    }
}
