//! One run of a sync, from its lease to its report.

mod approval;
mod begin;
mod deletes;
mod dry_run;
mod end;
mod host;
mod lease;
mod options;
mod turn;

pub use dry_run::DryRun;
pub use options::RunOptions;

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result, Timestamp};
use highwater_template::auth::CredentialUse;
use highwater_template::host::{ApiHost, RunSetup};
use highwater_template::{LogLevel, SyncContext, Template};
use tracing::Instrument;

use crate::cancel::CancelToken;
use crate::documents::{ConnectionSettings, Gate, RunPhaseKind, RunReport, SyncKey};
use crate::engine::Engine;
use crate::http::Client;
use crate::timer;
use crate::webhooks::outbox::Tally;
use begin::{Begun, Start};
use host::Host;

/// How long a stopping run still waits for a credential renewal in progress.
const RENEWAL_GRACE: Duration = Duration::from_secs(5);

/// The outcome of a scheduled run.
pub(crate) enum Outcome {
    /// The run took place.
    Ran(Result<Box<RunReport>>),
    /// It is not due before this time.
    NotDue(Timestamp),
    /// The sync is paused or disabled, or its schedule has no further slot.
    NotWanted,
}

/// A run about to begin.
pub(crate) struct Run<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) key: &'e SyncKey,
    pub(crate) connection: ConnectionSettings,
    pub(crate) template: Arc<dyn Template>,
    pub(crate) options: RunOptions,
    /// The engine's own cancel token.
    pub(crate) stop: CancelToken,
}

impl Run<'_> {
    /// Runs to the end. The report is stored in every case; an error is also returned.
    pub(crate) async fn execute(self) -> Result<Outcome> {
        let met = self.engine.meet(&self.connection.id).await?;
        match self.engine.gate(&self.connection.id, &met) {
            Gate::Closed if self.options.scheduled => return Ok(Outcome::NotWanted),
            Gate::ClosedUntil(at) if self.options.scheduled => return Ok(Outcome::NotDue(at)),
            _ => {}
        }
        // Faults of the settings are reported before anything begins.
        let mut client = match self.client().await {
            Ok(client) => client,
            Err(error) => {
                self.engine.settle_health(&self.connection.id, &met, Some(&error)).await;
                return Err(error);
            }
        };
        let mut begun = match begin::begin(self.engine, self.key, &self.options).await? {
            Start::Begun(begun) => *begun,
            Start::NotDue(at) => return Ok(Outcome::NotDue(at)),
            Start::NotWanted => return Ok(Outcome::NotWanted),
        };
        let mut began_over = false;
        loop {
            let could_reset = begun.run.checkpoint.is_some();
            let span = tracing::info_span!(
                "highwater.run",
                run = %begun.run.id,
                connection = %self.key.connection,
                sync = %self.key.sync_name(),
                mode = ?begun.run.report.mode,
            );
            let host = Host::new(self.engine, self.key, client, &begun, Tally::new(self.key));
            host.tell(None);
            let outcome = self.attempt(&begun, &host).instrument(span).await;
            let outcome = outcome.map_err(|error| host.redact_error(error));
            let outcome = match outcome {
                Err(error) if error.kind() == ErrorKind::SourceReset && could_reset => {
                    match self.begin_over(&begun, &host, &error).await {
                        Ok(next) => {
                            (begun, client) = next;
                            began_over = true;
                            continue;
                        }
                        // No other run can begin: this one ends with that error.
                        Err(error) => Err(error),
                    }
                }
                Err(error) if !could_reset && !began_over => Err(nothing_forgotten(error)),
                outcome => outcome,
            };
            self.engine.settle_health(&self.connection.id, &met, outcome.as_ref().err()).await;
            begun.interrupted = self.options.scheduled && self.options.cancel.is_cancelled();
            let report = end::finish(self.engine, &begun, &host, outcome).await;
            return Ok(Outcome::Ran(report.map(Box::new)));
        }
    }

    /// Ends a run whose checkpoint the API no longer knows, and begins one that reads everything.
    async fn begin_over(&self, begun: &Begun, host: &Host<'_>, why: &Error) -> Result<(Begun, Client)> {
        let client = self.client().await?;
        host.log(LogLevel::Warning, "the API no longer knows the checkpoint: reading everything again");
        host.flush().await?;
        let next = begin::begin_over(self.engine, self.key, begun, host.report(), why).await?;
        host.change_report(|report| report.fail(why, next.run.report.started_at));
        host.tell(None);
        Ok((next, client))
    }

    async fn client(&self) -> Result<Client> {
        let info = self.template.info();
        let parts = self.engine.parts();
        parts.admit(&self.connection, &info.provider)?;
        let config = self.connection.config_for(info)?;
        let origins = self.connection.origins(self.template.origins(&config)?);
        let client = parts.client(&self.connection, &info.provider, &origins, info.credentials).await?;
        let credentials = client.session().credentials().await?;
        if info.credentials == CredentialUse::Required && !credentials.can_sign_in() {
            client.session().note_missing();
            return Err(Error::new(ErrorKind::Unauthorized, "the template needs a token: set one for the connection")
                .with("template", info.id())
                .with("connection", &self.connection.id));
        }
        credentials.check(&info.config)?;
        Ok(client)
    }

    /// Fetches, and completes a successful run, until its timeout or until it is cancelled.
    async fn attempt(&self, begun: &Begun, host: &Host<'_>) -> Result<()> {
        let config = self.connection.config_for(self.template.info())?;
        let full = host.full;
        let setup = RunSetup::new(&self.connection.id)
            .config(config)
            .metadata(self.connection.metadata.clone())
            .checkpoint(begun.run.checkpoint.clone())
            .variant(self.key.variant.clone())
            .resumed(full && begun.run.checkpoint.is_some())
            .started_at(begun.run.report.started_at);
        let mut context = SyncContext::new(host, setup);
        let work = async {
            host.open_tally().await?;
            host.open_aside().await?;
            if full {
                host.open_streams(self.template.info().models.iter().map(|model| model.name.as_str())).await?;
            }
            self.template.fetch(&mut context).await?;
            context.finish().await?;
            let settling = host.elapsed();
            let approved = self.options.approve_deletes;
            let settled = deletes::settle(host, &*self.template, &mut context, &begun.run, approved).await;
            host.spend(RunPhaseKind::Deletes, host.deletes_found(), settling);
            settled
        };
        let mut work = std::pin::pin!(work);
        let error = tokio::select! {
            biased;
            () = self.options.cancel.cancelled() => cancelled(),
            () = self.stop.cancelled() => cancelled(),
            outcome = &mut work => return outcome,
            error = host.keep_alive() => error,
            () = timer::sleep(begun.run.timeout) => Error::new(
                ErrorKind::TimedOut,
                "the run exceeded its time limit; everything saved stays, and the next run continues from there",
            )
            .with("seconds", begun.run.timeout.as_secs()),
        };
        // A single-use token may be in flight: dropped now, it would be lost for good.
        tokio::select! {
            biased;
            () = host.renewed() => {}
            _ = work => {}
            () = timer::sleep(RENEWAL_GRACE) => {}
        }
        Err(error)
    }
}

fn cancelled() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "the run was cancelled; everything saved stays, and the next run continues from there",
    )
}

/// Converts the error "the source forgot the checkpoint" of a run without one: the requested resource is gone.
pub(crate) fn nothing_forgotten(error: Error) -> Error {
    match error.kind() {
        ErrorKind::SourceReset => error.into_kind(ErrorKind::NotFound),
        _ => error,
    }
}
