//! The query of a request.

use percent_encoding::percent_decode_str;

use super::value::{self, Refused};
use crate::about::Parameter;
use crate::error::{ApiError, Place};

/// The most parameters of a query.
const MOST: usize = 256;

/// The parameters that a route knows, as the request gave them.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query of the parameters `known`; `tags[*]` stands for every name such as `tags[plan]`.
    pub(crate) fn read(query: &str, known: &[Parameter]) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decoded(name).ok_or_else(|| encoding(name))?;
            let value = decoded(value).ok_or_else(|| encoding(&name))?;
            if !known.iter().any(|known| is_named(known.name, &name)) {
                let known: Vec<&str> = known.iter().map(|known| known.name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let why = format!("is unknown: this route takes {known}");
                return Err(ApiError::parameter(Place::Query, &name, "unknown", why));
            }
            if pairs.len() == MOST {
                let why = format!("is one of more than {MOST} parameters: send fewer");
                return Err(ApiError::parameter(Place::Query, &name, "too_long", why));
            }
            pairs.push((name, value));
        }
        Ok(Query(pairs))
    }

    /// Reads a parameter that may be left out, and may not stand twice.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        reader: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Result<Option<T>, ApiError> {
        let mut values = self.values(name);
        let Some(text) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(ApiError::parameter(Place::Query, name, "repeated", "was given twice: give it once"));
        }
        value::read(Place::Query, name, text, reader).map(Some)
    }

    /// Reads a parameter that must be there, once.
    pub(crate) fn required<T>(
        &self,
        name: &str,
        reader: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Result<T, ApiError> {
        self.optional(name, reader)?
            .ok_or_else(|| ApiError::parameter(Place::Query, name, "missing", "is missing: add it"))
    }

    /// Reads a parameter that may stand several times, at most `most`; `None` if it was left out.
    pub(crate) fn repeated<T>(
        &self,
        name: &str,
        most: usize,
        reader: impl Fn(&str) -> Result<T, Refused>,
    ) -> Result<Option<Vec<T>>, ApiError> {
        let values = self.values(name).map(|text| value::read(Place::Query, name, text, &reader));
        let values = values.collect::<Result<Vec<T>, ApiError>>()?;
        if values.len() > most {
            let why = format!("was given {} times, at most {most} are allowed", values.len());
            return Err(ApiError::parameter(Place::Query, name, "too_long", why));
        }
        Ok(Some(values).filter(|values| !values.is_empty()))
    }

    /// Returns every parameter, decoded and in order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs().filter(move |(given, _)| *given == name).map(|(_, value)| value)
    }
}

fn is_named(known: &str, name: &str) -> bool {
    match known.strip_suffix("[*]") {
        Some(prefix) => name.strip_prefix(prefix).is_some_and(|key| key.starts_with('[') && key.ends_with(']')),
        None => known == name,
    }
}

/// Decodes a part of a query; `None` if it is not percent-encoded UTF-8.
fn decoded(part: &str) -> Option<String> {
    let whole = |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    if !part.split('%').skip(1).all(whole) {
        return None;
    }
    let spaced = part.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn encoding(name: &str) -> ApiError {
    ApiError::parameter(Place::Query, name, "invalid", "is not percent-encoded UTF-8: encode it as in a form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_decoded_or_refused() {
        for (part, value) in [
            ("a%2Cb", Some("a,b")),
            ("a+b%2B", Some("a b+")),
            ("%C3%A9", Some("é")),
            ("%", None),
            ("%4", None),
            ("%ff", None),
            ("%zz", None),
        ] {
            assert_eq!(decoded(part).as_deref(), value, "{part}");
        }
    }

    #[test]
    fn a_name_with_a_key_matches_its_pattern_only() {
        assert!(is_named("tags[*]", "tags[plan]") && is_named("limit", "limit"));
        assert!(!is_named("tags[*]", "tags") && !is_named("tags[*]", "tagsplan]") && !is_named("limit", "limits"));
    }
}
