//! Connections, schedules and runs of Highwater, on the host's tokio runtime.
//!
//! ```no_run
//! use std::sync::Arc;
//! use highwater_core::MemoryStore;
//! use highwater_engine::{ConnectionSettings, Engine, RunOptions};
//! # async fn example(template: Arc<dyn highwater_core::template::Template>) -> highwater_core::Result<()> {
//! let engine = Engine::builder(Arc::new(MemoryStore::new()?)).template(template).build()?;
//! engine.connect(ConnectionSettings::new("github-main", "github").config("owner", "octocat")).await?;
//! let report = engine.run_once("github-main", "github/issues", RunOptions::default()).await?;
//! println!("{} added", report.progress.added);
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

mod builder;
mod cancel;
mod engine;
mod http;
mod outbox;
mod run;
mod schedule;
mod settings;
mod signature;

pub use builder::EngineBuilder;
pub use cancel::CancelToken;
pub use engine::Engine;
pub use highwater_core::template::Secret;
#[cfg(feature = "http")]
pub use http::UreqTransport;
pub use http::{CredentialStore, Credentials, OAuthTokens, RequestLimits, SignIn};
pub use outbox::{Delivering, Destination, Outbox, OutboxRow, Pass};
pub use run::{LogLine, RunEvent, RunMode, RunOptions, RunReport, RunState};
pub use schedule::Running;
pub use settings::{ConnectionSettings, SyncSettings, SyncStatus};
pub use signature::{SIGNATURE_TOLERANCE, Verified, verify, verify_hex};
