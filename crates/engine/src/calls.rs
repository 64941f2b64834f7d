//! The log of what a host did with a connection by itself: actions, and requests by proxy. They lie beside the runs and
//! are found by the same filters.

use std::sync::Mutex;

use highwater_core::template::{HttpRequest, HttpResponse, LogLevel};
use highwater_core::{Error, Result, WriteBatch};

use crate::engine::{Engine, lock};
use crate::http::Client;
use crate::logs;
use crate::run::{Lines, RunEvent, RunMode, RunReport, RunState};
use crate::sync::SyncKey;

/// A call in progress.
pub(crate) struct Call<'e> {
    engine: &'e Engine,
    key: SyncKey,
    report: RunReport,
    lines: Mutex<Lines>,
}

impl<'e> Call<'e> {
    /// Begins the record of an action or a request. `name` takes the place of a template's.
    pub(crate) fn begin(engine: &'e Engine, connection: &str, name: &str, mode: RunMode) -> Result<Self> {
        let key = SyncKey::new(connection, name)?;
        let report = RunReport::new(&key, engine.new_run_id(), mode, engine.parts().environment.now_ms());
        Ok(Call { engine, key, report, lines: Mutex::default() })
    }

    /// Adds a line. It holds no secret any more.
    pub(crate) fn line(&self, level: LogLevel, message: &str) {
        let parts = self.engine.parts();
        lock(&self.lines).push(&parts.logs, parts.environment.now_ms(), level, message);
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
    pub(crate) async fn end(self, client: &Client, error: Option<&Error>) {
        let Call { engine, key, mut report, lines } = self;
        let state = error.map_or(RunState::Success, RunState::of);
        let error = error.map(|error| client.session().redact(&error.to_string()));
        let now_ms = engine.parts().environment.now_ms();
        report.end(state, now_ms, error);
        if engine.parts().logs.calls
            && let Err(error) = store(engine, &key, &report, &lines).await
        {
            tracing::warn!(target: "highwater::action", sync = %key, "the record of a call could not be stored: {error}");
        }
        engine.publish(RunEvent::of(&report, report.error.clone()));
    }
}

async fn store(engine: &Engine, key: &SyncKey, report: &RunReport, lines: &Mutex<Lines>) -> Result<()> {
    let mut batch = WriteBatch::new();
    logs::put_run(&mut batch, key, report, true)?;
    lock(lines).take(report.run_id()?, &mut batch)?;
    logs::prune_runs(engine, &mut batch, key, 1).await?;
    engine.store().commit(batch).await.map(drop)
}

/// The method and the path of a request: what may stand in a log.
pub(crate) fn asked(request: &HttpRequest) -> String {
    let path = request.url.split(['?', '#']).next().unwrap_or_default();
    format!("{} {path}", request.method)
}
