//! The log of a host's own calls over a connection: actions and proxied requests. They are stored beside the runs and
//! found by the same filters.
//!
//! A record is stored before anything is sent. If a crash, or a host that dropped the future, interrupts a call, the next
//! engine that checks ends its record: the outcome is unknown.

use std::convert::Infallible;
use std::sync::Mutex;

use highwater_core::locks::lock;
use highwater_core::{Document, Error, ErrorKind, Result, RunId, Timestamp, WriteBatch};
use highwater_template::{HttpRequest, HttpResponse, LogLevel};
use serde::{Deserialize, Serialize};

use crate::documents::{Holder, RunMode, RunReport, RunState, SyncKey, connection_key};
use crate::engine::Engine;
use crate::events::RunEvent;
use crate::http::Client;
use crate::logs;
use crate::logs::Lines;
use crate::mutants::mutant;
use crate::timer;
use crate::urls::Url;

/// The key prefix of all calls in progress.
const OPEN: &str = "call/";

/// Calls read at a time.
const PAGE: usize = 100;

/// The error of an interrupted call.
const INTERRUPTED: &str = "interrupted: outcome unknown; check the API before you repeat it";

/// The stored form of a call in progress.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    sync: String,
    holder: Holder,
}

/// A call in progress.
pub(crate) struct Call<'e> {
    engine: &'e Engine,
    active: Active<'e>,
    key: SyncKey,
    report: RunReport,
    lines: Mutex<Lines>,
}

impl<'e> Call<'e> {
    /// Begins the record of an action or a request. `name` replaces a template's name. A store that fails here
    /// hinders nothing.
    pub(crate) async fn begin(engine: &'e Engine, connection: &str, name: &str, mode: RunMode) -> Result<Self> {
        let key = SyncKey::new(connection, name)?;
        let id = engine.new_run_id();
        let report = RunReport::new(&key, id, mode, engine.parts().environment.now());
        let call = Call { engine, active: Active::begin(engine, id), key, report, lines: Mutex::default() };
        if engine.parts().logs.calls
            && let Err(error) = call.open().await
        {
            tracing::warn!(target: "highwater::action", sync = %call.key, "the beginning of a call could not be stored: {error}");
        }
        Ok(call)
    }

    async fn open(&self) -> Result<()> {
        self.engine.settle_calls().await?;
        if mutant!("call-unopened") {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        logs::put_run(&mut batch, &self.key, &self.report, true)?;
        self.put_open(&mut batch)?;
        self.commit(batch).await
    }

    /// Commits, unless the connection was removed, after which nothing more is written for it.
    async fn commit(&self, mut batch: WriteBatch) -> Result<()> {
        let place = connection_key(&self.key.connection);
        let connection = self.engine.store().document(&place).await?;
        if connection.is_none() {
            return Ok(());
        }
        batch.expect_document(place, connection.as_ref());
        self.engine.store().commit(batch).await.map(drop)
    }

    /// Sends a heartbeat.
    fn put_open(&self, batch: &mut WriteBatch) -> Result<()> {
        let parts = self.engine.parts();
        let holder = parts.holder(parts.environment.now());
        let open = Open { sync: self.key.path(), holder };
        batch.put_document(open_key(self.active.id), &open).map(drop)
    }

    /// Does the work of the call, and sends heartbeats.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.keep_alive(), if self.engine.parts().logs.calls => match never {},
        }
    }

    async fn keep_alive(&self) -> Infallible {
        loop {
            timer::sleep(self.engine.parts().lease_ttl / 3).await;
            let mut batch = WriteBatch::new();
            let outcome = match self.put_open(&mut batch) {
                Ok(()) => self.commit(batch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                // At worst its outcome is reported as unknown until it ends.
                tracing::warn!(target: "highwater::action", sync = %self.key, "the heartbeat failed: {error}");
            }
        }
    }

    /// Adds a line, already redacted.
    pub(crate) fn line(&self, level: LogLevel, message: &str) {
        let parts = self.engine.parts();
        lock(&self.lines).push(&parts.logs, parts.environment.now(), level, message);
    }

    /// Adds a line about a request and its answer: method, host and path, and the status; never the
    /// query, the headers or the bodies.
    pub(crate) fn note_exchange(&self, client: &Client, asked: &str, answer: &Result<HttpResponse>) {
        match answer {
            Ok(answer) => {
                let level = if answer.status < 400 { LogLevel::Info } else { LogLevel::Warning };
                self.line(level, &client.session().redact(&format!("{asked}: {}", answer.status)));
            }
            Err(error) => self.line(LogLevel::Error, &client.session().redact(&format!("{asked}: {error}"))),
        }
    }

    /// Ends the record and stores it. The call has had its effect, so a store that fails here is only reported to `tracing`.
    pub(crate) async fn end(mut self, error: Option<&Error>) {
        let now = self.engine.parts().environment.now();
        match error {
            None => self.report.succeed(now),
            Some(error) => self.report.fail(error, now),
        }
        if self.engine.parts().logs.calls
            && let Err(error) = self.store().await
        {
            tracing::warn!(target: "highwater::action", sync = %self.key, "the record of a call could not be stored: {error}");
        }
        self.engine.publish(RunEvent::of(&self.report, None));
    }

    async fn store(&self) -> Result<()> {
        let mut batch = WriteBatch::new();
        // Its record may have been ended or pruned in the meantime: this is the true outcome.
        logs::put_run(&mut batch, &self.key, &self.report, true)?;
        batch.remove_document(open_key(self.active.id));
        lock(&self.lines).take(self.active.id, &mut batch)?;
        logs::prune_runs(self.engine, &mut batch, &self.key, 0).await?;
        self.commit(batch).await
    }
}

