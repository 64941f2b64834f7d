//! `highwater logs`

use clap::{Args, ValueEnum};
use highwater::Result;
use highwater::template::host::LogLevel;

use crate::args::StoreOptions;
use crate::args::run_filter::FilterOptions;
use crate::output::{Output, moment};
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct LogsOptions {
    #[command(flatten)]
    filter: FilterOptions,
    /// Only lines of this level and above.
    #[arg(long, value_enum)]
    level: Option<Level>,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

pub(crate) async fn run(options: &LogsOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(&options.store)?;
    let mut filter = options.filter.filter();
    filter.level = options.level.map(|level| match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warning => LogLevel::Warning,
        Level::Error => LogLevel::Error,
    });
    let page = stores::engine(&store, &options.store)?.log_lines(&filter).await?;
    for entry in &page.lines {
        output.object("log_line", entry);
        let level = format!("{:?}", entry.line.level).to_lowercase();
        output.line(format!(
            "{} {level:<7} {} {}: {}",
            moment(entry.line.at),
            entry.connection,
            entry.sync,
            entry.line.message
        ));
    }
    if page.lines.is_empty() {
        output.note("No such lines.");
    }
    if let Some(next) = &page.next {
        output.note(format!("More: --after {next}"));
    }
    store.close().await
}
