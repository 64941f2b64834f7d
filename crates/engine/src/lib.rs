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
//!
//! # Names
//!
//! A method that is a noun returns what it names: from memory, or, where it is `async`, from the store, without any network.
//! `fetch_` stands before a noun that could be read as a command, as in [`Engine::fetch_run`]. Verbs come in pairs: `enable`
//! and `disable`, `pause` and `resume`, `connect` and `disconnect`. The root has what most hosts name; the modules
//! [`connections`], [`credentials`], [`logs`], [`runs`], [`syncs`], [`transport`] and [`webhooks`] have the rest, and [`blocking`] has all of it
//! without `async`.
#![deny(missing_docs, clippy::missing_errors_doc)]

mod account;
mod actions;
mod aside;
mod background;
pub mod blocking;
mod builder;
mod calls;
mod cancel;
mod connection;
mod control;
mod engine;
mod events;
mod http;
mod integrations;
pub mod logs;
mod mutants;
mod reach;
mod run;
mod schedule;
mod scheduler;
mod slots;
mod state;
mod sync;
mod timer;
mod versions;
pub mod webhooks;

pub use background::Background;
pub use builder::EngineBuilder;
pub use cancel::CancelToken;
pub use connection::{ConnectionSettings, DisconnectMode};
pub use control::{DisableMode, TriggerMode};
pub use engine::Engine;
pub use highwater_template::Secret;
pub use http::{CredentialStore, Credentials};
pub use integrations::{IntegrationHandle, IntegrationSettings};
pub use run::{RunEvent, RunOptions, RunReport, RunState};
pub use schedule::Schedule;
pub use sync::{Phase, SyncHandle, SyncOptions, SyncState};

/// Connections: what is known of them, and how they stand.
pub mod connections {
    pub use crate::connection::{ConnectionSettings, DisconnectMode, EndUser};
}

/// What a connection signs in with, and how a user signs in.
pub mod credentials {
    pub use crate::http::{CredentialStore, Credentials, DeviceSignIn, OAuthGrant, OAuthTokens, Revocation, SignIn};
}

/// Runs of syncs: what they are asked for, how far they are, what they leave.
pub mod runs {
    pub use highwater_template::host::{Counts, Progress};

    pub use crate::cancel::CancelToken;
    pub use crate::run::{HeldDeletes, RecordSetAside, RunEvent, RunMode, RunOptions, RunReport, RunState};
}

/// Syncs: how they are to run, how they stand, what they could not save.
pub mod syncs {
    pub use crate::aside::UnsavedRecord;
    pub use crate::control::{DisableMode, TriggerMode};
    pub use crate::events::{SyncChange, SyncEvent};
    pub use crate::schedule::Schedule;
    pub use crate::state::IdleReader;
    pub use crate::sync::{
        DeletePolicy, IncompleteModel, Phase, SyncHandle, SyncOptions, SyncSettings, SyncState, SyncStatus,
    };
}

/// What carries requests to an API, and how it deals with slow and broken ones.
pub mod transport {
    pub use crate::http::RequestLimits;
    #[cfg(feature = "http")]
    pub use crate::http::UreqTransport;
}
