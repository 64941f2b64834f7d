//! The canonical encoding of a number: its value, independent of its spelling.

use super::scan::Scanner;
use crate::error::Result;
use crate::varint::put_number;

/// Exponents beyond this are refused: no API means them.
const MAX_EXPONENT: i64 = 1_000_000_000;

/// Reads a number: sign, count of digits, digits without zeros at either end, power of ten.
pub(super) fn encode(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<()> {
    if let Some((sign, digits)) = scanner.plain_integer() {
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        put(out, sign, digits.get(..digits.len() - zeros).unwrap_or_default(), zeros as i64);
        return Ok(());
    }
    let text = scanner.number()?;
    let (sign, rest) = match text.strip_prefix(b"-") {
        Some(rest) => (b'-', rest),
        None => (b'+', text),
    };
    let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(place) => (rest.get(..place).unwrap_or_default(), exponent(rest.get(place + 1..).unwrap_or_default())),
        None => (rest, Some(0)),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(place) => mantissa.split_at(place),
        None => (mantissa, &[][..]),
    };
    let fraction = fraction.get(1..).unwrap_or_default();
    let digits = || whole.iter().chain(fraction).copied();
    let leading = digits().take_while(|digit| *digit == b'0').count();
    let length = whole.len() + fraction.len();
    if leading == length {
        out.push(b'0');
        return Ok(());
    }
    let trailing = digits().rev().take_while(|digit| *digit == b'0').count();
    let power = exponent
        .and_then(|exponent| exponent.checked_add(trailing as i64)?.checked_sub(fraction.len() as i64))
        .ok_or_else(|| scanner.error("a number's exponent is too large"))?;
    let kept: Vec<u8> = digits().skip(leading).take(length - leading - trailing).collect();
    put(out, sign, &kept, power);
    Ok(())
}

#[inline]
fn put(out: &mut Vec<u8>, sign: u8, digits: &[u8], power: i64) {
    out.push(sign);
    put_number(out, digits.len() as u64);
    out.extend_from_slice(digits);
    put_number(out, ((power << 1) ^ (power >> 63)) as u64);
}

fn exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<i64>().ok().filter(|exponent| exponent.abs() <= MAX_EXPONENT)
}
