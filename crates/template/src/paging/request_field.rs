//! Where a request names its page.

use serde::Serialize;
use serde_json::Value;

use crate::http::{HttpRequest, escape};
use highwater_core::{Error, ErrorKind, Result};

/// Where a request names its page.
///
/// A text becomes a member of the body if it begins with a slash, and otherwise a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestField {
    /// A query parameter.
    Query(String),
    /// A field of the form that is the body.
    Form(String),
    /// A member of the JSON body, by JSON pointer. It is added if it is missing.
    Body(String),
}

impl From<&str> for RequestField {
    fn from(text: &str) -> Self {
        if text.starts_with('/') { RequestField::Body(text.to_owned()) } else { RequestField::Query(text.to_owned()) }
    }
}

/// Writes the name of a page into a request.
pub(super) fn name_page(request: &mut HttpRequest, to: &RequestField, value: &str) -> Result<()> {
    match to {
        RequestField::Query(name) => {
            request.query.retain(|(known, _)| known != name);
            request.query.push((name.clone(), value.to_owned()));
        }
        RequestField::Form(name) => {
            let body = request.body.take().unwrap_or_default();
            let form = String::from_utf8_lossy(&body);
            let kept = form
                .split('&')
                .filter(|pair| !pair.is_empty() && pair.split('=').next().is_none_or(|known| known != escape(name)));
            let pair = format!("{}={}", escape(name), escape(value));
            let pairs: Vec<&str> = kept.chain([pair.as_str()]).collect();
            request.body = Some(pairs.join("&").into());
        }
        RequestField::Body(pointer) => {
            let mut body: Value = match &request.body {
                Some(body) => serde_json::from_slice(body).map_err(|source| {
                    Error::new(ErrorKind::Invalid, "the request's body is not JSON").because(source)
                })?,
                None => Value::Null,
            };
            let mut target = &mut body;
            for segment in pointer.split('/').skip(1) {
                if !target.is_object() {
                    *target = Value::Object(serde_json::Map::new());
                }
                let Value::Object(members) = target else { break };
                target = members.entry(segment).or_insert(Value::Null);
            }
            *target = Value::from(value);
            request.body = Some(body.to_string().into());
        }
    }
    Ok(())
}
