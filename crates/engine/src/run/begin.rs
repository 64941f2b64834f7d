//! The beginning of a run: one commit that acquires the lease, decides the kind of run, and stores its record.

mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_core::{ChangeSummary, Error, ErrorKind, Fence, Json, Maintenance, Result, RunId, Timestamp, WriteBatch};
use highwater_template::host::Progress;
use serde::de::DeserializeOwned;

use super::RunOptions;
use super::lease::free_or_busy;
use crate::documents::{
    DEFAULT_TIMEOUT, DeletePolicy, Holder, OpenRefresh, RunMode, RunReport, RunState, SyncKey, SyncSettings,
    SyncStatus, Trigger, connection_key,
};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::logs;
use crate::mutants::mutant;
use crate::webhooks::outbox::{anybody_listens, clear_streams};
use plan::{Due, Plan, due, plan};

/// Attempts at a beginning that conflicts with other commits.
const TRIES: u32 = 20;

/// A run that has the lease.
pub(crate) struct Begun {
    pub(crate) fence: Fence,
    pub(crate) run: Beginning,
    /// Set if the engine stops, rather than the run.
    pub(crate) interrupted: bool,
}

/// How a run begins.
pub(crate) struct Beginning {
    pub(crate) id: RunId,
    pub(crate) holder: Holder,
    pub(crate) report: RunReport,
    pub(crate) open: OpenRefresh,
    pub(crate) checkpoint: Option<Json>,
    pub(crate) policy: DeletePolicy,
    pub(crate) timeout: Duration,
    pub(crate) status: SyncStatus,
}

/// The outcome of requesting a run.
pub(crate) enum Start {
    Begun(Box<Begun>),
    /// It is not due before this time.
    NotDue(Timestamp),
    /// The sync is paused or disabled, or its schedule has no further slot.
    NotWanted,
}

/// The stored state of a sync, in the form that a batch can expect.
struct Known {
    connection: Option<Json>,
    holder: Option<Json>,
    settings: Option<Json>,
    trigger: Option<Json>,
    open: Option<Json>,
    checkpoint: Option<Json>,
    status: SyncStatus,
    /// The changes of the latest run.
    accounts: BTreeMap<String, ChangeSummary>,
}

/// The progress of an earlier run that was interrupted.
struct Reached<'k> {
    accounts: &'k BTreeMap<String, ChangeSummary>,
    /// Of a full refresh.
    pages: Option<(RunId, Progress)>,
}

impl Known {
    async fn load(engine: &Engine, key: &SyncKey, now: Timestamp) -> Result<Self> {
        let store = engine.store();
        let status = store.document(&key.status_key()).await?;
        let connection = store.document(&connection_key(&key.connection)).await?;
        if connection.is_none() {
            return Err(no_connection(&key.connection));
        }
        Ok(Known {
            connection,
            holder: free_or_busy(engine, key, now).await?,
            settings: store.document(&key.settings_key()).await?,
            trigger: store.document(&key.trigger_key()).await?,
            open: store.document(&key.open_key()).await?,
            checkpoint: store.document(&key.checkpoint_key()).await?,
            status: read(status.as_ref())?.unwrap_or_default(),
            accounts: accounts(engine, key).await?,
        })
    }
}

/// The changes of the latest run so far, as committed with its pages.
async fn accounts(engine: &Engine, key: &SyncKey) -> Result<BTreeMap<String, ChangeSummary>> {
    let mut found = BTreeMap::new();
    for model in &engine.template(&key.template)?.info().models {
        if let Some(stored) = engine.store().document(&key.counts_key(&model.name)).await? {
            found.insert(model.name.clone(), stored.to()?);
        }
    }
    Ok(found)
}

fn read<T: DeserializeOwned>(document: Option<&Json>) -> Result<Option<T>> {
    document.map(Json::to).transpose()
}

