//! Lists in pages: the ways in which APIs name the next page.
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

mod lists;
mod repeats;
mod request_field;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use serde::Serialize;

use super::context::SyncContext;
use super::http::{HttpRequest, HttpResponse};
use super::records::{string_at, text_at};
use highwater_core::{Error, ErrorKind, Result};

pub use lists::Lists;
pub use repeats::RepeatGuard;
pub use request_field::RequestField;
use request_field::name_page;

/// The default limit of pages in a list. An API that gives more is taken to have a list without an end.
const MAX_PAGES: usize = 1_000_000;

/// How often in a row a list may be read again from an earlier page before it is taken to change too fast.
const MAX_STEPS_BACK: usize = 20;

/// How an API names the next page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Paging {
    /// Not at all: there is one page.
    Single,
    /// By the `Link` header with `rel="next"`. Its URL, as those of the next two kinds, may be
    /// [relative](HttpResponse::resolve).
    Link,
    /// By a header with the URL.
    HeaderUrl(String),
    /// By the URL at a JSON pointer of the response.
    BodyUrl(String),
    /// By a text in the response that the next request sends back. No text, or an empty one, ends the list.
    Cursor {
        /// Where the response has it, as a JSON pointer.
        at: String,
        /// Where the request carries it.
        to: RequestField,
        /// Where the response says whether there is more, as a JSON pointer, if it does.
        more: Option<String>,
    },
    /// By its number. An empty page ends the list.
    Number {
        /// Where the request carries it.
        to: RequestField,
        /// The number of the first page.
        first: u64,
    },
    /// By the number of records before it. A page without a new record ends the list; the server may give fewer than were
    /// requested. Each page reads some records of the last one again: if they are missing, records were deleted meanwhile, and
    /// the list goes back rather than skip some.
    Offset {
        /// Where the request carries it.
        to: RequestField,
        /// How many records are read again.
        overlap: usize,
    },
    /// By the id of the last record, for lists that are sorted by it.
    LastId {
        /// Where the request carries it.
        to: RequestField,
        /// Where a record has it, as a JSON pointer.
        id: String,
        /// Where the response says whether there is more, as a JSON pointer. Without it an empty page ends the list.
        more: Option<String>,
    },
}

impl Paging {
    /// Pages by the text at the JSON pointer `at` of the response, sent back in `to`.
    pub fn cursor(at: impl Into<String>, to: impl Into<RequestField>) -> Self {
        Paging::Cursor { at: at.into(), to: to.into(), more: None }
    }

    /// Pages of the GraphQL connection (Relay's specification) at the JSON pointer `connection`, whose query takes `$after`.
    pub fn relay(connection: &str) -> Self {
        Paging::Cursor {
            at: format!("{connection}/pageInfo/endCursor"),
            to: RequestField::Body("/variables/after".to_owned()),
            more: Some(format!("{connection}/pageInfo/hasNextPage")),
        }
    }

    /// Pages by the member `id` of the last record, sent in `to`, while the response says at the JSON pointer `more` that
    /// there is more.
    pub fn last_id(to: impl Into<RequestField>, more: impl Into<String>) -> Self {
        Paging::LastId { to: to.into(), id: "/id".to_owned(), more: Some(more.into()) }
    }

    /// Pages by number, counted from `first`.
    pub fn number(to: impl Into<RequestField>, first: u64) -> Self {
        Paging::Number { to: to.into(), first }
    }

