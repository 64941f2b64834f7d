//! The commands that webviews invoke, by permission: `permissions/default.toml` says which set each belongs to.

mod admin;
mod connect;
mod proxy;
mod read;
mod subscribe;
mod trigger;

use highwater::{Error, ErrorKind};
use serde::Serialize;
use tauri::ipc::{Invoke, Response};
use tauri::{Manager, Runtime};

use crate::failure::Failure;
use crate::managed::{Highwater, HighwaterExt};

/// What a command returns: JSON text, with payloads as they are stored.
type Answer = Result<Response, Failure>;

pub(crate) fn handler<R: Runtime>() -> impl Fn(Invoke<R>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        admin::approve_run,
        admin::clear_sync,
        admin::disable_endpoint,
        admin::enable_endpoint,
        admin::reject_run,
        connect::cancel_sign_in,
        connect::connect_account,
        connect::disconnect_account,
        connect::sign_in_account,
        connect::sign_in_in_browser,
        proxy::run_action,
        proxy::send_request,
        read::list_connections,
        read::list_endpoints,
        read::list_integrations,
        read::list_log_lines,
        read::list_runs,
        read::list_streams,
        read::list_syncs,
        read::list_templates,
        read::read_page,
        read::read_run,
        subscribe::acknowledge,
        subscribe::subscribe,
        subscribe::unsubscribe,
        subscribe::watch,
        trigger::cancel_run,
        trigger::disable_sync,
        trigger::enable_sync,
        trigger::note_online,
        trigger::pause_sync,
        trigger::resume_sync,
        trigger::trigger_sync,
    ]
}

fn opened<R: Runtime>(app: &impl Manager<R>) -> Result<Highwater, Failure> {
    Ok(app.highwater()?)
}

fn answer(value: &impl Serialize) -> Answer {
    let text = serde_json::to_string(value).map_err(|source| {
        Failure::from(Error::new(ErrorKind::Internal, "the answer cannot be written as JSON").because(source))
    })?;
    Ok(Response::new(text))
}

fn done() -> Answer {
    Ok(Response::new(String::from("null")))
}