/// Begins a run, or returns why not.
pub(crate) async fn begin(engine: &Engine, key: &SyncKey, options: &RunOptions) -> Result<Start> {
    let mut tries = 0;
    loop {
        match try_begin(engine, key, options).await {
            // Something has changed in the meantime: read again.
            Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

async fn try_begin(engine: &Engine, key: &SyncKey, options: &RunOptions) -> Result<Start> {
    let now = engine.parts().environment.now();
    let known = Known::load(engine, key, now).await?;
    let settings: Option<SyncSettings> = read(known.settings.as_ref())?;
    let trigger: Option<Trigger> = read(known.trigger.as_ref())?;
    if options.scheduled {
        let Some(settings) = &settings else { return Ok(Start::NotWanted) };
        if settings.paused && trigger.is_none() {
            return Ok(Start::NotWanted);
        }
        if trigger.is_none() && !options.early {
            match due(&known.status, settings.due(&known.status, now)?, now) {
                Due::Now => {}
                Due::At(due) => return Ok(Start::NotDue(due)),
                Due::Never => return Ok(Start::NotWanted),
            }
        }
    }
    let open: Option<OpenRefresh> = read(known.open.as_ref())?;
    let plan = plan(options, trigger.as_ref(), open.as_ref(), known.checkpoint.is_some(), now);
    let pages = open.as_ref().map(|open| (open.run, open.progress));
    let reached = Reached { accounts: &known.accounts, pages };
    let mut begun = prepare(engine, key, plan, &known, open, now)?;
    begun.policy = options.deletes.or(settings.as_ref().map(|settings| settings.deletes)).unwrap_or_default();
    if let Some(settings) = &settings {
        begun.timeout = settings.timeout;
    }

    let mut batch = WriteBatch::new();
    if !mutant!("begin-without-expectation") {
        batch.expect_document(key.holder_key(), known.holder.as_ref());
    }
    // Removing the connection also fences off runs that have not begun yet.
    batch.expect_document(connection_key(&key.connection), known.connection.as_ref());
    batch.expect_document(key.settings_key(), known.settings.as_ref());
    batch.expect_document(key.trigger_key(), known.trigger.as_ref());
    batch.expect_document(key.open_key(), known.open.as_ref());
    batch.take_lease(key.lease_name());
    batch.put_document(key.holder_key(), &begun.holder)?;
    if known.trigger.is_some() {
        batch.remove_document(key.trigger_key());
    }
    if let Plan::Full { reset: true, .. } = plan {
        batch.remove_document(key.checkpoint_key());
    }
    if let Plan::Full { clear: true, .. } = plan {
        if mutant!("clear-before-commit") {
            for model in &engine.template(&key.template)?.info().models {
                engine.store().maintain(Maintenance::Clear(key.stream(&model.name))).await?;
            }
        }
        // In the commit that begins the run, so that a run that loses the lease later cannot clear anything.
        let told = anybody_listens(engine.store().as_ref()).await?.then_some(begun.id);
        let models = &engine.template(&key.template)?.info().models;
        clear_streams(key, models.iter().map(|model| model.name.as_str()), told, now, &mut batch)?;
    }
    close_earlier(engine, key, &mut batch, &mut begun, &reached, now).await?;
    if plan != Plan::Resume {
        remove_accounts(key, &mut batch, &known.accounts);
    }
    store_beginning(key, &mut batch, &begun, plan != Plan::Resume)?;
    let commit = engine.store().commit(batch).await?;
    let fence = commit.leases.into_iter().next();
    let fence = fence.ok_or_else(|| Error::new(ErrorKind::Internal, "a commit came back without its lease"))?;
    Ok(Start::Begun(Box::new(Begun { fence, run: begun, interrupted: false })))
}

fn remove_accounts(key: &SyncKey, batch: &mut WriteBatch, accounts: &BTreeMap<String, ChangeSummary>) {
    for model in accounts.keys() {
        batch.remove_document(key.counts_key(model));
    }
}

fn prepare(
    engine: &Engine,
    key: &SyncKey,
    plan: Plan,
    known: &Known,
    open: Option<OpenRefresh>,
    now: Timestamp,
) -> Result<Beginning> {
    let mut status = known.status.clone();
    let resume_at = open.as_ref().and_then(|open| open.checkpoint.as_ref());
    let resume_at = resume_at.map(|raw| Json::parse(raw.get())).transpose()?;
    let (id, mut report, mut open) = match (plan, open) {
        (Plan::Resume, Some(open)) if !mutant!("resume-as-new") => {
            let id = open.run;
            let mut report = RunReport::new(key, id, RunMode::Initial, open.started_at);
            report.progress = open.progress;
            report.take_counts(&known.accounts);
            report.incomplete.clone_from(&open.incomplete);
            (id, report, open)
        }
        (Plan::Incremental, _) => {
            let id = engine.new_run_id();
            (id, RunReport::new(key, id, RunMode::Incremental, now), OpenRefresh::default())
        }
        _ => {
            let id = engine.new_run_id();
            let open = OpenRefresh { run: id, started_at: now, saved_at: now, ..OpenRefresh::default() };
            (id, RunReport::new(key, id, RunMode::Initial, now), open)
        }
    };
    let checkpoint = match plan {
        Plan::Resume => resume_at,
        Plan::Full { .. } => None,
        Plan::Incremental => known.checkpoint.clone(),
    };
    open.tries += 1;
    report.state = RunState::Running;
    status.last_started_at = Some(now);
    Ok(Beginning {
        id,
        holder: engine.parts().holder(now),
        report,
        open,
        checkpoint,
        policy: DeletePolicy::default(),
        timeout: DEFAULT_TIMEOUT,
        status,
    })
}

/// Ends the records of earlier runs that this one replaces.
async fn close_earlier(
    engine: &Engine,
    key: &SyncKey,
    batch: &mut WriteBatch,
    begun: &mut Beginning,
    reached: &Reached<'_>,
    now: Timestamp,
) -> Result<()> {
    let store = engine.store().as_ref();
    let own = begun.report.id;
    if let Some(report) = logs::read_run(store, key, begun.id).await? {
        begun.report.resumed = report.resumed + 1;
        begun.report.set_aside = report.set_aside;
    }
    if let Some(earlier) = begun.status.current_run.filter(|earlier| *earlier != own)
        && let Some(mut report) = logs::read_run(store, key, earlier).await?
        && report.state == RunState::Running
    {
        if let Some((_, progress)) = reached.pages.as_ref().filter(|(run, _)| *run == report.id) {
            report.progress = *progress;
        }
        report.take_counts(reached.accounts);
        report.end(RunState::Error, now, ErrorKind::Cancelled, "its process ended before the run did");
        logs::put_run(batch, key, &report, false)?;
    }
    let full = begun.report.mode == RunMode::Initial;
    if let Some(parked) = begun.status.parked_run.filter(|_| full) {
        // Opening this run discards the parked one's seen marks.
        if let Some(mut report) = logs::read_run(store, key, parked).await?
            && report.state == RunState::AwaitingApproval
        {
            let why = format!("run {own} replaced it: see that one");
            report.end(RunState::Cancelled, now, ErrorKind::Cancelled, why);
            logs::put_run(batch, key, &report, false)?;
        }
        begun.status.parked_run = None;
    }
    begun.status.current_run = Some(own);
    Ok(())
}

fn store_beginning(key: &SyncKey, batch: &mut WriteBatch, begun: &Beginning, new: bool) -> Result<()> {
    logs::put_run(batch, key, &begun.report, new)?;
    batch.put_document(key.status_key(), &begun.status)?;
    if begun.report.mode == RunMode::Initial {
        batch.put_document(key.open_key(), &begun.open)?;
    } else {
        batch.remove_document(key.open_key());
    }
    Ok(())
}

/// The source forgot the checkpoint: one commit ends the run, drops its checkpoint and begins a full one (H51).
pub(crate) async fn begin_over(
    engine: &Engine,
    key: &SyncKey,
    ended: &Begun,
    mut report: RunReport,
    why: &Error,
) -> Result<Begun> {
    let now = engine.parts().environment.now();
    report.end(RunState::Error, now, why.kind(), why.to_string());
    let known = Known {
        connection: None,
        holder: None,
        settings: None,
        trigger: None,
        open: None,
        checkpoint: None,
        status: ended.run.status.clone(),
        accounts: accounts(engine, key).await?,
    };
    let mut begun = prepare(engine, key, Plan::Full { reset: true, clear: false }, &known, None, now)?;
    begun.policy = ended.run.policy;
    begun.timeout = ended.run.timeout;
    begun.status.current_run = None;
    let mut batch = WriteBatch::new();
    batch.fence(ended.fence.clone());
    if !mutant!("early-checkpoint-dropped") {
        batch.remove_document(key.checkpoint_key());
    }
    logs::put_run(&mut batch, key, &report, false)?;
    let reached = Reached { accounts: &known.accounts, pages: None };
    close_earlier(engine, key, &mut batch, &mut begun, &reached, now).await?;
    remove_accounts(key, &mut batch, &known.accounts);
    batch.put_document(key.holder_key(), &begun.holder)?;
    store_beginning(key, &mut batch, &begun, true)?;
    engine.store().commit(batch).await?;
    Ok(Begun { fence: ended.fence.clone(), run: begun, interrupted: false })
}
