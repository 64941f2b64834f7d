//! Dates, times and durations as values: their arithmetic, attributes and methods.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, TimeZone, Timelike};

use super::super::datetime::{self, Clock};
use super::super::duration::Duration;
use super::super::syntax::Operator;
use super::arguments::{Bound, Given, text_or};
use super::data::{Budget, Data};
use super::numbers::{Number, number};
use super::{Fault, Outcome};

impl From<highwater_core::Error> for Fault {
    fn from(error: highwater_core::Error) -> Self {
        Fault::Other(error.message().to_owned())
    }
}

fn out_of_range() -> Fault {
    Fault::Other("a date or duration is out of range".to_owned())
}

/// Arithmetic where a side is a date, a time or a duration; nothing where the operation does not exist.
pub(super) fn arithmetic<'a>(operator: Operator, left: &Data<'a>, right: &Data<'a>) -> Outcome<Option<Data<'a>>> {
    Ok(Some(match (operator, left, right) {
        (Operator::Add, Data::DateTime(instant), Data::Duration(duration))
        | (Operator::Add, Data::Duration(duration), Data::DateTime(instant)) => {
            Data::DateTime(duration.after(*instant)?)
        }
        (Operator::Subtract, Data::DateTime(instant), Data::Duration(duration)) => {
            Data::DateTime(duration.before(*instant)?)
        }
        (Operator::Add, Data::Date(date), Data::Duration(duration))
        | (Operator::Add, Data::Duration(duration), Data::Date(date)) => {
            Data::Date(duration.shift_date(*date).ok_or_else(out_of_range)?)
        }
        (Operator::Subtract, Data::Date(date), Data::Duration(duration)) => {
            // Python drops a part of a day before it negates.
            let days = duration.microseconds.div_euclid(DAY);
            let back = Duration { months: -duration.months, microseconds: -days * DAY };
            Data::Date(back.shift_date(*date).ok_or_else(out_of_range)?)
        }
        (Operator::Subtract, Data::DateTime(left), Data::DateTime(right)) => {
            exact(left.timestamp_micros() - right.timestamp_micros())
        }
        (Operator::Subtract, Data::Date(left), Data::Date(right)) => {
            exact(left.signed_duration_since(*right).num_days() * DAY)
        }
        (Operator::Add, Data::Duration(left), Data::Duration(right)) => {
            Data::Duration(left.plus(*right).ok_or_else(out_of_range)?)
        }
        (Operator::Subtract, Data::Duration(left), Data::Duration(right)) => {
            let negative = right.scaled(-1).ok_or_else(out_of_range)?;
            Data::Duration(left.plus(negative).ok_or_else(out_of_range)?)
        }
        (Operator::Divide, Data::Duration(left), Data::Duration(right)) if left.months == 0 && right.months == 0 => {
            if right.microseconds == 0 {
                return Err(Fault::Other("division by zero".to_owned()));
            }
            Data::Float(left.microseconds as f64 / right.microseconds as f64)
        }
        (Operator::Multiply, Data::Duration(duration), factor)
        | (Operator::Multiply, factor, Data::Duration(duration)) => match number(factor) {
            Some(Number::Int(factor)) => {
                let factor = i64::try_from(factor).map_err(|_| out_of_range())?;
                Data::Duration(duration.scaled(factor).ok_or_else(out_of_range)?)
            }
            Some(Number::Float(factor)) if duration.months == 0 => rounded(duration.microseconds as f64 * factor)?,
            _ => return Ok(None),
        },
        (Operator::Divide, Data::Duration(duration), divisor) if duration.months == 0 => match number(divisor) {
            Some(divisor) if divisor.float() == 0.0 => return Err(Fault::Other("division by zero".to_owned())),
            Some(divisor) => rounded(duration.microseconds as f64 / divisor.float())?,
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

const DAY: i64 = 86_400_000_000;

fn exact<'a>(microseconds: i64) -> Data<'a> {
    Data::Duration(Duration { months: 0, microseconds })
}

fn rounded<'a>(microseconds: f64) -> Outcome<Data<'a>> {
    let rounded = microseconds.round_ties_even();
    if rounded.abs() < 9e18 { Ok(exact(rounded as i64)) } else { Err(out_of_range()) }
}

/// A field of a date, a time or a duration.
pub(super) fn attribute<'a>(data: &Data<'a>, name: &str) -> Option<Data<'a>> {
    Some(Data::Int(match (data, name) {
        (Data::DateTime(instant), "year") => instant.year().into(),
        (Data::DateTime(instant), "month") => instant.month().into(),
        (Data::DateTime(instant), "day") => instant.day().into(),
        (Data::DateTime(instant), "hour") => instant.hour().into(),
        (Data::DateTime(instant), "minute") => instant.minute().into(),
        (Data::DateTime(instant), "second") => instant.second().into(),
        (Data::DateTime(instant), "microsecond") => (instant.nanosecond() / 1_000).into(),
        (Data::DateTime(instant), "tzinfo") => {
            let offset = instant.format("%:z").to_string();
            return Some(Data::text(if offset == "+00:00" { "UTC".to_owned() } else { format!("UTC{offset}") }));
        }
        (Data::Date(date), "year") => date.year().into(),
        (Data::Date(date), "month") => date.month().into(),
        (Data::Date(date), "day") => date.day().into(),
        (Data::Duration(duration), "days") => duration.microseconds.div_euclid(DAY).into(),
        (Data::Duration(duration), "seconds") => (duration.microseconds.rem_euclid(DAY) / 1_000_000).into(),
        (Data::Duration(duration), "microseconds") => duration.microseconds.rem_euclid(1_000_000).into(),
        _ => return None,
    }))
}

pub(super) fn has_method(data: &Data<'_>, name: &str) -> bool {
    match data {
        Data::DateTime(_) => {
            matches!(name, "strftime" | "isoformat" | "date" | "timestamp" | "replace" | "weekday" | "isoweekday")
        }
        Data::Date(_) => matches!(name, "strftime" | "isoformat" | "replace" | "weekday" | "isoweekday"),
        Data::Duration(duration) => name == "total_seconds" && duration.months == 0,
        _ => false,
    }
}

pub(super) fn call<'a>(data: &Data<'a>, name: &str, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    let result = match (data, name) {
        (Data::DateTime(instant), "strftime") => {
            let format = given.one("format")?.expect_text()?;
            Data::text(datetime::strftime(&Clock::from(*instant), &format)?)
        }
        (Data::Date(date), "strftime") => {
            let format = given.one("format")?.expect_text()?;
            Data::text(datetime::strftime(&Clock::from(*date), &format)?)
        }
        (Data::DateTime(instant), "isoformat") => iso_text(*instant, given)?,
        (Data::Date(date), "isoformat") => {
            given.none()?;
            Data::text(date.format("%Y-%m-%d").to_string())
        }
        (Data::DateTime(instant), "date") => {
            given.none()?;
            Data::Date(instant.date_naive())
        }
        (Data::DateTime(instant), "timestamp") => {
            given.none()?;
            Data::Float(datetime::timestamp(*instant))
        }
        (Data::DateTime(instant), "replace") => Data::DateTime(replaced(*instant, given)?),
        (Data::Date(date), "replace") => {
            let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc().fixed_offset();
            Data::Date(replaced(midnight, given)?.date_naive())
        }
        (Data::DateTime(_) | Data::Date(_), "weekday" | "isoweekday") => {
            given.none()?;
            let date = match data {
                Data::DateTime(instant) => instant.date_naive(),
                Data::Date(date) => *date,
                _ => NaiveDate::MIN,
            };
            Data::Int(i128::from(date.weekday().num_days_from_monday()) + i128::from(name == "isoweekday"))
        }
        (Data::Duration(duration), _) => {
            given.none()?;
            Data::Float(duration.microseconds as f64 / 1e6)
        }
        _ => return Err(Fault::Type(format!("no method '{name}'"))),
    };
    budget.spend(1)?;
    Ok(result)
}

fn iso_text<'a>(instant: DateTime<FixedOffset>, given: Given<'a>) -> Outcome<Data<'a>> {
    let [separator, precision] = given.bind(["sep", "timespec"], 0)?;
    let separator = text_or(separator, "T")?;
    let precision = match &*text_or(precision, "auto")? {
        "auto" => None,
        "seconds" => Some(0),
        "milliseconds" => Some(3),
        "microseconds" => Some(6),
        other => return Err(Fault::Other(format!("unknown timespec '{other}'"))),
    };
    Ok(Data::text(datetime::iso_text(instant, separator.chars().next().unwrap_or('T'), precision)))
}

fn replaced(instant: DateTime<FixedOffset>, given: Given<'_>) -> Outcome<DateTime<FixedOffset>> {
    let names = ["year", "month", "day", "hour", "minute", "second", "microsecond"];
    let bound = given.bind(names, 0)?;
    let current = [
        i64::from(instant.year()),
        instant.month().into(),
        instant.day().into(),
        instant.hour().into(),
        instant.minute().into(),
        instant.second().into(),
        (instant.nanosecond() / 1_000).into(),
    ];
    let mut values = [0u32; 7];
    for ((value, given), current) in values.iter_mut().zip(bound).zip(current) {
        let number = given.map_or(Ok(current.into()), |given| given.expect_int())?;
        *value = u32::try_from(number).map_err(|_| out_of_range())?;
    }
    let [year, month, day, hour, minute, second, microsecond] = values;
    let year = i32::try_from(year).ok().filter(|year| (1..=9999).contains(year));
    year.and_then(|year| NaiveDate::from_ymd_opt(year, month, day))
        .and_then(|date| date.and_hms_micro_opt(hour, minute, second, microsecond))
        .and_then(|local| instant.offset().from_local_datetime(&local).single())
        .ok_or_else(out_of_range)
}
