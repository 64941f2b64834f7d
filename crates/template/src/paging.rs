//! From page to page: the ways in which APIs name the next one.
//!
//! ```no_run
//! # use highwater_template::{HttpRequest, Pages, Paging, SyncContext};
//! # async fn fetch(context: &mut SyncContext<'_>) -> highwater_template::Result<()> {
//! let request = HttpRequest::get("/users.list").query("limit", "200");
//! let mut pages = Pages::new(request, Paging::cursor("/response_metadata/next_cursor", "cursor")).records_at("/members");
//! while let Some(page) = pages.next(context).await? {
//!     context.save("User", page.records).await?;
//! }
//! # Ok(())
//! # }
//! ```

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use serde_json::Value;

use super::context::SyncContext;
use super::http::{HttpRequest, escape};
use super::records::{string_at, text_at};
use super::repeats::RepeatGuard;
use super::response::HttpResponse;
use highwater_core::{Error, ErrorKind, Result};

/// Pages read of one list, unless told otherwise: beyond it an API is thought to turn in circles.
const MAX_PAGES: usize = 1_000_000;

/// Steps back in a row before a list is thought to change too fast to be read.
const MAX_STEPS_BACK: usize = 20;

/// Where a request carries the name of its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A query parameter.
    Query(String),
    /// A field of the form that is the body.
    Form(String),
    /// A member of the JSON body, by JSON pointer; it is made if it is not there.
    Body(String),
}

impl From<&str> for Place {
    /// A body's member if it begins with a slash, otherwise a query parameter.
    fn from(text: &str) -> Self {
        if text.starts_with('/') { Place::Body(text.to_owned()) } else { Place::Query(text.to_owned()) }
    }
}

/// How an API names the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Paging {
    /// There is one page.
    Single,
    /// The `Link` header with `rel="next"`. As with the two that follow, the URL may be relative to the one that was
    /// asked ([`HttpResponse::resolve`]).
    Link,
    /// A header with the URL.
    HeaderUrl(String),
    /// The URL at a JSON pointer of the answer.
    BodyUrl(String),
    /// The text at a JSON pointer of the answer, sent back; none or an empty one ends the list.
    Cursor {
        /// Where the answer has it.
        at: String,
        /// Where the request carries it.
        to: Place,
        /// Where the answer says whether there is more, if it does.
        more: Option<String>,
    },
    /// The page's number, until a page is empty.
    Number {
        /// Where the request carries it.
        to: Place,
        /// The first page's.
        first: u64,
    },
    /// The number of records before the page, until one brings nothing new. The server may give fewer
    /// than were asked for. Each page reads some records of the last one again: if they are not
    /// there, records were deleted meanwhile, and the list goes back rather than skip some.
    Offset {
        /// Where the request carries it.
        to: Place,
        /// How many records are read again.
        overlap: usize,
    },
    /// The id of the page's last record, for lists that are ordered by it.
    LastId {
        /// Where the request carries it.
        to: Place,
        /// Where a record has it.
        id: String,
        /// Where the answer says whether there is more; without it the list ends at an empty page.
        more: Option<String>,
    },
}

impl Paging {
    /// The text at `at`, sent back in `to`.
    pub fn cursor(at: impl Into<String>, to: impl Into<Place>) -> Self {
        Paging::Cursor { at: at.into(), to: to.into(), more: None }
    }

    /// A GraphQL connection at `connection` in the answer (Relay's specification), whose query takes `$after`.
    pub fn relay(connection: &str) -> Self {
        Paging::Cursor {
            at: format!("{connection}/pageInfo/endCursor"),
            to: Place::Body("/variables/after".to_owned()),
            more: Some(format!("{connection}/pageInfo/hasNextPage")),
        }
    }

    /// The last record's `id`, sent in `to`, while the answer says at `more` that there is more.
    pub fn last_id(to: impl Into<Place>, more: impl Into<String>) -> Self {
        Paging::LastId { to: to.into(), id: "/id".to_owned(), more: Some(more.into()) }
    }

    /// Pages by number, from `first`.
    pub fn number(to: impl Into<Place>, first: u64) -> Self {
        Paging::Number { to: to.into(), first }
    }

