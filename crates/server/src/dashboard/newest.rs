//! The newest changes of all streams.

use std::cmp::Reverse;
use std::time::Duration;

use highwater_core::{Change, PageRequest, Result, Store, StreamHead, StreamKey};

/// How far back a stream is read, in steps, until enough is found.
const WINDOWS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(60), Duration::from_secs(3600), Duration::from_secs(24 * 3600)];
/// The most entries that are looked at in one stream.
const MOST: usize = 5000;

/// Returns the newest changes, newest first, without payloads. A log is read forwards: each stream is read from shortly before
/// its end.
pub(super) async fn newest(store: &dyn Store, count: usize) -> Result<Vec<(StreamKey, Change)>> {
    let mut heads: Vec<StreamHead> = store.streams().await?.into_iter().filter(|head| !head.never_written()).collect();
    heads.sort_by_key(|head| Reverse(head.high_water.position()));
    let mut found: Vec<(StreamKey, Change)> = Vec::new();
    for head in heads.into_iter().take(count) {
        for (step, window) in WINDOWS.into_iter().enumerate() {
            let request = PageRequest::new(head.stream.clone()).metadata_only().limit(MOST);
            let page = store.page(request.modified_after(head.high_water.time() - window)).await?;
            let enough = page.changes.len() >= count || page.has_more || step + 1 == WINDOWS.len();
            if enough {
                let skipped = page.changes.len().saturating_sub(count);
                found.extend(page.changes.into_iter().skip(skipped).map(|change| (head.stream.clone(), change)));
                break;
            }
        }
    }
    found.sort_by_key(|(_, change)| Reverse(change.record.metadata.cursor.position()));
    found.truncate(count);
    Ok(found)
}
