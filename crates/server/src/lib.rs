//! The HTTP interface of Highwater: records, connections, syncs and actions for hosts in any language.
//!
//! [`Server::router`] returns an `axum::Router`, which a host mounts under any path of its own; [`Server::serve`] runs it alone.
//! Every rule is in the library below: a host can do everything by calling it.
//!
//! ```no_run
//! use highwater_engine::Engine;
//! use highwater_server::{Scope, Server};
//! # async fn example(engine: Engine) -> highwater_core::Result<()> {
//! let server = Server::builder(engine).build()?;
//! let key = server.keys().create("backend", Scope::Read).await?;
//! let app = axum::Router::new().nest("/sync", server.router());
//! # let _ = (key, app);
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs, clippy::missing_errors_doc)]

mod about;
mod call;
mod connect;
mod dashboard;
mod error;
mod guard;
mod input;
mod keys;
mod limits;
mod openapi;
mod rate;
mod route;
mod routes;
mod serve;
mod server;
mod state;
#[cfg(feature = "tls")]
mod tls;

pub use keys::{Key, Keys, NewKey, Scope};
pub use limits::Limits;
pub use openapi::openapi;
pub use server::{Compat, Server, ServerBuilder};
#[cfg(feature = "tls")]
pub use tls::Tls;
