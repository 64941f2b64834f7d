//! `highwater act`

use clap::Args;
use highwater::{Error, ErrorKind, Result};
use serde_json::Value;

use super::account::{self, AccountOptions, CONNECTION};
use crate::args::StoreOptions;
use crate::output::Output;
use crate::{stores, vaults};

#[derive(Debug, Args)]
pub(crate) struct ActOptions {
    /// The action, such as `github/create_issue`.
    action: String,
    /// Its input, as JSON.
    #[arg(default_value = "{}")]
    input: String,
    /// Use this stored connection and its credentials.
    #[arg(long, value_name = "ID", conflicts_with_all = ["config", "base_url", "token_env"])]
    connection: Option<String>,
    #[command(flatten)]
    account: AccountOptions,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &ActOptions, output: &Output) -> Result<()> {
    let input: Value = serde_json::from_str(&options.input)
        .map_err(|source| Error::new(ErrorKind::Invalid, "the action's input is not JSON").because(source))?;
    let provider = options.action.split('/').next().unwrap_or_default();
    let connection = options.connection.as_deref().unwrap_or(CONNECTION);
    let engine = match options.connection {
        Some(_) => vaults::engine(&stores::open_existing(&options.store)?, &options.store).await?,
        None => account::engine(provider, &options.account, &options.store.catalogue).await?.0,
    };
    let result = engine.act(connection, &options.action, input).await?;
    output.answer(&result);
    format!("{result:#}").lines().for_each(|line| output.line(line));
    Ok(())
}