/// A call's slot among those of its engine; released when dropped.
struct Active<'e> {
    engine: &'e Engine,
    id: RunId,
}

impl<'e> Active<'e> {
    fn begin(engine: &'e Engine, id: RunId) -> Self {
        lock(&engine.parts().calls).insert(id);
        Active { engine, id }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        lock(&self.engine.parts().calls).remove(&self.id);
    }
}

impl Engine {
    /// Ends the records of interrupted calls. Returns when to check again those that may still be alive in
    /// another process.
    pub(crate) async fn settle_calls(&self) -> Result<Option<Timestamp>> {
        let (mut after, mut next) = (String::new(), None::<Timestamp>);
        loop {
            let page = self.store().documents(OPEN, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(next) };
            after.clone_from(&last.key);
            for document in &page {
                let open: Open = document.value.to()?;
                let id = document.key.strip_prefix(OPEN).unwrap_or_default().parse()?;
                if self.parts().is_kept_out_by(&open.holder, self.parts().environment.now()) {
                    next = Some(next.map_or(open.holder.until, |known| known.min(open.holder.until)));
                } else if !lock(&self.parts().calls).contains(&id) {
                    self.settle_call(document, &SyncKey::from_path(&open.sync)?, id).await?;
                }
            }
        }
    }

    async fn settle_call(&self, document: &Document, key: &SyncKey, id: RunId) -> Result<()> {
        let place = &*document.key;
        let mut batch = WriteBatch::new();
        batch.expect_document(place, Some(&document.value)).remove_document(place);
        let report = logs::read_run(self.store().as_ref(), key, id).await?;
        let mut report = report.filter(|report| report.state == RunState::Running);
        if let Some(report) = &mut report {
            report.end(RunState::Error, self.parts().environment.now(), ErrorKind::Cancelled, INTERRUPTED);
            logs::put_run(&mut batch, key, report, false)?;
        }
        match self.store().commit(batch).await {
            // It ended, or sent a heartbeat, at this moment.
            Err(error) if error.kind() == ErrorKind::Conflict => return Ok(()),
            outcome => outcome?,
        };
        if let Some(report) = report {
            self.publish(RunEvent::of(&report, None));
        }
        Ok(())
    }
}

fn open_key(id: RunId) -> String {
    format!("{OPEN}{id}")
}

/// The method and the path of a request: the parts that may be logged.
pub(crate) fn asked(request: &HttpRequest) -> String {
    let whole = Url::parse(&request.url).ok();
    let url = whole.as_ref().map_or(&*request.url, Url::as_str);
    let path = url.split(['?', '#']).next().unwrap_or_default();
    format!("{} {path}", request.method)
}
