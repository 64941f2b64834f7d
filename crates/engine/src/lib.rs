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
//! A method whose name is a noun returns that thing: from memory, or, if it is `async`, from the store, never from the network.
//! The prefix `fetch_` precedes a noun that could be read as a command, as in [`Engine::fetch_run`]. Verbs come in pairs: `enable`
//! and `disable`, `pause` and `resume`, `connect` and `disconnect`. The crate root has the types that most hosts need; the modules
//! [`connections`], [`credentials`], [`integrations`], [`logs`], [`runs`], [`syncs`], [`transport`] and [`webhooks`] have the rest,
//! and [`blocking`] has all of it without `async`.
#![deny(missing_docs, clippy::missing_errors_doc)]

mod account;
pub mod actions;
mod aside;
mod background;
pub mod blocking;
mod builder;
mod calls;
mod cancel;
mod clients;
mod connection;
mod control;
mod counters;
mod cron;
mod documents;
mod engine;
mod errors;
mod events;
mod http;
pub mod integrations;
mod leaving;
mod log_policy;
pub mod logs;
mod mutants;
mod parts;
mod proxy;
mod reach;
mod removals;
mod run;
mod scheduler;
mod slots;
mod state;
mod sync;
mod timer;
mod urls;
mod versions;
mod walk;
mod watch;
pub mod webhooks;

pub use background::Background;
pub use builder::EngineBuilder;
pub use cancel::CancelToken;
pub use connection::{DisconnectMode, DisconnectOptions};
pub use control::DisableMode;
pub use counters::EngineCounters;
pub use documents::{ConnectionSettings, Phase, RunReport, RunState, Schedule, SyncOptions, SyncState, TriggerMode};
pub use engine::Engine;
pub use events::RunEvent;
pub use highwater_template::Secret;
pub use http::{CredentialStore, Credentials};
pub use integrations::{IntegrationHandle, IntegrationSettings};
pub use run::RunOptions;
pub use sync::SyncHandle;

/// Connections and their state.
pub mod connections {
    pub use highwater_template::Account;

    pub use crate::account::AccountChange;
    pub use crate::connection::{
        ConnectionFilter, ConnectionOrder, ConnectionPage, ConnectionState, CredentialRenewal, DisconnectMode,
        DisconnectOptions, DisconnectReport, RevocationMode,
    };
    pub use crate::documents::{
        BaseUrlReach, ConnectionError, ConnectionHealth, ConnectionSettings, EndUser, FoundBaseUrl, HealthKind,
        PendingRemoval, SignInReason,
    };
    pub use crate::events::{ConnectionChange, ConnectionEvent};
}

/// Credentials of connections, and sign-in flows.
pub mod credentials {
    pub use crate::connection::{BrowserSignIn, CodeSignIn};
    pub use crate::http::{
        CredentialStore, Credentials, DeviceSignIn, OAuthGrant, OAuthTokens, Revocation, SignIn, SignInMethod,
    };
}

/// Runs of syncs: options, progress and reports.
pub mod runs {
    pub use highwater_template::host::{Counts, Progress};

    pub use crate::cancel::CancelToken;
    pub use crate::documents::{
        HeldDeletes, RecordSetAside, RequestWait, RunMode, RunPhase, RunPhaseKind, RunReport, RunRequest, RunState,
        RunTrace, WaitReason,
    };
    pub use crate::events::RunEvent;
    pub use crate::run::{DryRun, RunOptions};
}

/// Syncs: options, settings, state, and records that could not be saved.
pub mod syncs {
    pub use crate::aside::UnsavedRecord;
    pub use crate::control::DisableMode;
    pub use crate::documents::{
        DeletePolicy, IncompleteModel, Phase, Schedule, SyncOptions, SyncOrigin, SyncSettings, SyncState, SyncStatus,
        TriggerMode,
    };
    pub use crate::events::{SyncChange, SyncEvent};
    pub use crate::state::IdleReader;
    pub use crate::sync::SyncHandle;
}

/// HTTP transports, and limits for slow and failing APIs.
pub mod transport {
    #[cfg(feature = "http")]
    pub use crate::http::UreqTransport;
    pub use crate::http::{PrivateAddresses, RequestLimits};
    pub use crate::proxy::ProxyRetries;
}
