//! Connections, schedules and runs of Highwater, on the host's tokio runtime.
//!
//! ```no_run
//! use std::sync::Arc;
//! use highwater_core::MemoryStore;
//! use highwater_engine::{ConnectionSettings, Engine, RunOptions};
//! # async fn example(template: Arc<dyn highwater_template::Template>) -> highwater_core::Result<()> {
//! let engine = Engine::builder(Arc::new(MemoryStore::new()?)).template(template).build()?;
//! engine.connect(ConnectionSettings::new("github-main", "github").config("owner", "octocat")).await?;
//! let issues = engine.sync("github-main", "github/issues")?;
//! let report = issues.run_once(RunOptions::default()).await?;
//! println!("{} added", report.progress.counts.added);
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

mod actions;
mod aside;
pub mod blocking;
mod builder;
mod calls;
mod cancel;
mod control;
mod disconnect;
mod engine;
mod http;
mod incoming;
mod logs;
mod mutants;
mod outbox;
mod reach;
mod receive;
mod run;
mod running;
mod schedule;
mod scheduler;
mod settings;
mod signature;
mod slots;
mod state;
mod sync;
mod timer;
mod versions;

pub use aside::KeptAside;
pub use builder::EngineBuilder;
pub use cancel::CancelToken;
pub use control::{DisableMode, TriggerMode};
pub use disconnect::DisconnectMode;
pub use engine::Engine;
pub use highwater_template::Secret;
pub use highwater_template::host::{Counts, Progress};
pub use highwater_template::webhooks::WebhookScheme;
#[cfg(feature = "http")]
pub use http::UreqTransport;
pub use http::{CredentialStore, Credentials, DeviceSignIn, Grant, OAuthTokens, RequestLimits, SignIn};
pub use incoming::verify_webhook;
pub use logs::{LinePage, LogFilter, LogPolicy, RunLine, RunPage};
pub use outbox::{Delivering, Destination, Outbox, OutboxRow, Pass};
pub use receive::{Received, WEBHOOK_SECRETS};
pub use run::{HeldDeletes, LogLine, RecordSetAside, RunEvent, RunMode, RunOptions, RunReport, RunState};
pub use running::{Control, Running};
pub use schedule::Schedule;
pub use settings::ConnectionSettings;
pub use signature::{SIGNATURE_TOLERANCE, Verified, verify, verify_hex};
pub use state::IdleReader;
pub use sync::{DeletePolicy, Incomplete, Phase, SyncHandle, SyncOptions, SyncSettings, SyncState, SyncStatus};
