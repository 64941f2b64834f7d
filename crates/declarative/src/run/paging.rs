//! The token of the next page.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value, python_text};
use highwater_template::HttpResponse;

use super::context::Run;
use super::errors::headers_value;
use super::record::Record;
use super::request::Parts;
use super::slice::Slice;
use crate::document::is_truthy;
use crate::model::{Decoder, Paginator, RequestOption, Strategy, Template, TokenOption};

/// What is known of the page that was read last.
pub(crate) struct LastPage<'l> {
    pub response: &'l HttpResponse,
    pub decoder: &'l Decoder,
    /// Records before filtering.
    pub count: usize,
    /// Records after filtering.
    pub kept: usize,
    pub last_record: Option<&'l Record>,
    pub token: Option<&'l Value>,
    /// The page size, where it is not the strategy's own.
    pub size: Option<u64>,
    pub slice: &'l Slice,
}

impl Paginator {
    pub(crate) fn initial_token(&self) -> Option<Value> {
        match &self.strategy {
            Strategy::Page { start, on_first: true, .. } => Some(Value::from(*start)),
            Strategy::Offset { on_first: true, .. } => Some(Value::from(0)),
            _ => None,
        }
    }

    /// The path of the next request, where the token is one.
    pub(crate) fn path_of(&self, token: Option<&Value>) -> Option<String> {
        match (&self.token_option, token) {
            (Some(TokenOption::Path), Some(token)) if is_truthy(token) => Some(python_text(token)),
            _ => None,
        }
    }

    /// What token and page size (`size`, or else the strategy's own) add to a request.
    pub(crate) fn parts(&self, token: Option<&Value>, size: Option<u64>, run: &Run<'_>) -> Result<Parts> {
        let scope = run.scope();
        let mut parts = Parts::default();
        let mut inject = |option: &RequestOption, value: Value| parts.inject(option, value, &scope);
        if let (Some(TokenOption::Option(option)), Some(token)) = (&self.token_option, token) {
            inject(option, token.clone())?;
        }
        if let Some(option) = &self.size_option
            && let Some(size) =
                size.map_or_else(|| self.page_size(run), |size| Ok(Some(size)))?.filter(|size| *size > 0)
        {
            inject(option, Value::from(size))?;
        }
        Ok(parts)
    }

    pub(crate) fn page_size(&self, run: &Run<'_>) -> Result<Option<u64>> {
        let Some(template) = self.strategy.size() else { return Ok(None) };
        self.whole(template, &template.value(&run.scope()).map_err(|error| error.with("at", &self.path))?)
    }

    /// The size that a page was asked for with.
    fn size_of(&self, page: &LastPage<'_>, run: &Run<'_>) -> Result<Option<u64>> {
        page.size.map_or_else(|| self.page_size(run), |size| Ok(Some(size)))
    }

    fn whole(&self, template: &Template, value: &Value) -> Result<Option<u64>> {
        let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        match (number, value) {
            (Some(number), _) => Ok(Some(number)),
            (None, Value::Null) => Ok(None),
            (None, _) => {
                let message =
                    format!("the page size {} is not a whole number", crate::wording::shortened(template.source()));
                Err(Error::new(ErrorKind::Invalid, message).with("at", &self.path))
            }
        }
    }

    pub(crate) fn next_token(&self, page: &LastPage<'_>, run: &Run<'_>) -> Result<Option<Value>> {
        let next = match &self.strategy {
            Strategy::Page { start, .. } => {
                if self.is_last(page, self.size_of(page, run)?, run) {
                    return Ok(None);
                }
                Value::from(self.position(page.token)?.map_or(*start, |position| position).saturating_add(1))
            }
            Strategy::Offset { size, .. } => {
                let size = match size {
                    Some(template) if page.size.is_none() && template.mentions("response") => {
                        let body = decoded(page, run);
                        self.whole(template, &template.value(&run.scope().with("response", &body))?)?
                    }
                    _ => self.size_of(page, run)?,
                };
                if self.is_last(page, size, run) {
                    return Ok(None);
                }
                let count = i64::try_from(page.count).unwrap_or(i64::MAX);
                Value::from(self.position(page.token)?.unwrap_or(0).saturating_add(count))
            }
            Strategy::Cursor { value, stop, .. } => {
                let mentions =
                    |name: &str| value.mentions(name) || stop.as_ref().is_some_and(|stop| stop.mentions(name));
                let body = if mentions("response") { decoded(page, run) } else { Value::Null };
                let headers = if mentions("headers") { with_links(page.response) } else { Value::Null };
                let last = match page.last_record.filter(|_| mentions("last_record")) {
                    Some(record) => record.read()?,
                    None => Value::Null,
                };
                let kept = Value::from(page.kept);
                let size = match self.size_of(page, run)? {
                    Some(size) => Value::from(size),
                    None => Value::Null,
                };
                let scope = run
                    .scope()
                    .with("response", &body)
                    .with("headers", &headers)
                    .with("last_record", &last)
                    .with("last_page_size", &kept)
                    .with("page_size", &size);
                let scope = page.slice.seen(&scope);
                let located = |error: Error| error.with("at", &self.path);
                if let Some(stop) = stop
                    && stop.holds(&scope).map_err(located)?
                {
                    return Ok(None);
                }
                value.value(&scope).map_err(located)?
            }
        };
        Ok(Some(next).filter(is_truthy))
    }

