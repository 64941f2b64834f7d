//! The template language of low-code connector manifests: `{{ }}` and `{% %}` in the syntax of Jinja, over the values of
//! Python, with the results of the language's reference implementation.
//!
//! An [`Interpolator`] compiles templates, keeps them, and evaluates them with [`Variables`]. The result is a [`Value`]: JSON
//! whose objects keep the order of their members.
//!
//! ```
//! use std::sync::Arc;
//! use highwater_core::SystemEnvironment;
//! use highwater_interpolation::{Interpolator, Variables, json};
//!
//! let interpolator = Interpolator::new(Arc::new(SystemEnvironment));
//! let record = json!({"name": "Ada", "labels": ["a", "b"]});
//! let variables = Variables::new().with("record", &record);
//! assert_eq!(interpolator.evaluate("{{ record.name | upper }}", &variables)?, "ADA");
//! assert_eq!(interpolator.evaluate("{{ record.labels | length }}", &variables)?, 2);
//! # Ok::<(), highwater_core::Error>(())
//! ```
//!
//! # Results
//!
//! A template is rendered to text, and the text is read as a literal of Python: `"{{ config.page_size }}"` is a number where
//! the text looks like one, and empty text is null.
//!
//! * An unknown variable is an error. An undefined attribute is null. An attribute of an undefined value makes the whole
//!   template null.
//! * A type error (`none + 1`) yields the template's own text, as in the reference implementation.
//! * Everything else that fails is an error of the kind [`Invalid`](highwater_core::ErrorKind::Invalid): a template that does
//!   not parse, an unknown filter, a date that does not match its format, an exceeded limit. The message quotes the template.
//!
//! # Limits
//!
//! Templates and values may be untrusted. An evaluation has a budget of steps and of bytes, and the nesting of
//! templates and values is bounded: see [`limits`].
//!
//! # Scope
//!
//! Values, time and text. Of `highwater-core` it uses the errors and the injected clock and random source; it knows nothing about
//! manifests, HTTP or the modification log. `docs/interpolation.md` says what the language guarantees, and why this is not an
//! existing template engine.
//!
//! # Types of other crates
//!
//! Two types of other crates are part of this API. [`datetime`] and [`duration`] use `chrono::DateTime<FixedOffset>`, because the
//! language's instants carry a UTC offset, which `highwater_core::Timestamp` does not, and callers do calendar arithmetic on them.
//! [`value::Number`] is `serde_json::Number`, so that numbers convert between the two JSON values without losing a digit. A new
//! major version of either crate requires one of this crate; `highwater-core` and the store crates do not depend on it.

#![deny(missing_docs, clippy::missing_errors_doc)]

mod builtins;
mod compiled;
pub mod datetime;
pub mod duration;
mod interpolator;
pub mod limits;
mod literal;
mod number;
mod runtime;
mod syntax;
mod text;
pub mod value;
mod variables;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/interpolation.md")]
mod page {}

pub use interpolator::{Interpolator, LiteralTypes};
pub use text::python_text;
pub use value::{Map, Value};
pub use variables::Variables;
