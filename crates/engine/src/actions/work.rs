//! Performs queued actions. Each is claimed by a commit before anything is sent, so that no two engines perform it.

use std::time::Duration;

use highwater_core::{Document, Error, ErrorKind, Json, Result, WriteBatch};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::queue::check_size;
use crate::cancel::CancelToken;
use crate::documents::{
    ActionError, ConnectionSettings, OPEN_ACTIONS, OpenAction, PERFORMED_ACTIONS, PerformedAction, connection_key,
    performed_action_key,
};
use crate::engine::Engine;
use crate::timer;
use crate::webhooks::outbox::{add_action_rows, bound_rows};

/// Actions performed at the same time.
const AT_ONCE: usize = 4;

/// Documents read at a time.
const PAGE: usize = 64;

/// The longest sleep: by then, actions that another process queued are noticed.
const LOOK: Duration = Duration::from_secs(15);

/// How long outcomes are kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The pause after the first failed try, doubled by each further one.
const PAUSE: Duration = Duration::from_secs(3);

/// The error of an action that was cut off.
const INTERRUPTED: &str = "interrupted: outcome unknown; check the API before you repeat it";

/// Performs queued actions until it is cancelled; then waits for those in progress.
pub(crate) async fn work(engine: Engine, handle: Handle, cancel: CancelToken) {
    let mut queued = engine.parts().queued_actions.subscribe();
    let mut performing: JoinSet<()> = JoinSet::new();
    while !cancel.is_cancelled() {
        let pause = match begin_due(&engine, &handle, &mut performing).await {
            Ok(pause) => pause.min(LOOK),
            Err(error) if error.kind() == ErrorKind::Closed => break,
            Err(error) => {
                tracing::warn!(target: "highwater::action", "{error}");
                LOOK
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            Some(_) = performing.join_next() => {}
            // The sender lives in the engine.
            _ = queued.changed() => {}
            () = timer::sleep(pause) => {}
        }
    }
    while performing.join_next().await.is_some() {}
}

/// Begins the actions that are due, as far as there are slots; returns when to look again.
async fn begin_due(engine: &Engine, handle: &Handle, performing: &mut JoinSet<()>) -> Result<Duration> {
    let (parts, mut after, mut next) = (engine.parts(), String::new(), LOOK);
    loop {
        let page = engine.store().documents(OPEN_ACTIONS, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.key);
        for document in page {
            let open: OpenAction = document.value.to()?;
            let now = parts.environment.now();
            match &open.holder {
                // Its heartbeat comes long before that.
                Some(holder) if holder.engine == parts.name && holder.until > now => {}
                Some(holder) if parts.is_kept_out_by(holder, now) => next = next.min(holder.until.duration_since(now)),
                Some(_) => {
                    let error = Error::new(ErrorKind::Cancelled, INTERRUPTED);
                    end(engine, &document.key, Some(&document.value), &open, Err(error)).await?;
                }
                None if open.due_at > now => next = next.min(open.due_at.duration_since(now)),
                None if performing.len() < AT_ONCE => {
                    performing.spawn_on(perform(engine.clone(), document, open), handle);
                }
                // One that ends looks again.
                None => {}
            }
        }
    }
    forget_old(engine).await?;
    Ok(next)
}

/// Claims an action, performs it, and stores its outcome.
async fn perform(engine: Engine, document: Document, open: OpenAction) {
    if let Err(error) = try_perform(&engine, document, open).await {
        tracing::warn!(target: "highwater::action", "the outcome of a queued action could not be stored: {error}");
    }
}

async fn try_perform(engine: &Engine, document: Document, mut open: OpenAction) -> Result<()> {
    let parts = engine.parts();
    let key = &*document.key;
    let mut stored = document.value;
    let Some(mut claimed) = claim(engine, key, &stored, &mut open).await? else { return Ok(()) };
    let outcome = {
        let (connection, action) = (open.connection.clone(), open.action.clone());
        let acting = engine.act(&connection, &action, open.input.clone());
        tokio::pin!(acting);
        loop {
            tokio::select! {
                biased;
                outcome = &mut acting => break outcome,
                () = timer::sleep(parts.lease_ttl / 3) => {}
            }
            stored = claimed;
            match claim(engine, key, &stored, &mut open).await {
                Ok(Some(renewed)) => claimed = renewed,
                // The connection was removed, or another engine gave this one up: there is nowhere to store the outcome.
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::warn!(target: "highwater::action", "the heartbeat of a queued action failed: {error}");
                    claimed = stored;
                }
            }
        }
    };
    let outcome = outcome.and_then(|output| {
        check_size(&output, "the action was performed, but its output is too large to be kept: at most 2 MiB as JSON")?;
        Ok(output)
    });
    match outcome {
        Err(error) if open.failures < open.retries && may_be_repeated(&error) => {
            open.failures += 1;
            open.holder = None;
            let wait = error.retry_after().unwrap_or(PAUSE * 2u32.saturating_pow(open.failures - 1));
            open.due_at = parts.environment.now() + wait;
            let mut batch = WriteBatch::new();
            batch.expect_document(key, Some(&claimed)).put_document(key, &open)?;
            unless_overtaken(engine.store().commit(batch).await.map(drop))
        }
        outcome => end(engine, key, Some(&claimed), &open, outcome).await,
    }
}

