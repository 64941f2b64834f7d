//! Errors as the webview gets them.

use std::fmt;

use highwater::{Error, ErrorKind};
use serde::Serialize;

/// An error of a command.
///
/// In JSON: `{"code": "not_found", "message": "...", "advice": "...", "retryable": false}`, with `retry_after_ms` if it is known.
/// `code` is the name of an [`ErrorKind`], which never changes; `message` and `advice` are for people.
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
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Failure {
            kind,
            message: message.into(),
            advice: advice(kind),
            retryable: kind.is_retryable(),
            retry_after_ms: None,
        }
    }

    /// Returns what kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the message, one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to do about every error of this kind.
    pub fn advice(&self) -> &'static str {
        self.advice
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let retry_after_ms = error.retry_after().map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        Failure { retryable: error.is_retryable(), retry_after_ms, ..Failure::new(error.kind(), error.to_string()) }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Error::new(failure.kind, failure.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

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
        ErrorKind::Locked => "close the store in the other process",
        ErrorKind::Closed => "start the application again",
        ErrorKind::Poisoned => "start the application again: the outcome of a commit is unknown",
        ErrorKind::Corrupt => "restore a backup: stored bytes are damaged",
        ErrorKind::WrongKey => "give the key that the data was encrypted with",
        ErrorKind::Incompatible => "open it with the version that wrote it or a newer one, or choose another file",
        ErrorKind::Full => "free some space, then repeat the call",
        ErrorKind::Io => "check the disk and the file system",
        ErrorKind::PermissionDenied => "give this application the right to do it",
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
    fn every_kind_has_advice_and_a_code() {
        for kind in ErrorKind::ALL {
            let failure = serde_json::to_value(Failure::from(Error::new(kind, "it failed"))).unwrap();
            assert_eq!(failure["code"], kind.as_str());
            assert_eq!(failure["message"], "it failed");
            assert_ne!(failure["advice"], "see the message", "{kind}");
        }
    }
}