    /// Pages by offset; each reads the last record of the one before it again.
    pub fn offset(to: impl Into<Place>) -> Self {
        Paging::Offset { to: to.into(), overlap: 1 }
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchedPage {
    /// Its records, as they came.
    pub records: Vec<Bytes>,
    /// The whole answer.
    pub response: HttpResponse,
    /// Where the next page begins: [`Pages::resume`] takes it. `None` on the last page.
    pub next: Option<String>,
}

/// A list, page by page. One without an end is an error: a page that is named twice, or pages that bring nothing but what
/// earlier ones brought ([`RepeatGuard`]).
#[derive(Debug)]
pub struct Pages {
    request: HttpRequest,
    paging: Paging,
    records: String,
    may_lack_records: bool,
    check: Option<fn(&HttpResponse) -> Result<()>>,
    max_pages: usize,
    /// The next page's name; `None` for the first.
    token: Option<String>,
    ended: bool,
    asked: HashSet<u64>,
    repeats: RepeatGuard,
    /// For offsets: the last records of the page before.
    tail: Vec<Bytes>,
    size: usize,
    steps_back: usize,
    /// Grows with each step back: pages are asked for again then.
    generation: usize,
}

impl Pages {
    /// The list that `request` begins.
    pub fn new(request: HttpRequest, paging: Paging) -> Self {
        Pages {
            request,
            paging,
            records: String::new(),
            may_lack_records: false,
            check: None,
            max_pages: MAX_PAGES,
            token: None,
            ended: false,
            asked: HashSet::new(),
            repeats: RepeatGuard::default(),
            tail: Vec::new(),
            size: 0,
            steps_back: 0,
            generation: 0,
        }
    }

    /// Says where an answer has its records; unless told, it is an array.
    #[must_use]
    pub fn records_at(mut self, pointer: impl Into<String>) -> Self {
        self.records = pointer.into();
        self
    }

    /// Says where an answer has its records, if it has any.
    #[must_use]
    pub fn optional_records_at(mut self, pointer: impl Into<String>) -> Self {
        self.may_lack_records = true;
        self.records_at(pointer)
    }

    /// Checks each answer first: for APIs that report faults with status 200.
    #[must_use]
    pub fn check(mut self, check: fn(&HttpResponse) -> Result<()>) -> Self {
        self.check = Some(check);
        self
    }

    /// Says how many pages there are at most.
    #[must_use]
    pub fn max_pages(mut self, pages: usize) -> Self {
        self.max_pages = pages;
        self
    }

    /// Goes on where a page said the next one begins.
    #[must_use]
    pub fn resume(mut self, next: Option<String>) -> Self {
        self.token = next;
        self
    }

    /// The next page; `None` behind the last.
    pub async fn next(&mut self, context: &SyncContext<'_>) -> Result<Option<FetchedPage>> {
        while !self.ended {
            let request = self.page_request()?;
            self.check_progress(&request)?;
            let response = context.send(request).await?;
            if let Some(page) = self.read(response)? {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// The request for the page whose turn it is.
    fn page_request(&self) -> Result<HttpRequest> {
        let mut request = self.request.clone();
        if self.token.is_some() {
            // A validator is one of the first page: of another it would say that nothing follows.
            request.unconditional();
        }
        match (&self.paging, &self.token) {
            (Paging::Number { to, first }, None) => place(&mut request, to, &first.to_string())?,
            (Paging::Offset { to, .. }, None) => place(&mut request, to, "0")?,
            (_, None) | (Paging::Single, _) => {}
            (Paging::Link | Paging::HeaderUrl(_) | Paging::BodyUrl(_), Some(url)) => {
                request.url.clone_from(url);
                request.query.clear();
            }
            (Paging::Cursor { to, .. } | Paging::Number { to, .. } | Paging::LastId { to, .. }, Some(token)) => {
                place(&mut request, to, token)?;
            }
            (Paging::Offset { to, overlap }, Some(token)) => {
                let offset = number(token)?.saturating_sub(self.tail.len().min(*overlap) as u64);
                place(&mut request, to, &offset.to_string())?;
            }
        }
        Ok(request)
    }

    /// Refuses to go on for ever.
    fn check_progress(&mut self, request: &HttpRequest) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        (&request.url, &request.query, &request.body, self.generation).hash(&mut hasher);
        if self.asked.insert(hasher.finish()) && self.asked.len() <= self.max_pages {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Remote, "the API names a page that was read already: the list has no end")
            .with("pages", self.asked.len()))
    }

    /// Reads a page and finds the next; `None` if the page has to be asked for in another way.
    fn read(&mut self, response: HttpResponse) -> Result<Option<FetchedPage>> {
        if let Some(check) = self.check {
            check(&response)?;
        }
        // A page that the one before it announced is no empty one.
        let to_the_end =
            matches!(self.paging, Paging::Number { .. } | Paging::Offset { .. } | Paging::LastId { more: None, .. });
        if response.status == 204 && self.token.is_some() && !to_the_end {
            return Err(
                response.refusal(ErrorKind::Remote, "the API names a next page of the list and has no content there")
            );
        }
        // A body that is empty without a status that says so is half an answer: it must not end a list.
        let lacks_records = response.status == 204
            || response.is_unchanged()
            || (self.may_lack_records && response.value_at(&self.records)?.is_none());
        let mut records = if lacks_records { Vec::new() } else { response.elements_at(&self.records)? };
        let more_at = |pointer: &Option<String>| match pointer {
            Some(pointer) => Ok(response.text_at(pointer)?.as_deref() == Some("true")),
            None => Ok(true),
        };
        let next = match &self.paging {
            Paging::Single => None,
            // Without a body there is nothing to read a cursor from.
            Paging::BodyUrl(_) | Paging::Cursor { .. } if response.status == 204 || response.is_unchanged() => None,
            Paging::Link => response.next_link(),
            Paging::HeaderUrl(name) => {
                response.header(name).filter(|url| !url.is_empty()).map(|url| response.resolve(url))
            }
            Paging::BodyUrl(at) => {
                response.text_at(at)?.filter(|url| !url.is_empty()).map(|url| response.resolve(&url))
            }
            Paging::Cursor { at, more, .. } => {
                if more_at(more)? {
                    response.text_at(at)?
                } else {
                    None
                }
            }
            Paging::Number { first, .. } => {
                let current = self.token.as_deref().map_or(Ok(*first), number)?;
                (!records.is_empty()).then(|| (current + 1).to_string())
            }
            Paging::LastId { id, more, .. } => match records.last() {
                Some(last) if more_at(more)? => Some(string_at(last, id)?),
                _ => None,
            },
            Paging::Offset { overlap, .. } => {
                let overlap = *overlap;
                let offset = self.token.as_deref().map_or(Ok(0), number)?;
                match self.behind_the_tail(&records) {
                    Some(new) => {
                        records.drain(..new);
                        self.steps_back = 0;
                    }
                    None => {
                        self.step_back(offset)?;
                        return Ok(None);
                    }
                }
                self.size = self.size.max(records.len());
                if !records.is_empty() {
                    self.tail = records[records.len().saturating_sub(overlap)..].to_vec();
                }
                (!records.is_empty()).then(|| (offset + records.len() as u64).to_string())
            }
        };
        let next = next.filter(|next| !next.is_empty());
        // A list by offset ends by itself where a page brings nothing new.
        if next.is_some() && !matches!(self.paging, Paging::Offset { .. }) {
            self.repeats.check(&records)?;
        }
        self.ended = next.is_none();
        self.token.clone_from(&next);
        Ok(Some(FetchedPage { records, response, next }))
    }

    /// How many records of a page were read already; `None` if the page does not follow the one before it.
    fn behind_the_tail(&self, records: &[Bytes]) -> Option<usize> {
        let Some(last) = self.tail.last() else { return Some(0) };
        let known = |record: &Bytes| record == last || (id_of(record).is_some() && id_of(record) == id_of(last));
        records.iter().rposition(known).map(|place| place + 1)
    }

    /// Goes back by a page: what follows moved forward.
    fn step_back(&mut self, offset: u64) -> Result<()> {
        self.steps_back += 1;
        self.generation += 1;
        if self.steps_back > MAX_STEPS_BACK {
            return Err(Error::new(ErrorKind::Remote, "the list changes faster than it can be read: try again later")
                .with("offset", offset));
        }
        self.tail.clear();
        self.token = Some(offset.saturating_sub(2 * self.size.max(1) as u64).to_string());
        Ok(())
    }
}

fn id_of(record: &Bytes) -> Option<String> {
    text_at(record, "/id").ok().flatten()
}

fn number(token: &str) -> Result<u64> {
    token.parse().map_err(|source| {
        Error::new(ErrorKind::Invalid, "the page to go on from is no number").with("page", token).because(source)
    })
}

fn place(request: &mut HttpRequest, to: &Place, value: &str) -> Result<()> {
    match to {
        Place::Query(name) => {
            request.query.retain(|(known, _)| known != name);
            request.query.push((name.clone(), value.to_owned()));
        }
        Place::Form(name) => {
            let body = request.body.take().unwrap_or_default();
            let form = String::from_utf8_lossy(&body);
            let kept = form
                .split('&')
                .filter(|pair| !pair.is_empty() && pair.split('=').next().is_none_or(|known| known != escape(name)));
            let pair = format!("{}={}", escape(name), escape(value));
            let pairs: Vec<&str> = kept.chain([pair.as_str()]).collect();
            request.body = Some(pairs.join("&").into());
        }
        Place::Body(pointer) => {
            let mut body: Value = match &request.body {
                Some(body) => serde_json::from_slice(body).map_err(|source| {
                    Error::new(ErrorKind::Invalid, "the request's body is no JSON").because(source)
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

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
