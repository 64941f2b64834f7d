//! Backslash escapes of string literals, as in Python.

/// Text with its escapes replaced; `bytes` literals know no `\u`. `None` where an escape is broken.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        decoded.push_str(rest.get(..at)?);
        let mut after = rest.get(at + 1..)?.chars();
        let kind = after.next()?;
        rest = after.as_str();
        let (replacement, taken) = match kind {
            '\n' => (None, 0),
            '\\' | '\'' | '"' => (Some(kind), 0),
            'a' => (Some('\u{7}'), 0),
            'b' => (Some('\u{8}'), 0),
            'f' => (Some('\u{c}'), 0),
            'n' => (Some('\n'), 0),
            'r' => (Some('\r'), 0),
            't' => (Some('\t'), 0),
            'v' => (Some('\u{b}'), 0),
            'x' => (Some(code_point(rest, 2, 16)?), 2),
            'u' => match surrogate_pair(rest) {
                Some(c) => (Some(c), 10),
                None => (Some(code_point(rest, 4, 16)?), 4),
            },
            'U' => (Some(code_point(rest, 8, 16)?), 8),
            // Names of characters would need the Unicode name table.
            'N' => return None,
            '0'..='7' => {
                let more = rest.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                let digits = text.len() - rest.len() - 1;
                let value = u32::from_str_radix(text.get(digits..digits + 1 + more)?, 8).ok()?;
                (Some(char::from_u32(value)?), more)
            }
            other => {
                decoded.push('\\');
                (Some(other), 0)
            }
        };
        decoded.extend(replacement);
        rest = rest.get(taken..)?;
    }
    decoded.push_str(rest);
    Some(decoded)
}

/// The character of `d83d\\ude00`, as JSON writes it. Python keeps the two halves, which no UTF-8 can hold.
fn surrogate_pair(text: &str) -> Option<char> {
    let low = text.get(4..)?.strip_prefix("\\u")?.get(..4)?;
    let halves = [u16::from_str_radix(text.get(..4)?, 16).ok()?, u16::from_str_radix(low, 16).ok()?];
    let is_pair = (0xd800..0xdc00).contains(&halves[0]);
    char::decode_utf16(halves).next()?.ok().filter(|_| is_pair)
}

fn code_point(text: &str, digits: usize, radix: u32) -> Option<char> {
    let digits = text.get(..digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    char::from_u32(u32::from_str_radix(digits, radix).ok()?)
}
