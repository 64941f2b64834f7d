//! The limits of one template. A template that exceeds one fails with an error, and nothing else is affected.
//!
//! Templates and their values may come from strangers. The limits bound time, memory and recursion for all of them.

/// The longest template, in bytes.
pub const TEMPLATE_BYTES: usize = 256 << 10;

/// How many compiled templates an [`Interpolator`](crate::Interpolator) keeps. A manifest has hundreds. When a further one
/// comes, the interpolator forgets all of them and starts over.
pub const CACHED_TEMPLATES: usize = 4_096;

/// How deep expressions and blocks may nest in a template's text, chains of operators and attributes included.
pub const SYNTAX_DEPTH: usize = 100;

/// The steps of one evaluation: one for each expression, item and call, and one for each eight bytes of text that it creates,
/// paid before the text is made. So an evaluation creates at most 8 MB of text in all.
pub const STEPS: u64 = 1_000_000;

/// How deep lists and mappings that a template makes may nest.
pub const NESTING: usize = 64;

/// The longest text that a template may render to, in bytes.
pub const OUTPUT_BYTES: usize = 1 << 20;

/// How deep lists and mappings may nest in a rendered text that is read as a literal. A deeper one stays text: Python's own parser
/// gives up as well.
pub const LITERAL_DEPTH: usize = 150;

/// How often a regular expression may backtrack.
pub const REGEX_BACKTRACKS: usize = 100_000;

/// How many readings of a text [`datetime::parse`](crate::datetime::parse) tries before it gives up, so that a hostile
/// format does not make matching exponential.
pub const DATETIME_STEPS: usize = 10_000;

/// The widest field of a time format, in characters.
pub const FIELD_WIDTH: usize = 1_024;
