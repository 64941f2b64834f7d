//! Long polls: an answer that waits until there is something to answer.

use std::time::Duration;

use bytes::Bytes;
use highwater_core::{Page, PageRequest, Result};
use tokio::time::Instant;

use super::cache::{Found, Wanted};
use super::reading::Reading;
use crate::call::Call;
use crate::error::ApiError;

/// The longest wait of a request.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long the answer may take, the wait included.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(360);

/// A page, or what was made of the same one before.
pub(super) enum Read {
    Kept(Bytes),
    /// A page, and what to keep its answer as.
    Page(Page, Option<Box<Wanted>>),
}

/// Reads a page. Where the request waits: the first page that is not empty, or an empty one when the time is over or the server is
/// to stop.
pub(super) async fn page(call: &Call, reading: Reading) -> Result<Read, ApiError> {
    let Reading { mut request, wait } = reading;
    let Some(wait) = wait else { return read(call, &request).await };
    let deadline = Instant::now() + wait;
    // Before the first look, so that nothing is missed between the two.
    let mut wakeups = call.store().subscribe();
    loop {
        let (page, wanted) = match read(call, &request).await? {
            Read::Page(page, wanted) => (page, wanted),
            kept @ Read::Kept(_) => return Ok(kept),
        };
        let over = Instant::now() >= deadline || call.state.stopping.is_cancelled();
        if !page.changes.is_empty() || over {
            return Ok(Read::Page(page, wanted));
        }
        // Where a filter skipped everything: what was skipped need not be read again.
        request.after = page.next_cursor;
        if page.has_more {
            continue;
        }
        tokio::select! {
            woken = wakeups.changed() => woken?,
            () = tokio::time::sleep_until(deadline) => {}
            () = call.state.stopping.cancelled() => {}
        }
        // A key that was revoked in the meantime learns nothing more.
        call.state.check_key(call.key.as_ref()).await?;
    }
}

/// Empty answers are made faster than they are found, and a request that waits is not answered with one.
async fn read(call: &Call, request: &PageRequest) -> Result<Read, ApiError> {
    let store = call.store();
    match call.state.cache.find(request, || store.stream_version(&request.stream)) {
        Found::Answer(body) => Ok(Read::Kept(body)),
        Found::Nothing(wanted) => {
            let page = store.page(request.clone()).await?;
            let wanted = wanted.filter(|_| !page.changes.is_empty());
            Ok(Read::Page(page, wanted))
        }
    }
}
