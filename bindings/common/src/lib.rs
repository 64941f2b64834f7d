//! What the bindings of Highwater to other languages share.
//!
//! A binding is thin: it turns values of its language into JSON and back. Everything else is here, so that every language has the
//! same words and the same rules:
//!
//! * [`Engine::open`] opens a store with an engine from [options](EngineOptions) as JSON.
//! * [`Engine::call`] runs one of the [`OPERATIONS`] by its name: arguments and result are JSON. Unknown or wrongly typed
//!   members are refused by an error that names them.
//! * [`Engine::page`], [`Engine::follow`]: pages of records. Payloads stay the JSON text that was stored.
//! * [`HostTemplate`]: a template whose fetch is a function of the host's language. Each of its runs is a [`HostRun`], which the
//!   function drives by commands.
//! * [`Failure`]: an error as a code that never changes, a message, and advice.
//!
//! Every handle may be used from any thread, closed twice, and used after it was closed, which is an error of the code `closed`. The
//! engine has threads of its own, so the host needs no asynchronous runtime; a panic becomes an error of the code `internal`.
//!
//! ```
//! use highwater_bindings::Engine;
//!
//! let engine = Engine::open(r#"{"store": "memory"}"#, Vec::new())?;
//! engine.call("connect", r#"{"connection": "main", "provider": "github", "config": {"owner": "o", "repo": "r"}}"#)?;
//! let page = engine.call("records", r#"{"connection": "main", "model": "Issue"}"#)?;
//! assert!(page.starts_with(r#"{"changes":[],"#));
//! let error = engine.call("records", r#"{"connection": "main", "modle": "Issue"}"#).unwrap_err();
//! assert_eq!(error.code(), "invalid");
//! assert!(error.message().contains("modle"));
//! engine.close()?;
//! # Ok::<(), highwater_bindings::Failure>(())
//! ```
#![deny(missing_docs, clippy::missing_errors_doc)]

mod arguments;
mod call;
mod credentials;
mod engine;
mod failure;
mod follow;
mod operations;
mod options;
mod run;
mod template;
#[cfg(feature = "testing")]
mod testing;
mod verify;

pub use call::Call;
pub use engine::Engine;
pub use failure::{Failure, Outcome};
pub use follow::Following;
pub use operations::{OPERATIONS, Operation};
pub use options::EngineOptions;
pub use run::{HostRun, RUN_COMMANDS};
pub use template::{HostTemplate, StartRun};
pub use verify::verify_webhook;

pub use highwater::cursor::{Action, Change, Json, Metadata, NetAction, Page, Record};
