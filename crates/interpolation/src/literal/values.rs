//! Converts a literal to JSON, to text, and to a condition.

use super::Literal;
use crate::LiteralTypes;
use crate::number::float_text;
use crate::text::write_quoted;
use crate::value::{Map, Number, Value};

impl Literal {
    /// Whether it may stand for a text where only `types` are wanted.
    pub(crate) fn is_of(&self, types: LiteralTypes) -> bool {
        match self {
            _ if types == LiteralTypes::ALL => true,
            Literal::Text(_) => types.has(LiteralTypes::TEXT),
            Literal::Int(_) => types.has(LiteralTypes::INTEGER),
            Literal::Float(_) => types.has(LiteralTypes::FLOAT),
            Literal::Bool(_) => types.has(LiteralTypes::BOOLEAN) || types.has(LiteralTypes::INTEGER),
            Literal::List(_) => types.has(LiteralTypes::LIST),
            Literal::None | Literal::Tuple(_) | Literal::Dict(_) | Literal::Set { .. } | Literal::Bytes(_) => false,
        }
    }

    /// Whether a condition with this value does not hold.
    pub(crate) fn is_false(&self) -> bool {
        match self {
            Literal::None => true,
            Literal::Bool(value) => !value,
            Literal::Int(value) => *value == 0,
            Literal::Float(value) => *value == 0.0,
            Literal::Text(text) => matches!(text.as_str(), "False" | "false" | "{}" | "[]" | "()" | "" | "0" | "0.0"),
            Literal::List(items) | Literal::Tuple(items) => items.is_empty(),
            Literal::Dict(entries) => entries.is_empty(),
            Literal::Set { empty, .. } => *empty,
            Literal::Bytes(_) => false,
        }
    }

    /// The literal as JSON. Whole numbers beyond 64 bits and floats that are not finite are text, so that no digit is lost.
    pub(crate) fn into_json(self) -> Value {
        match self {
            Literal::None => Value::Null,
            Literal::Bool(value) => Value::Bool(value),
            Literal::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => value.into(),
                (_, Ok(value)) => value.into(),
                _ => Value::String(value.to_string()),
            },
            Literal::Float(value) => match Number::from_f64(value) {
                Some(number) => Value::Number(number),
                None => Value::String(float_text(value)),
            },
            Literal::Text(text) | Literal::Set { text, .. } | Literal::Bytes(text) => Value::String(text),
            Literal::List(items) | Literal::Tuple(items) => items.into_iter().map(Literal::into_json).collect(),
            Literal::Dict(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    map.insert(key.into_key(), value.into_json());
                }
                Value::Object(map)
            }
        }
    }

    /// A key of a mapping as `json.dumps` writes it.
    fn into_key(self) -> String {
        match self {
            Literal::Text(text) => text,
            Literal::None => "null".to_owned(),
            Literal::Bool(value) => value.to_string(),
            other => other.to_text(),
        }
    }

    /// `str()` of the value.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Literal::Text(text) => text.clone(),
            other => {
                let mut text = String::new();
                other.write(&mut text);
                text
            }
        }
    }

    fn write(&self, output: &mut String) {
        let list = |items: &[Literal], output: &mut String| {
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    output.push_str(", ");
                }
                item.write(output);
            }
        };
        match self {
            Literal::None => output.push_str("None"),
            Literal::Bool(value) => output.push_str(if *value { "True" } else { "False" }),
            Literal::Int(value) => output.push_str(&value.to_string()),
            Literal::Float(value) => output.push_str(&float_text(*value)),
            Literal::Text(text) => write_quoted(text, output),
            Literal::Set { text, .. } | Literal::Bytes(text) => output.push_str(text),
            Literal::List(items) => {
                output.push('[');
                list(items, output);
                output.push(']');
            }
            Literal::Tuple(items) => {
                output.push('(');
                list(items, output);
                output.push_str(if items.len() == 1 { ",)" } else { ")" });
            }
            Literal::Dict(entries) => {
                output.push('{');
                for (position, (key, value)) in entries.iter().enumerate() {
                    if position > 0 {
                        output.push_str(", ");
                    }
                    key.write(output);
                    output.push_str(": ");
                    value.write(output);
                }
                output.push('}');
            }
        }
    }
}
