//! Named readers for programs without a runtime.

use super::wait;
use crate::consumer::{AckToken, ConsumerStatus, Delivery, PollOptions, Seek};
use crate::error::Result;
use crate::record::RecordId;

/// A [`Consumer`](crate::Consumer) whose calls block.
#[derive(Clone, Debug)]
pub struct Consumer<'s>(pub(super) crate::Consumer<'s>);

impl Consumer<'_> {
    /// Polls with these options from now on.
    #[must_use]
    pub fn options(self, options: PollOptions) -> Self {
        Consumer(self.0.options(options))
    }

    /// See [`Consumer::poll`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::poll`].
    pub fn poll(&self) -> Result<Delivery> {
        wait(self.0.poll())
    }

    /// See [`Consumer::ack`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::ack`].
    pub fn ack(&self, token: AckToken) -> Result<()> {
        wait(self.0.ack(token))
    }

    /// See [`Consumer::renew`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::renew`].
    pub fn renew(&self, token: AckToken) -> Result<()> {
        wait(self.0.renew(token))
    }

    /// See [`Consumer::nack`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::nack`].
    pub fn nack(&self, token: AckToken) -> Result<()> {
        wait(self.0.nack(token))
    }

    /// See [`Consumer::seek`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::seek`].
    pub fn seek(&self, seek: Seek) -> Result<()> {
        wait(self.0.seek(seek))
    }

    /// See [`Consumer::evict`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::evict`].
    pub fn evict(&self) -> Result<()> {
        wait(self.0.evict())
    }

    /// See [`Consumer::remove`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::remove`].
    pub fn remove(&self) -> Result<()> {
        wait(self.0.remove())
    }

    /// See [`Consumer::unpark`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::unpark`].
    pub fn unpark(&self) -> Result<Vec<RecordId>> {
        wait(self.0.unpark())
    }

    /// See [`Consumer::status`].
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::status`].
    pub fn status(&self) -> Result<ConsumerStatus> {
        wait(self.0.status())
    }
}
