//! The operations of an engine, by name. Each takes a JSON object and returns JSON.

mod accounts;
mod calls;
mod consumers;
mod integrations;
mod logs;
mod records;
mod syncs;

pub(crate) use calls::{RequestOptions, response};
pub(crate) use records::page_request;

use std::pin::Pin;

use highwater::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::arguments;
use crate::engine::Open;
use crate::failure::Outcome;

/// An operation of [`Engine::call`](crate::Engine::call).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name, the same in every language but for the letter case that a language prefers.
    pub name: &'static str,
    /// The method of the library that it calls, for those who know the Rust API.
    pub rust: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
}

macro_rules! operations {
    ($($name:literal, $rust:literal, $about:literal => $run:path;)*) => {
        /// Every operation, in the order of the documentation.
        pub const OPERATIONS: &[Operation] = &[$(Operation { name: $name, rust: $rust, about: $about }),*];

        fn find<'o>(open: &'o Open, operation: &str, arguments: &str) -> Result<Answer<'o>> {
            match operation {
                $($name => {
                    let read = arguments::read($name, arguments)?;
                    Ok(Box::pin(async move { write(&$run(open, read).await?) }))
                })*
                _ => Err(unknown(operation)),
            }
        }
    };
}

operations! {
    "providers", "Engine::providers", "Lists the known APIs." => integrations::providers;
    "templates", "Engine::templates", "Lists the templates." => integrations::templates;
    "create_integration", "Engine::create_integration", "Creates an integration; the same again changes nothing." => integrations::create;
    "update_integration", "IntegrationHandle::update", "Changes display name, client id, scopes, base URL or settings of an integration." => integrations::update;
    "delete_integration", "IntegrationHandle::delete", "Deletes an integration, with its connections if `records` says what happens to theirs." => integrations::delete;
    "integrations", "Engine::integrations", "Lists the integrations." => integrations::list;
    "endpoints", "IntegrationHandle::endpoints", "Lists the endpoints of an integration: its provider's templates, on or off." => integrations::endpoints;
    "enable_endpoint", "IntegrationHandle::enable", "Enables an endpoint for all connections of an integration." => integrations::enable;
    "disable_endpoint", "IntegrationHandle::disable", "Disables an endpoint for all connections of an integration." => integrations::disable;
    "connect", "Engine::connect, connect_and_sign_in", "Stores a connection, and signs it in if there are credentials." => accounts::connect;
    "sign_in", "Engine::sign_in_with, use_credentials", "Replaces the credentials of a connection." => accounts::sign_in;
    "disconnect", "Engine::disconnect", "Removes a connection with its syncs and credentials." => accounts::disconnect;
    "connection", "Engine::connection_state", "Returns the state of a connection." => accounts::state;
    "connections", "Engine::connection_states", "Lists connections with their state." => accounts::list;
    "verify_connection", "Engine::verify_connection", "Asks the API whose account a connection is." => accounts::verify;
    "set_metadata", "Engine::set_metadata", "Replaces the metadata of a connection." => accounts::set_metadata;
    "update_metadata", "Engine::update_metadata", "Sets members of the metadata of a connection." => accounts::update_metadata;
    "enable", "SyncHandle::enable", "Enables a sync: it runs on its schedule while the engine is started." => syncs::enable;
    "disable", "SyncHandle::disable", "Disables a sync." => syncs::disable;
    "pause", "SyncHandle::pause", "Pauses a sync; once it returns, nothing more is written." => syncs::pause;
    "resume", "SyncHandle::resume", "Lets a paused sync run again." => syncs::resume;
    "set_schedule", "SyncHandle::set_schedule", "Sets another schedule of a sync; null restores the template's own." => syncs::set_schedule;
    "trigger", "SyncHandle::trigger", "Requests a run of a sync as soon as a slot is free." => syncs::trigger;
    "run", "SyncHandle::run_once", "Runs a sync now and returns its report." => syncs::run;
    "cancel", "SyncHandle::cancel", "Cancels this engine's run of a sync; returns whether there was one." => syncs::cancel;
    "follow_integration", "SyncHandle::follow_integration", "Takes back a connection's own decision about a sync." => syncs::follow_integration;
    "sync_state", "SyncHandle::state", "Returns the state of a sync." => syncs::state;
    "sync_states", "Engine::sync_states", "Lists the states of all syncs." => syncs::states;
    "start", "Engine::start", "Starts to run the enabled syncs." => syncs::start;
    "shutdown", "Background::shutdown", "Stops the runs; `start` begins again." => syncs::shutdown;
    "notify_online", "Background::notify_online", "Tells the engine that the network is back." => syncs::notify_online;
    "notify_resumed", "Background::notify_resumed", "Tells the engine that the machine woke up." => syncs::notify_resumed;
    "records", "Store::page", "Reads a page of a stream's modifications after a cursor." => records::records;
    "get", "Store::get", "Looks up records by id; null for those that are not there." => records::get;
    "streams", "Store::streams", "Lists the streams with their counters." => records::streams;
    "poll", "Consumer::poll", "Takes the lease and the next batch of a named consumer." => consumers::poll;
    "ack", "Consumer::ack", "Acknowledges a batch: it was stored." => consumers::ack;
    "nack", "Consumer::nack", "Gives a batch back: it could not be stored." => consumers::nack;
    "renew", "Consumer::renew", "Makes the lease of a batch last longer." => consumers::renew;
    "seek", "Consumer::seek", "Sets where a consumer continues: `start`, `end`, a cursor or a time." => consumers::seek;
    "unpark", "Consumer::unpark", "Delivers parked records of a consumer again; returns their ids." => consumers::unpark;
    "consumer", "Consumer::status", "Returns where a consumer stands." => consumers::status;
    "consumers", "Store::consumers", "Lists the names of the consumers of a stream." => consumers::list;
    "remove_consumer", "Consumer::remove", "Removes a consumer with its position." => consumers::remove;
    "act", "Engine::act", "Performs an action and returns its output." => calls::act;
    "queue_action", "Engine::queue_action", "Queues an action and returns its id." => calls::queue;
    "queued_action", "Engine::queued_action", "Returns the state of a queued action." => calls::queued;
    "proxy", "Engine::proxy_with_retries", "Sends a request to the API of a connection with its credentials." => calls::proxy;
    "receive_webhook", "Engine::receive", "Verifies a provider's webhook and writes what it says." => calls::receive;
    "runs", "Engine::runs_matching", "Finds runs, newest first." => logs::runs;
    "run_report", "Engine::fetch_run", "Returns the report of a run." => logs::report;
    "run_log", "Engine::run_log", "Returns the log of a run." => logs::log;
    "log_lines", "Engine::log_lines", "Finds log lines." => logs::lines;
    "approve", "Engine::approve", "Approves the deletes of a run that waits for it." => logs::approve;
    "reject", "Engine::reject", "Rejects the deletes of a run that waits for it." => logs::reject;
}

type Answer<'o> = Pin<Box<dyn Future<Output = Result<String>> + Send + 'o>>;

/// Runs an operation.
pub(crate) async fn answer(open: &Open, operation: &str, arguments: &str) -> Outcome<String> {
    Ok(find(open, operation, arguments)?.await?)
}

fn unknown(operation: &str) -> Error {
    let start: String = operation.chars().take(100).collect();
    Error::new(ErrorKind::Invalid, "there is no such operation: see the list in docs/bindings.md")
        .with("operation", start)
}

pub(crate) fn write<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|source| Error::new(ErrorKind::Internal, "the result cannot be written as JSON").because(source))
}

/// Arguments of an operation that takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Returned as `null`.
type Done = Result<()>;

/// What happens to records.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordsMode {
    Keep,
    Clear,
}

/// Refuses an argument whose value cannot be used.
fn refused(member: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, message).with("member", member)
}
