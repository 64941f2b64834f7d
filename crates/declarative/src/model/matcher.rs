//! Matches the requests that a limit applies to.

use fancy_regex::Regex;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, python_text};
use highwater_template::HttpRequest;
use highwater_template::http::unescape;

use super::decode::{Context, Node};
use super::{Parameters, Scope, Template};

/// Fits a request where everything that it names does.
#[derive(Debug)]
pub(crate) struct RequestMatcher {
    method: Option<String>,
    /// Scheme and host.
    url_base: Option<String>,
    url_path: Option<Regex>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    weight: Option<Template>,
}

impl RequestMatcher {
    pub(crate) fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let text = |name: &str| -> Result<Option<String>> {
            let text = node.get(name).map(|node| node.text()).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let url_path = match text("url_path_pattern")? {
            None => None,
            Some(pattern) => Some(Regex::new(&pattern).map_err(|error| {
                let reason = crate::wording::one_line(&error.to_string());
                node.invalid(format!("the pattern {pattern} of `url_path_pattern` does not parse: {reason}"))
            })?),
        };
        let pairs = |name: &str| -> Result<Vec<(String, String)>> {
            let none = Map::new();
            let members = node.get(name).map_or(Ok(&none), |node| node.members())?;
            Ok(members.iter().map(|(name, value)| (name.clone(), python_text(value))).collect())
        };
        Ok(RequestMatcher {
            method: text("method")?,
            url_base: text("url_base")?.map(|base| base.trim_end_matches('/').to_owned()),
            url_path,
            query: pairs("params")?,
            headers: pairs("headers")?,
            weight: node.get("weight").map(|node| node.template(context, &Parameters::default())).transpose()?,
        })
    }

    pub(crate) fn list(node: &Node<'_>, context: &Context<'_>) -> Result<Vec<Self>> {
        node.list("matchers")?.iter().map(|node| RequestMatcher::decode(node, context)).collect()
    }

    pub(crate) fn fits(&self, request: &HttpRequest) -> bool {
        let (scheme, rest) = request.url.split_once("://").unwrap_or(("", &request.url));
        let (host, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = tail.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let header = |name: &str| request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(&request.method))
            && self.url_base.as_ref().is_none_or(|base| base.eq_ignore_ascii_case(&format!("{scheme}://{host}")))
            && self.url_path.as_ref().is_none_or(|pattern| pattern.is_match(path).unwrap_or(false))
            && self.query.iter().all(|(name, value)| last_value(request, name).as_ref() == Some(value))
            && self.headers.iter().all(|(name, value)| header(name).is_some_and(|(_, found)| found == value))
    }

    /// How many calls such a request counts for.
    pub(crate) fn weight(&self, scope: &Scope<'_>) -> Result<u64> {
        let Some(template) = &self.weight else { return Ok(1) };
        let value = template.value(scope)?;
        let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        number.filter(|number| *number >= 1).ok_or_else(|| {
            let message =
                format!("the weight {} of a request is not a whole number of at least 1", python_text(&value));
            Error::new(ErrorKind::Invalid, message)
        })
    }
}

/// A parameter of a request, in its query or already in its URL; an empty one is none.
fn last_value(request: &HttpRequest, name: &str) -> Option<String> {
    let given = request.query.iter().rev().find(|(known, value)| known == name && !value.is_empty());
    let in_url = || {
        let query = request.url.split_once('?')?.1.split('#').next()?;
        let pairs = query.split('&').rev().filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(known, value)| (unescape(known), unescape(value)))
            .find(|(known, value)| known == name && !value.is_empty())
    };
    given.cloned().or_else(in_url).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use crate::json;
    use highwater_core::SystemEnvironment;

    use super::*;
    use crate::document::Files;
    use crate::registry::Registry;
    use highwater_interpolation::Interpolator;

    fn fits(matcher: &highwater_interpolation::Value, request: &HttpRequest) -> bool {
        let interpolator = Interpolator::new(std::sync::Arc::new(SystemEnvironment));
        let (files, registry) = (Files::new(), Registry::new());
        let context = Context::new(&interpolator, &files, &registry);
        RequestMatcher::decode(&Node::at(matcher, "m"), &context).unwrap().fits(request)
    }

    #[test]
    fn everything_that_is_named_must_fit() {
        let request = HttpRequest::get("https://API.x.example/v1/items/?own=1").query("a", "2").header("X-Kind", "big");
        for (matcher, expected) in [
            (json!({}), true),
            (json!({"method": "get"}), true),
            (json!({"method": "POST"}), false),
            (json!({"url_base": "https://api.x.example/"}), true),
            (json!({"url_base": "http://api.x.example"}), false),
            (json!({"url_path_pattern": "items$"}), true),
            (json!({"url_path_pattern": "^items"}), false),
            (json!({"params": {"a": 2, "own": "1"}}), true),
            (json!({"params": {"a": 3}}), false),
            (json!({"headers": {"x-kind": "big"}}), true),
            (json!({"headers": {"x-kind": "Big"}}), false),
            (json!({"method": "GET", "headers": {"other": "1"}}), false),
        ] {
            assert_eq!(fits(&matcher, &request), expected, "{matcher}");
        }
    }
}
