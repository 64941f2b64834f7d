//! The type and value of a plain scalar in YAML 1.1, by PyYAML's rules.

use highwater_interpolation::Value;
use highwater_interpolation::value::Number;

/// The value of a scalar without quotes and tag. Dates stay texts.
pub(super) fn resolved(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let signed = digits.len() < text.len();
    let number = integer(digits).map(|whole| whole.signed(negative)).or_else(|| {
        let float = float(digits, signed)?;
        Number::from_f64(if negative { -float } else { float })
    });
    number.map_or_else(|| Value::from(text), Value::Number)
}

enum Whole {
    Small(u64),
    /// Beyond what a JSON number keeps exactly.
    Large(f64),
}

impl Whole {
    fn signed(self, negative: bool) -> Number {
        let large = |float: f64| Number::from_f64(if negative { -float } else { float }).unwrap_or_else(|| 0.into());
        match self {
            Whole::Small(value) if !negative => value.into(),
            Whole::Small(value) => match 0i64.checked_sub_unsigned(value) {
                Some(value) => value.into(),
                None => large(value as f64),
            },
            Whole::Large(value) => large(value),
        }
    }
}

/// `0`, `12`, `0b11`, `017` (octal), `0x1F` and `1:30` (of base 60), each with `_` between the digits.
fn integer(text: &str) -> Option<Whole> {
    let clean = || text.replace('_', "");
    let whole = |radix: u32, digits: &str| match u64::from_str_radix(digits, radix) {
        Ok(value) => Some(Whole::Small(value)),
        Err(_) if !digits.is_empty() && radix == 10 => digits.parse().ok().map(Whole::Large),
        Err(_) => None,
    };
    let all = |text: &str, is: fn(u8) -> bool| !text.is_empty() && text.bytes().all(|byte| byte == b'_' || is(byte));
    if let Some(digits) = text.strip_prefix("0b") {
        return all(digits, |byte| matches!(byte, b'0' | b'1')).then(|| whole(2, &digits.replace('_', "")))?;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, |byte| byte.is_ascii_hexdigit()).then(|| whole(16, &digits.replace('_', "")))?;
    }
    match text.as_bytes().first()? {
        b'0' if text == "0" => Some(Whole::Small(0)),
        b'0' => all(text, |byte| matches!(byte, b'0'..=b'7')).then(|| whole(8, &clean()))?,
        b'1'..=b'9' if text.contains(':') => {
            let mut parts = text.split(':');
            let first = parts.next().filter(|first| all(first, |byte| byte.is_ascii_digit()))?;
            let mut value: u64 = first.replace('_', "").parse().ok()?;
            for part in parts {
                value = value.checked_mul(60)?.checked_add(sixtieth(part)?)?;
            }
            Some(Whole::Small(value))
        }
        b'1'..=b'9' => all(text, |byte| byte.is_ascii_digit()).then(|| whole(10, &clean()))?,
        _ => None,
    }
}

/// Up to 59, of one or two digits.
fn sixtieth(text: &str) -> Option<u64> {
    let value = text.parse().ok().filter(|value| *value < 60)?;
    (text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(value)
}

/// Numbers with a point: `1.5`, `.5` (without a sign), `1.5e+3` (the exponent has one) and `1:30.5`.
fn float(text: &str, signed: bool) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit());
    let starts = |text: &str| text.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if !digits(fraction) {
        return None;
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-'])?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    if whole.contains(':') && exponent.is_none() {
        let mut parts = whole.split(':');
        let first = parts.next().filter(|first| starts(first) && digits(first))?;
        let mut value: f64 = first.replace('_', "").parse().ok()?;
        for part in parts {
            value = value * 60.0 + sixtieth(part)? as f64;
        }
        let fraction: f64 = format!("0.{}0", fraction.replace('_', "")).parse().ok()?;
        return Some(value + fraction);
    }
    let fits = match whole.is_empty() {
        true => !signed && starts(fraction),
        false => starts(whole) && digits(whole),
    };
    fits.then(|| text.replace('_', "").parse().ok().filter(|value: &f64| value.is_finite()))?
}

#[cfg(test)]
mod tests {
    use crate::json;

    use super::*;

    #[test]
    fn scalars_are_what_pyyaml_makes_of_them() {
        for (text, value) in [
            ("~", Value::Null),
            ("nULL", json!("nULL")),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("-0", json!(0)),
            ("+12", json!(12)),
            ("1_000", json!(1000)),
            ("1_", json!(1)),
            ("_1", json!("_1")),
            ("017", json!(15)),
            ("-017", json!(-15)),
            ("08", json!("08")),
            ("0o17", json!("0o17")),
            ("00", json!(0)),
            ("0_7", json!(7)),
            ("0x1F", json!(31)),
            ("-0b11", json!(-3)),
            ("0x", json!("0x")),
            ("1:30", json!(90)),
            ("190:20:30", json!(685_230)),
            ("1:60", json!("1:60")),
            ("0:0", json!("0:0")),
            ("1:30.5", json!(90.5)),
            ("1e3", json!("1e3")),
            ("1.0e3", json!("1.0e3")),
            ("1.0e+3", json!(1000.0)),
            ("1.5E-3", json!(0.0015)),
            (".5", json!(0.5)),
            ("-.5", json!("-.5")),
            ("5.", json!(5.0)),
            ("-0.0", json!(-0.0)),
            ("1_0.5", json!(10.5)),
            ("6.8_5e+5", json!(685_000.0)),
            (".", json!(".")),
            ("1.2.3", json!("1.2.3")),
            (".e3", json!(".e3")),
            (".inf", json!(".inf")),
            ("2024-01-01", json!("2024-01-01")),
            ("-", json!("-")),
            ("e3", json!("e3")),
            ("99999999999999999999", json!(1e20)),
            ("-9223372036854775808", json!(i64::MIN)),
        ] {
            assert_eq!(resolved(text), value, "{text}");
        }
    }
}
