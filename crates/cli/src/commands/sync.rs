//! `highwater sync`

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use highwater::engine::{CancelToken, RunEvent, RunState};
use highwater::template::auth::CredentialUse;
use highwater::template::{Template, TemplateInfo};
use highwater::{ConnectionSettings, Engine, Error, ErrorKind, Result, RunOptions};
use tokio::sync::broadcast::Receiver;

use super::account::{self, AccountOptions};
use super::runs;
use crate::args::StoreOptions;
use crate::args::values::duration;
use crate::output::{Meter, Output};
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct SyncOptions {
    /// The provider, such as `github`.
    provider: String,
    /// The template, such as `issues`.
    template: String,
    #[command(flatten)]
    account: AccountOptions,
    /// The connection's id. Defaults to one derived from provider and settings.
    #[arg(long)]
    connection: Option<String>,
    /// Read everything again, and detect deletes.
    #[arg(long)]
    full: bool,
    /// Allow deletes that the guard held back.
    #[arg(long)]
    approve_deletes: bool,
    /// Repeat at this interval, such as `5m`.
    #[arg(long, value_parser = duration)]
    every: Option<Duration>,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &SyncOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let template = format!("{}/{}", options.provider, options.template);
    let templates = highwater::templates::all();
    let info = check_template(&templates, &template, options)?.clone();
    let token = options.account.token_env.as_deref().map(account::read_token).transpose()?;
    let store = stores::open(&options.store)?;
    stores::tell_unfinished(&*store, output).await?;
    let engine = Engine::builder(Arc::clone(&store)).templates(templates).build()?;
    let connection = options.connection.clone().unwrap_or_else(|| default_connection(options));
    let mut settings = ConnectionSettings::new(&connection, &options.provider);
    settings.base_url.clone_from(&options.account.base_url);
    settings.config.extend(options.account.config.iter().cloned());
    engine.connect(settings).await?;
    if let Some(token) = token {
        engine.use_credentials(&connection, account::credentials(&info.provider, &token));
    }
    let sync = engine.sync(&connection, &template)?;
    let outcome = loop {
        let run =
            RunOptions::default().full(options.full).approve_deletes(options.approve_deletes).cancel(cancel.clone());
        let mut meter = Meter::new(output, &template);
        let mut events = engine.events();
        let running = sync.run_once(run);
        tokio::pin!(running);
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                // Its end is reported below.
                Some(event) = next(&mut events) => if event.state != RunState::Error {
                    meter.update(output, &event.progress, event.message.as_deref());
                },
            }
        };
        meter.end();
        match (&outcome, options.every) {
            (Ok(report), _) => {
                output.object("run", report);
                output.line(format!("{connection}: {}", meter.text(&report.progress)));
                runs::left_out(report).iter().for_each(|line| output.line(line));
            }
            (Err(error), Some(_)) if error.is_retryable() => output.fail(error),
            (Err(_), _) => break outcome.map(drop),
        }
        // After the reader of the output is gone, the current run ends normally, but no other follows.
        let Some(every) = options.every.filter(|_| !output.is_closed()) else { break Ok(()) };
        tokio::select! {
            () = cancel.cancelled() => break Ok(()),
            () = tokio::time::sleep(every) => {}
        }
    };
    store.close().await?;
    if outcome.is_ok() {
        let db = options.store.db.display();
        if let Some(model) = info.models.first() {
            output.line(format!("Next: highwater tail {} --connection {connection} --db {db}", model.name));
        }
    }
    outcome
}

async fn next(events: &mut Receiver<RunEvent>) -> Option<RunEvent> {
    loop {
        match events.recv().await {
            Ok(event) => return Some(event),
            // We were slow: the next event has the totals too.
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
        }
    }
}

/// Reports a wrong template, a missing setting or a missing token before any file is created.
fn check_template<'t>(
    templates: &'t [Arc<dyn Template>],
    wanted: &str,
    options: &SyncOptions,
) -> Result<&'t TemplateInfo> {
    let infos = || templates.iter().map(|template| template.info());
    let info = infos().find(|info| info.id() == wanted).ok_or_else(|| account::no_such_template(wanted, infos()))?;
    let given = |name: &str| options.account.config.iter().any(|(key, _)| key == name);
    if let Some(key) = info.config.iter().find(|key| key.required && !key.secret && !given(&key.name)) {
        let message = format!("a setting is missing: add --config {}=...", key.name);
        return Err(Error::new(ErrorKind::Invalid, message).with("help", &key.help));
    }
    if info.credentials == CredentialUse::Required && options.account.token_env.is_none() {
        return Err(account::needs_token(info));
    }
    Ok(info)
}

/// One connection per provider and settings, so that two repositories do not share a stream.
fn default_connection(options: &SyncOptions) -> String {
    let mut parts = vec![options.provider.as_str()];
    parts.extend(options.account.config.iter().map(|(_, value)| value.as_str()));
    let id: String =
        parts.join("-").chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    id.chars().take(180).collect()
}
