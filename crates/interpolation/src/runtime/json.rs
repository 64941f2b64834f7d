//! `json.dumps` as Python does it.

use super::super::number::float_text;
use super::super::text::number_text;
use super::data::{Budget, Data};
use super::{Fault, Outcome};
use crate::value::Value;

/// JSON with Python's separators and escapes.
pub(super) fn dumps(data: &Data<'_>, sorted: bool, budget: &Budget) -> Outcome<String> {
    Style { sorted, indent: None }.dumps(data, budget)
}

/// JSON that is safe within HTML, with sorted keys: the `tojson` filter.
pub(super) fn dumps_for_html(data: &Data<'_>, indent: Option<String>, budget: &Budget) -> Outcome<String> {
    let text = Style { sorted: true, indent }.dumps(data, budget)?;
    Ok(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027"))
}

/// What `json.loads` makes of a text.
pub(super) fn loads<'a>(text: &str, budget: &Budget) -> Outcome<Data<'a>> {
    let value = serde_json::from_str(text).map_err(|error| Fault::Other(format!("json_loads failed: {error}")))?;
    owned(value, budget)
}

fn owned<'a>(value: Value, budget: &Budget) -> Outcome<Data<'a>> {
    budget.spend(1)?;
    Ok(match value {
        Value::String(text) => Data::text(text),
        Value::Array(items) => {
            Data::list(items.into_iter().map(|item| owned(item, budget)).collect::<Outcome<Vec<_>>>()?)
        }
        Value::Object(members) => {
            let entry = |(name, value)| Ok((Data::text(name), owned(value, budget)?));
            Data::dict(members.into_iter().map(entry).collect::<Outcome<Vec<_>>>()?)
        }
        Value::Bool(value) => Data::Bool(value),
        Value::Null => Data::None,
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Data::Int(value.into()),
            (_, Some(value)) => Data::Int(value.into()),
            _ => Data::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
    })
}

/// How JSON is laid out.
struct Style {
    sorted: bool,
    /// What stands before each level of a line of its own.
    indent: Option<String>,
}

impl Style {
    fn dumps(&self, data: &Data<'_>, budget: &Budget) -> Outcome<String> {
        let mut output = String::new();
        self.write(data, 0, &mut output, budget)?;
        budget.spend_bytes(output.len())?;
        Ok(output)
    }

    fn write(&self, data: &Data<'_>, level: usize, output: &mut String, budget: &Budget) -> Outcome<()> {
        budget.spend(1)?;
        match data {
            Data::None => output.push_str("null"),
            Data::Bool(value) => output.push_str(if *value { "true" } else { "false" }),
            Data::Int(value) => output.push_str(&value.to_string()),
            Data::Float(value) => output.push_str(&float(*value)),
            Data::Text(text) => write_text(text.as_str(), output),
            Data::JsonList(_) | Data::List(_) | Data::Tuple(_) => {
                let items = data.items(budget)?;
                output.push('[');
                for (position, item) in items.iter().enumerate() {
                    self.between(position, level + 1, output, budget)?;
                    self.write(item, level + 1, output, budget)?;
                }
                self.after(items.len(), level, output, budget)?;
                output.push(']');
            }
            Data::JsonDict(_) | Data::Dict(_) => {
                let mut entries = Vec::new();
                for (name, value) in data.entries(budget)?.unwrap_or_default() {
                    entries.push((key(&name)?, value));
                }
                if self.sorted {
                    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
                }
                output.push('{');
                for (position, (key, value)) in entries.iter().enumerate() {
                    self.between(position, level + 1, output, budget)?;
                    write_text(key, output);
                    output.push_str(": ");
                    self.write(value, level + 1, output, budget)?;
                }
                self.after(entries.len(), level, output, budget)?;
                output.push('}');
            }
            other => return Err(Fault::Type(format!("object of type {} is not JSON serializable", other.type_name()))),
        }
        Ok(())
    }

    /// Before the item at a position.
    fn between(&self, position: usize, level: usize, output: &mut String, budget: &Budget) -> Outcome<()> {
        output.push_str(match (&self.indent, position) {
            (_, 0) => "",
            (Some(_), _) => ",",
            (None, _) => ", ",
        });
        self.new_line(level, output, budget)
    }

    /// After the last item.
    fn after(&self, items: usize, level: usize, output: &mut String, budget: &Budget) -> Outcome<()> {
        if items > 0 { self.new_line(level, output, budget) } else { Ok(()) }
    }

    fn new_line(&self, level: usize, output: &mut String, budget: &Budget) -> Outcome<()> {
        if let Some(indent) = &self.indent {
            budget.spend_bytes(indent.len() * level)?;
            output.push('\n');
            output.push_str(&indent.repeat(level));
        }
        Ok(())
    }
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
