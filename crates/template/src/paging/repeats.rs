//! Lists without an end: pages with nothing but what earlier pages had.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use highwater_core::{Error, ErrorKind, Result};

/// How many pages in a row that repeat earlier ones show that the list has no end.
const MAX_REPEATED: usize = 5;

/// How many pages in a row without a record show that the list has no end.
const MAX_EMPTY: usize = 1_000;

/// Detects a list without an end: an API that repeats its last page forever, or returns the same records under a new cursor each time.
///
/// [`Pages`](super::Pages) has one; a template that goes from page to page by itself passes each page to its own.
///
/// A page repeats an earlier one if it has the same records in the same order, byte by byte. The fifth repetition in a row is
/// an error; fewer can happen in a list that moves while it is read. An empty page is not a repetition, because APIs that filter
/// give them in the middle of a list; the thousandth in a row is an error.
///
/// ```
/// use highwater_template::paging::RepeatGuard;
/// use highwater_template::{HttpRequest, SyncContext};
///
/// # async fn fetch(context: &mut SyncContext<'_>) -> highwater_template::Result<()> {
/// let mut repeats = RepeatGuard::default();
/// for page in 1.. {
///     let response = context.send(HttpRequest::get("/notes").query("page", page.to_string())).await?;
///     let notes = response.elements()?;
///     if notes.is_empty() {
///         break;
///     }
///     repeats.check(&notes)?;
///     context.save("Note", notes).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct RepeatGuard {
    seen: HashSet<u64>,
    repeated: usize,
    empty: usize,
}

impl RepeatGuard {
    /// Checks the records of the next page.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if the list has no end.
    pub fn check(&mut self, records: &[Bytes]) -> Result<()> {
        if records.is_empty() {
            self.empty += 1;
            if self.empty >= MAX_EMPTY {
                return Err(without_end("the API gives page after page without a record", self.empty));
            }
            return Ok(());
        }
        self.empty = 0;
        let mut hasher = DefaultHasher::new();
        records.hash(&mut hasher);
        if self.seen.insert(hasher.finish()) {
            self.repeated = 0;
            return Ok(());
        }
        self.repeated += 1;
        if self.repeated >= MAX_REPEATED {
            return Err(without_end("the API gives the same records page after page", self.repeated));
        }
        Ok(())
    }
}

fn without_end(what: &str, pages: usize) -> Error {
    Error::new(ErrorKind::Remote, format!("{what}: the list has no end; nothing was deleted")).with("pages", pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ids: &[u64]) -> Vec<Bytes> {
        ids.iter().map(|id| format!(r#"{{"id":{id}}}"#).into()).collect()
    }

    #[test]
    fn repetitions_end_and_lists_do_not() {
        let mut same = RepeatGuard::default();
        let failed = (1..100).find(|_| same.check(&page(&[1, 2])).is_err());
        assert_eq!(failed, Some(6));
        // In turns, under ever new cursors.
        let mut turns = RepeatGuard::default();
        assert!((0..20).any(|turn| turns.check(&page(&[turn % 3, 9])).is_err()));
        let mut empty = RepeatGuard::default();
        assert_eq!((1..2000).find(|_| empty.check(&[]).is_err()), Some(1_000));
        // Empty pages in the middle, a page that comes twice, pages that overlap.
        let mut list = RepeatGuard::default();
        for turn in 0..500 {
            list.check(&page(&[turn, turn + 1])).unwrap();
            list.check(&[]).unwrap();
            list.check(&page(&[turn, turn + 1])).unwrap();
        }
    }
}
