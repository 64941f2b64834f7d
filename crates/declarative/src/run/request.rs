//! Builds a request from its parts.

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{LiteralTypes, Map, Value, python_text};
use highwater_template::HttpRequest;
use highwater_template::http::unescape;

use crate::form::form_text;
use crate::model::{Inputs, Part, RequestOption, Requester, Scope};

/// Values for the parts of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub query: Map,
    pub headers: Map,
    pub form: Map,
    pub text: Option<String>,
    pub json: Map,
    /// A JSON body that is not an object.
    pub json_whole: Option<Value>,
}

impl Parts {
    /// The requester's own values.
    pub(crate) fn of(requester: &Requester, scope: &Scope<'_>) -> Result<Self> {
        let mut parts = Parts {
            query: values(&requester.query, scope, LiteralTypes::REQUEST)?.0,
            headers: values(&requester.headers, scope, LiteralTypes::ALL)?.0,
            ..Parts::default()
        };
        (parts.form, parts.text) = values(&requester.form, scope, LiteralTypes::REQUEST)?;
        if let Some((template, parameters)) = &requester.json {
            let variables = scope.with_parameters(parameters);
            let failed = |error: Error| error.with("at", format!("{}.request_body_json", requester.path));
            match template {
                Value::String(_) => match scope.interpolator.evaluate_nested(template, &variables).map_err(failed)? {
                    Value::Object(json) => parts.json = json,
                    Value::Null => {}
                    other => parts.json_whole = Some(other),
                },
                other => {
                    if let Value::Object(json) =
                        scope.interpolator.evaluate_nested(other, &variables).map_err(failed)?
                    {
                        parts.json = json;
                    }
                }
            }
        }
        Ok(parts)
    }

    /// Puts `value` where `option` says.
    pub(crate) fn inject(&mut self, option: &RequestOption, value: Value, scope: &Scope<'_>) -> Result<()> {
        let path = crate::model::path_of(&option.field, scope)?;
        let target = match option.into {
            Part::Query => &mut self.query,
            Part::Header => &mut self.headers,
            Part::Form => &mut self.form,
            Part::Json => &mut self.json,
        };
        crate::dpath::nest(target, &path, value);
        Ok(())
    }

    /// Adds values that must not collide with those that are there.
    pub(crate) fn merge(&mut self, other: Parts, at: &str) -> Result<()> {
        merge(&mut self.query, other.query, "request parameter", at)?;
        merge(&mut self.headers, other.headers, "header", at)?;
        merge(&mut self.form, other.form, "form field", at)?;
        merge_json(&mut self.json, other.json, at)?;
        self.text = self.text.take().or(other.text);
        self.json_whole = self.json_whole.take().or(other.json_whole);
        Ok(())
    }

    /// As [`merge`](Self::merge), where later values win.
    pub(crate) fn overlay(&mut self, other: Parts) {
        self.query.extend(other.query);
        self.headers.extend(other.headers);
        self.form.extend(other.form);
        self.json.extend(other.json);
    }

    /// The request to `url`.
    pub(crate) fn build(self, method: &str, url: String, at: &str) -> Result<HttpRequest> {
        let mut request = HttpRequest::new(method, url);
        request.query = pairs(&self.query, at)?;
        let present = present_query(&request.url);
        request.query.retain(|(name, value)| !present.iter().any(|(other, text)| other == name && text == value));
        for (name, value) in &self.headers {
            request.headers.push((name.clone(), python_text(value)));
        }
        if !matches!(method, "GET" | "POST" | "PUT" | "PATCH") {
            return Ok(request);
        }
        let json = match self.json_whole {
            Some(whole) => Some(whole),
            None if !self.json.is_empty() => Some(Value::Object(self.json)),
            None => None,
        };
        let has_type = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let mut set_type = |kind: &str| {
            if !has_type {
                request.headers.push(("Content-Type".to_owned(), kind.to_owned()));
            }
        };
        if let Some(json) = json {
            if !self.form.is_empty() || self.text.is_some() {
                return Err(Error::new(ErrorKind::Invalid, "a request cannot have a form and a JSON body: give one")
                    .with("at", at));
            }
            set_type("application/json");
            request.body = Some(Bytes::from(json.to_string()));
        } else if let Some(text) = self.text {
            request.body = Some(Bytes::from(text));
        } else if !self.form.is_empty() {
            set_type("application/x-www-form-urlencoded");
            request.body = Some(Bytes::from(form_text(&pairs(&self.form, at)?)));
        }
        Ok(request)
    }
}

fn values(inputs: &Inputs, scope: &Scope<'_>, types: LiteralTypes) -> Result<(Map, Option<String>)> {
    match inputs {
        Inputs::None => Ok((Map::new(), None)),
        Inputs::Map(entries, parameters) => {
            let variables = scope.with_parameters(parameters);
            let mut values = scope.interpolator.evaluate_mapping(entries, &variables, types)?;
            values.retain(|_, value| !value.is_null());
            Ok((values, None))
        }
        Inputs::Text(template) if template.source().is_empty() => Ok((Map::new(), None)),
        Inputs::Text(template) => match template.value(scope)? {
            Value::Object(values) => Ok((values.into_iter().filter(|(_, value)| !value.is_null()).collect(), None)),
            Value::Null => Ok((Map::new(), None)),
            // A literal like `[{...}]` goes out as it was written.
            Value::Array(_) => Ok((Map::new(), Some(template.raw_text(scope)?))),
            other => Ok((Map::new(), Some(python_text(&other)))),
        },
    }
}

