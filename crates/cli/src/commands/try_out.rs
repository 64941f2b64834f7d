//! `highwater dryrun`, `highwater act` and `highwater proxy`: an API and its templates, without a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use highwater::engine::CancelToken;
use highwater::template::HttpRequest;
use highwater::{
    ConnectionSettings, Cursor, Engine, Error, ErrorKind, MemoryStore, Result, RunOptions, Store, StoreExt, StreamKey,
};
use serde_json::Value;

use super::account::{self, AccountOptions};
use crate::output::{Output, counted, one_line};

/// The connection's id: it lives as long as the command.
const CONNECTION: &str = "dryrun";

#[derive(Debug, Args)]
pub(crate) struct DryRunOptions {
    /// The template, such as `github/issues`.
    template: String,
    /// Check every record against its model's schema.
    #[arg(long)]
    validate: bool,
    /// Print at most so many records of each model.
    #[arg(long, default_value_t = 10)]
    limit: usize,
    #[command(flatten)]
    account: AccountOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ActOptions {
    /// The action, such as `github/create_issue`.
    action: String,
    /// Its input, as JSON.
    #[arg(default_value = "{}")]
    input: String,
    #[command(flatten)]
    account: AccountOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ProxyOptions {
    /// The provider, such as `github`.
    provider: String,
    /// `GET`, `POST`, ...
    method: String,
    /// The path, with its query.
    path: String,
    /// A JSON body.
    #[arg(long)]
    body: Option<String>,
    #[command(flatten)]
    account: AccountOptions,
}

pub(crate) async fn dry_run(options: &DryRunOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let provider = options.template.split('/').next().unwrap_or_default();
    let (engine, store) = engine(provider, &options.account).await?;
    let found = engine.templates().find(|info| info.id() == options.template).cloned();
    let run = RunOptions::default().cancel(cancel.clone());
    let outcome = engine.sync(CONNECTION, &options.template)?.run_once(run).await;
    let mut faults = 0;
    for model in found.iter().flat_map(|info| &info.models) {
        let schema = match (&model.schema, options.validate) {
            (Some(schema), true) => Some(jsonschema::validator_for(schema).map_err(|source| {
                Error::new(ErrorKind::Internal, "the model's schema is not valid")
                    .with("model", &model.name)
                    .because(source.to_string())
            })?),
            (None, true) => {
                output.note(format!("{}: the model has no schema", model.name));
                None
            }
            _ => None,
        };
        let (mut count, mut cursor) = (0, Cursor::START);
        loop {
            let page = store
                .records(&StreamKey::new(CONNECTION, model.name.as_str()))
                .since(cursor)
                .limit(1000)
                .page()
                .await?;
            cursor = page.next_cursor;
            for change in &page.changes {
                count += 1;
                if count <= options.limit {
                    output.object(&change.record);
                    let text =
                        change.record.payload.as_ref().map(|payload| one_line(payload.as_str())).unwrap_or_default();
                    output.line(format!("{} {} {text}", model.name, change.record.id));
                }
                if let Some(schema) = &schema {
                    for fault in schema.iter_errors(&change.record.to::<Value>()?) {
                        faults += 1;
                        let at = fault.instance_path.to_string();
                        let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
                        output.note(format!("{} {}: {fault}{at}", model.name, change.record.id));
                    }
                }
            }
            if page.caught_up {
                break;
            }
        }
        output.note(format!("{}: {} would be saved", model.name, counted(count, "record")));
    }
    outcome?;
    match faults {
        0 => Ok(()),
        faults => {
            Err(Error::new(ErrorKind::Invalid, "records do not match their model's schema").with("faults", faults))
        }
    }
}

pub(crate) async fn act(options: &ActOptions, output: &Output) -> Result<()> {
    let input: Value = serde_json::from_str(&options.input)
        .map_err(|source| Error::new(ErrorKind::Invalid, "the action's input is no JSON").because(source))?;
    let provider = options.action.split('/').next().unwrap_or_default();
    let (engine, _) = engine(provider, &options.account).await?;
    let result = engine.act(CONNECTION, &options.action, input).await?;
    output.object(&result);
    format!("{result:#}").lines().for_each(|line| output.line(line));
    Ok(())
}

pub(crate) async fn proxy(options: &ProxyOptions, output: &Output) -> Result<()> {
    let (engine, _) = engine(&options.provider, &options.account).await?;
    let mut request = HttpRequest::new(options.method.to_uppercase(), &options.path);
    if let Some(body) = &options.body {
        request = request.body("application/json", body.clone());
    }
    let response = engine.proxy(CONNECTION, request).await?;
    output.note(format!("status {}", response.status));
    output.document(&response.body);
    response.error_for_status().map(drop)
}

async fn engine(provider: &str, options: &AccountOptions) -> Result<(Engine, Arc<dyn Store>)> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new()?);
    let engine = Engine::builder(Arc::clone(&store))
        .templates(highwater::templates::all())
        .actions(highwater::templates::actions())
        .build()?;
    if !engine.templates().any(|info| info.provider.name == provider) {
        return Err(account::no_such_template(provider, engine.templates()));
    }
    let mut settings = ConnectionSettings::new(CONNECTION, provider);
    settings.base_url.clone_from(&options.base_url);
    settings.config = options.config.iter().cloned().collect::<BTreeMap<_, _>>();
    engine.connect(settings).await?;
    if let Some(name) = &options.token_env {
        let token = account::read_token(name)?;
        let info = engine.templates().find(|info| info.provider.name == provider);
        engine.set_credentials(CONNECTION, account::credentials(info, &token));
    }
    Ok((engine, store))
}
