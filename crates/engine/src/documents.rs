//! The documents that the engine keeps in the store: their contents and keys.
//!
//! They have no access to an engine or a store: they are plain values, and the code that works with them does the
//! rest. Their names and members are on the disks of hosts: a name never changes, and a new member has a default.

mod about;
mod action;
mod changes;
mod connection;
mod counts;
mod destination;
mod draft;
mod health;
mod holder;
mod integration;
mod key;
mod outbox_row;
mod refresh;
mod removal;
mod run;
mod schedule;
mod sync;
mod trace;
mod trigger;

pub use about::EndUser;
pub(crate) use about::object;
pub use action::ActionError;
pub(crate) use action::{
    OPEN_ACTIONS, OpenAction, PERFORMED_ACTIONS, PerformedAction, open_action_key, performed_action_key,
};
pub(crate) use changes::{CHANGES_KEY, Changes};
pub use connection::{BaseUrlReach, ConnectionSettings, FoundBaseUrl};
pub(crate) use connection::{StoredConnection, connection_key};
pub(crate) use counts::{CountsBeforeDeletes, count_page, fetched};
pub(crate) use destination::{DESTINATIONS, destination_key};
pub use destination::{Destination, WebhookFormat};
pub(crate) use draft::{DRAFTS, Draft, Failure, drafts_of};
pub use health::{ConnectionError, ConnectionHealth, HealthKind, SignInReason};
pub(crate) use health::{Finding, Gate, Obstacle, StoredHealth, TokenEnd, health_key};
pub(crate) use holder::Holder;
pub use integration::IntegrationSettings;
pub(crate) use integration::{INTEGRATIONS, StoredIntegration, check_key, integration_key};
pub(crate) use key::SyncKey;
pub use outbox_row::OutboxRow;
pub(crate) use outbox_row::{Rest, dead_key, dead_prefix, rest_key, row_key, rows_prefix};
pub(crate) use refresh::OpenRefresh;
pub use removal::PendingRemoval;
pub(crate) use removal::{REMOVALS, StoredRemoval, removal_key};
pub use run::{HeldDeletes, LogLine, RecordSetAside, RunMode, RunReport, RunState};
pub use schedule::Schedule;
pub(crate) use sync::{DEFAULT_TIMEOUT, MOST_SPREAD, Off};
pub use sync::{DeletePolicy, IncompleteModel, Phase, SyncOptions, SyncOrigin, SyncSettings, SyncState, SyncStatus};
pub use trace::{RequestWait, RunPhase, RunPhaseKind, RunRequest, RunTrace, WaitReason};
pub(crate) use trigger::Trigger;
pub use trigger::TriggerMode;
