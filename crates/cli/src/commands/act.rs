//! `highwater act`

use clap::Args;
use highwater::{Error, ErrorKind, Result};
use serde_json::Value;

use super::account::{self, AccountOptions, CONNECTION};
use crate::output::Output;

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

pub(crate) async fn run(options: &ActOptions, output: &Output) -> Result<()> {
    let input: Value = serde_json::from_str(&options.input)
        .map_err(|source| Error::new(ErrorKind::Invalid, "the action's input is not JSON").because(source))?;
    let provider = options.action.split('/').next().unwrap_or_default();
    let (engine, _) = account::engine(provider, &options.account).await?;
    let result = engine.act(CONNECTION, &options.action, input).await?;
    output.answer(&result);
    format!("{result:#}").lines().for_each(|line| output.line(line));
    Ok(())
}
