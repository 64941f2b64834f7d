//! What is synced and when. Nothing here removes a record.

use std::time::Duration;

use highwater::engine::{DisableMode, Schedule, SyncHandle, TriggerMode};
use highwater::{Error, ErrorKind, Result, SyncOptions};
use serde::Deserialize;
use tauri::{AppHandle, Runtime};

use super::{Answer, answer, done, opened};
use crate::failure::Failure;

/// When a sync runs. The delete guard and other limits are the application's to set.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScheduleArguments {
    every_ms: Option<u64>,
    cron: Option<String>,
}

impl TryFrom<ScheduleArguments> for SyncOptions {
    type Error = Error;

    fn try_from(arguments: ScheduleArguments) -> Result<Self> {
        let options = SyncOptions::default();
        match (arguments.every_ms, arguments.cron) {
            (None, None) => Ok(options),
            (Some(interval), None) => Ok(options.schedule(Duration::from_millis(interval))),
            (None, Some(expression)) => Ok(options.schedule(Schedule::cron(expression)?)),
            (Some(_), Some(_)) => {
                Err(Error::new(ErrorKind::Invalid, "give an interval or a cron expression, one of the two"))
            }
        }
    }
}

fn sync<R: Runtime>(app: &AppHandle<R>, connection: &str, sync: &str) -> std::result::Result<SyncHandle, Failure> {
    Ok(opened(app)?.engine().sync(connection, sync)?)
}

#[tauri::command]
pub(crate) async fn enable_sync<R: Runtime>(
    app: AppHandle<R>,
    connection: String,
    sync: String,
    schedule: Option<ScheduleArguments>,
) -> Answer {
    let options = schedule.unwrap_or_default().try_into()?;
    answer(&self::sync(&app, &connection, &sync)?.enable(options).await?)
}

/// Turns a sync off. Its records and its checkpoint stay.
#[tauri::command]
pub(crate) async fn disable_sync<R: Runtime>(app: AppHandle<R>, connection: String, sync: String) -> Answer {
    self::sync(&app, &connection, &sync)?.disable(DisableMode::Keep).await?;
    done()
}

#[tauri::command]
pub(crate) async fn pause_sync<R: Runtime>(app: AppHandle<R>, connection: String, sync: String) -> Answer {
    self::sync(&app, &connection, &sync)?.pause().await?;
    done()
}

#[tauri::command]
pub(crate) async fn resume_sync<R: Runtime>(app: AppHandle<R>, connection: String, sync: String) -> Answer {
    self::sync(&app, &connection, &sync)?.resume().await?;
    done()
}

/// How a triggered run begins. `clear_sync`, of another permission, removes the records first.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Plain,
    Reset,
}

#[tauri::command]
pub(crate) async fn trigger_sync<R: Runtime>(
    app: AppHandle<R>,
    connection: String,
    sync: String,
    mode: Option<Mode>,
) -> Answer {
    let mode = match mode.unwrap_or_default() {
        Mode::Plain => TriggerMode::Plain,
        Mode::Reset => TriggerMode::Reset,
    };
    self::sync(&app, &connection, &sync)?.trigger(mode).await?;
    done()
}

/// Stops the run of a sync. Returns whether there was one.
#[tauri::command]
pub(crate) async fn cancel_run<R: Runtime>(app: AppHandle<R>, connection: String, sync: String) -> Answer {
    answer(&self::sync(&app, &connection, &sync)?.cancel().await?)
}

/// Tells the schedule that the network is back.
#[tauri::command]
pub(crate) async fn note_online<R: Runtime>(app: AppHandle<R>) -> Answer {
    opened(&app)?.background().notify_online().await?;
    done()
}
