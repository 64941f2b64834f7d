//! Reads JSON into types with little code for each type.
//!
//! serde_json's own reader is generic and is copied into the code of each type that it reads. Here the parsing is one copy,
//! and what a type adds is its own members. It reads what serde_json reads, with the same errors at the same places, except that
//! a struct has to be an object. What is rare, and values of any shape, serde_json reads itself.

mod access;
mod parser;

use serde::Deserializer;
use serde::de::{DeserializeOwned, Visitor};

use access::{Elements, Members, Variant};
use parser::{Number, Parser, Text};

/// Reads a JSON text as `T`.
///
/// # Errors
///
/// As `serde_json::from_slice`, and for a struct that is written as an array.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Note {
///     id: u64,
/// }
/// let note: Note = highwater_core::json::from_slice(br#"{"id": 7, "text": "seven"}"#)?;
/// assert_eq!(note.id, 7);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    let mut parser = Parser::new(text);
    let read = T::deserialize(Value(&mut parser));
    match (read, parser.finish()) {
        (Ok(value), Ok(())) => Ok(value),
        (Err(error), _) | (Ok(_), Err(error)) => Err(parser.located(error)),
    }
}

/// The value at which the parser is.
struct Value<'p, 'de>(&'p mut Parser<'de>);

/// What serde_json reads itself.
macro_rules! by_serde_json {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
            let text = self.0.skip()?;
            let read = serde_json::Deserializer::from_slice(text).$method(visitor);
            read.map_err(|error| self.0.moved(error, text))
        })*
    };
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
            match self.0.number(&visitor)? {
                Number::Unsigned(number) => visitor.visit_u64(number),
                Number::Signed(number) => visitor.visit_i64(number),
                Number::Float(number) => visitor.visit_f64(number),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = serde_json::Error;

    by_serde_json! {
        deserialize_any deserialize_bytes deserialize_byte_buf deserialize_i128 deserialize_u128 deserialize_f32
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let value = self.0.bool(&visitor)?;
        visitor.visit_bool(value)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.null()? { visitor.visit_unit() } else { Err(self.0.unexpected(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.null()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0.text(&visitor)? {
            Text::Borrowed(text) => visitor.visit_borrowed_str(text),
            Text::Unescaped(text) => visitor.visit_str(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let text = self.0.string(&visitor)?;
        visitor.visit_string(text)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        // `RawValue`, which only serde_json can make.
        if name.starts_with('$') {
            let text = self.0.skip()?;
            return serde_json::Deserializer::from_slice(text).deserialize_newtype_struct(name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.begin(b'[', &visitor)?;
        let value = visitor.visit_seq(Elements::new(self.0))?;
        self.0.end(b']')?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.begin(b'{', &visitor)?;
        let value = visitor.visit_map(Members::new(self.0))?;
        self.0.end(b'}')?;
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let has_content = self.0.begin_variant()?;
        let value = visitor.visit_enum(Variant::new(self.0, has_content))?;
        if has_content {
            self.0.end(b'}')?;
        }
        Ok(value)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.skip()?;
        visitor.visit_unit()
    }
}

#[cfg(test)]
mod tests;
