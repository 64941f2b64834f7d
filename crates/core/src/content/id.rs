//! A record's id, without reading more than needed.

use std::borrow::Cow;

use super::scan::Scanner;

/// A guess at a record's id: the first top-level member named `id`, if it is a plain string or an
/// integer. Nothing behind it is looked at, so the text may yet turn out to be no JSON, or to have
/// another `id`; [`canonical`](super::canonical) knows for sure.
pub fn guess_id(payload: &[u8]) -> Option<Cow<'_, str>> {
    let mut scanner = Scanner::new(payload);
    if scanner.next_byte()? != b'{' {
        return None;
    }
    scanner.bump();
    loop {
        let key = scanner.string().ok()?;
        scanner.expect(b':', "").ok()?;
        if *key != *b"id" {
            scanner.value(1).ok()?;
            if !scanner.more(b'}').ok()? {
                return None;
            }
            continue;
        }
        let id = match scanner.next_byte()? {
            b'"' => scanner.string().ok()?,
            b'-' | b'0'..=b'9' => {
                let number = scanner.number().ok()?;
                let plain = number.iter().all(u8::is_ascii_digit) || number.starts_with(b"-");
                let integer = plain && number != b"-0" && !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
                if !integer {
                    return None;
                }
                Cow::Borrowed(number)
            }
            _ => return None,
        };
        return match id {
            Cow::Borrowed(id) => std::str::from_utf8(id).ok().map(Cow::Borrowed),
            Cow::Owned(id) => String::from_utf8(id).ok().map(Cow::Owned),
        };
    }
}
