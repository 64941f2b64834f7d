//! `highwater proxy`

use clap::Args;
use highwater::Result;
use highwater::template::HttpRequest;

use super::account::{self, AccountOptions, CONNECTION};
use crate::args::StoreOptions;
use crate::output::Output;
use crate::{stores, vaults};

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
    /// Use this stored connection and its credentials.
    #[arg(long, value_name = "ID", conflicts_with_all = ["config", "base_url", "token_env"])]
    connection: Option<String>,
    #[command(flatten)]
    account: AccountOptions,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(options: &ProxyOptions, output: &Output) -> Result<()> {
    let connection = options.connection.as_deref().unwrap_or(CONNECTION);
    let engine = match options.connection {
        Some(_) => vaults::engine(&stores::open_existing(&options.store)?, &options.store).await?,
        None => account::engine(&options.provider, &options.account, &options.store.catalogue).await?.0,
    };
    let mut request = HttpRequest::new(options.method.to_uppercase(), &options.path);
    if let Some(body) = &options.body {
        request = request.body("application/json", body.clone());
    }
    let response = engine.proxy(connection, request).await?;
    output.note(format!("status {}", response.status));
    output.document(&response.body);
    response.error_for_status().map(drop)
}
