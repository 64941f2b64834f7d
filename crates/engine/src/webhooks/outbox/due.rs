//! When deliveries are due: by the waiting rows of a destination, and by its pause.

use highwater_core::{ErrorKind, Result, Timestamp, WriteBatch};

use super::Outbox;
use super::deliver::{DeliveryReport, PAGE};
use crate::documents::{Destination, OutboxRow, Rest, rest_key, rows_prefix};
use crate::webhooks::outbox::destinations::destinations;

impl Outbox {
    /// The destinations with a row that is due now; records when the others are due.
    pub(super) async fn due(&self, pass: &mut DeliveryReport) -> Result<Vec<Destination>> {
        let mut wanted = Vec::new();
        for destination in destinations(&*self.parts.store).await? {
            if destination.disabled.is_some() {
                continue;
            }
            match self.next_due(&destination).await? {
                Some(due) if due > self.parts.environment.now() => pass.due(due),
                // Another process may have its secret: an attempt from here would only count against it.
                Some(_) if self.secrets_of(&destination.id).await.is_ok_and(|secrets| secrets.is_empty()) => {}
                Some(_) => wanted.push(destination),
                None => {}
            }
        }
        Ok(wanted)
    }

    /// When the destination's next attempt is due; `None` if nothing waits.
    pub(super) async fn next_due(&self, destination: &Destination) -> Result<Option<Timestamp>> {
        let next = self.next_row(destination).await?;
        let place = rest_key(&destination.id);
        let Some(stored) = self.parts.store.document(&place).await?.filter(|_| next.is_some()) else { return Ok(next) };
        let mut rest: Rest = stored.to()?;
        if rest.draw_in(self.parts.environment.now()) {
            let mut batch = WriteBatch::new();
            batch.expect_document(&*place, Some(&stored)).put_document(&*place, &rest)?;
            self.draw_in(batch).await?;
        }
        Ok(next.map(|due| due.max(rest.until)))
    }

    /// When the destination's first row is due, without its pause.
    async fn next_row(&self, destination: &Destination) -> Result<Option<Timestamp>> {
        let store = &*self.parts.store;
        let (prefix, mut after, mut next) = (rows_prefix(&destination.id), String::new(), None::<Timestamp>);
        loop {
            let page = store.documents(&prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(next) };
            after.clone_from(&last.key);
            // After the read: a pause that begins during the read does not come from a clock that was ahead.
            let now = self.parts.environment.now();
            let mut drawn = WriteBatch::new();
            for document in &page {
                let mut row: OutboxRow = document.value.to()?;
                if row.draw_in(now) {
                    let place = &*document.key;
                    drawn.expect_document(place, Some(&document.value)).put_document(place, &row)?;
                }
                let due = if row.is_due(now) { now } else { row.next_try_at };
                next = Some(next.map_or(due, |known| known.min(due)));
            }
            if !drawn.is_empty() {
                self.draw_in(drawn).await?;
            }
            if next == Some(now) {
                return Ok(next);
            }
        }
    }

    /// Saves shortened times, except those that another process changed at this moment.
    async fn draw_in(&self, batch: WriteBatch) -> Result<()> {
        match self.parts.store.commit(batch).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
