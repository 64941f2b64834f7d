//! `highwater records` and `highwater get`

use highwater::{Change, Cursor, Error, ErrorKind, NetAction, Result, StoreExt};
use serde_json::json;

use crate::args::{GetOptions, RecordsOptions};
use crate::output::{Output, one_line};
use crate::stores;

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
                &json!({ "next_cursor": page.next_cursor, "has_more": page.has_more, "caught_up": page.caught_up }),
            );
            let more = if page.has_more { "more follow" } else { "no more" };
            output.line(format!("{more}; next cursor: {}", page.next_cursor));
            return Ok(());
        }
    }
}

pub(crate) async fn get(options: &GetOptions, output: &Output) -> Result<()> {
    let store = stores::open_reading(&options.stream.store)?;
    let stream = stores::find_stream(&*store, &options.stream).await?;
    let ids: Vec<&str> = options.ids.iter().map(String::as_str).collect();
    let mut missing = Vec::new();
    for (id, record) in ids.iter().zip(store.get(&stream, &ids).await?) {
        match record {
            Some(record) => {
                output.object(&record);
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
    Err(Error::new(ErrorKind::NotFound, "not every record is there").with("missing", missing.join(", ")))
}

/// Counts by what each modification means to a reader.
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
