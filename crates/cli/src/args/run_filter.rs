//! The filter of `highwater runs` and `highwater logs`.

use std::time::SystemTime;

use clap::Args;
use highwater::Timestamp;
use highwater::engine::RunState;
use highwater::engine::logs::LogFilter;
use highwater::engine::runs::RunMode;

use super::values::{at_least_one, duration};

#[derive(Clone, Debug, Args)]
pub(crate) struct FilterOptions {
    /// Only of this connection.
    #[arg(long)]
    connection: Option<String>,
    /// Only of this template, such as `github/issues`.
    #[arg(long)]
    sync: Option<String>,
    /// Only of this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only in these states.
    #[arg(long, value_delimiter = ',', value_parser = state)]
    state: Vec<RunState>,
    /// Only of this type: `initial`, `incremental`, `webhook`, `action` or `proxy`.
    #[arg(long = "type", value_parser = mode, value_name = "TYPE")]
    mode: Option<RunMode>,
    /// Only since this time: RFC 3339, or `2h` ago.
    #[arg(long, value_parser = time)]
    since: Option<Timestamp>,
    /// Only before this time.
    #[arg(long, value_parser = time)]
    until: Option<Timestamp>,
    /// Only with this text.
    #[arg(long)]
    text: Option<String>,
    /// At most this many.
    #[arg(long, value_parser = at_least_one)]
    limit: Option<usize>,
    /// Continue after a page: the value that it ended with.
    #[arg(long)]
    after: Option<String>,
}

impl FilterOptions {
    pub(crate) fn filter(&self) -> LogFilter {
        let mut filter = LogFilter::default();
        filter.connection.clone_from(&self.connection);
        filter.sync.clone_from(&self.sync);
        filter.provider.clone_from(&self.provider);
        filter.states.clone_from(&self.state);
        filter.mode = self.mode;
        (filter.since, filter.until) = (self.since, self.until);
        filter.text.clone_from(&self.text);
        filter.limit = self.limit;
        filter.after.clone_from(&self.after);
        filter
    }
}

fn state(text: &str) -> Result<RunState, String> {
    serde_json::from_value(serde_json::Value::from(text.to_lowercase().replace('-', "_")))
        .map_err(|_| "a state is queued, running, success, error, cancelled, timed_out or awaiting_approval".to_owned())
}

fn mode(text: &str) -> Result<RunMode, String> {
    match text.to_lowercase().as_str() {
        "initial" => Ok(RunMode::Initial),
        "incremental" => Ok(RunMode::Incremental),
        "webhook" => Ok(RunMode::Webhook),
        "action" => Ok(RunMode::Action),
        "proxy" => Ok(RunMode::Proxy),
        _ => Err("a type is initial, incremental, webhook, action or proxy".to_owned()),
    }
}

/// A time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = duration(text).map_err(|_| "write a time as 2026-11-23T10:00:00Z, or as 30m or 2h ago".to_owned())?;
    Ok(Timestamp::from(SystemTime::now()) - ago)
}
