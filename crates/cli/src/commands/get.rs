//! `highwater get`

use clap::Args;
use highwater::{Error, ErrorKind, Result};

use crate::args::StreamOptions;
use crate::output::{Output, one_line};
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct GetOptions {
    #[command(flatten)]
    stream: StreamOptions,
    /// The ids. Put `--` before ids that begin with a hyphen.
    #[arg(required = true)]
    ids: Vec<String>,
}

pub(crate) async fn run(options: &GetOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let ids: Vec<&str> = options.ids.iter().map(String::as_str).collect();
    let mut missing = Vec::new();
    for (id, record) in ids.iter().zip(store.get(&stream, &ids).await?) {
        match record {
            Some(record) => {
                output.record(stream.model(), &record);
                output.line(format!("{} {}", record.metadata.last_action, record.id));
                let payload = record.payload.as_ref().map_or("(payload pruned)", |payload| payload.as_str());
                output.line(one_line(payload));
            }
            None => missing.push(*id),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound, "some records do not exist").with("missing", missing.join(", ")))
}