/// Whether the same call may succeed later.
fn may_be_repeated(error: &Error) -> bool {
    !error.needs_action() && !matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported)
}

/// Makes this engine the holder of an action, or sends its heartbeat. `None` if another one was faster.
async fn claim(engine: &Engine, key: &str, stored: &Json, open: &mut OpenAction) -> Result<Option<Json>> {
    let parts = engine.parts();
    open.holder = Some(parts.holder(parts.environment.now()));
    let mut batch = WriteBatch::new();
    batch.expect_document(key, Some(stored)).put_document(key, &*open)?;
    match engine.store().commit(batch).await {
        Err(error) if error.kind() == ErrorKind::Conflict => return Ok(None),
        outcome => outcome?,
    };
    engine.store().document(key).await
}

/// Stores the outcome of an action in place of the action. If its connection was removed, nothing of it is kept.
async fn end(
    engine: &Engine,
    key: &str,
    expected: Option<&Json>,
    open: &OpenAction,
    outcome: Result<Value>,
) -> Result<()> {
    let (parts, place) = (engine.parts(), connection_key(&open.connection));
    let (output, error) = match outcome {
        Ok(output) => (output, None),
        Err(error) => (Value::Null, Some(ActionError { kind: error.kind(), message: error.to_string() })),
    };
    let done = PerformedAction {
        id: open.id,
        connection: open.connection.clone(),
        action: open.action.clone(),
        queued_at: open.queued_at,
        ended_at: parts.environment.now(),
        output,
        error,
    };
    let mut tries = 0;
    loop {
        let connected = engine.store().document(&place).await?;
        let mut batch = WriteBatch::new();
        batch.expect_document(&*place, connected.as_ref()).expect_document(key, expected).remove_document(key);
        let mut receivers = Vec::new();
        if let Some(connected) = &connected {
            batch.put_document(performed_action_key(open.id), &done)?;
            let (store, settings) = (engine.store().as_ref(), connected.to::<ConnectionSettings>()?);
            receivers = add_action_rows(store, &*parts.environment, &settings, &done, tries, &mut batch).await?;
        }
        match engine.store().commit(batch).await {
            // Only the connection was changed at this moment.
            Err(error)
                if error.kind() == ErrorKind::Conflict && engine.store().document(key).await?.as_ref() == expected =>
            {
                tries += 1;
            }
            Ok(_) => {
                bound_rows(engine.store().as_ref(), &*parts.environment, &receivers).await;
                return Ok(());
            }
            outcome => return unless_overtaken(outcome.map(drop)),
        }
    }
}

/// Another engine that gave this one up, or the removal of the connection, decided already.
fn unless_overtaken(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        outcome => outcome,
    }
}

/// Removes outcomes that were kept long enough. Their ids are in order of time.
async fn forget_old(engine: &Engine) -> Result<()> {
    let now = engine.parts().environment.now();
    loop {
        let page = engine.store().documents(PERFORMED_ACTIONS, "", PAGE).await?;
        let mut batch = WriteBatch::new();
        let mut old = 0;
        for document in &page {
            if document.value.to::<PerformedAction>()?.ended_at + KEPT <= now {
                batch.remove_document(&*document.key);
                old += 1;
            }
        }
        if old == 0 {
            return Ok(());
        }
        engine.store().commit(batch).await?;
    }
}
