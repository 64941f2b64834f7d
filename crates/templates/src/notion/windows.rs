//! Queries of a data source with more results than Notion returns of one query.

use highwater_core::Result;
use highwater_template::paging::FetchedPage;
use highwater_template::records::{parse_time, text_at};
use highwater_template::{HttpRequest, Pages, SyncContext};
use serde_json::{Value, json};

use super::list;

/// A timestamp of a row.
pub(super) const CREATED: &str = "created_time";
/// A timestamp of a row.
pub(super) const EDITED: &str = "last_edited_time";

const FROM: &str = "on_or_after";
const BEHIND: &str = "after";

/// Reads rows in the order of a timestamp, window by window.
///
/// A query returns at most 10,000 results, and then says `has_more: false` and `request_status: incomplete`. The next query begins
/// at the last time seen, so a row may come twice. Notion's times have a resolution of one minute: where one minute has more rows
/// than a query returns, they are read in the order of the other timestamp.
/// <https://developers.notion.com/guides/data-apis/query-large-data-sources>
pub(super) struct Windows {
    path: String,
    /// The timestamp that orders the rows, and the one that orders those of one minute.
    keys: [&'static str; 2],
    /// Where the current query begins, by each of them: an operator and a time.
    bounds: [Option<(&'static str, String)>; 2],
    /// The minute whose rows are read by the second timestamp.
    minute: Option<String>,
    pages: Option<Pages>,
    /// The last time seen in the current query.
    last: Option<String>,
    /// Whether the current query was cut.
    cut: bool,
    /// Whether rows may move to the end while they are read.
    restless: bool,
    missed: bool,
}

impl Windows {
    /// Reads rows in the order of their creation, which never changes.
    pub(super) fn by_creation(path: String, since: Option<String>) -> Self {
        Windows::new(path, [CREATED, EDITED], since)
    }

    /// Reads rows in the order of their last edit. One that is edited meanwhile moves to the end, and the others move forward,
    /// past the next page's beginning. So each page begins at the last time seen, if that has moved on.
    pub(super) fn by_edit(path: String, since: String) -> Self {
        Windows { restless: true, ..Windows::new(path, [EDITED, CREATED], Some(since)) }
    }

    fn new(path: String, keys: [&'static str; 2], since: Option<String>) -> Self {
        Windows {
            path,
            keys,
            bounds: [since.map(|since| (FROM, since)), None],
            minute: None,
            pages: None,
            last: None,
            cut: false,
            restless: false,
            missed: false,
        }
    }

    /// Returns whether rows were skipped, because more of them share both times than a query returns.
    pub(super) fn missed(&self) -> bool {
        self.missed
    }

    /// Returns where a later reading may begin: everything before that was returned.
    pub(super) fn place(&self) -> Option<&str> {
        let bound = self.bounds[0].as_ref().map(|(_, time)| time.as_str());
        self.minute.as_deref().or(self.last.as_deref()).or(bound)
    }

    /// Returns the next page; `None` after the last.
    pub(super) async fn next(&mut self, context: &SyncContext<'_>) -> Result<Option<FetchedPage>> {
        loop {
            let pages = match &mut self.pages {
                Some(pages) => pages,
                None => {
                    (self.last, self.cut) = (None, false);
                    self.pages.insert(list(self.query()?))
                }
            };
            let Some(page) = pages.next(context).await? else {
                if self.move_on() { continue } else { return Ok(None) }
            };
            self.cut |= is_cut(&page)?;
            let pointer = format!("/{}", self.keys[self.level()]);
            let time = |record: &bytes::Bytes| text_at(record, &pointer).ok().flatten();
            self.last = page.records.iter().rev().find_map(time).or(self.last.take());
            if self.restless && page.next.is_some() && self.moved() {
                self.move_to_last();
            }
            return Ok(Some(page));
        }
    }

    fn level(&self) -> usize {
        usize::from(self.minute.is_some())
    }

    /// Returns whether the current query got past the time at which it began.
    fn moved(&self) -> bool {
        let later = |a: &str, b: &str| parse_time(a).ok().zip(parse_time(b).ok()).is_some_and(|(a, b)| a > b);
        match (&self.last, &self.bounds[self.level()]) {
            (Some(last), Some((_, bound))) => later(last, bound),
            (last, None) => last.is_some(),
            (None, Some(_)) => false,
        }
    }

    fn move_to_last(&mut self) {
        let level = self.level();
        if let Some(last) = &self.last {
            self.bounds[level] = Some((FROM, last.clone()));
        }
        self.pages = None;
    }

    /// Prepares the query after one that ended. Returns whether there is one.
    fn move_on(&mut self) -> bool {
        self.pages = None;
        let Some(last) = self.last.clone().filter(|_| self.cut) else {
            self.missed |= self.cut;
            return self.leave_minute();
        };
        if self.moved() {
            self.move_to_last();
            return true;
        }
        let level = self.level();
        let behind = matches!(&self.bounds[level], Some((BEHIND, _)));
        match (level, behind) {
            // One minute has more rows than a query returns.
            (0, false) => self.minute = Some(last),
            // So has one minute by both timestamps: the rest of it cannot be read, what follows can.
            (1, false) => {
                self.missed = true;
                self.bounds[1] = Some((BEHIND, last));
            }
            // Notion returns rows that were not requested.
            _ => {
                self.missed = true;
                return self.leave_minute();
            }
        }
        true
    }

    /// Goes on after the minute whose rows were read. Returns whether there was one.
    fn leave_minute(&mut self) -> bool {
        let minute = self.minute.take();
        let left = minute.is_some();
        if left {
            self.bounds = [minute.map(|minute| (BEHIND, minute)), None];
        }
        left
    }

    fn query(&self) -> Result<HttpRequest> {
        let mut filters: Vec<Value> = Vec::new();
        let mut filter = |key: &str, operator: &str, time: &str| {
            filters.push(json!({"timestamp": key, (key): {(operator): time}}));
        };
        if let Some(minute) = &self.minute {
            filter(self.keys[0], FROM, minute);
            filter(self.keys[0], "on_or_before", minute);
        }
        if let Some((operator, time)) = &self.bounds[self.level()] {
            filter(self.keys[self.level()], operator, time);
        }
        let mut body = json!({
            "page_size": 100,
            "sorts": [{"timestamp": self.keys[self.level()], "direction": "ascending"}],
        });
        if let (false, Some(members)) = (filters.is_empty(), body.as_object_mut()) {
            members.insert("filter".to_owned(), json!({"and": filters}));
        }
        HttpRequest::post_json(&self.path, &body)
    }
}

/// Returns whether Notion returned less than there is. Any page of a query may say so.
pub(super) fn is_cut(page: &FetchedPage) -> Result<bool> {
    Ok(page.response.text_at("/request_status/type")?.as_deref() == Some("incomplete"))
}
