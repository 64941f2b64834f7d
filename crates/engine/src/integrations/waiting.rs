//! Syncs that are enabled and wait for a setting of their connection.

use highwater_core::Result;

use crate::documents::ConnectionSettings;
use crate::documents::{SyncKey, SyncSettings};
use crate::engine::Engine;

/// Documents read at a time.
const PAGE: usize = 500;

impl Engine {
    /// The enabled syncs of a connection that waited for a setting before and do not any more. Both are as
    /// [`connection`](Engine::connection) returns them.
    pub(crate) async fn released(&self, before: &ConnectionSettings, now: &ConnectionSettings) -> Result<Vec<SyncKey>> {
        let waits = |connection: &ConnectionSettings, template: &str| {
            self.template(template).is_ok_and(|template| !connection.missing(&template.info().config).is_empty())
        };
        let released = |template: &str| waits(before, template) && !waits(now, template);
        let (prefix, mut after, mut found) = (format!("sync/{}/", now.id), String::new(), Vec::new());
        if !self.templates().any(|info| info.provider.name == now.provider && released(&info.id())) {
            return Ok(found);
        }
        loop {
            let page = self.store().documents(&prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after.clone_from(&last.key);
            for document in &page {
                let settings: SyncSettings = document.value.to()?;
                if released(&settings.template) {
                    found.push(settings.key()?);
                }
            }
        }
    }
}