fn merge(target: &mut Map, source: Map, what: &str, at: &str) -> Result<()> {
    for (name, value) in source {
        if target.contains_key(&name) {
            return Err(collision(&name, what, at));
        }
        target.insert(name, value);
    }
    Ok(())
}

fn merge_json(target: &mut Map, source: Map, at: &str) -> Result<()> {
    for (name, value) in source {
        match (target.get_mut(&name), value) {
            (None, value) => drop(target.insert(name, value)),
            (Some(Value::Object(there)), Value::Object(value)) => merge_json(there, value, at)?,
            (Some(there), value) if *there == value => {}
            (Some(_), _) => return Err(collision(&name, "field of the body", at)),
        }
    }
    Ok(())
}

fn collision(name: &str, what: &str, at: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("two components set the {what} `{name}`: set it in one place"))
        .with("at", at)
}

/// Names and values as text; a list repeats its name, null is left out. A list of mappings is one JSON text.
pub(crate) fn pairs(values: &Map, at: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for (name, value) in values {
        match value {
            Value::Null => {}
            // Of a list of mappings the reference sends the names of members; no API can mean that.
            Value::Array(items) if items.iter().any(Value::is_object) => pairs.push((name.clone(), value.to_string())),
            Value::Array(items) => {
                let items = items.iter().flat_map(|item| match item {
                    Value::Array(nested) => nested.as_slice(),
                    one => std::slice::from_ref(one),
                });
                pairs.extend(items.filter(|item| !item.is_null()).map(|item| (name.clone(), python_text(item))));
            }
            Value::Object(_) => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("the request parameter `{name}` is a mapping: give a text"),
                )
                .with("at", at));
            }
            scalar => pairs.push((name.clone(), python_text(scalar))),
        }
    }
    Ok(pairs)
}

/// The query a URL already has, decoded.
fn present_query(url: &str) -> Vec<(String, String)> {
    let Some((_, query)) = url.split_once('?') else { return Vec::new() };
    let query = query.split('#').next().unwrap_or_default();
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (unescape(name), unescape(value)))
        .collect()
}

/// The URL of a request: `path` against the base, as Python's `urljoin` does it.
pub(crate) fn url_of(requester: &Requester, path: Option<&str>, scope: &Scope<'_>) -> Result<String> {
    let text = |template: &Option<crate::model::Template>| -> Result<String> {
        match template {
            Some(template) if !template.source().is_empty() => template.text(scope),
            _ => Ok(String::new()),
        }
    };
    let base = text(&requester.url_base)?;
    let base = if base.is_empty() { text(&requester.url)? } else { base };
    let own = || text(&requester.endpoint).map(|path| path.trim_start_matches('/').to_owned());
    let path = match path.filter(|path| !path.is_empty()) {
        // A link that is a query alone is one to the page that it stands on (RFC 3986); the reference loses the path.
        Some(query) if query.starts_with('?') => own()?.split('?').next().unwrap_or_default().to_owned() + query,
        Some(path) => path.to_owned(),
        None => own()?,
    };
    Ok(join(&base, &path))
}

pub(crate) fn join(base: &str, path: &str) -> String {
    if path.is_empty() {
        return base.to_owned();
    }
    let base = if base.ends_with('/') { base.to_owned() } else { format!("{base}/") };
    if has_scheme(path) {
        return path.to_owned();
    }
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", &base));
    if let Some(rest) = path.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let (host, directory) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, query) = path.find(['?', '#']).map_or((path, ""), |at| path.split_at(at));
    let directory = directory.split(['?', '#']).next().unwrap_or_default();
    if path.is_empty() {
        return format!("{scheme}://{host}/{directory}{query}");
    }
    let segments: Vec<&str> = match path.strip_prefix('/') {
        Some(path) => path.split('/').collect(),
        None => {
            let directory = directory.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev();
            let (middle, last) = path.rsplit_once('/').unwrap_or(("", path));
            directory.chain(middle.split('/')).filter(|part| !part.is_empty()).chain([last]).collect()
        }
    };
    format!("{scheme}://{host}/{}{query}", without_dots(&segments))
}

fn has_scheme(path: &str) -> bool {
    let Some((scheme, _)) = path.split_once("://") else { return false };
    !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'))
}

fn without_dots(segments: &[&str]) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for segment in segments {
        match *segment {
            "." => {}
            ".." => drop(parts.pop()),
            segment => parts.push(segment),
        }
    }
    if matches!(segments.last(), Some(&("." | ".."))) {
        parts.push("");
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_join_as_in_python() {
        for (base, path, joined) in [
            ("https://a.example", "", "https://a.example"),
            ("https://a.example/v1", "items", "https://a.example/v1/items"),
            ("https://a.example/v1/", "items?x=1", "https://a.example/v1/items?x=1"),
            ("https://a.example/v1", "https://b.example/x", "https://b.example/x"),
            ("https://a.example/v1", "/root", "https://a.example/root"),
            ("https://a.example/v1", "./a/../up", "https://a.example/v1/up"),
            ("https://a.example/v1", "../up?x=../y", "https://a.example/up?x=../y"),
            ("https://a.example/v1", "a//b/", "https://a.example/v1/a/b/"),
            ("https://a.example", "items/..", "https://a.example/"),
            ("https://a.example/v1", "?page=2", "https://a.example/v1/?page=2"),
        ] {
            assert_eq!(join(base, path), joined);
        }
    }
}
