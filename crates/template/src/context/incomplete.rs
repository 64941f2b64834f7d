//! Records that cannot be saved, and lists that are not whole.

use bytes::Bytes;

use super::SyncContext;
use crate::page::{PageRecord, SetAside};
use highwater_core::StreamCommit;
use highwater_core::{Error, Result};

/// The longest part of a payload that is kept, in bytes.
const LONGEST_PAYLOAD: usize = 16 * 1024;

/// Payloads that wait for one commit; of further records only the reason is kept.
const MOST_PAYLOADS: usize = 256;

impl SyncContext<'_> {
    /// Sets aside a record that cannot be saved, and goes on with the others. It is counted, told in the run's log and kept with its
    /// reason (the newest hundred of a model, the first 16 KiB of each), all with the next commit. A run that set records
    /// of a model aside deletes none of that model until somebody approves. Where the record's id is known, use
    /// [`set_aside_as`](SyncContext::set_aside_as).
    ///
    /// What the engine itself cannot save (no id, no JSON object, too large) it sets aside by itself.
    pub fn set_aside(&mut self, model: &str, payload: Bytes, reason: &Error) {
        self.push_aside(model, None, &payload, reason);
    }

    /// As [`set_aside`](SyncContext::set_aside), for a record whose id is known: it counts as seen, and once it is saved
    /// it is no longer kept as set aside.
    pub fn set_aside_as(&mut self, model: &str, id: impl Into<String>, payload: Bytes, reason: &Error) {
        self.push_aside(model, Some(id.into()), &payload, reason);
    }

    /// Reads each record by itself: returns what `read` made of those it could read, in order, and sets the others aside.
    ///
    /// ```
    /// use highwater_template::{PageRecord, SyncContext, Window, id_at, string_at};
    /// use highwater_core::Result;
    ///
    /// async fn save(context: &mut SyncContext<'_>, window: &mut Window, page: Vec<bytes::Bytes>) -> Result<()> {
    ///     let records = context.read_each("Note", page, |record| {
    ///         window.saw(&string_at(record, "/updated")?)?;
    ///         Ok(PageRecord::with_id(id_at(record, &["/key"])?, record.clone()))
    ///     });
    ///     context.apply("Note", records, Vec::new()).await.map(drop)
    /// }
    /// # let _ = save;
    /// ```
    pub fn read_each<T>(
        &mut self,
        model: &str,
        records: Vec<Bytes>,
        mut read: impl FnMut(&Bytes) -> Result<T>,
    ) -> Vec<T> {
        let mut good = Vec::with_capacity(records.len());
        for record in records {
            match read(&record) {
                Ok(value) => good.push(value),
                Err(reason) => self.set_aside(model, record, &reason),
            }
        }
        good
    }

    /// Saves what `read` makes of each record, and sets aside the records that it cannot read.
    pub async fn save_each(
        &mut self,
        model: &str,
        records: Vec<Bytes>,
        read: impl FnMut(&Bytes) -> Result<PageRecord>,
    ) -> Result<StreamCommit> {
        let records = self.read_each(model, records, read);
        self.apply(model, records, Vec::new()).await
    }

    /// Says that records of `model` exist that this run does not see: a list with a cap, a page that was no list, records
    /// that were passed over. The run deletes nothing of the model, whatever [`complete`](SyncContext::complete) says, and
    /// its report gives the reason. A checkpoint that is set after this, or waits for its page, is not kept, and a full refresh
    /// keeps none at all, so that the next run begins before what is missing. Call it before the page it was learned from is
    /// saved.
    pub fn incomplete(&mut self, model: &str, reason: impl AsRef<str>) {
        self.checkpoint_is_final = true;
        self.pending = None;
        self.host.incomplete(model, reason.as_ref(), true);
    }

    /// Says that this run may not see every record of `model`, and that reading them again is of no use: part of the source
    /// is closed to the connection, or a fault was to be ignored. The run deletes nothing of the model, and its report gives
    /// the reason; the checkpoint moves on.
    pub fn uncertain(&mut self, model: &str, reason: impl AsRef<str>) {
        self.host.incomplete(model, reason.as_ref(), false);
    }

    fn push_aside(&mut self, model: &str, id: Option<String>, payload: &Bytes, reason: &Error) {
        // A copy: a slice would keep its whole page in memory.
        let payload = match self.aside.len() < MOST_PAYLOADS {
            true => Bytes::copy_from_slice(payload.get(..LONGEST_PAYLOAD).unwrap_or(payload)),
            false => Bytes::new(),
        };
        self.aside.push(SetAside { model: model.to_owned(), id, payload, reason: reason.to_string() });
    }
}
