//! What an error is about, and its name in JSON.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Error;

/// The kind of an error, by what the caller can do about it.
///
/// In JSON a kind is its [`as_str`](ErrorKind::as_str): `"rate_limited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong (an empty id, a missing setting): correct it.
    Invalid,
    /// The named thing (template, stream, consumer, remote resource) does not exist.
    NotFound,
    /// The text is not a cursor: pass cursors exactly as they were issued.
    CursorMalformed,
    /// The cursor belongs to another store or stream, or is made up: start again from [`Cursor::START`](crate::Cursor::START).
    CursorForeign,
    /// Entries after this cursor were pruned: clear your copy and read from [`Cursor::START`](crate::Cursor::START).
    CursorExpired,
    /// The cursor comes from a history this store does not have (a restored backup or a clone).
    CursorForked,
    /// The cursor is ahead of everything this store ever issued.
    CursorFuture,
    /// The cursor was issued under another content filter: read with the same filter, or start again.
    FilterMismatch,
    /// A newer run holds the lease: stop, nothing was written.
    Fenced,
    /// The data that the write was based on has changed: read it again, nothing was written.
    Conflict,
    /// Another reader holds this consumer's lease.
    LeaseLost,
    /// The consumer's last delivery was nacked, and its backoff has not ended: poll again after
    /// [`Error::retry_after`](crate::Error::retry_after).
    BackingOff,
    /// A run would delete more than its guard allows: approve it, or check the source.
    AwaitingApproval,
    /// Another process holds the store; try again.
    Busy,
    /// Another process keeps the store locked until it closes it.
    Locked,
    /// The store was closed.
    Closed,
    /// A commit failed with unknown outcome: reopen the store.
    Poisoned,
    /// Stored bytes are damaged.
    Corrupt,
    /// Payloads are encrypted (or otherwise encoded) and cannot be read with this codec: open
    /// the store with the right key.
    WrongKey,
    /// The file is not a Highwater store, or one of another format.
    Incompatible,
    /// No space is left: free some space, then retry.
    Full,
    /// Reading or writing the store's files failed for another reason: a failing disk, a medium or a network
    /// share that disappeared. Everything acknowledged stays; see the message, and check the machine.
    Io,
    /// Reading or writing is not permitted here.
    PermissionDenied,
    /// The store cannot do this.
    Unsupported,
    /// The clock shows an implausible time; see the message.
    ClockImplausible,
    /// The remote refused our credentials.
    Unauthorized,
    /// The remote asks to slow down.
    RateLimited,
    /// The remote failed or answered something unusable.
    Remote,
    /// The remote could not be reached.
    Unavailable,
    /// The remote forgot our checkpoint: a full refresh is needed.
    SourceReset,
    /// The operation was asked to stop.
    Cancelled,
    /// The operation took longer than allowed.
    TimedOut,
    /// A bug in Highwater: please report it.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [ErrorKind; 33] = [
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::CursorMalformed,
        ErrorKind::CursorForeign,
        ErrorKind::CursorExpired,
        ErrorKind::CursorForked,
        ErrorKind::CursorFuture,
        ErrorKind::FilterMismatch,
        ErrorKind::Fenced,
        ErrorKind::Conflict,
        ErrorKind::LeaseLost,
        ErrorKind::BackingOff,
        ErrorKind::AwaitingApproval,
        ErrorKind::Busy,
        ErrorKind::Locked,
        ErrorKind::Closed,
        ErrorKind::Poisoned,
        ErrorKind::Corrupt,
        ErrorKind::WrongKey,
        ErrorKind::Incompatible,
        ErrorKind::Full,
        ErrorKind::Io,
        ErrorKind::PermissionDenied,
        ErrorKind::Unsupported,
        ErrorKind::ClockImplausible,
        ErrorKind::Unauthorized,
        ErrorKind::RateLimited,
        ErrorKind::Remote,
        ErrorKind::Unavailable,
        ErrorKind::SourceReset,
        ErrorKind::Cancelled,
        ErrorKind::TimedOut,
        ErrorKind::Internal,
    ];

    /// Returns the kind's name in JSON: lower case, with underscores. A name never changes; new kinds have new names, so a reader
    /// treats an unknown one as [`Internal`](ErrorKind::Internal).
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::CursorMalformed => "cursor_malformed",
            ErrorKind::CursorForeign => "cursor_foreign",
            ErrorKind::CursorExpired => "cursor_expired",
            ErrorKind::CursorForked => "cursor_forked",
            ErrorKind::CursorFuture => "cursor_future",
            ErrorKind::FilterMismatch => "filter_mismatch",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Conflict => "conflict",
            ErrorKind::LeaseLost => "lease_lost",
            ErrorKind::BackingOff => "backing_off",
            ErrorKind::AwaitingApproval => "awaiting_approval",
            ErrorKind::Busy => "busy",
            ErrorKind::Locked => "locked",
            ErrorKind::Closed => "closed",
            ErrorKind::Poisoned => "poisoned",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::WrongKey => "wrong_key",
            ErrorKind::Incompatible => "incompatible",
            ErrorKind::Full => "full",
            ErrorKind::Io => "io",
            ErrorKind::PermissionDenied => "permission_denied",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::ClockImplausible => "clock_implausible",
            ErrorKind::Unauthorized => "unauthorized",
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::Remote => "remote",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::SourceReset => "source_reset",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::TimedOut => "timed_out",
            ErrorKind::Internal => "internal",
        }
    }

    /// Whether somebody has to do something before the same call can succeed: sign in, correct a setting, make room,
    /// approve deletes. Where this is false the cause may pass by itself, or nothing can be done by a user.
    pub const fn needs_action(self) -> bool {
        matches!(
            self,
            ErrorKind::Invalid
                | ErrorKind::NotFound
                | ErrorKind::AwaitingApproval
                | ErrorKind::WrongKey
                | ErrorKind::Incompatible
                | ErrorKind::Corrupt
                | ErrorKind::Full
                | ErrorKind::Io
                | ErrorKind::PermissionDenied
                | ErrorKind::Unsupported
                | ErrorKind::ClockImplausible
                | ErrorKind::Unauthorized
        )
    }

    /// Whether an error of this kind usually passes without any change. An error with a
    /// [`retry_after`](Error::retry_after) is retryable whatever its kind.
    pub const fn is_retryable(self) -> bool {
        matches!(self, ErrorKind::Busy | ErrorKind::BackingOff | ErrorKind::RateLimited | ErrorKind::Unavailable)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| Error::invalid("not the name of an error kind").with("kind", name))
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A file may come from a later version, which knows more kinds.
        Ok(String::deserialize(deserializer)?.parse().unwrap_or(ErrorKind::Internal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_each_its_own_and_read_back() {
        let mut names: Vec<&str> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        for (kind, name) in ErrorKind::ALL.into_iter().zip(&names) {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(name.replace('_', ""), format!("{kind:?}").to_lowercase());
            assert_eq!(serde_json::to_value(kind).unwrap(), *name);
            assert_eq!(serde_json::from_value::<ErrorKind>((*name).into()).unwrap(), kind);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorKind::ALL.len());
        let later = serde_json::from_value::<ErrorKind>("not_yet_known".into()).unwrap();
        assert_eq!(later, ErrorKind::Internal);
    }

    #[test]
    fn what_passes_by_itself_needs_nobody() {
        for kind in ErrorKind::ALL {
            assert!(!(kind.needs_action() && kind.is_retryable()), "{kind}");
        }
        assert!(ErrorKind::Unauthorized.needs_action() && ErrorKind::Unavailable.is_retryable());
    }
}
