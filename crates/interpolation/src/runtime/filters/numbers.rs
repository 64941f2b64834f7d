//! Filters of numbers.

use super::super::super::number::{parse_float, parse_int_radix};
use super::super::arguments::{Given, int_or, made, text_or};
use super::super::data::{Budget, Data};
use super::super::numbers::{Number, number, whole};
use super::super::{Fault, Outcome};

pub(super) fn filter<'a>(name: &str, value: &Data<'a>, given: Given<'a>, budget: &Budget) -> Outcome<Data<'a>> {
    // `abs` and `round` know no such type in Python; anything else asks the value for a number.
    if let (Data::Undefined(what), false) = (value, matches!(name, "abs" | "round")) {
        return Err(Fault::undefined(what));
    }
    match name {
        "int" => {
            let [default, radix] = given.bind(["default", "base"], 0)?;
            let radix = u32::try_from(int_or(radix, 10)?).unwrap_or(0);
            let found = match (value, number(value)) {
                (_, Some(Number::Int(value))) => Some(value),
                (_, Some(Number::Float(value))) if value.is_nan() => None,
                (_, Some(Number::Float(value))) => Some(whole(value)?),
                (Data::Text(text), _) => {
                    let text = text.as_str();
                    parse_int_radix(text, radix).or_else(|| parse_float(text).and_then(|value| whole(value).ok()))
                }
                _ => None,
            };
            Ok(found.map(Data::Int).unwrap_or_else(|| default.unwrap_or(Data::Int(0))))
        }
        "float" => {
            let [default] = given.bind(["default"], 0)?;
            let found = match (value, number(value)) {
                (_, Some(value)) => Some(value.float()),
                (Data::Text(text), _) => parse_float(text.as_str()),
                _ => None,
            };
            Ok(found.map(Data::Float).unwrap_or_else(|| default.unwrap_or(Data::Float(0.0))))
        }
        "abs" => {
            given.none()?;
            match number(value) {
                Some(Number::Int(value)) => {
                    value.checked_abs().map(Data::Int).ok_or_else(|| Fault::Other("a number is too large".to_owned()))
                }
                Some(Number::Float(value)) => Ok(Data::Float(value.abs())),
                None => Err(Fault::Type(format!("bad operand type for abs(): '{}'", value.type_name()))),
            }
        }
        "round" => round(value, given),
        _ => {
            let [binary] = given.bind(["binary"], 0)?;
            let bytes = match (value, number(value)) {
                (_, Some(value)) => Some(value.float()),
                (Data::Text(text), _) => parse_float(text.as_str()),
                _ => None,
            };
            let bytes = bytes.ok_or_else(|| Fault::Other("a file size must be a number".to_owned()))?;
            made(file_size(bytes, binary.is_some_and(|binary| binary.is_true())), budget)
        }
    }
}

fn round<'a>(value: &Data<'a>, given: Given<'a>) -> Outcome<Data<'a>> {
    let [precision, method] = given.bind(["precision", "method"], 0)?;
    let precision = int_or(precision, 0)?.clamp(-400, 400);
    let method = text_or(method, "common")?;
    let Some(found) = number(value) else {
        return Err(Fault::Type(format!("type {} doesn't define __round__ method", value.type_name())));
    };
    let places = i32::try_from(precision).unwrap_or(0);
    match (&*method, found) {
        ("common", Number::Int(value)) if places >= 0 => Ok(Data::Int(value)),
        ("common", Number::Int(value)) => {
            let Some(unit) = 10i128.checked_pow(places.unsigned_abs()) else {
                return Ok(Data::Int(0));
            };
            let (quotient, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
            let up = rest * 2 > unit || (rest * 2 == unit && quotient % 2 != 0);
            Ok(Data::Int((quotient + i128::from(up)) * unit))
        }
        ("common", Number::Float(value)) if !value.is_finite() => Ok(Data::Float(value)),
        ("common", Number::Float(value)) if places >= 0 => {
            let shown = format!("{value:.*}", usize::try_from(places).unwrap_or(0));
            Ok(Data::Float(shown.parse().unwrap_or(value)))
        }
        ("common", Number::Float(value)) => {
            let unit = 10f64.powi(-places);
            Ok(Data::Float((value / unit).round_ties_even() * unit))
        }
        ("ceil" | "floor", found) => {
            let scale = 10f64.powi(places);
            let scaled = found.float() * scale;
            Ok(Data::Float(if &*method == "ceil" { scaled.ceil() } else { scaled.floor() } / scale))
        }
        _ => Err(Fault::Other("method must be common, ceil or floor".to_owned())),
    }
}

fn file_size(bytes: f64, binary: bool) -> String {
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return "1 Byte".to_owned();
    }
    if bytes < base {
        return format!("{bytes:.0} Bytes");
    }
    let letters = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    let mut unit = base;
    for (position, letter) in letters.iter().enumerate() {
        unit *= base;
        if bytes < unit || position + 1 == letters.len() {
            let suffix = if binary { format!("{}iB", letter.to_uppercase()) } else { format!("{letter}B") };
            return format!("{:.1} {suffix}", base * bytes / unit);
        }
    }
    String::new()
}
