//! `highwater sync`

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use highwater::engine::{CancelToken, RunEvent, RunState};
use highwater::template::auth::CredentialUse;
use highwater::template::{Template, TemplateInfo};
use highwater::{ConnectionSettings, Error, ErrorKind, Result, RunOptions};
use tokio::sync::broadcast::Receiver;

use super::account::{self, AccountOptions};
use super::runs;
use crate::args::StoreOptions;
use crate::args::values::duration;
use crate::output::{Meter, Output};
use crate::{stores, vaults};

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
    let templates = options.store.catalogue.templates()?;
    let known = Known::find(options).await?;
    let info = check_template(&templates, &template, options, known.as_ref())?.clone();
    let token = options.account.token_env.as_deref().map(account::read_token).transpose()?;
    let store = stores::open(&options.store)?;
    stores::tell_unfinished(&*store, output).await?;
    let engine = vaults::engine(&store, &options.store).await?;
    let mut settings = known.map_or_else(|| new_connection(options), |known| known.settings);
    if let Some(url) = &options.account.base_url {
        settings = settings.base_url(url);
    }
    settings.config.extend(options.account.config.iter().cloned());
    let connection = settings.id.clone();
    engine.connect(settings).await?;
    if let Some(token) = token {
        engine.use_credentials(&connection, account::credentials(&info.provider, &token)?);
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
    if outcome.is_ok()
        && let Some(model) = info.models.first()
    {
        output.line(format!(
            "Next: highwater tail {} --connection {connection}{}",
            model.name,
            options.store.repeated()
        ));
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
    known: Option<&Known>,
) -> Result<&'t TemplateInfo> {
    let infos = || templates.iter().map(|template| template.info());
    let info = infos().find(|info| info.id() == wanted).ok_or_else(|| account::no_such_template(wanted, infos()))?;
    let given = |name: &str| {
        options.account.config.iter().any(|(key, _)| key == name)
            || known.is_some_and(|known| known.settings.config.contains_key(name))
    };
    if let Some(key) = info.config.iter().find(|key| key.required && !key.secret && !given(&key.name)) {
        let message = format!("a setting is missing: add --config {}=...", key.name);
        return Err(Error::new(ErrorKind::Invalid, message).with("help", &key.help));
    }
    if info.credentials == CredentialUse::Required
        && options.account.token_env.is_none()
        && !known.is_some_and(|known| known.signed_in)
    {
        return Err(account::needs_token(info));
    }
    Ok(info)
}

/// A connection that the store has.
struct Known {
    settings: ConnectionSettings,
    /// Whether its credentials are stored.
    signed_in: bool,
}

impl Known {
    /// The connection that is meant: the one of the name; without one, the connection of these settings, or the provider's
    /// only one.
    async fn find(options: &SyncOptions) -> Result<Option<Self>> {
        // If the store cannot be opened, opening it for writing reports the reason.
        let Ok(store) = stores::open_reading(&options.store) else { return Ok(None) };
        let all = stores::engine(&store, &options.store)?.connections().await?;
        let id = new_connection(options).id;
        let anywhere =
            options.connection.is_none() && options.account.config.is_empty() && options.account.base_url.is_none();
        let mut of_provider = all.iter().filter(|known| known.provider == options.provider);
        let only = of_provider.next().filter(|_| of_provider.next().is_none() && anywhere);
        let Some(settings) = all.iter().find(|known| known.id == id).or(only) else {
            store.close().await?;
            return Ok(None);
        };
        let signed_in = options.account.token_env.is_none()
            && vaults::has_credentials(&store, &options.store, &settings.id).await?;
        store.close().await?;
        Ok(Some(Known { settings: settings.clone(), signed_in }))
    }
}

fn new_connection(options: &SyncOptions) -> ConnectionSettings {
    let id = options.connection.clone();
    let id = id.unwrap_or_else(|| account::connection_id(&options.provider, &options.account.config));
    ConnectionSettings::new(id, &options.provider)
}