    /// Pages by offset. Each reads the last record of the one before it again.
    pub fn offset(to: impl Into<RequestField>) -> Self {
        Paging::Offset { to: to.into(), overlap: 1 }
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchedPage {
    /// Its records, as the API wrote them.
    pub records: Vec<Bytes>,
    /// The whole response.
    pub response: HttpResponse,
    /// Where the next page begins: [`Pages::resume`] takes it. `None` on the last page.
    pub next: Option<String>,
}

/// A list in pages, read one by one.
///
/// A list without an end is an error: a page that is named twice, or pages with nothing but what earlier ones had
/// ([`RepeatGuard`]).
///
/// ```no_run
/// # use highwater_template::{HttpRequest, Pages, Paging, SyncContext};
/// # async fn fetch(context: &mut SyncContext<'_>) -> highwater_template::Result<()> {
/// let mut pages = Pages::new(HttpRequest::get("/issues").query("per_page", "100"), Paging::Link);
/// while let Some(page) = pages.next(context).await? {
///     context.save("Issue", page.records).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pages {
    request: HttpRequest,
    paging: Paging,
    records: String,
    may_lack_records: bool,
    check: Option<fn(&HttpResponse) -> Result<()>>,
    max_pages: usize,
    /// What names the next page; `None` for the first.
    token: Option<String>,
    ended: bool,
    requested: HashSet<u64>,
    repeats: RepeatGuard,
    /// For offsets: the last records of the page before.
    tail: Vec<Bytes>,
    size: usize,
    steps_back: usize,
    /// Grows with each step back, after which pages are requested again.
    generation: usize,
}

impl Pages {
    /// Begins the list whose first page `request` gets.
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
            requested: HashSet::new(),
            repeats: RepeatGuard::default(),
            tail: Vec::new(),
            size: 0,
            steps_back: 0,
            generation: 0,
        }
    }

    /// Sets where a response has its records, as a JSON pointer. By default the body is the array of them.
    #[must_use]
    pub fn records_at(mut self, pointer: impl Into<String>) -> Self {
        self.records = pointer.into();
        self
    }

    /// Sets where a response has its records, as a JSON pointer. A response may lack them, and is then an empty page.
    #[must_use]
    pub fn optional_records_at(mut self, pointer: impl Into<String>) -> Self {
        self.may_lack_records = true;
        self.records_at(pointer)
    }

    /// Sets a check of each response, for APIs that report failures with status 200. Its error ends the list.
    #[must_use]
    pub fn check(mut self, check: fn(&HttpResponse) -> Result<()>) -> Self {
        self.check = Some(check);
        self
    }

    /// Sets after how many pages the list is taken to have no end. One million by default.
    #[must_use]
    pub fn max_pages(mut self, pages: usize) -> Self {
        self.max_pages = pages;
        self
    }

    /// Begins at the page that [`FetchedPage::next`] named; `None` begins at the first.
    #[must_use]
    pub fn resume(mut self, next: Option<String>) -> Self {
        self.token = next;
        self
    }

    /// Fetches the next page. Returns `None` after the last one.
    ///
    /// # Errors
    ///
    /// Those of [`SyncContext::send`] and of the [check](Pages::check); [`ErrorKind::Remote`] if a response lacks its
    /// records, or the list has no end.
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

    /// Makes the request for the next page.
    fn page_request(&self) -> Result<HttpRequest> {
        let mut request = self.request.clone();
        if self.token.is_some() {
            // A condition belongs to the first page. A 304 to another one would end the list.
            request.remove_conditions();
        }
        match (&self.paging, &self.token) {
            (Paging::Number { to, first }, None) => name_page(&mut request, to, &first.to_string())?,
            (Paging::Offset { to, .. }, None) => name_page(&mut request, to, "0")?,
            (_, None) | (Paging::Single, _) => {}
            (Paging::Link | Paging::HeaderUrl(_) | Paging::BodyUrl(_), Some(url)) => {
                request.url.clone_from(url);
                request.query.clear();
            }
            (Paging::Cursor { to, .. } | Paging::Number { to, .. } | Paging::LastId { to, .. }, Some(token)) => {
                name_page(&mut request, to, token)?;
            }
            (Paging::Offset { to, overlap }, Some(token)) => {
                let offset = number(token)?.saturating_sub(self.tail.len().min(*overlap) as u64);
                name_page(&mut request, to, &offset.to_string())?;
            }
        }
        Ok(request)
    }

    /// Refuses a request that was sent before.
    fn check_progress(&mut self, request: &HttpRequest) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        (&request.url, &request.query, &request.body, self.generation).hash(&mut hasher);
        if self.requested.insert(hasher.finish()) && self.requested.len() <= self.max_pages {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Remote, "the API names a page that was read already: the list has no end")
            .with("pages", self.requested.len()))
    }

    /// Reads a page and what names the next; `None` if an earlier page has to be read again.
    fn read(&mut self, response: HttpResponse) -> Result<Option<FetchedPage>> {
        if let Some(check) = self.check {
            check(&response)?;
        }
        // A page that the one before it named cannot be without content.
        let ends_with_an_empty_page =
            matches!(self.paging, Paging::Number { .. } | Paging::Offset { .. } | Paging::LastId { more: None, .. });
        if response.status == 204 && self.token.is_some() && !ends_with_an_empty_page {
            return Err(
                response.error(ErrorKind::Remote, "the API names a next page of the list and has no content there")
            );
        }
        // An empty body without a status that says so is half a response, and must not end the list.
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
        // A list by offset ends anyway where a page has no new record.
        if next.is_some() && !matches!(self.paging, Paging::Offset { .. }) {
            self.repeats.check(&records)?;
        }
        self.ended = next.is_none();
        self.token.clone_from(&next);
        Ok(Some(FetchedPage { records, response, next }))
    }

    /// Returns how many records of a page were read before; `None` if the page does not follow the last one.
    fn behind_the_tail(&self, records: &[Bytes]) -> Option<usize> {
        let Some(last) = self.tail.last() else { return Some(0) };
        let known = |record: &Bytes| record == last || (id_of(record).is_some() && id_of(record) == id_of(last));
        records.iter().rposition(known).map(|index| index + 1)
    }

    /// Goes back by a page, because the records after it moved forward.
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
        Error::new(ErrorKind::Invalid, "the page to resume at is not a number").with("page", token).because(source)
    })
}

#[cfg(test)]
mod tests;
