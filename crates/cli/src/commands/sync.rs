//! `highwater sync`

use std::sync::Arc;

use highwater::engine::{CancelToken, RunEvent};
use highwater::{ConnectionSettings, Engine, Error, ErrorKind, Result, RunOptions, Secret};
use tokio::sync::broadcast::Receiver;

use crate::args::SyncOptions;
use crate::output::{Meter, Output};
use crate::stores;

pub(crate) async fn run(options: &SyncOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let template = format!("{}/{}", options.provider, options.template);
    let token = options.token_env.as_deref().map(read_token).transpose()?;
    check_template(&template, options)?;
    let store = stores::open(&options.store)?;
    let engine = Engine::builder(Arc::clone(&store)).templates(highwater::templates::all()).build()?;
    let connection = options.connection.clone().unwrap_or_else(|| default_connection(options));
    let mut settings = ConnectionSettings::new(&connection, &options.provider);
    settings.base_url.clone_from(&options.base_url);
    settings.config.extend(options.config.iter().cloned());
    engine.connect(settings).await?;
    if let Some(token) = token {
        engine.set_token(&connection, token);
    }
    let outcome = loop {
        let run =
            RunOptions::default().full(options.full).approve_deletes(options.approve_deletes).cancel(cancel.clone());
        let mut meter = Meter::new(output, &template);
        let mut events = engine.events();
        let running = engine.run_once(&connection, &template, run);
        tokio::pin!(running);
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                Some(event) = next(&mut events) => meter.update(output, &event.progress, event.message.as_deref()),
            }
        };
        meter.end();
        match (&outcome, options.every) {
            (Ok(report), _) => {
                output.object(report);
                output.line(format!("{connection}: {}", meter.text(&report.progress)));
            }
            (Err(error), Some(_)) if error.is_retryable() => output.fail(error),
            (Err(_), _) => break outcome.map(drop),
        }
        let Some(every) = options.every else { break Ok(()) };
        tokio::select! {
            () = cancel.cancelled() => break Ok(()),
            () = tokio::time::sleep(every) => {}
        }
    };
    store.close().await?;
    if outcome.is_ok() {
        let db = options.store.db.display();
        let model = engine.templates().find(|info| info.id() == template).and_then(|info| info.models.first());
        if let Some(model) = model {
            output.line(format!("Next: highwater tail {} --connection {connection} --db {db}", model.name));
        }
    }
    outcome
}

async fn next(events: &mut Receiver<RunEvent>) -> Option<RunEvent> {
    loop {
        match events.recv().await {
            Ok(event) => return Some(event),
            // We were slow: the next one tells as much.
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
        }
    }
}

/// Tells of a wrong template before any file is made.
fn check_template(wanted: &str, options: &SyncOptions) -> Result<()> {
    let templates = highwater::templates::all();
    let Some(found) = templates.iter().find(|template| template.info().id() == wanted) else {
        let known: Vec<String> = templates.iter().map(|template| template.info().id().replace('/', " ")).collect();
        return Err(Error::new(
            ErrorKind::NotFound,
            "no such template; the known ones are listed by `highwater templates`",
        )
        .with("template", wanted)
        .with("known", known.join(", ")));
    };
    let given = |name: &str| options.config.iter().any(|(key, _)| key == name);
    match found.info().config.iter().find(|key| key.required && !given(&key.name)) {
        None => Ok(()),
        Some(key) => {
            Err(Error::new(ErrorKind::Invalid, format!("a setting is missing: add --config {}=...", key.name))
                .with("help", &key.help))
        }
    }
}

fn read_token(name: &str) -> Result<Secret> {
    match std::env::var(name) {
        Ok(token) if !token.trim().is_empty() => Ok(Secret::new(token.trim())),
        _ => {
            Err(Error::new(ErrorKind::Invalid, "the environment variable with the token is not set").with("name", name))
        }
    }
}

/// One connection per provider and settings, so that two repositories do not share a stream.
fn default_connection(options: &SyncOptions) -> String {
    let mut parts = vec![options.provider.as_str()];
    parts.extend(options.config.iter().map(|(_, value)| value.as_str()));
    let id: String =
        parts.join("-").chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    id.chars().take(180).collect()
}
