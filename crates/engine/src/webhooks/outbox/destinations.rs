//! The destinations that the store has.

use highwater_core::{Result, Store};

use crate::documents::{DESTINATIONS, Destination};

/// Destinations read at a time.
const PAGE: usize = 500;

pub(super) async fn destinations(store: &dyn Store) -> Result<Vec<Destination>> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.documents(DESTINATIONS, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after.clone_from(&last.key);
        for document in &page {
            found.push(document.value.to()?);
        }
    }
}
