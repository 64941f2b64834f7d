//! Queued actions: a host asks for one now, and reads its outcome later.

use highwater_core::{Error, ErrorKind, Json, Result, RunId, Timestamp, WriteBatch};
use serde::Serialize;
use serde_json::Value;

use super::{check_input, unknown_action};
pub use crate::documents::ActionError;
use crate::documents::{OpenAction, PerformedAction, connection_key, open_action_key, performed_action_key};
use crate::engine::Engine;
use crate::errors::no_connection;

/// The largest input and output of a queued action, as JSON, in bytes.
pub(super) const MOST_JSON: usize = 2 * 1024 * 1024;

/// The most tries after the first one.
const MOST_RETRIES: u32 = 5;

/// The state of a queued action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActionState {
    /// It waits to be performed.
    Waiting,
    /// It is in progress.
    Running,
    /// It succeeded.
    Success,
    /// It failed.
    Error,
}

/// A queued action and its outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QueuedAction {
    /// Its id.
    pub id: RunId,
    /// The connection.
    pub connection: String,
    /// The action, such as `github/create_issue`.
    pub action: String,
    /// Its state.
    pub state: ActionState,
    /// When it was queued.
    #[serde(rename = "queued_ms", with = "highwater_core::timestamp::unix_ms")]
    pub queued_at: Timestamp,
    /// When it ended.
    #[serde(rename = "ended_ms", with = "highwater_core::timestamp::unix_ms::option")]
    pub ended_at: Option<Timestamp>,
    /// What it returned; `null` until it has succeeded.
    pub output: Value,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ActionError>,
}

impl Engine {
    /// Queues an action for the background work ([`Engine::start`]) of any process on the store, and returns its id. It is durable
    /// when this returns. The outcome is kept for a day: see [`queued_action`](Engine::queued_action).
    ///
    /// An action is performed once. After a failure it is tried again at most `retries` times (5 at most), although a failed try may
    /// have had its effect; one that a crash cut off is not tried again. The input is stored unencrypted until the action ends, and
    /// the output until the outcome is removed: both have at most 2 MiB as JSON.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// let input = serde_json::json!({"title": "Leak in the cellar"});
    /// let id = engine.queue_action("github-main", "github/create_issue", input, 0).await?;
    /// println!("{:?}", engine.queued_action(id).await?.state);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection or action; [`ErrorKind::Invalid`] for an action of another provider, an
    /// input that lacks a required member or is too large, and too many retries.
    pub async fn queue_action(&self, connection: &str, action: &str, input: Value, retries: u32) -> Result<RunId> {
        let parts = self.parts();
        let found = parts.actions.get(action).ok_or_else(|| unknown_action(action, &parts.actions))?;
        let info = found.info();
        parts.admit(&self.connection(connection).await?, &info.provider)?;
        check_input(info, &input)?;
        check_size(&input, "the action's input is too large: at most 2 MiB as JSON")
            .map_err(|error| error.with("action", action))?;
        if retries > MOST_RETRIES {
            return Err(Error::new(ErrorKind::Invalid, "an action is retried at most 5 times").with("retries", retries));
        }
        let now = parts.environment.now();
        let id = self.new_run_id();
        let (key, place) = (open_action_key(id), connection_key(connection));
        let open = OpenAction {
            id,
            connection: connection.to_owned(),
            action: action.to_owned(),
            input,
            retries,
            failures: 0,
            queued_at: now,
            due_at: now,
            holder: None,
        };
        loop {
            let connected = self.store().document(&place).await?.ok_or_else(|| no_connection(connection))?;
            let mut batch = WriteBatch::new();
            batch.expect_document(&*place, Some(&connected));
            batch.expect_document(&*key, None).put_document(&*key, &open)?;
            match self.store().commit(batch).await {
                // The connection was changed at this moment.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                outcome => break drop(outcome?),
            }
        }
        parts.queued_actions.send_modify(|count| *count += 1);
        Ok(id)
    }

    /// Returns a queued action with its outcome, which is kept for a day after its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown action, one whose outcome is no longer kept, and one whose connection was removed.
    pub async fn queued_action(&self, id: RunId) -> Result<QueuedAction> {
        let store = self.store();
        let open = store.document(&open_action_key(id)).await?;
        // It may have ended between the two.
        let done = store.document(&performed_action_key(id)).await?;
        match (open, done) {
            (_, Some(done)) => Ok(performed(done.to()?)),
            (Some(open), None) => Ok(still_open(&open)?),
            (None, None) => {
                Err(Error::new(ErrorKind::NotFound, "no such action is queued, and no outcome of it is kept")
                    .with("id", id))
            }
        }
    }
}

fn performed(done: PerformedAction) -> QueuedAction {
    QueuedAction {
        id: done.id,
        connection: done.connection,
        action: done.action,
        state: if done.error.is_none() { ActionState::Success } else { ActionState::Error },
        queued_at: done.queued_at,
        ended_at: Some(done.ended_at),
        output: done.output,
        error: done.error,
    }
}

fn still_open(stored: &Json) -> Result<QueuedAction> {
    let open: OpenAction = stored.to()?;
    Ok(QueuedAction {
        id: open.id,
        connection: open.connection,
        action: open.action,
        state: if open.holder.is_some() { ActionState::Running } else { ActionState::Waiting },
        queued_at: open.queued_at,
        ended_at: None,
        output: Value::Null,
        error: None,
    })
}

/// Refuses JSON that is too large to be kept.
pub(super) fn check_size(value: &Value, refusal: &'static str) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|source| Error::new(ErrorKind::Invalid, "the value cannot be written as JSON").because(source))?;
    if text.len() > MOST_JSON {
        return Err(Error::new(ErrorKind::Invalid, refusal).with("bytes", text.len()).with("maximum", MOST_JSON));
    }
    Ok(())
}
