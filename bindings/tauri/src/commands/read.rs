//! Reading. Nothing here changes anything, and nothing returns a secret.

use highwater::cursor::{Action, Records};
use highwater::engine::connections::ConnectionFilter;
use highwater::engine::logs::LogFilter;
use highwater::engine::runs::RunMode;
use highwater::engine::{RunReport, RunState};
use highwater::template::LogLevel;
use highwater::{Cursor, Error, ErrorKind, Result, RunId, Store, StoreExt, StreamKey, Timestamp};
use serde::{Deserialize, Serialize};
use tauri::{AppHandle, Runtime};

use super::{Answer, answer, opened};

/// The most records, runs, lines or connections of one page: what a window can ask for is bounded.
const MOST: usize = 1000;
/// After how many bytes of payload a page ends early.
const PAGE_BYTES: usize = 1 << 20;

/// Which records to read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageArguments {
    connection: String,
    model: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    modified_after: Option<String>,
    #[serde(default)]
    ids: Option<Vec<String>>,
    #[serde(default)]
    actions: Option<Vec<Action>>,
    #[serde(default)]
    metadata_only: bool,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    stream: StreamKey,
    since: Cursor,
    limit: Option<usize>,
    modified_after: Option<Timestamp>,
    ids: Option<Vec<String>>,
    actions: Option<Vec<Action>>,
    metadata_only: bool,
}

impl TryFrom<PageArguments> for Reading {
    type Error = Error;

    fn try_from(arguments: PageArguments) -> Result<Self> {
        let PageArguments { connection, model, variant, since, limit, modified_after, ids, actions, metadata_only } =
            arguments;
        let mut stream = StreamKey::new(connection, model);
        if let Some(variant) = variant {
            stream = stream.with_variant(variant);
        }
        let since = since.map_or(Ok(Cursor::START), |since| since.parse())?;
        let modified_after = modified_after.map(|time| time.parse()).transpose()?;
        Ok(Reading { stream, since, limit, modified_after, ids, actions, metadata_only })
    }
}

impl Reading {
    pub(crate) fn records<'s>(&self, store: &'s dyn Store) -> Records<'s> {
        let mut records = store.records(&self.stream).since(self.since).max_bytes(PAGE_BYTES);
        if let Some(limit) = self.limit {
            records = records.limit(limit.min(MOST));
        }
        if let Some(time) = self.modified_after {
            records = records.modified_after(time);
        }
        if let Some(ids) = &self.ids {
            records = records.ids(ids);
        }
        if let Some(actions) = &self.actions {
            records = records.filter(actions.iter().copied().collect::<highwater::cursor::Actions>());
        }
        if self.metadata_only { records.metadata_only() } else { records }
    }
}

/// Reads one page of a stream.
#[tauri::command]
pub(crate) async fn read_page<R: Runtime>(app: AppHandle<R>, request: PageArguments) -> Answer {
    let highwater = opened(&app)?;
    answer(&Reading::try_from(request)?.records(&**highwater.store()).page().await?)
}

#[tauri::command]
pub(crate) async fn list_streams<R: Runtime>(app: AppHandle<R>) -> Answer {
    answer(&opened(&app)?.store().streams().await?)
}

#[tauri::command]
pub(crate) async fn list_templates<R: Runtime>(app: AppHandle<R>) -> Answer {
    answer(&opened(&app)?.engine().templates().collect::<Vec<_>>())
}

#[tauri::command]
pub(crate) async fn list_syncs<R: Runtime>(app: AppHandle<R>) -> Answer {
    answer(&opened(&app)?.engine().sync_states().await?)
}

#[tauri::command]
pub(crate) async fn list_integrations<R: Runtime>(app: AppHandle<R>) -> Answer {
    answer(&opened(&app)?.engine().integrations().await?)
}

#[tauri::command]
pub(crate) async fn list_endpoints<R: Runtime>(app: AppHandle<R>, integration: String) -> Answer {
    answer(&opened(&app)?.engine().integration(integration)?.endpoints().await?)
}

/// Which connections to list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConnectionArguments {
    id: Option<String>,
    integration: Option<String>,
    provider: Option<String>,
    text: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[tauri::command]
pub(crate) async fn list_connections<R: Runtime>(app: AppHandle<R>, request: ConnectionArguments) -> Answer {
    let mut filter = ConnectionFilter::default().after(request.after);
    if let Some(id) = request.id {
        filter = filter.id(id);
    }
    if let Some(key) = request.integration {
        filter = filter.integration(key);
    }
    if let Some(provider) = request.provider {
        filter = filter.provider(provider);
    }
    if let Some(text) = request.text {
        filter = filter.text(text);
    }
    if let Some(limit) = request.limit {
        filter = filter.limit(limit.min(MOST));
    }
    answer(&opened(&app)?.engine().connection_states(&filter).await?)
}

/// Which runs or lines of the log to list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogArguments {
    states: Vec<RunState>,
    mode: Option<RunMode>,
    provider: Option<String>,
    connection: Option<String>,
    sync: Option<String>,
    since: Option<String>,
    until: Option<String>,
    level: Option<LogLevel>,
    text: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

impl TryFrom<LogArguments> for LogFilter {
    type Error = Error;

    fn try_from(arguments: LogArguments) -> Result<Self> {
        let mut filter = LogFilter::default();
        filter.states = arguments.states;
        filter.mode = arguments.mode;
        filter.provider = arguments.provider;
        filter.connection = arguments.connection;
        filter.sync = arguments.sync;
        filter.since = arguments.since.map(|time| time.parse()).transpose()?;
        filter.until = arguments.until.map(|time| time.parse()).transpose()?;
        filter.level = arguments.level;
        filter.text = arguments.text;
        filter.after = arguments.after;
        filter.limit = arguments.limit.map(|limit| limit.min(MOST));
        Ok(filter)
    }
}

#[tauri::command]
pub(crate) async fn list_runs<R: Runtime>(app: AppHandle<R>, request: LogArguments) -> Answer {
    answer(&opened(&app)?.engine().runs_matching(&request.try_into()?).await?)
}

#[tauri::command]
pub(crate) async fn list_log_lines<R: Runtime>(app: AppHandle<R>, request: LogArguments) -> Answer {
    answer(&opened(&app)?.engine().log_lines(&request.try_into()?).await?)
}

/// A run with its lines.
#[derive(Serialize)]
struct Run {
    #[serde(flatten)]
    report: RunReport,
    lines: Vec<highwater::engine::logs::LogLine>,
}

#[tauri::command]
pub(crate) async fn read_run<R: Runtime>(app: AppHandle<R>, run: String) -> Answer {
    let (highwater, id) = (opened(&app)?, run_id(&run)?);
    let report = highwater.engine().fetch_run(id).await?;
    answer(&Run { report, lines: highwater.engine().run_log(id).await? })
}

pub(super) fn run_id(text: &str) -> Result<RunId> {
    text.parse().map_err(|_| {
        Error::new(ErrorKind::Invalid, "not the id of a run: pass it as runs are listed").with("run", text)
    })
}
