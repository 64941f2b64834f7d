//! Reads the slices of a stream in order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

use super::migrated;
use super::partitions::{Partitions, child_response, partitions};
use crate::model::{Cursor, QueryProperties, Retriever, Selector, Stream};
use crate::run::context::Run;
use crate::run::cursor::{CountState, DatetimeState, PartitionedState, StreamCursor, rules};
use crate::run::jobs::{Job, JobReader, prepare};
use crate::run::pages::{PageReader, PageRules};
use crate::run::record::Record;
use crate::run::request::Parts;
use crate::run::slice::Slice;
use crate::run::smaller::Windows;

/// The place within an open slice, in a state that is not final.
const POSITION: &str = "__highwater";
/// Within it: why what was read so far may not be everything.
const UNSOUND: &str = "unsound";

pub(crate) struct SlicePage {
    pub records: Vec<Record>,
    /// Items that stood among the records and are not records.
    pub odd: Vec<Bytes>,
    pub slice: Slice,
}

pub(crate) struct StreamReader<'r> {
    run: &'r Run<'r>,
    stream: &'r Stream,
    cursor: StreamCursor,
    began_ms: u64,
    state: Value,
    schema: Option<Arc<Value>>,
    asked_for_schema: bool,
    partitions: Option<VecDeque<Slice>>,
    parent_state: Option<Value>,
    /// The slices to read next.
    planned: VecDeque<Planned>,
    /// The jobs of the first of them, where the stream has jobs.
    jobs: VecDeque<Result<Option<Job>>>,
    position: Option<Position>,
    open: Option<Open<'r>>,
    /// Whether the warning about an unreadable cursor value was given.
    told_of_cursor: bool,
}

/// A slice that is to be read.
struct Planned {
    slice: Slice,
    /// Whether the partition ends with it.
    last: bool,
}

/// So many jobs are made ready before the first is fetched, if it does not take longer than this: what a job made is
/// not kept forever.
const JOBS_AHEAD: usize = 1000;
const MAX_AHEAD_MS: u64 = 60_000;

/// A slice that is being read.
struct Open<'r> {
    slice: Slice,
    last: bool,
    /// The token of the page to read next, where one was read already.
    token: Option<Value>,
    pages: Pages<'r>,
}

