//! What concerns all accounts of an integration, or removes records.

use highwater::engine::{DisableMode, TriggerMode};
use tauri::{AppHandle, Runtime};

use super::read::run_id;
use super::trigger::ScheduleArguments;
use super::{Answer, answer, done, opened};

#[tauri::command]
pub(crate) async fn enable_endpoint<R: Runtime>(
    app: AppHandle<R>,
    integration: String,
    sync: String,
    schedule: Option<ScheduleArguments>,
) -> Answer {
    let options = schedule.unwrap_or_default().try_into()?;
    opened(&app)?.engine().integration(integration)?.enable(sync, options).await?;
    done()
}

/// Turns an endpoint off for all connections that follow the integration. Records stay.
#[tauri::command]
pub(crate) async fn disable_endpoint<R: Runtime>(app: AppHandle<R>, integration: String, sync: String) -> Answer {
    opened(&app)?.engine().integration(integration)?.disable(sync, DisableMode::Keep).await?;
    done()
}

/// Lets a run delete the records that it holds back.
#[tauri::command]
pub(crate) async fn approve_run<R: Runtime>(app: AppHandle<R>, run: String) -> Answer {
    answer(&opened(&app)?.engine().approve(run_id(&run)?).await?)
}

#[tauri::command]
pub(crate) async fn reject_run<R: Runtime>(app: AppHandle<R>, run: String) -> Answer {
    answer(&opened(&app)?.engine().reject(run_id(&run)?).await?)
}

/// Removes a sync's records and reads everything again.
#[tauri::command]
pub(crate) async fn clear_sync<R: Runtime>(app: AppHandle<R>, connection: String, sync: String) -> Answer {
    opened(&app)?.engine().sync(connection, sync)?.trigger(TriggerMode::ResetAndClear).await?;
    done()
}
