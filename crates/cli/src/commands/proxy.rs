//! `highwater proxy`

use clap::Args;
use highwater::Result;
use highwater::template::HttpRequest;

use super::account::{self, AccountOptions, CONNECTION};
use crate::output::Output;

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

pub(crate) async fn run(options: &ProxyOptions, output: &Output) -> Result<()> {
    let (engine, _) = account::engine(&options.provider, &options.account).await?;
    let mut request = HttpRequest::new(options.method.to_uppercase(), &options.path);
    if let Some(body) = &options.body {
        request = request.body("application/json", body.clone());
    }
    let response = engine.proxy(CONNECTION, request).await?;
    output.note(format!("status {}", response.status));
    output.document(&response.body);
    response.error_for_status().map(drop)
}