enum Pages<'r> {
    Simple(Box<PageReader<'r>>),
    Jobs(Box<JobReader<'r>>),
}

/// Where an interrupted read continues.
struct Position {
    slice: Slice,
    token: Value,
}

impl<'r> StreamReader<'r> {
    pub(crate) fn new(run: &'r Run<'r>, stream: &'r Stream, mut state: Value) -> Result<Self> {
        let mut position = None;
        if let Some(members) = state.as_object_mut() {
            if let Some(place) = members.shift_remove(POSITION) {
                let slice = place.get("slice").and_then(Slice::from_json);
                position = slice.zip(place.get("token").cloned()).map(|(slice, token)| Position { slice, token });
                // What the interrupted read passed over stays unread.
                if let Some(reason) = place.get(UNSOUND).and_then(Value::as_str) {
                    run.notes.unsound(reason.to_owned());
                }
            }
            members.shift_remove(crate::run::cursor::NO_CURSOR);
        }
        let state = migrated(stream, state, run)?;
        let cursor = match (&stream.cursor, stream.router()) {
            (None, _) => StreamCursor::None,
            (Some(Cursor::Datetime(cursor)), Some(router)) => {
                let global = cursor.global || matches!(router, crate::model::Router::Grouping { .. });
                StreamCursor::Partitioned(Box::new(PartitionedState::new(rules(run, cursor)?, &state, global)?))
            }
            (Some(Cursor::Datetime(cursor)), None) => {
                StreamCursor::Datetime(Box::new(DatetimeState::new(rules(run, cursor)?, &state, 0)?))
            }
            (Some(Cursor::Count(cursor)), None) => StreamCursor::Count(Box::new(CountState::new(run, cursor, &state)?)),
            (Some(Cursor::Count(_)), Some(_)) => {
                let message = "an IncrementingCountCursor cannot be partitioned: remove the partition router";
                return Err(Error::new(ErrorKind::Invalid, message).with("at", &stream.path));
            }
        };
        Ok(StreamReader {
            run,
            stream,
            cursor,
            began_ms: run.environment.now().unix_ms(),
            state,
            schema: None,
            asked_for_schema: false,
            partitions: None,
            parent_state: None,
            planned: VecDeque::new(),
            jobs: VecDeque::new(),
            position,
            open: None,
            told_of_cursor: false,
        })
    }

    /// The next page of records; none once the stream was read.
    pub(crate) async fn next(&mut self) -> Result<Option<SlicePage>> {
        loop {
            if self.open.is_none() && !self.open_next().await? {
                return Ok(None);
            }
            let Some(open) = &mut self.open else { continue };
            let slice = open.slice.clone();
            let (page, done) = match &mut open.pages {
                Pages::Simple(pages) => (pages.next().await?, pages.is_done()),
                Pages::Jobs(jobs) => (jobs.next().await?, jobs.is_done()),
            };
            let Some(page) = page else {
                self.close()?;
                continue;
            };
            if let Some(cursor) = &self.stream.cursor {
                for record in &page.records {
                    if !self.cursor.observe(record, &slice) && !self.told_of_cursor {
                        self.told_of_cursor = unread(self.run, cursor, record)?;
                    }
                }
            }
            open.token = page.next;
            if done {
                self.close()?;
            }
            return Ok(Some(SlicePage { records: page.records, odd: page.odd, slice }));
        }
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.cursor.close(&open.slice)?;
        if open.last
            && let StreamCursor::Partitioned(cursor) = &mut self.cursor
        {
            cursor.close_partition(&open.slice)?;
        }
        Ok(())
    }

    async fn open_next(&mut self) -> Result<bool> {
        if self.partitions.is_none() {
            self.begin().await?;
        }
        let ahead = match &self.stream.retriever {
            Retriever::Async(_) if self.jobs.is_empty() => JOBS_AHEAD,
            _ => 1,
        };
        while self.planned.len() < ahead && self.plan()? {}
        if let (Retriever::Async(retriever), true) = (&self.stream.retriever, self.jobs.is_empty()) {
            let began_ms = self.run.environment.now().unix_ms();
            for planned in self.planned.iter().take(JOBS_AHEAD) {
                let job = prepare(self.run, retriever, &planned.slice).await;
                let failed = job.is_err();
                self.jobs.push_back(job);
                if failed || self.run.environment.now().unix_ms().saturating_sub(began_ms) >= MAX_AHEAD_MS {
                    break;
                }
            }
        }
        let Some(Planned { slice, last }) = self.planned.pop_front() else {
            self.finish();
            return Ok(false);
        };
        self.ask_for_schema().await?;
        let mut token = None;
        if self.position.as_ref().is_some_and(|position| same_place(&position.slice, &slice)) {
            token = self.position.take().map(|position| position.token);
        }
        let pages = match &self.stream.retriever {
            Retriever::Simple(retriever) => {
                let rules = self.rules(&retriever.selector, &slice);
                let mut reader = PageReader::new(self.run, retriever, slice.clone(), self.slicing(&slice)?, rules);
                match (&token, child_response(&slice)) {
                    (Some(Value::Null) | None, Some(body)) => reader.begin_with(body),
                    (Some(token), _) if !token.is_null() => reader.resume_at(token.clone()),
                    _ => {}
                }
                Pages::Simple(Box::new(reader))
            }
            Retriever::Async(retriever) => {
                let rules = self.rules(&retriever.selector, &slice);
                let job = self.jobs.pop_front().transpose()?.flatten();
                Pages::Jobs(Box::new(JobReader::new(self.run, retriever, slice.clone(), rules, job)))
            }
        };
        self.open = Some(Open { slice, last, token, pages });
        Ok(true)
    }

    /// Plans the slices of the next partition; false once there is none.
    fn plan(&mut self) -> Result<bool> {
        let Some(partition) = self.partitions.as_mut().and_then(VecDeque::pop_front) else { return Ok(false) };
        let windows = match &mut self.cursor {
            StreamCursor::None => vec![Map::new()],
            StreamCursor::Datetime(cursor) => cursor.windows()?,
            StreamCursor::Count(cursor) => vec![cursor.window()],
            StreamCursor::Partitioned(cursor) => cursor.windows(&partition)?,
        };
        let mut slices: Vec<Slice> = windows.into_iter().map(|window| partition.within(window)).collect();
        self.go_on_at_position(&partition, &mut slices);
        let count = slices.len();
        let planned = slices.into_iter().enumerate().map(|(place, slice)| Planned { slice, last: place + 1 == count });
        self.planned.extend(planned);
        Ok(true)
    }

    /// The schema is asked for before the first slice, where values or properties depend on it or the API alone knows it.
    async fn ask_for_schema(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.asked_for_schema, true) {
            return Ok(());
        }
        let needed = match &self.stream.retriever {
            Retriever::Simple(retriever) => {
                let selects = |properties: &QueryProperties| properties.selector.is_some();
                retriever.selector.normalize || retriever.query_properties.as_ref().is_some_and(selects)
            }
            Retriever::Async(retriever) => retriever.selector.normalize,
        };
        if needed || self.stream.has_dynamic_schema() {
            let schema = Box::pin(crate::run::schema::schema_of(self.stream, self.run)).await?;
            self.schema = Some(Arc::new(schema));
        }
        Ok(())
    }

    /// How the records of a slice are changed and bounded.
    fn rules(&self, selector: &Selector, slice: &Slice) -> PageRules<'r> {
        let (feed, client_side) = match &self.stream.cursor {
            Some(Cursor::Datetime(cursor)) => (cursor.data_feed, cursor.client_side),
            _ => (false, false),
        };
        PageRules {
            transformations: &self.stream.transformations,
            transform_first: selector.transform_first.unwrap_or(client_side),
            schema: self.schema.clone(),
            keep: (client_side && !feed).then(|| self.cursor.bounds(slice)).flatten(),
            feed: feed.then(|| self.cursor.bounds(slice)).flatten(),
            windows: self.movable(slice),
        }
    }

    /// The window of a slice, where the retriever may move or split it.
    fn movable(&self, slice: &Slice) -> Option<Windows<'r>> {
        let Retriever::Simple(retriever) = &self.stream.retriever else { return None };
        let moves_on = retriever.reset.as_ref().is_some_and(|reset| reset.split);
        match &self.stream.cursor {
            Some(Cursor::Datetime(cursor)) if moves_on || retriever.splitting.is_some() => Some(Windows {
                rules: self.cursor.bounds(slice)?.into_rules(),
                start_option: cursor.start_option.as_ref(),
                end_option: cursor.end_option.as_ref(),
                moves_on,
            }),
            _ => None,
        }
    }

    async fn begin(&mut self) -> Result<()> {
        let found = match self.stream.router() {
            Some(router) => partitions(self.run, router, &self.state).await?,
            None => Partitions { slices: vec![Slice::whole()], parent_state: None },
        };
        let mut slices: VecDeque<Slice> = found.slices.into();
        // Without a cursor, what was read before the interruption is passed over. With one, its state knows.
        if let (StreamCursor::None, Some(position)) = (&self.cursor, &self.position) {
            match slices.iter().position(|slice| slice.partition == position.slice.partition) {
                Some(place) => drop(slices.drain(..place)),
                None => self.position = None,
            }
        }
        self.partitions = Some(slices);
        self.parent_state = found.parent_state;
        Ok(())
    }

    /// The window that was open keeps its end, though the clock went on.
    fn go_on_at_position(&mut self, partition: &Slice, windows: &mut [Slice]) {
        let Some(position) = &self.position else { return };
        if position.slice.partition != partition.partition || position.slice.cursor.is_empty() {
            return;
        }
        let field = match &self.cursor {
            StreamCursor::Datetime(_) | StreamCursor::Partitioned(_) => self.start_field(),
            StreamCursor::None | StreamCursor::Count(_) => None,
        };
        let Some(field) = field else { return };
        let start = position.slice.cursor.get(&field);
        match windows.iter_mut().find(|window| window.cursor.get(&field) == start) {
            // What lies between the old end and the new one is read by the next run.
            Some(window) => *window = partition.within(position.slice.cursor.clone()),
            None => self.position = None,
        }
    }

    fn start_field(&self) -> Option<String> {
        match &self.stream.cursor {
            Some(Cursor::Datetime(cursor)) => cursor.start_field.text(&self.run.scope()).ok(),
            _ => None,
        }
    }

    fn finish(&mut self) {
        let elapsed = self.run.environment.now().unix_ms().saturating_sub(self.began_ms).div_ceil(1000);
        let parent_state = self.parent_state.take();
        if let StreamCursor::Partitioned(cursor) = &mut self.cursor
            && self.partitions.take().is_some()
        {
            cursor.finish(i64::try_from(elapsed).unwrap_or(i64::MAX), parent_state);
        }
    }

    /// What partition and window put into requests.
    fn slicing(&self, slice: &Slice) -> Result<Parts> {
        let run = self.run;
        let scope = run.scope();
        let mut parts = match (self.stream.router(), &self.cursor) {
            (Some(router), _) => router.parts(slice, run)?,
            (None, _) => Parts::default(),
        };
        match &self.stream.cursor {
            Some(Cursor::Datetime(cursor)) => {
                for (option, field) in
                    [(&cursor.start_option, &cursor.start_field), (&cursor.end_option, &cursor.end_field)]
                {
                    if let Some(option) = option {
                        let value = slice.get(&field.text(&scope)?).cloned().unwrap_or(Value::Null);
                        parts.inject(option, value, &scope)?;
                    }
                }
            }
            Some(Cursor::Count(cursor)) => {
                if let (Some(option), Some(value)) = (&cursor.option, slice.get("start")) {
                    parts.inject(option, value.clone(), &scope)?;
                }
            }
            None => {}
        }
        Ok(parts)
    }

    /// The state once everything before it was kept.
    pub(crate) fn state(&self) -> Result<Value> {
        self.cursor.state()
    }

    /// The state with the place in the open slice.
    pub(crate) fn checkpoint(&self) -> Result<Value> {
        let mut state = match (&self.cursor, &self.open) {
            (StreamCursor::None, Some(_)) => Value::Object(Map::new()),
            _ => self.cursor.state()?,
        };
        let mut place = Map::new();
        if let Some(open) = &self.open {
            place.insert("slice".into(), open.slice.to_json());
            place.insert("token".into(), open.token.clone().unwrap_or(Value::Null));
        }
        if let Some(reason) = self.run.notes.unsoundness() {
            place.insert(UNSOUND.into(), reason.into());
        }
        if let Some(members) = state.as_object_mut().filter(|_| !place.is_empty()) {
            members.insert(POSITION.to_owned(), Value::Object(place));
        }
        Ok(state)
    }
}

/// Tells of a record whose value of the cursor is in no form that the manifest names: it does not move the state, and
/// changes are read again and again. Whether there was something to tell.
fn unread(run: &Run<'_>, cursor: &Cursor, record: &Record) -> Result<bool> {
    let field = cursor.field().text(&run.scope())?;
    let Some(value) = record.member(&field).filter(|value| !value.is_null()) else { return Ok(false) };
    let value = crate::wording::shortened(&run.redacted(&value.to_string()));
    run.notes.warn(format!(
        "the cursor `{field}` of a record is {value}, which the manifest's formats do not read: it does not move on"
    ));
    Ok(true)
}

fn same_place(left: &Slice, right: &Slice) -> bool {
    left.partition == right.partition && left.cursor == right.cursor
}
