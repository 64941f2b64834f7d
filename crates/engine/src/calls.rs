//! The log of what a host did with a connection by itself: actions, and requests by proxy. They lie beside the runs and
//! are found by the same filters.
//!
//! A record is stored before anything is sent. Where a crash, or a host that lost patience, cuts a call off, whoever
//! looks next ends its record: what came of it is unknown.

use std::convert::Infallible;
use std::sync::Mutex;

use highwater_core::locks::lock;
use highwater_core::{Document, Error, ErrorKind, Result, RunId, Timestamp, WriteBatch};
use highwater_template::{HttpRequest, HttpResponse, LogLevel};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::documents::{Holder, RunMode, RunReport, RunState, SyncKey, connection_key};
use crate::engine::Engine;
use crate::events::RunEvent;
use crate::http::Client;
use crate::logs;
use crate::logs::Lines;
use crate::mutants::mutant;
use crate::timer;
use crate::urls::without_credentials;

/// Where every call in progress lies.
const OPEN: &str = "call/";

/// Calls read at a time.
const PAGE: usize = 100;

/// What is told of a call that was cut off.
const INTERRUPTED: &str = "interrupted: outcome unknown; look at the API before you do it again";

/// A call in progress, for whoever finds it later.
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
    /// Begins the record of an action or a request. `name` takes the place of a template's. A store that fails here
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

    /// Commits, unless the connection was removed: then nothing more is written for it.
    async fn commit(&self, mut batch: WriteBatch) -> Result<()> {
        let place = connection_key(&self.key.connection);
        let connection = self.engine.store().document(&place).await?;
        if connection.is_none() {
            return Ok(());
        }
        batch.expect_document(place, connection.as_ref());
        self.engine.store().commit(batch).await.map(drop)
    }

    /// Says that the call is alive.
    fn put_open(&self, batch: &mut WriteBatch) -> Result<()> {
        let parts = self.engine.parts();
        let holder = parts.holder(parts.environment.now());
        let open = Open { sync: self.key.path(), holder };
        batch.put_document(open_key(self.active.id), &open).map(drop)
    }

    /// Does the work of the call, and says at intervals that it is alive.
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
                // At worst its outcome is told as unknown until it ends.
                tracing::warn!(target: "highwater::action", sync = %self.key, "a sign of life: {error}");
            }
        }
    }

    /// Adds a line. It holds no secret any more.
    pub(crate) fn line(&self, level: LogLevel, message: &str) {
        let parts = self.engine.parts();
        lock(&self.lines).push(&parts.logs, parts.environment.now(), level, message);
    }

    /// Adds a line about a request and its answer: its method, where it went, and what came back; nothing of the
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

    /// Ends the record and stores it. What was done is done: a store that fails here is told to `tracing` alone.
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
        // Its record may be one that was ended meanwhile, or pruned away: this is how it was.
        logs::put_run(&mut batch, &self.key, &self.report, true)?;
        batch.remove_document(open_key(self.active.id));
        lock(&self.lines).take(self.active.id, &mut batch)?;
        logs::prune_runs(self.engine, &mut batch, &self.key, 0).await?;
        self.commit(batch).await
    }
}

/// A call's place among those of its engine; given back when dropped.
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
    /// Ends the records of calls that were cut off. Returns when to look again at those that may yet be alive in
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
            // It ended, or showed that it is alive, at this moment.
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

/// The method and the path of a request: what may stand in a log.
pub(crate) fn asked(request: &HttpRequest) -> String {
    let mut whole = Url::parse(&request.url).ok();
    if let Some(url) = &mut whole {
        without_credentials(url);
    }
    let url = whole.as_ref().map_or(&*request.url, Url::as_str);
    let path = url.split(['?', '#']).next().unwrap_or_default();
    format!("{} {path}", request.method)
}
