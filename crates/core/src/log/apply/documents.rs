//! Documents, leases and fences of a batch.

use bytes::Bytes;

use crate::backend::{BackendWrite, Table};
use crate::batch::{ChangeSummary, StreamCommit};
use crate::cursor::Cursor;
use crate::error::{Error, ErrorKind, Result};
use crate::log::keys;
use crate::log::transaction::Transaction;
use crate::mutants::mutant;

/// The longest name of a lease, in bytes.
const MAX_LEASE_NAME: usize = 512;

impl<W: BackendWrite> Transaction<'_, W> {
    /// Refuses a batch whose lease a newer holder has taken.
    pub(super) fn check_fence(&mut self, name: &str, token: u64) -> Result<()> {
        let latest = fence_token(&mut self.write, name)?;
        if latest == token || mutant!("fence-unchecked") {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Fenced, "a newer run holds the lease; nothing of this batch was written")
            .with("lease", name)
            .with("held", token)
            .with("latest", latest))
    }

    /// Refuses a batch that was made for another value of the document.
    pub(super) fn check_document(&mut self, key: &str, expected: Option<&[u8]>) -> Result<()> {
        let found = self.write.get(Table::State, &keys::document(key))?;
        if found.as_deref() == expected || mutant!("expectation-unchecked") {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "the document has changed in the meantime: read it again").with("key", key))
    }

    /// Gives out the next token of a lease.
    pub(crate) fn next_fence(&mut self, name: &str) -> Result<u64> {
        if name.is_empty() || name.len() > MAX_LEASE_NAME {
            return Err(Error::invalid(format!("a lease's name must have 1 to {MAX_LEASE_NAME} bytes"))
                .with("bytes", name.len()));
        }
        let token = fence_token(&mut self.write, name)? + 1;
        self.write.put(Table::State, &keys::fence(name), &token.to_be_bytes())?;
        self.dirty = true;
        Ok(token)
    }

    /// Sets or removes a document.
    pub(crate) fn set_document(&mut self, key: &str, value: Option<&Bytes>) -> Result<()> {
        if key.is_empty() || key.len() > 512 {
            return Err(Error::invalid("a document's key must have 1 to 512 bytes").with("bytes", key.len()));
        }
        self.dirty = true;
        match value {
            Some(value) => self.write.put(Table::State, &keys::document(key), value),
            None => self.write.remove(Table::State, &keys::document(key)),
        }
    }

    /// Adds what a batch did to a stream to the summary in a document; `from` is where the stream ended before.
    pub(super) fn add_to_summary(&mut self, key: &str, from: Cursor, commit: &StreamCommit) -> Result<()> {
        let mut summary = match self.write.get(Table::State, &keys::document(key))? {
            Some(bytes) if !mutant!("summary-of-one-batch") => serde_json::from_slice(&bytes).map_err(|source| {
                Error::invalid("the document holds something other than a summary: choose another key")
                    .with("key", key)
                    .because(source)
            })?,
            _ => ChangeSummary::open(from),
        };
        summary.add(commit);
        let text = serde_json::to_vec(&summary)
            .map_err(|source| Error::new(ErrorKind::Internal, "a summary cannot be written as JSON").because(source))?;
        self.set_document(key, Some(&Bytes::from(text)))
    }
}

fn fence_token<W: BackendWrite>(write: &mut W, name: &str) -> Result<u64> {
    match write.get(Table::State, &keys::fence(name))? {
        None => Ok(0),
        Some(bytes) => {
            bytes.try_into().map(u64::from_be_bytes).map_err(|_| Error::corrupt("a stored lease has the wrong length"))
        }
    }
}
