//! Reads a whole stream: chooses between its variants, migrates its state, and passes its pages to a sink.

mod partitions;
mod reader;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value, duration::Duration, python_text};

use super::context::Run;
use super::cursor::rules;
use super::record::Record;
use crate::exchange::{Page, Sink, Summary};
use crate::model::{Cursor, Stream, StreamKind};

pub(crate) use partitions::partitions;
use reader::StreamReader;

/// Which of two streams to read: everything, or changes alone.
pub(crate) fn choose<'s>(kind: &'s StreamKind, state: &Value, run: &Run<'_>) -> Result<&'s Stream> {
    match kind {
        StreamKind::Plain(stream) => Ok(stream),
        StreamKind::Delegating { full, incremental, retention } => {
            if state.as_object().is_none_or(Map::is_empty) {
                return Ok(full);
            }
            let Some(retention) = retention else { return Ok(incremental) };
            let text = retention.text(&run.scope())?;
            if text.is_empty() || text == "None" {
                return Ok(incremental);
            }
            let oldest = Duration::parse(&text)?.before(run.now())?;
            let known = match &incremental.cursor {
                Some(Cursor::Datetime(cursor)) => {
                    let rules = rules(run, cursor)?;
                    let global = state.get("state").unwrap_or(state);
                    global.get(&rules.field).and_then(|value| rules.parse(value))
                }
                _ => None,
            };
            // A state from before what the API still tells is of no use.
            Ok(if known.is_some_and(|known| known >= oldest) { incremental } else { full })
        }
    }
}

/// The state of before partitions had states of their own.
pub(super) fn migrated(stream: &Stream, state: Value, run: &Run<'_>) -> Result<Value> {
    let (true, Some(cursor), Some(router)) = (stream.migrates_state, &stream.cursor, stream.router()) else {
        return Ok(state);
    };
    let field = cursor.field().text(&run.scope())?;
    let Some(members) = state.as_object().filter(|members| !members.is_empty() && !members.contains_key("states"))
    else {
        return Ok(state);
    };
    let legacy = |value: &Value| value.as_object().is_some_and(|value| value.len() == 1 && value.contains_key(&field));
    let mut parents = Vec::new();
    router.parents(&mut |parent| parents.push(parent.field.text(&run.scope())));
    let name = match (router, parents.into_iter().next()) {
        (crate::model::Router::Union { field, .. }, _) => field.clone(),
        (_, Some(name)) => name?,
        _ => return Ok(state),
    };
    if !members.values().all(legacy) {
        return Ok(state);
    }
    let entry = |(key, value): (&String, &Value)| {
        let partition = Map::from_iter([(name.clone(), Value::from(python_text(&Value::from(key.as_str()))))]);
        crate::json!({"partition": partition, "cursor": value})
    };
    Ok(crate::json!({"states": members.iter().map(entry).collect::<Vec<_>>()}))
}

/// Reads `kind` into `sink`, and says how it ended.
pub(crate) async fn read_stream(run: &Run<'_>, kind: &StreamKind, sink: &mut dyn Sink) -> Result<Summary> {
    let stream = choose(kind, run.state, run)?;
    let mut reader = StreamReader::new(run, stream, run.state.clone())?;
    let mut summary = Summary::default();
    let located = |error: Error| error.with("stream", &stream.name);
    while let Some(page) = reader.next().await.map_err(located)? {
        summary.records += page.records.len() as u64;
        for odd in page.odd {
            let reason = Error::new(ErrorKind::Remote, "a record is not a JSON object").with("stream", &stream.name);
            sink.set_aside(odd, &reason).await?;
        }
        let records = page.records.into_iter().map(Record::into_bytes).collect();
        let mut page = Page::new(records, reader.checkpoint()?);
        page.incomplete = run.notes.loss();
        sink.page(page).await?;
    }
    summary.state = reader.state()?;
    let noted = run.notes.noted();
    summary.warnings = noted.warnings.into_iter().collect();
    for warning in &summary.warnings {
        sink.warn(warning);
    }
    summary.unsound = noted.unsound;
    summary.pages = noted.pages;
    Ok(summary)
}
