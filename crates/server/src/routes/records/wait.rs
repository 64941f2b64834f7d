//! Long polls: an answer that waits until there is something to answer.

use std::time::Duration;

use highwater_core::{Page, Result};
use tokio::time::Instant;

use super::reading::Reading;
use crate::call::Call;
use crate::error::ApiError;

/// The longest wait of a request.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long the answer may take, the wait included.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(360);

/// Reads a page. Where the request waits: the first page that is not empty, or an empty one when the time is over or the server is
/// to stop.
pub(super) async fn page(call: &Call, reading: Reading) -> Result<Page, ApiError> {
    let Reading { mut request, wait } = reading;
    let Some(wait) = wait else { return Ok(call.store().page(request).await?) };
    let deadline = Instant::now() + wait;
    // Before the first look, so that nothing is missed between the two.
    let mut wakeups = call.store().subscribe();
    loop {
        let page = call.store().page(request.clone()).await?;
        let over = Instant::now() >= deadline || call.state.stopping.is_cancelled();
        if !page.changes.is_empty() || over {
            return Ok(page);
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
