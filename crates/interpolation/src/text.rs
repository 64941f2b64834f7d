//! Values as Python's `str()` and `repr()` print them.

use super::number::float_text;
use crate::value::{Number, Value};

/// Returns a JSON value as Python's `str()` prints it: `True`, `None`, `['a', 'b']`, and text as it is.
pub fn python_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => {
            let mut output = String::new();
            write_json(other, &mut output);
            output
        }
    }
}

pub(super) fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_text(float),
        _ => number.to_string(),
    }
}

/// `repr` of a JSON value.
pub(super) fn write_json(value: &Value, output: &mut String) {
    match value {
        Value::Null => output.push_str("None"),
        Value::Bool(value) => output.push_str(if *value { "True" } else { "False" }),
        Value::Number(number) => output.push_str(&number_text(number)),
        Value::String(text) => write_quoted(text, output),
        Value::Array(items) => {
            output.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    output.push_str(", ");
                }
                write_json(item, output);
            }
            output.push(']');
        }
        Value::Object(entries) => {
            output.push('{');
            for (position, (key, item)) in entries.iter().enumerate() {
                if position > 0 {
                    output.push_str(", ");
                }
                write_quoted(key, output);
                output.push_str(": ");
                write_json(item, output);
            }
            output.push('}');
        }
    }
}

/// `repr` of a text.
pub(super) fn write_quoted(text: &str, output: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    output.push(quote);
    for c in text.chars() {
        match c {
            '\\' => output.push_str("\\\\"),
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            c if c == quote => {
                output.push('\\');
                output.push(c);
            }
            c if is_printable(c) => output.push(c),
            c => {
                let code = u32::from(c);
                let escaped = match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                };
                output.push_str(&escaped);
            }
        }
    }
    output.push(quote);
}

/// Close to Python's `str.isprintable`: no controls, formats, private or unassigned planes, and no space but the plain one.
fn is_printable(c: char) -> bool {
    let formatting = matches!(
        u32::from(c),
        0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xfeff | 0xfff9..=0xfffb | 0xe000..=0xf8ff | 0xe0000..=0x10ffff
    );
    c == ' ' || !(c.is_control() || c.is_whitespace() || formatting)
}
