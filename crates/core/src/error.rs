//! The one error type of Highwater's crates.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::time::Duration;

use crate::cursor::Cursor;

/// The result of every fallible operation here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, told by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong (an empty id, a missing setting): correct it.
    Invalid,
    /// The named thing (template, stream, consumer, remote resource) does not exist.
    NotFound,
    /// A text is no cursor: keep cursors as they were given.
    CursorMalformed,
    /// The cursor belongs to another store, stream or was made up: start again from [`Cursor::START`].
    CursorForeign,
    /// Entries behind this cursor were pruned: clear your copy and read from [`Cursor::START`].
    CursorExpired,
    /// The cursor comes from a history this store does not have (a restored backup or a clone).
    CursorForked,
    /// The cursor is ahead of everything this store ever issued.
    CursorFuture,
    /// The cursor was issued under another content filter: read with the same filter, or start again.
    FilterMismatch,
    /// A newer run holds the lease: stop, nothing was written.
    Fenced,
    /// Somebody changed meanwhile what the write was based on: read it again, nothing was written.
    Conflict,
    /// Another reader holds this consumer's lease.
    LeaseLost,
    /// The consumer's last delivery was nacked, and its backoff has not ended: poll again after
    /// [`Error::retry_after`].
    BackingOff,
    /// A run would delete more than its guard allows; approve it or look at the source.
    AwaitingApproval,
    /// Another process holds the store; try again.
    Busy,
    /// The store is locked by another process for as long as that lives.
    Locked,
    /// The store was closed.
    Closed,
    /// A commit failed with unknown outcome: reopen the store.
    Poisoned,
    /// Stored bytes do not make sense.
    Corrupt,
    /// Payloads are encrypted (or otherwise encoded) and cannot be read with the codec at hand: open
    /// the store with the right key.
    WrongKey,
    /// The file is not a Highwater store, or one of another format.
    Incompatible,
    /// No space is left: make room, then the same may be tried again.
    Full,
    /// Reading or writing the store's files failed, and nothing says why: a disk that fails, a medium or a network
    /// share that went away. What was acknowledged stays; see the message, and the machine.
    Io,
    /// Reading or writing is not permitted here.
    PermissionDenied,
    /// The store cannot do this.
    Unsupported,
    /// The clock shows a time that cannot be; see the message.
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
    /// The operation took longer than it may.
    TimedOut,
    /// A fault inside Highwater: please report it.
    Internal,
}

/// What the reader of an invalid cursor needs to recover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CursorFault {
    /// Everything up to `horizon` was pruned in part; only a read from START is complete.
    Expired {
        /// The least cursor that is still valid.
        horizon: Cursor,
    },
    /// The cursor's history diverged from this store's.
    Forked {
        /// The last position both histories share, where it is known.
        last_common: Option<Cursor>,
    },
    /// The cursor is ahead of the store.
    Future {
        /// The greatest position the store has issued.
        high_water: Cursor,
    },
}

/// An error: a kind to act on, the operation, a sentence that says what to do, and its source.
///
/// ```
/// use highwater_core::{Cursor, ErrorKind};
/// let error = "not a cursor".parse::<Cursor>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::CursorMalformed);
/// assert!(!error.is_retryable());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    fault: Option<CursorFault>,
    retry_after: Option<Duration>,
    source: Option<Cause>,
}

