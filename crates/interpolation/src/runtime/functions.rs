//! The language's functions, such as `now_utc()`.

use std::cell::RefCell;
use std::rc::Rc;

use chrono::{DateTime, FixedOffset};

use super::super::datetime::{self, Clock};
use super::super::duration::Duration;
use super::arguments::{Bound, Given, made};
use super::data::Data;
use super::evaluate::Evaluator;
use super::numbers::{Number, number, whole};
use super::operators;
use super::strings::quote_plus;
use super::{Fault, Outcome, methods};

pub(super) fn call<'a>(evaluator: &mut Evaluator<'a>, name: &str, given: Given<'a>) -> Outcome<Data<'a>> {
    let budget = &evaluator.budget;
    match name {
        "now_utc" => {
            given.none()?;
            now(evaluator).map(Data::DateTime)
        }
        "today_utc" => {
            given.none()?;
            Ok(Data::Date(now(evaluator)?.date_naive()))
        }
        "today_with_timezone" => {
            let zone = given.one("timezone")?.expect_text()?;
            let zone: chrono_tz::Tz = zone.parse().map_err(|_| Fault::Other(format!("unknown time zone '{zone}'")))?;
            Ok(Data::Date(now(evaluator)?.with_timezone(&zone).date_naive()))
        }
        "timestamp" => {
            let value = given.one("dt")?;
            match number(&value) {
                Some(Number::Int(value)) => Ok(Data::Int(value)),
                Some(Number::Float(value)) => whole(value).map(Data::Int),
                None => Ok(Data::Float(datetime::timestamp(datetime::parse_iso(&text(&value)?)?))),
            }
        }
        "str_to_datetime" => Ok(Data::DateTime(datetime::parse_iso(&text(&given.one("s")?)?)?)),
        "max" | "min" => extreme(evaluator, name == "max", given),
        "day_delta" => {
            let [days, format] = given.bind(["num_days", "format"], 1)?;
            let days = number(&days.unwrap_or(Data::None))
                .ok_or_else(|| Fault::Type("day_delta takes a number of days".to_owned()))?
                .float();
            let microseconds = (days * 86_400e6).round_ties_even();
            if microseconds.is_nan() || microseconds.abs() > 1e18 {
                return Err(Fault::Other("a number of days is too large".to_owned()));
            }
            let moved = Duration { months: 0, microseconds: microseconds as i64 }.after(now(evaluator)?)?;
            let format = super::arguments::text_or(format, "%Y-%m-%dT%H:%M:%S.%f%z")?;
            made(datetime::strftime(&Clock::from(moved), &format)?, budget)
        }
        "duration" => Ok(Data::Duration(Duration::parse(&given.one("datestring")?.expect_text()?)?)),
        "format_datetime" => format_datetime(evaluator, given),
        "sanitize_url" => made(quote_plus(&given.one("value")?.expect_text()?), budget),
        "camel_case_to_snake_case" => {
            let text = given.one("value")?.expect_text()?;
            let mut snake = String::with_capacity(text.len() + 8);
            for (at, c) in text.char_indices() {
                if at > 0 && c.is_ascii_uppercase() {
                    snake.push('_');
                }
                snake.extend(c.to_lowercase());
            }
            made(snake, budget)
        }
        "json_loads" => super::json::loads(&given.one("s")?.expect_text()?, budget),
        "generate_uuid" => {
            given.none()?;
            made(uuid(evaluator), budget)
        }
        "dict" => {
            let mut entries = match given.positional.first() {
                Some(first) => first.entries(budget)?.ok_or_else(|| Fault::Type("dict takes a mapping".to_owned()))?,
                None => Vec::new(),
            };
            for (name, value) in given.named {
                methods::put(&mut entries, Data::text(name), value, budget)?;
            }
            Ok(Data::dict(entries))
        }
        _ => {
            let mut entries = Vec::new();
            for (name, value) in given.named {
                entries.push((name, value.detached(budget)?));
            }
            Ok(Data::Namespace(Rc::new(RefCell::new(entries))))
        }
    }
}

fn now(evaluator: &Evaluator<'_>) -> Outcome<DateTime<FixedOffset>> {
    i64::try_from(evaluator.environment.unix_us())
        .ok()
        .and_then(datetime::from_microseconds)
        .ok_or_else(|| Fault::Other("the clock shows a time that cannot be".to_owned()))
}

/// The text of an argument that is read as a time.
fn text(value: &Data<'_>) -> Outcome<Rc<str>> {
    match value {
        Data::Undefined(what) => Err(Fault::undefined(what)),
        other => other.expect_text(),
    }
}

fn extreme<'a>(evaluator: &Evaluator<'a>, greatest: bool, mut given: Given<'a>) -> Outcome<Data<'a>> {
    if !given.named.is_empty() || given.positional.is_empty() {
        return Err(Fault::Type("takes values to compare".to_owned()));
    }
    let budget = &evaluator.budget;
    let items = match given.positional.len() {
        1 => given.positional.pop().unwrap_or(Data::None).items(budget)?,
        _ => given.positional,
    };
    let mut items = items.into_iter();
    let Some(mut best) = items.next() else {
        return Err(Fault::Other("the greatest or least of nothing".to_owned()));
    };
    for item in items {
        let wanted = if greatest { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less };
        if operators::order(&item, &best, budget)? == Some(wanted) {
            best = item;
        }
    }
    Ok(best)
}

fn format_datetime<'a>(evaluator: &Evaluator<'a>, given: Given<'a>) -> Outcome<Data<'a>> {
    let [value, format, input_format] = given.bind(["dt", "format", "input_format"], 2)?;
    let value = value.unwrap_or(Data::None);
    let format = format.unwrap_or(Data::None).expect_text()?;
    let input_format = match input_format {
        Some(given) if given.is_true() => Some(given.expect_text()?),
        _ => None,
    };
    let instant = match (&value, number(&value)) {
        (Data::DateTime(instant), _) => {
            return made(datetime::strftime(&Clock::from(*instant), &format)?, &evaluator.budget);
        }
        (_, Some(Number::Int(number))) => {
            datetime::parse(&number.to_string(), input_format.as_deref().unwrap_or("%s"))?
        }
        _ => {
            let text = text(&value)?;
            match input_format {
                // `datetime.strptime` knows none of the language's own directives.
                Some(format) if own_directive(&format) => {
                    return Err(Fault::Other(format!("'{format}' is not a format of texts")));
                }
                Some(format) => datetime::parse(&text, &format)?,
                None => datetime::parse_iso(&text)?,
            }
        }
    };
    made(datetime::format(instant, &format)?, &evaluator.budget)
}

fn own_directive(format: &str) -> bool {
    matches!(format, "%s" | "%s_as_float" | "%ms" | "%epoch_microseconds") || format.contains("%_ms")
}

/// A random (version 4) UUID.
fn uuid(evaluator: &Evaluator<'_>) -> String {
    let mut bytes = [0u8; 16];
    evaluator.environment.fill_random(&mut bytes);
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let mut text = hex::encode(bytes);
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    text
}