    /// Fewer records than a page holds: the end, unless the server says that there are more. It may make its own pages
    /// smaller than requested, or omit records that were deleted in the meantime.
    fn is_last(&self, page: &LastPage<'_>, size: Option<u64>, run: &Run<'_>) -> bool {
        if page.count == 0 {
            return true;
        }
        let Some(size) = size.filter(|size| page.count < usize::try_from(*size).unwrap_or(usize::MAX)) else {
            return false;
        };
        let read = page.token.and_then(Value::as_u64).unwrap_or(0) + page.count as u64;
        let total = matches!(self.strategy, Strategy::Offset { .. }) && is_page_maximum(page.count);
        let truncated = says_more(page, total.then_some(read));
        if truncated {
            run.notes.warn(format!(
                "the API gives pages of fewer than {size} records and says that more follow (at: {})",
                self.path
            ));
        }
        !truncated
    }

    fn position(&self, token: Option<&Value>) -> Result<Option<i64>> {
        match token {
            None | Some(Value::Null) => Ok(None),
            Some(token) => token.as_i64().map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Invalid, "the page token is not a whole number").with("at", &self.path)
            }),
        }
    }
}

/// The body, as templates of the paginator see it: a list is its first item.
fn decoded(page: &LastPage<'_>, run: &Run<'_>) -> Value {
    let bodies = super::body::decode(page.decoder, &page.response.body, run.limits.body_bytes).unwrap_or_default();
    bodies.into_iter().next().unwrap_or_else(|| Value::Object(Map::new()))
}

/// A server's own maximum is a round number.
fn is_page_maximum(count: usize) -> bool {
    matches!(count, 10 | 20 | 25 | 30 | 40 | 50 | 60 | 75) || (count >= 100 && count.is_multiple_of(50))
}

/// Whether the response says that more follows: by a flag, or by a total greater than the records that were `read`.
fn says_more(page: &LastPage<'_>, read: Option<u64>) -> bool {
    let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(&page.response.body) else { return false };
    let places = ["meta", "pagination", "paging", "page", "page_info", "pageInfo", "_metadata", "metadata"];
    let nested = places.iter().filter_map(|name| body.get(name)).filter_map(Value::as_object);
    std::iter::once(&body).chain(nested).any(|members| {
        let flag = ["has_more", "hasMore", "has_next", "hasNext", "has_next_page", "hasNextPage", "more"];
        let total =
            ["total", "total_count", "totalCount", "total_results", "totalResults", "total_records", "totalRecords"];
        flag.iter().any(|name| members.get(name) == Some(&Value::Bool(true)))
            || read.is_some_and(|read| {
                total.iter().any(|name| members.get(name).and_then(Value::as_u64).is_some_and(|total| total > read))
            })
    })
}

/// The headers, with the links of the `Link` header by their relation.
fn with_links(response: &HttpResponse) -> Value {
    let mut headers = headers_value(response);
    let mut links = Map::new();
    for link in response.links() {
        let mut members = Map::from_iter([("url".to_owned(), Value::from(link.target))]);
        members.extend(link.parameters.into_iter().map(|(name, value)| (name, Value::from(value))));
        let name = members.get("rel").or_else(|| members.get("url")).map(python_text).unwrap_or_default();
        links.insert(name, Value::Object(members));
    }
    if let Value::Object(headers) = &mut headers {
        headers.insert("link".to_owned(), Value::Object(links));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_by_relation() {
        let header = r#"<https://a/?x=1,2>; rel="prev", <https://a/?p=3>; rel=next; title="a, b""#;
        let response = HttpResponse::new(200, vec![("Link".into(), header.into()), ("x-total".into(), "7".into())], "");
        let headers = with_links(&response);
        assert_eq!(headers["link"]["next"]["url"], "https://a/?p=3");
        assert_eq!(headers["link"]["prev"]["url"], "https://a/?x=1,2");
        assert_eq!((&headers["X-Total"], &headers["x-total"]), (&Value::from("7"), &Value::from("7")));
    }
}
