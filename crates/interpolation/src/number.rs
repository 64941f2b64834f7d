//! Numbers as Python reads and prints them.

/// `int(text)`: surrounding whitespace, a sign, digits with single underscores between.
pub(super) fn parse_int(text: &str) -> Option<i128> {
    parse_int_radix(text, 10)
}

/// `int(text, radix)`; 16, 8 and 2 allow their prefix.
pub(super) fn parse_int_radix(text: &str, radix: u32) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let prefix = match radix {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        _ => "",
    };
    let digits = match digits.get(..2) {
        Some(start) if !prefix.is_empty() && start.eq_ignore_ascii_case(prefix) => {
            let rest = digits.get(2..)?;
            rest.strip_prefix('_').unwrap_or(rest)
        }
        _ => digits,
    };
    let signed = digits.starts_with(['+', '-']);
    let broken = digits.is_empty() || digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    if signed || broken || !(2..=36).contains(&radix) {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// `float(text)`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = unsigned.to_ascii_lowercase();
    if matches!(word.as_str(), "inf" | "infinity" | "nan") {
        return text.parse().ok();
    }
    let digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let allowed = match byte {
            b'_' => at > 0 && digit(bytes.get(at - 1)) && digit(bytes.get(at + 1)),
            _ => byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'),
        };
        if !allowed {
            return None;
        }
    }
    text.replace('_', "").parse().ok()
}

/// `repr` of a float.
pub(super) fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
