//! The newest changes of all streams.

use std::cmp::Reverse;
use std::time::Duration;

use highwater_core::{Change, PageRequest, Result, Store, StreamHead, StreamKey};

/// How far back a stream is read, in steps, until enough is found.
const WINDOWS: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(100),
    Duration::from_secs(5),
    Duration::from_secs(300),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(7 * 24 * 3600),
];
/// The most entries that are read of one stream in a step.
const MOST: usize = 300;

/// Returns the newest changes, newest first, without payloads. A log is read forwards: each stream is read from shortly before
/// its end, and never from its beginning.
pub(super) async fn newest(
    store: &dyn Store,
    mut heads: Vec<StreamHead>,
    count: usize,
) -> Result<Vec<(StreamKey, Change)>> {
    heads.retain(|head| !head.never_written());
    heads.sort_by_key(|head| Reverse(head.high_water.position()));
    let mut found: Vec<(StreamKey, Change)> = Vec::new();
    for head in heads.into_iter().take(count) {
        let mut changes = Vec::new();
        for window in WINDOWS {
            let request = PageRequest::new(head.stream.clone()).metadata_only().limit(MOST);
            let page = store.page(request.modified_after(head.high_water.time() - window)).await?;
            // A page that does not reach the end lacks the newest.
            if page.has_more && !changes.is_empty() {
                break;
            }
            let ended = page.has_more || page.changes.len() >= count;
            changes = page.changes;
            if ended {
                break;
            }
        }
        let skipped = changes.len().saturating_sub(count);
        found.extend(changes.into_iter().skip(skipped).map(|change| (head.stream.clone(), change)));
    }
    found.sort_by_key(|(_, change)| Reverse(change.record.metadata.cursor.position()));
    found.truncate(count);
    Ok(found)
}
