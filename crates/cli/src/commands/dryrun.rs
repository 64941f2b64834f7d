//! `highwater dryrun`

use clap::Args;
use highwater::engine::CancelToken;
use highwater::{Cursor, Error, ErrorKind, Result, RunOptions, StoreExt, StreamKey};
use serde_json::Value;

use super::account::{self, AccountOptions, CONNECTION};
use crate::catalogue::CatalogueOptions;
use crate::output::{Output, counted, one_line};

#[derive(Debug, Args)]
pub(crate) struct DryRunOptions {
    /// The template, such as `github/issues`.
    template: String,
    /// Check every record against its model's schema.
    #[arg(long)]
    validate: bool,
    /// Print at most this many records of each model.
    #[arg(long, default_value_t = 10)]
    limit: usize,
    #[command(flatten)]
    account: AccountOptions,
    #[command(flatten)]
    catalogue: CatalogueOptions,
}

pub(crate) async fn run(options: &DryRunOptions, output: &Output, cancel: &CancelToken) -> Result<()> {
    let provider = options.template.split('/').next().unwrap_or_default();
    let (engine, store) = account::engine(provider, &options.account, &options.catalogue).await?;
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
                    output.record(&model.name, &change.record);
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
