//! The one error type of Highwater's crates.

mod kind;

pub use kind::ErrorKind;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::cursor::Cursor;
use crate::printable::printable;

/// The result of every fallible operation of Highwater.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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
    /// Makes an error of `kind`. `message` is one line that names the thing and says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self::of_text(kind, message.into())
    }

    // The generic functions are shells around these: hundreds of callers share one copy, out of the way of what succeeds.
    #[cold]
    #[inline(never)]
    fn of_text(kind: ErrorKind, message: Cow<'static, str>) -> Self {
        Error(Box::new(Inner {
            kind,
            operation: "",
            message,
            context: Vec::new(),
            fault: None,
            retry_after: None,
            source: None,
        }))
    }

    #[cold]
    #[inline(never)]
    fn with_text(mut self, name: &'static str, value: &dyn fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    #[cold]
    #[inline(never)]
    fn with_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.0.source = Some(source);
        self
    }

    /// Names the operation that failed, unless it is named already.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        if self.0.operation.is_empty() {
            self.0.operation = operation;
        }
        self
    }

    /// Adds a fact, such as the record's id. Do not add secrets.
    #[must_use]
    pub fn with(self, name: &'static str, value: impl fmt::Display) -> Self {
        self.with_text(name, &value)
    }

    /// Attaches the cause.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.with_source(source.into())
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

    /// Changes the kind, for a caller that knows better what the error means.
    #[must_use]
    pub fn into_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Changes every text of the error that was made at run time: a message that is not a literal, the facts, the causes.
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

    /// Returns the kind, which says what the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the operation that failed; empty where it is unknown.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Returns the message, without context and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns a fact by its name.
    pub fn context(&self, name: &str) -> Option<&str> {
        self.0.context.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// Returns details of an invalid cursor.
    pub fn cursor_fault(&self) -> Option<&CursorFault> {
        self.0.fault.as_ref()
    }

    /// Returns how long the remote or the store asks to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable() || self.0.retry_after.is_some()
    }

    /// Returns whether somebody has to do something before the same call can succeed: see [`ErrorKind::needs_action`].
    pub fn needs_action(&self) -> bool {
        self.0.kind.needs_action() && self.0.retry_after.is_none()
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

/// Escapes what a terminal would obey or what would begin another line.
struct OneLine<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write!(self.0, "{}", printable(text))
    }
}

/// The line of [`Display`](fmt::Display), and the causes of its cause: what a `main` that returns an error prints. With
/// `{:#?}` the members one by one.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            let mut line = self.to_string();
            let mut next = self.0.source.as_deref().and_then(StdError::source);
            while let Some(cause) = next {
                let text = printable(&cause.to_string()).to_string();
                // Many causes repeat those below them.
                if !line.contains(&text) {
                    line = format!("{line}: {text}");
                }
                next = cause.source();
            }
            return f.write_str(&line);
        }
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

/// `{"kind": "not_found", "message": "...", "context": {"id": "..."}, "retry_after_ms": 1000}`: the message is the line of
/// [`Display`](fmt::Display), the context its facts one by one. `context` and `retry_after_ms` are absent where there are none.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", &self.0.kind)?;
        map.serialize_entry("message", &self.to_string())?;
        if !self.0.context.is_empty() {
            map.serialize_entry("context", &Context(&self.0.context))?;
        }
        if let Some(delay) = self.0.retry_after {
            map.serialize_entry("retry_after_ms", &u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))?;
        }
        map.end()
    }
}

struct Context<'c>(&'c [(&'static str, String)]);

impl Serialize for Context<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The first fact of a name counts, as for `Error::context`.
        let first = |(at, (name, _)): &(usize, &(&'static str, String))| !self.0[..*at].iter().any(|(n, _)| n == name);
        serializer.collect_map(self.0.iter().enumerate().filter(first).map(|(_, (name, value))| (name, value)))
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
        let turned = Error::invalid("of").with("id", "a\u{202e}gpj.\u{9b}2J\u{2028}b");
        assert_eq!(turned.to_string(), "of (id: a\\u{202e}gpj.\\u{9b}2J\\u{2028}b)");
    }

    #[test]
    fn the_debug_form_is_one_line_with_every_cause() {
        let inner = Error::invalid("the inner one").because(std::io::Error::other("the deepest\none"));
        let error = Error::invalid("the outer one").with("id", "a").because(Wrapped(inner));
        assert_eq!(format!("{error:?}"), "the outer one (id: a): wrapped: the inner one: the deepest\\none");
        assert!(format!("{error:#?}").contains("kind: Invalid"));
    }

    #[derive(Debug)]
    struct Wrapped(Error);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl StdError for Wrapped {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_is_an_object_in_json() {
        let error = Error::new(ErrorKind::RateLimited, "slow down")
            .with("url", "https://a.example")
            .with("url", "https://b.example")
            .retry_in(Duration::from_millis(1500));
        let expected = serde_json::json!({
            "kind": "rate_limited",
            "message": "slow down (url: https://a.example, url: https://b.example)",
            "context": { "url": "https://a.example" },
            "retry_after_ms": 1500,
        });
        assert_eq!(serde_json::to_value(&error).unwrap(), expected);
        let plain = serde_json::json!({ "kind": "invalid", "message": "no" });
        assert_eq!(serde_json::to_value(Error::invalid("no")).unwrap(), plain);
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
