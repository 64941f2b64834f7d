//! Looking up many documents under one prefix, in order of their keys: a page at a time, and what nobody asks for is passed over.

use std::collections::VecDeque;

use highwater_core::{Document, Json, Result, Store};

/// Documents read at a time.
const PAGE: usize = 500;

/// A walk through the documents under a prefix. It goes forward only.
pub(crate) struct Walk<'s> {
    store: &'s dyn Store,
    prefix: &'static str,
    /// Documents read at a time.
    page: usize,
    /// Read, and not passed yet.
    ahead: VecDeque<Document>,
    /// The last key that was read.
    last: String,
    ended: bool,
}

impl<'s> Walk<'s> {
    pub(crate) fn new(store: &'s dyn Store, prefix: &'static str) -> Self {
        Walk::paged(store, prefix, PAGE)
    }

    /// A walk that reads so many documents at a time.
    pub(crate) fn paged(store: &'s dyn Store, prefix: &'static str, page: usize) -> Self {
        Walk { store, prefix, page, ahead: VecDeque::new(), last: String::new(), ended: false }
    }

    /// Returns the document at `path` under the prefix. No path may be less than the one before.
    pub(crate) async fn find(&mut self, path: &str) -> Result<Option<Json>> {
        let wanted = format!("{}{path}", self.prefix);
        loop {
            while let Some(next) = self.ahead.front() {
                if *next.key > *wanted {
                    return Ok(None);
                }
                let found = self.ahead.pop_front().filter(|document| *document.key == *wanted);
                if let Some(document) = found {
                    return Ok(Some(document.value));
                }
            }
            if self.ended {
                return Ok(None);
            }
            // Not far before the wanted key.
            let mut before = wanted.clone();
            before.pop();
            self.read(before).await?;
        }
    }

    /// Returns the documents whose paths begin with `path`, which ends with a slash. No path may be less than the one before.
    pub(crate) async fn under(&mut self, path: &str) -> Result<Vec<Document>> {
        let (wanted, mut found) = (format!("{}{path}", self.prefix), Vec::new());
        loop {
            while let Some(next) = self.ahead.front() {
                let is_under = next.key.starts_with(&*wanted);
                if !is_under && *next.key > *wanted {
                    return Ok(found);
                }
                found.extend(self.ahead.pop_front().filter(|_| is_under));
            }
            if self.ended {
                return Ok(found);
            }
            self.read(wanted.clone()).await?;
        }
    }

    /// Returns the next document under the prefix.
    pub(crate) async fn next(&mut self) -> Result<Option<Document>> {
        if self.ahead.is_empty() && !self.ended {
            self.read(String::new()).await?;
        }
        Ok(self.ahead.pop_front())
    }

    /// Reads the page behind a key, and behind what was read.
    async fn read(&mut self, after: String) -> Result<()> {
        let page = self.store.documents(self.prefix, &after.max(std::mem::take(&mut self.last)), self.page).await?;
        match page.last() {
            Some(last) => self.last = last.key.to_string(),
            None => self.ended = true,
        }
        self.ahead = page.into();
        Ok(())
    }
}
