//! Errors as other languages see them.

use std::fmt;

use highwater::{Error, ErrorKind};
use serde::Serialize;

/// The result of everything that a binding calls.
pub type Outcome<T> = Result<T, Failure>;

/// An error: a code that never changes, a message for people, and what to do.
///
/// In JSON: `{"code": "not_found", "message": "...", "advice": "...", "retryable": false}`, with `retry_after_ms` if it is known.
///
/// ```
/// use highwater_bindings::Failure;
/// let failure = Failure::new("busy", "the file is in use");
/// assert_eq!(failure.code(), "busy");
/// assert!(failure.is_retryable());
/// // A code that is no kind of Highwater's is taken as `invalid`.
/// assert_eq!(Failure::new("ValueError", "no such label").code(), "invalid");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    #[serde(rename = "code")]
    kind: ErrorKind,
    message: String,
    advice: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Failure {
    /// Makes a failure of a code, for errors of the host's own. A code that [`ErrorKind`] does not have is taken as `invalid`.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let kind = code.parse().unwrap_or(ErrorKind::Invalid);
        Failure::of(kind, message)
    }

    pub(crate) fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
            advice: advice(kind),
            retryable: kind.is_retryable(),
            retry_after_ms: None,
        }
    }

    /// Returns the code: one of the kinds in `docs/json.md`.
    pub fn code(&self) -> &'static str {
        self.kind.as_str()
    }

    /// Returns the message: one line, whose wording may change.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to do about every error of this code.
    pub fn advice(&self) -> &'static str {
        self.advice
    }

    /// Returns whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// Returns after how many milliseconds a retry makes sense, if it is known.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// Returns the failure as JSON.
    pub fn to_json(&self) -> String {
        // Its members are texts, a flag and a number, which can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the failure as an error of the library, for the run that it ends.
    pub(crate) fn into_error(self) -> Error {
        Error::new(self.kind, self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::from(&error)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let retry_after = error.retry_after().map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let retryable = error.is_retryable();
        Failure { retryable, retry_after_ms: retry_after, ..Failure::of(error.kind(), error.to_string()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

pub(crate) fn closed(what: &str) -> Failure {
    Failure::of(ErrorKind::Closed, format!("{what} is closed: open it again"))
}

/// What to do about an error of a kind.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "correct the request",
        ErrorKind::NotFound => "check the names; create what is missing first",
        ErrorKind::CursorMalformed => "pass cursors exactly as pages gave them",
        ErrorKind::CursorForeign => "read from the start: leave the cursor out",
        ErrorKind::CursorExpired => "clear your copy and read from the start: leave the cursor out",
        ErrorKind::CursorForked => "clear your copy and read from the start: the store was restored or cloned",
        ErrorKind::CursorFuture => "read from the start: the cursor is ahead of everything in this store",
        ErrorKind::FilterMismatch => "use the filter that the cursor was issued under, or read from the start",
        ErrorKind::Fenced => "stop: a newer run has taken over, and nothing was written",
        ErrorKind::Conflict => "read again what the call was based on, then repeat it",
        ErrorKind::LeaseLost => "poll again: another reader has the batch now",
        ErrorKind::BackingOff => "poll again after the time that the error names",
        ErrorKind::AwaitingApproval => "approve or reject the run's deletes, or check the source",
        ErrorKind::Busy => "try again later",
        ErrorKind::Locked => "close the store in the other process, or use a store that several processes can open",
        ErrorKind::Closed => "open it again",
        ErrorKind::Poisoned => "close the engine and open it again: the outcome of a commit is unknown",
        ErrorKind::Corrupt => "restore a backup: stored bytes are damaged",
        ErrorKind::WrongKey => "give the key that the data was encrypted with",
        ErrorKind::Incompatible => "open it with the version that wrote it or a newer one, or choose another file",
        ErrorKind::Full => "free some space, then repeat the call",
        ErrorKind::Io => "check the disk and the file system",
        ErrorKind::PermissionDenied => "give this program the right to read and write there",
        ErrorKind::Unsupported => "choose another way: this one cannot do it",
        ErrorKind::ClockImplausible => "set the clock",
        ErrorKind::Unauthorized => "sign in again",
        ErrorKind::RateLimited => "wait as long as the error names",
        ErrorKind::Remote => "look at the API's answer in the message; try again later",
        ErrorKind::Unavailable => "try again once the network is back",
        ErrorKind::SourceReset => "run a full refresh",
        ErrorKind::Cancelled => "repeat the call if it is still wanted",
        ErrorKind::TimedOut => "try again, or allow more time",
        ErrorKind::Internal => "report it: this is a bug in Highwater",
        _ => "see the message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_advice_of_its_own() {
        for kind in ErrorKind::ALL {
            assert_ne!(advice(kind), "see the message", "{kind:?}");
            assert_eq!(Failure::new(kind.as_str(), "x").code(), kind.as_str());
        }
    }

    #[test]
    fn the_time_of_a_retry_is_kept() {
        let error = Error::new(ErrorKind::RateLimited, "slow down").retry_in(std::time::Duration::from_secs(2));
        let failure = Failure::from(error);
        assert_eq!((failure.retry_after_ms(), failure.is_retryable()), (Some(2_000), true));
        let json = failure.to_json();
        assert!(json.contains(r#""code":"rate_limited""#) && json.contains(r#""retry_after_ms":2000"#), "{json}");
    }
}
