//! Records that cannot be saved, and lists that are not complete.

use bytes::Bytes;

use super::SyncContext;
use crate::changes::SourceRecord;
use crate::host::{NextRun, SetAsideRecord};
use highwater_core::{Error, RecordId, Result, StreamCommit};

/// The longest part of a payload that is kept, in bytes.
const LONGEST_PAYLOAD: usize = 16 * 1024;

/// How many payloads may wait for one commit. Of further records only the reason is kept.
const MOST_PAYLOADS: usize = 256;

impl SyncContext<'_> {
    /// Sets aside a record that cannot be saved, so that the run continues with the others.
    ///
    /// The next commit counts the record, names it in the run's log, and keeps it with its reason: the newest hundred of a
    /// model, the first 16 KiB of each. A run that set records of a model aside deletes none of that model until somebody
    /// approves. Where the record's id is known, use [`set_aside_as`](SyncContext::set_aside_as).
    ///
    /// The engine itself sets aside what it cannot save: no id, no JSON object, too large.
    pub fn set_aside(&mut self, model: &str, payload: Bytes, reason: &Error) {
        self.push_aside(model, None, &payload, reason);
    }

    /// Sets aside a record whose id is known. Unlike with [`set_aside`](SyncContext::set_aside), it counts as seen, and it is
    /// no longer kept once a record with this id is saved.
    pub fn set_aside_as(&mut self, model: &str, id: impl Into<RecordId>, payload: Bytes, reason: &Error) {
        self.push_aside(model, Some(id.into()), &payload, reason);
    }

    /// Reads each record by itself: returns what `read` made of those that it could read, in order, and sets the others
    /// aside.
    ///
    /// ```
    /// use highwater_template::records::{id_at, string_at};
    /// use highwater_template::{Result, SourceRecord, SyncContext, Window};
    ///
    /// async fn save(context: &mut SyncContext<'_>, window: &mut Window, page: Vec<bytes::Bytes>) -> Result<()> {
    ///     let records = context.read_each("Note", page, |record| {
    ///         window.observe(&string_at(record, "/updated")?)?;
    ///         Ok(SourceRecord::with_id(id_at(record, &["/key"])?, record.clone()))
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
    ///
    /// # Errors
    ///
    /// Those of [`save`](SyncContext::save). An error of `read` sets its record aside.
    pub async fn save_each(
        &mut self,
        model: &str,
        records: Vec<Bytes>,
        read: impl FnMut(&Bytes) -> Result<SourceRecord>,
    ) -> Result<StreamCommit> {
        let records = self.read_each(model, records, read);
        self.apply(model, records, Vec::new()).await
    }

    /// Declares that records of `model` exist that this run does not see, and that the next run has to read: a list with a
    /// cap, a page that was not a list, records that were skipped.
    ///
    /// The run deletes nothing of the model, whatever [`complete`](SyncContext::complete) says, and its report gives the
    /// reason. A checkpoint that waits for its page, or is set later, is dropped, and a full refresh leaves no checkpoint at
    /// all, so that the next run begins before what is missing. Call it before the page is saved from which it is known.
    pub fn mark_incomplete(&mut self, model: &str, reason: impl AsRef<str>) {
        self.checkpoint_is_final = true;
        self.pending_checkpoint = None;
        self.host.mark_incomplete(model, reason.as_ref(), NextRun::ReadsAgain);
    }

    /// Declares that this run may not see every record of `model`, and that reading them again would not help: part of the
    /// source is closed to the connection, or a fault is to be ignored.
    ///
    /// The run deletes nothing of the model, and its report gives the reason. The checkpoint moves on.
    pub fn mark_uncertain(&mut self, model: &str, reason: impl AsRef<str>) {
        self.host.mark_incomplete(model, reason.as_ref(), NextRun::MovesOn);
    }

    fn push_aside(&mut self, model: &str, id: Option<RecordId>, payload: &Bytes, reason: &Error) {
        // A copy: a slice would keep its whole page in memory.
        let payload = match self.set_aside.len() < MOST_PAYLOADS {
            true => Bytes::copy_from_slice(payload.get(..LONGEST_PAYLOAD).unwrap_or(payload)),
            false => Bytes::new(),
        };
        self.set_aside.push(SetAsideRecord { model: model.to_owned(), id, payload, reason: reason.to_string() });
    }
}