impl Error {
    /// An error of `kind`; `message` is one line that names the thing and says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner {
            kind,
            operation: "",
            message: message.into(),
            context: Vec::new(),
            fault: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Names the operation that failed, where nobody did yet.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        if self.0.operation.is_empty() {
            self.0.operation = operation;
        }
        self
    }

    /// Adds a fact, such as the record's id. Never a secret.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says how long to wait before another try.
    #[must_use]
    pub fn retry_in(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Attaches what a reader needs to recover its position.
    #[must_use]
    pub fn with_fault(mut self, fault: CursorFault) -> Self {
        self.0.fault = Some(fault);
        self
    }

    /// The same error as one of another kind, for a caller that knows better what it means.
    #[must_use]
    pub fn into_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Changes every text of the error that was made at run time: a message that is no literal, the facts, the causes.
    /// A cause of another type stays what it is if none of its texts changes; otherwise its texts are all that is left.
    #[must_use]
    pub fn map_texts(mut self, change: &dyn Fn(&str) -> String) -> Self {
        let inner = &mut *self.0;
        if let Cow::Owned(message) = &inner.message {
            inner.message = change(message).into();
        }
        for (_, value) in &mut inner.context {
            *value = change(value);
        }
        inner.source = inner.source.take().map(|source| map_cause(source, change));
        self
    }

    /// What to act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed; empty where unknown.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The sentence, without context and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The value of a context entry.
    pub fn context(&self, name: &str) -> Option<&str> {
        self.0.context.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// Details of an invalid cursor.
    pub fn cursor_fault(&self) -> Option<&CursorFault> {
        self.0.fault.as_ref()
    }

    /// How long the remote or the store asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Busy | ErrorKind::RateLimited | ErrorKind::Unavailable)
            || self.0.retry_after.is_some()
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn corrupt(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorKind::Corrupt, message)
    }
}

fn map_cause(source: Cause, change: &dyn Fn(&str) -> String) -> Cause {
    let source = match source.downcast::<Error>() {
        Ok(error) => return Box::new(error.map_texts(change)),
        Err(source) => source,
    };
    let mut texts = Vec::new();
    let mut changed = false;
    let mut next: Option<&dyn StdError> = Some(&*source);
    while let Some(cause) = next {
        let (shown, debugged) = (cause.to_string(), format!("{cause:?}"));
        let text = change(&shown);
        changed |= text != shown || change(&debugged) != debugged;
        texts.push(text);
        next = cause.source();
    }
    if !changed {
        return source;
    }
    let told = texts.into_iter().rev().fold(None, |source, text| Some(Box::new(Told { text, source })));
    told.map_or(source, |told| told)
}

type Cause = Box<dyn StdError + Send + Sync>;

/// What is left of a cause whose texts were changed.
struct Told {
    text: String,
    source: Option<Box<Told>>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl StdError for Told {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// One line, whatever a source, a manifest or a user put into it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine(f);
        line.write_str(&self.0.message)?;
        if !self.0.context.is_empty() {
            line.write_str(" (")?;
            for (position, (name, value)) in self.0.context.iter().enumerate() {
                if position > 0 {
                    line.write_str(", ")?;
                }
                write!(line, "{name}: {value}")?;
            }
            line.write_str(")")?;
        }
        if let Some(source) = &self.0.source {
            write!(line, ": {source}")?;
        }
        Ok(())
    }
}

/// Writes control characters as their escapes.
struct OneLine<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            match piece.chars().next_back().filter(|last| last.is_control()) {
                Some(last) => write!(self.0, "{}{}", &piece[..piece.len() - last.len_utf8()], last.escape_default())?,
                None => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .field("fault", &self.0.fault)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let error = Error::invalid("what\r\nit said").with("text", "a\u{1b}[1mb\n").because("a\tcause\n");
        assert_eq!(error.to_string(), "what\\r\\nit said (text: a\\u{1b}[1mb\\n): a\\tcause\\n");
        assert_eq!(Error::invalid("größer als").to_string(), "größer als");
    }

    #[test]
    fn every_text_of_an_error_can_be_changed() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let change = |text: &str| text.replace("pass", "***");
        let within = Error::invalid("of pass".to_owned()).because(Outer(std::io::Error::other("deep pass")));
        let error = Error::invalid("the pass").with("word", "pass").because(within).map_texts(&change);
        assert_eq!(error.to_string(), "the pass (word: ***): of ***: outer");
        let mut told = format!("{error:?}");
        let mut next: Option<&dyn StdError> = error.source();
        while let Some(cause) = next {
            told += &format!("{cause} {cause:?}");
            next = cause.source();
        }
        assert!(told.contains("deep ***") && !told.replace("the pass", "").contains("pass"), "{told}");
        let kept = Error::invalid("x").because(std::io::Error::other("sound")).map_texts(&change);
        assert!(kept.source().is_some_and(|source| source.is::<std::io::Error>()), "what says nothing stays");
    }
}
