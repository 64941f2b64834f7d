//! What is within arrays, objects and variants.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Error, Result};

use super::Value;
use super::parser::{Number, Parser};

pub(super) struct Elements<'p, 'de> {
    parser: &'p mut Parser<'de>,
    is_first: bool,
}

impl<'p, 'de> Elements<'p, 'de> {
    pub(super) fn new(parser: &'p mut Parser<'de>) -> Self {
        Elements { parser, is_first: true }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if !self.parser.next_element(&mut self.is_first)? {
            return Ok(None);
        }
        seed.deserialize(Value(self.parser)).map(Some)
    }
}

pub(super) struct Members<'p, 'de> {
    parser: &'p mut Parser<'de>,
    is_first: bool,
}

impl<'p, 'de> Members<'p, 'de> {
    pub(super) fn new(parser: &'p mut Parser<'de>) -> Self {
        Members { parser, is_first: true }
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if !self.parser.next_member(&mut self.is_first)? {
            return Ok(None);
        }
        seed.deserialize(Key(self.parser)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.parser.colon()?;
        seed.deserialize(Value(self.parser))
    }
}

/// The name of a member.
struct Key<'p, 'de>(&'p mut Parser<'de>);

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.0.key_number(&visitor)? {
                Number::Unsigned(number) => visitor.visit_u64(number),
                Number::Signed(number) => visitor.visit_i64(number),
                Number::Float(number) => visitor.visit_f64(number),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.0.key()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_string(self.0.key()?.to_owned())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.key()? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(Error::invalid_type(Unexpected::Str(other), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let name: StrDeserializer<'_, Error> = self.0.key()?.into_deserializer();
        visitor.visit_enum(name)
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        i128 u128 char str bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant: its name alone, or the only member of an object.
pub(super) struct Variant<'p, 'de> {
    parser: &'p mut Parser<'de>,
    has_content: bool,
}

impl<'p, 'de> Variant<'p, 'de> {
    pub(super) fn new(parser: &'p mut Parser<'de>, has_content: bool) -> Self {
        Variant { parser, has_content }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let variant = seed.deserialize(Key(self.parser))?;
        if self.has_content {
            self.parser.colon()?;
        }
        Ok((variant, self))
    }
}

impl Variant<'_, '_> {
    fn check_content(&self, expected: &'static str) -> Result<()> {
        if self.has_content { Ok(()) } else { Err(Error::invalid_type(Unexpected::UnitVariant, &expected)) }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        if self.has_content { serde::Deserialize::deserialize(Value(self.parser)) } else { Ok(()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        self.check_content("newtype variant")?;
        seed.deserialize(Value(self.parser))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.check_content("tuple variant")?;
        Value(self.parser).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.check_content("struct variant")?;
        Value(self.parser).deserialize_map(visitor)
    }
}
