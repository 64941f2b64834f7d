//! `highwater records`

use clap::Args;
use highwater::Timestamp;
use highwater::cursor::Action;
use highwater::{Change, Cursor, NetAction, Result, StoreExt};
use serde_json::json;

use crate::args::StreamOptions;
use crate::args::values::{action, at_least_one, cursor, time};
use crate::output::Output;
use crate::stores;

#[derive(Debug, Args)]
pub(crate) struct RecordsOptions {
    #[command(flatten)]
    stream: StreamOptions,
    /// Only modifications after this cursor.
    #[arg(long, value_parser = cursor)]
    since: Option<Cursor>,
    /// At most this many records.
    #[arg(long, default_value = "100", value_parser = at_least_one)]
    limit: usize,
    /// Only modifications at or after this time (RFC 3339, with its offset).
    #[arg(long, value_name = "TIME", value_parser = time)]
    modified_after: Option<Timestamp>,
    /// Only these last actions: `added,updated,deleted`.
    #[arg(long, value_delimiter = ',', value_parser = action)]
    filter: Vec<Action>,
}

pub(crate) async fn run(options: &RecordsOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let mut cursor = options.since.unwrap_or(Cursor::START);
    let mut left = options.limit;
    loop {
        let mut records = store
            .records(&stream)
            .since(cursor)
            .limit(left.min(1000))
            .filter(options.filter.iter().copied().collect::<highwater::cursor::Actions>());
        if let Some(time) = options.modified_after {
            records = records.modified_after(time);
        }
        let page = records.page().await?;
        for change in &page.changes {
            output.change(stream.model(), change);
        }
        left = left.saturating_sub(page.changes.len());
        cursor = page.next_cursor;
        if output.is_closed() {
            return Ok(());
        }
        if left == 0 || page.caught_up {
            output.object(
                "page",
                &json!({ "next_cursor": page.next_cursor, "has_more": page.has_more, "caught_up": page.caught_up }),
            );
            let more = if page.has_more { "more follow" } else { "no more" };
            output.line(format!("{more}; next cursor: {}", page.next_cursor));
            return Ok(());
        }
    }
}

/// Counts the modifications by net action.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) added: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
}

impl Counts {
    pub(crate) fn count(&mut self, change: &Change) {
        match change.net {
            NetAction::Added => self.added += 1,
            NetAction::Updated => self.updated += 1,
            NetAction::Deleted | NetAction::Left => self.deleted += 1,
            _ => {}
        }
    }
}
