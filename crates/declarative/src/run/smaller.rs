//! Smaller pages and shorter windows, for an API that refuses one for its size.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};

use super::context::Run;
use super::cursor::DatetimeRules;
use super::request::Parts;
use super::slice::Slice;
use crate::model::{PageReduction, RequestOption, WindowSplitting};

/// The size of the pages of one slice.
#[derive(Debug, Default)]
pub(crate) struct PageSize {
    /// The reduced size; none while the paginator's own is good.
    pub reduced: Option<u64>,
    attempts: u32,
    tries_at_minimum: u32,
}

impl PageSize {
    /// Makes pages smaller, or fails once they cannot be. Waits a moment.
    pub(crate) async fn reduce(
        &mut self,
        reduction: &PageReduction,
        configured: Option<u64>,
        run: &Run<'_>,
        at: &str,
    ) -> Result<()> {
        let failed = |message: String| {
            let hint = reduction.message.as_deref().map(|text| format!(": {}", text.trim())).unwrap_or_default();
            run.remote(ErrorKind::Remote, &format!("{message}{hint}")).with("at", at)
        };
        let current = self.reduced.or(configured).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "pages have no size to reduce: give the strategy a `page_size`")
                .with("at", at)
        })?;
        // A float to integer conversion saturates.
        let smaller = ((current as f64 / reduction.factor).floor() as u64).max(reduction.minimum);
        let tries = if smaller >= current {
            if self.tries_at_minimum >= reduction.tries_at_minimum {
                return Err(failed(format!("the API refuses pages of {current} records, and they cannot be smaller")));
            }
            self.tries_at_minimum += 1;
            self.tries_at_minimum
        } else {
            if self.attempts >= reduction.attempts {
                return Err(failed(format!("the API refuses pages of every size, down to {current} records")));
            }
            self.attempts += 1;
            self.reduced = Some(smaller);
            self.attempts
        };
        let seconds = (reduction.backoff_seconds * f64::from(tries)).min(super::errors::MAX_WAIT);
        run.exchange.sleep(Duration::from_secs_f64(seconds)).await;
        Ok(())
    }

    /// A page came.
    pub(crate) fn worked(&mut self, reduction: &PageReduction) {
        self.attempts = 0;
        self.tries_at_minimum = 0;
        if reduction.restores {
            self.reduced = None;
        }
    }
}

/// How the window of a slice is moved, and where requests carry it.
#[derive(Clone)]
pub(crate) struct Windows<'p> {
    pub rules: Arc<DatetimeRules>,
    pub start_option: Option<&'p RequestOption>,
    pub end_option: Option<&'p RequestOption>,
    /// Paging that starts over begins at the greatest value that was seen.
    pub moves_on: bool,
}

impl Windows<'_> {
    /// Puts the window of `slice` into what its requests carry.
    pub(crate) fn place(&self, slice: &Slice, slicing: &mut Parts, run: &Run<'_>) -> Result<()> {
        for (option, field) in [(self.start_option, &self.rules.start_field), (self.end_option, &self.rules.end_field)]
        {
            if let (Some(option), Some(value)) = (option, slice.cursor.get(field)) {
                slicing.inject(option, value.clone(), &run.scope())?;
            }
        }
        Ok(())
    }

    /// The two halves of a slice's window.
    pub(crate) fn halves(&self, slice: &Slice, splitting: &WindowSplitting, at: &str) -> Result<[Slice; 2]> {
        let refused = || {
            let hint = splitting.message.as_deref().map(|text| format!(": {}", text.trim())).unwrap_or_default();
            let message = format!("the API refuses the window, and it cannot be shorter{hint}");
            Error::new(ErrorKind::Remote, message).with("at", at)
        };
        let bound = |field: &str| slice.cursor.get(field).and_then(|value| self.rules.parse(value)).ok_or_else(refused);
        let (start, end) = (bound(&self.rules.start_field)?, bound(&self.rules.end_field)?);
        let (first_end, second_start) = self.rules.middle(start, end, splitting.minimum)?.ok_or_else(refused)?;
        let window = |start, end| -> Result<Slice> {
            let mut cursor = slice.cursor.clone();
            cursor.insert(self.rules.start_field.clone(), self.rules.write(start)?);
            cursor.insert(self.rules.end_field.clone(), self.rules.write(end)?);
            Ok(slice.within(cursor))
        };
        Ok([window(start, first_end)?, window(second_start, end)?])
    }
}
