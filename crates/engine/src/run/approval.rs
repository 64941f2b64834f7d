//! Deletes that a guard held back: applied or dropped later, without reading anything again.

use highwater_core::{DeleteGuard, Error, ErrorKind, Result, RunId, WriteBatch};

use super::lease::free_or_busy;
use crate::documents::{CountsBeforeDeletes, RunReport, RunState, SyncKey, SyncStatus, connection_key};
use crate::engine::Engine;
use crate::errors::no_connection;
use crate::events::{RunEvent, SyncChange, SyncEvent};
use crate::logs;
use crate::webhooks::outbox::Tally;

impl Engine {
    /// Applies the deletes of a run that waits for approval: the records that it did not see, except those written since.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_engine::logs::LogFilter;
    /// use highwater_engine::runs::RunState;
    /// let waiting = LogFilter::default().state(RunState::AwaitingApproval);
    /// for run in engine.runs_matching(&waiting).await?.runs {
    ///     println!("{} would delete {:?}", run.template, run.held);
    ///     engine.approve(run.id).await?; // or reject
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown run or connection, [`ErrorKind::Invalid`] for a run that does not wait for approval or
    /// that a later refresh replaced, [`ErrorKind::Busy`] while a run of the sync is in progress.
    pub async fn approve(&self, run: RunId) -> Result<RunReport> {
        let (mut report, key, mut batch, mut status) = self.parked(run).await?;
        let id = report.id;
        // The run's changes have not been reported to webhooks yet: it has not succeeded until now.
        let tally = Tally::new(&key);
        tally.open(self.store().as_ref(), &*self.parts().environment).await?;
        for held in &report.held {
            let stream = batch.on(&key.stream(&held.model)).complete_run(id, DeleteGuard::APPROVED);
            tally.account(&held.model, stream);
            batch.remove_document(key.strikes_key(&held.model));
        }
        let now = self.parts().environment.now();
        report.succeed(now);
        let (before, held) = (CountsBeforeDeletes::of(&report), std::mem::take(&mut report.held));
        report.set_final_deletes(&before, held.iter().map(|held| (held.model.as_str(), held.deletes)));
        status.latest.clone_from(&report.models);
        status.last_success_at = Some(now);
        tally.conclude(&report, None, &mut batch)?;
        let report = self.settle(&key, batch, status, report, Some(&before)).await?;
        self.publish_decision(&key, SyncChange::Approved, &report);
        tally.tell_now(self.store().as_ref(), &*self.parts().environment).await;
        Ok(report)
    }

    /// Drops the deletes of a run that waits for approval. Everything it saved stays.
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine, run: highwater_core::RunId) -> highwater_core::Result<()> {
    /// engine.reject(run).await?; // the records stay, and the next full refresh decides again
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`approve`](Engine::approve).
    pub async fn reject(&self, run: RunId) -> Result<RunReport> {
        let (mut report, key, mut batch, status) = self.parked(run).await?;
        let id = report.id;
        for held in &report.held {
            batch.on(&key.stream(&held.model)).abort_run(id);
        }
        let now = self.parts().environment.now();
        let why = "its deletes were rejected; everything it saved stays";
        report.end(RunState::Cancelled, now, ErrorKind::Cancelled, why);
        let report = self.settle(&key, batch, status, report, None).await?;
        self.publish_decision(&key, SyncChange::Rejected, &report);
        Ok(report)
    }

    fn publish_decision(&self, key: &SyncKey, change: SyncChange, report: &RunReport) {
        self.publish(RunEvent::of(report, None));
        let (run, state, error_kind) = (Some(report.id), Some(report.state), report.error_kind);
        self.publish_change(SyncEvent { run, state, error_kind, ..SyncEvent::new(key, change) });
    }

    /// A run that waits for approval, and a batch guarded against concurrent changes.
    async fn parked(&self, run: RunId) -> Result<(RunReport, SyncKey, WriteBatch, SyncStatus)> {
        let report = self.fetch_run(run).await?;
        if report.state != RunState::AwaitingApproval {
            return Err(Error::new(ErrorKind::Invalid, "the run does not wait for approval")
                .with("run", run)
                .with("state", format!("{:?}", report.state))
                .with("reason", report.error.as_deref().unwrap_or("none")));
        }
        let key = report.key()?;
        let place = connection_key(&key.connection);
        let connection = self.store().document(&place).await?;
        if connection.is_none() {
            return Err(no_connection(&key.connection));
        }
        let holder = free_or_busy(self, &key, self.parts().environment.now()).await?;
        self.refuse_if_running(&key)?;
        let status = self.store().document(&key.status_key()).await?;
        let mut batch = WriteBatch::new();
        batch.expect_document(place, connection.as_ref());
        batch.expect_document(key.holder_key(), holder.as_ref());
        batch.expect_document(key.status_key(), status.as_ref());
        batch.take_lease(key.lease_name());
        let mut status: SyncStatus = status.map(|stored| stored.to()).transpose()?.unwrap_or_default();
        status.parked_run = None;
        (status.last_error, status.last_error_kind) = (None, None);
        Ok((report, key, batch, status))
    }

    async fn settle(
        &self,
        key: &SyncKey,
        mut batch: WriteBatch,
        status: SyncStatus,
        mut report: RunReport,
        before: Option<&CountsBeforeDeletes>,
    ) -> Result<RunReport> {
        batch.put_document(key.status_key(), &status)?;
        logs::put_run(&mut batch, key, &report, false)?;
        let commit = self.store().commit(batch).await.map_err(|error| match error.kind() {
            ErrorKind::Fenced => Error::new(
                ErrorKind::Invalid,
                "a later full refresh, or a cleared stream, replaced the run: see the latest run",
            )
            .with("run", report.id)
            .because(error),
            _ => error,
        })?;
        if before.is_some_and(|before| report.correct_final_deletes(before, &commit.streams)) {
            // Records were written since the run was parked, and stay.
            let mut batch = WriteBatch::new();
            logs::put_run(&mut batch, key, &report, false)?;
            self.store().commit(batch).await?;
        }
        Ok(report)
    }
}
