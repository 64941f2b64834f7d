//! Options for ending a connection, and the report of its end.

use highwater_core::Result;

use crate::http::Revocation;

/// What happens to the records of a removed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectMode {
    /// They stay and can be read. A later connection of the same id reads everything again before it deletes any of them.
    KeepRecords,
    /// They are removed in the commit that removes the connection; earlier cursors expire.
    ClearRecords,
}

/// Whether the sign-in of a removed connection is revoked at the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationMode {
    /// It is tried once, for at most ten seconds. A provider that fails does not keep the connection.
    #[default]
    Attempt,
    /// The provider is not asked: another program uses the same sign-in, or the host has revoked it.
    Skip,
}

/// How a connection is removed: for [`Engine::disconnect`](crate::Engine::disconnect). A [`DisconnectMode`] converts into it.
///
/// ```
/// use highwater_engine::connections::{DisconnectMode, DisconnectOptions, RevocationMode};
/// let options = DisconnectOptions::new(DisconnectMode::KeepRecords).revocation(RevocationMode::Skip);
/// assert_ne!(options, DisconnectMode::KeepRecords.into());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DisconnectOptions {
    /// What happens to its records.
    pub records: DisconnectMode,
    /// Whether its sign-in is revoked at the provider. Defaults to [`RevocationMode::Attempt`].
    pub revocation: RevocationMode,
}

impl DisconnectOptions {
    /// Returns options that revoke the sign-in.
    pub fn new(records: DisconnectMode) -> Self {
        DisconnectOptions { records, revocation: RevocationMode::default() }
    }

    /// Sets whether the sign-in is revoked at the provider.
    #[must_use]
    pub fn revocation(mut self, mode: RevocationMode) -> Self {
        self.revocation = mode;
        self
    }
}

impl From<DisconnectMode> for DisconnectOptions {
    fn from(records: DisconnectMode) -> Self {
        DisconnectOptions::new(records)
    }
}

/// What became of a removed connection's sign-in. The connection, its syncs and its credentials are gone.
#[derive(Debug)]
#[non_exhaustive]
pub struct DisconnectReport {
    /// The outcome at the provider: an error if it did not confirm the revocation, and the tokens may work there until they
    /// expire; none if it was not asked.
    pub revocation: Option<Result<Revocation>>,
}
