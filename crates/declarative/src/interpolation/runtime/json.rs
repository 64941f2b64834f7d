//! `json.dumps` as Python does it.

use super::super::number::float_text;
use super::super::text::number_text;
use super::data::{Budget, Data};
use super::{Fault, Outcome};

/// JSON with Python's separators and escapes.
pub(super) fn dumps(data: &Data<'_>, sorted: bool, budget: &Budget) -> Outcome<String> {
    let mut output = String::new();
    write(data, sorted, &mut output, budget)?;
    budget.spend_bytes(output.len())?;
    Ok(output)
}

/// JSON that is safe within HTML, with sorted keys: the `tojson` filter.
pub(super) fn dumps_for_html(data: &Data<'_>, budget: &Budget) -> Outcome<String> {
    let text = dumps(data, true, budget)?;
    Ok(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027"))
}

fn write(data: &Data<'_>, sorted: bool, output: &mut String, budget: &Budget) -> Outcome<()> {
    budget.spend(1)?;
    match data {
        Data::None => output.push_str("null"),
        Data::Bool(value) => output.push_str(if *value { "true" } else { "false" }),
        Data::Int(value) => output.push_str(&value.to_string()),
        Data::Float(value) => output.push_str(&float(*value)),
        Data::Text(text) => write_text(text.as_str(), output),
        Data::JsonList(_) | Data::List(_) | Data::Tuple(_) => {
            output.push('[');
            for (position, item) in data.items(budget)?.iter().enumerate() {
                output.push_str(if position > 0 { ", " } else { "" });
                write(item, sorted, output, budget)?;
            }
            output.push(']');
        }
        Data::JsonDict(_) | Data::Dict(_) => {
            let mut entries = Vec::new();
            for (name, value) in data.entries(budget)?.unwrap_or_default() {
                entries.push((key(&name)?, value));
            }
            if sorted {
                entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            }
            output.push('{');
            for (position, (key, value)) in entries.iter().enumerate() {
                output.push_str(if position > 0 { ", " } else { "" });
                write_text(key, output);
                output.push_str(": ");
                write(value, sorted, output, budget)?;
            }
            output.push('}');
        }
        other => return Err(Fault::Type(format!("object of type {} is not JSON serializable", other.type_name()))),
    }
    Ok(())
}

fn float(value: f64) -> String {
    match serde_json::Number::from_f64(value) {
        Some(number) => number_text(&number),
        None => match float_text(value).as_str() {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            _ => "NaN".to_owned(),
        },
    }
}

fn key(data: &Data<'_>) -> Outcome<String> {
    Ok(match data {
        Data::Text(text) => text.as_str().to_owned(),
        Data::None => "null".to_owned(),
        Data::Bool(value) => value.to_string(),
        Data::Int(value) => value.to_string(),
        Data::Float(value) => float(*value),
        other => return Err(Fault::Type(format!("keys must be texts or numbers, not {}", other.type_name()))),
    })
}

fn write_text(text: &str, output: &mut String) {
    output.push('"');
    for c in text.chars() {
        match c {
            '"' => output.push_str("\\\""),
            '\\' => output.push_str("\\\\"),
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            '\u{8}' => output.push_str("\\b"),
            '\u{c}' => output.push_str("\\f"),
            ' '..='~' => output.push(c),
            _ => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    output.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    output.push('"');
}
