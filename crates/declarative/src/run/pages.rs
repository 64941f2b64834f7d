//! Reads the pages of one slice.

mod properties;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value};

use super::circles::Circles;
use super::context::Run;
use super::cursor::{Bounds, Instant};
use super::paging::LastPage;
use super::record::Record;
use super::request::Parts;
use super::select::{Changes, Selected, select};
use super::send::{Answer, Wish};
use super::slice::Slice;
use super::smaller::{PageSize, Windows};
use crate::exchange::Purpose;
use crate::model::{SimpleRetriever, Transformation};

use properties::Chunks;

/// What else the pages of a stream need to know.
#[derive(Clone, Default)]
pub(crate) struct PageRules<'p> {
    pub transformations: &'p [Transformation],
    pub transform_first: bool,
    pub schema: Option<Arc<Value>>,
    /// Records outside are dropped before paging looks at them.
    pub keep: Option<Bounds>,
    /// Records outside end the paging when they come last, and are dropped after it.
    pub feed: Option<Bounds>,
    /// How the window of a slice is made shorter.
    pub windows: Option<Windows<'p>>,
}

impl PageRules<'_> {
    pub(crate) fn changes(&self) -> Changes<'_> {
        Changes {
            transformations: self.transformations,
            transform_first: self.transform_first,
            schema: self.schema.as_deref(),
            keep: self.keep.as_ref(),
        }
    }
}

pub(crate) struct RecordPage {
    pub records: Vec<Record>,
    /// Items that stood among the records and are not records.
    pub odd: Vec<Bytes>,
    /// The token of the next page, if there is one.
    pub next: Option<Value>,
}

pub(crate) struct PageReader<'p> {
    run: &'p Run<'p>,
    retriever: &'p SimpleRetriever,
    slice: Slice,
    /// What partitions and windows put into requests.
    slicing: Parts,
    rules: PageRules<'p>,
    token: Option<Value>,
    /// The token is of an earlier run, and was not taken yet.
    tentative: bool,
    done: bool,
    pages: usize,
    circles: Circles,
    records_since_reset: usize,
    /// The first answer is there already.
    first_answer: Option<highwater_template::HttpResponse>,
    resets: usize,
    latest: Option<Instant>,
    size: PageSize,
    /// The reduced size that the open page was asked for with.
    sized: Option<u64>,
    /// Parts of a split window that are still to be read, the next one last, and how often each was split.
    rest: Vec<(Slice, usize)>,
    splits: usize,
}

impl<'p> PageReader<'p> {
    pub(crate) fn new(
        run: &'p Run<'p>,
        retriever: &'p SimpleRetriever,
        slice: Slice,
        slicing: Parts,
        rules: PageRules<'p>,
    ) -> Self {
        let token = retriever.paginator.as_ref().and_then(|paginator| paginator.initial_token());
        PageReader {
            run,
            retriever,
            slice,
            slicing,
            rules,
            token,
            tentative: false,
            done: false,
            pages: 0,
            circles: Circles::default(),
            records_since_reset: 0,
            first_answer: None,
            resets: 0,
            latest: None,
            size: PageSize::default(),
            sized: None,
            rest: Vec::new(),
            splits: 0,
        }
    }

    /// Records as they come, for use within the interpreter.
    pub(crate) fn plain(run: &'p Run<'p>, retriever: &'p SimpleRetriever, slice: Slice) -> Self {
        PageReader::new(run, retriever, slice, Parts::default(), PageRules::default())
    }

    /// Goes on at a page that was not read yet. Where the API does not take its token any more, the slice starts over.
    pub(crate) fn resume_at(&mut self, token: Value) {
        (self.token, self.tentative) = (Some(token), true);
    }

    /// Begins with an answer that is there already.
    pub(crate) fn begin_with(&mut self, body: Bytes) {
        self.first_answer = Some(highwater_template::HttpResponse::new(200, Vec::new(), body));
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) async fn next(&mut self) -> Result<Option<RecordPage>> {
        loop {
            if self.done {
                return Ok(None);
            }
            self.pages += 1;
            if self.pages > self.run.limits.pages {
                return Err(self.endless(format!("more than {} pages of one slice", self.run.limits.pages)));
            }
            self.run.notes.count_page();
            let asked = self.ask().await;
            if self.tentative && is_refused(&asked) {
                self.run
                    .notes
                    .warn("the API does not go on where the list stopped: it is read from the beginning".to_owned());
                self.token = self.retriever.paginator.as_ref().and_then(|paginator| paginator.initial_token());
                self.tentative = false;
                continue;
            }
            self.tentative = false;
            let (selected, answer) = asked?;
            match answer.as_ref().and_then(|answer| answer.wish) {
                Some(Wish::Reset) => {
                    self.reset()?;
                    continue;
                }
                Some(Wish::SmallerPage) => {
                    self.reduce().await?;
                    continue;
                }
                Some(Wish::ShorterWindow) => {
                    self.split()?;
                    continue;
                }
                None => {}
            }
            if let Some(reduction) = &self.retriever.reduction {
                self.sized = self.size.reduced;
                self.size.worked(reduction);
            }
            let page = self.finish(selected, answer)?;
            return Ok(Some(page));
        }
    }

    async fn ask(&mut self) -> Result<(Selected, Option<Answer>)> {
        match &self.retriever.query_properties {
            Some(properties) => {
                let chunks = Box::pin(properties.chunks(self.run, self.rules.schema.as_deref())).await?;
                self.chunked(chunks, properties).await
            }
            None => self.fetch(&self.slice.clone(), None).await,
        }
    }

    async fn fetch(
        &mut self,
        slice: &Slice,
        extra_query: Option<(String, String)>,
    ) -> Result<(Selected, Option<Answer>)> {
        let paginator = self.retriever.paginator.as_ref();
        let answer = match self.first_answer.take() {
            Some(response) => Answer::of(response),
            None => {
                let mut parts = match paginator {
                    Some(paginator) => paginator.parts(self.token.as_ref(), self.size.reduced, self.run)?,
                    None => Parts::default(),
                };
                if self.token.is_none() || !self.retriever.token_alone {
                    parts.merge(self.slicing.clone(), &self.retriever.path)?;
                }
                if let Some((name, value)) = extra_query {
                    parts.query.insert(name, Value::String(value));
                }
                let path = paginator.and_then(|paginator| paginator.path_of(self.token.as_ref()));
                let requester = &self.retriever.requester;
                self.run.send(requester, slice, self.token.as_ref(), path.as_deref(), parts, Purpose::Records).await?
            }
        };
        if !answer.usable {
            return Ok((Selected::default(), Some(answer)));
        }
        let body = &answer.response.body;
        let changes = self.rules.changes();
        let selected = match select(self.run, self.retriever, body, slice, &changes).await {
            // What the manifest passes over need not be readable.
            Err(error) if answer.passed_over && error.kind() == ErrorKind::Remote => Selected::default(),
            selected => selected?,
        };
        Ok((selected, Some(answer)))
    }

    /// One page in several requests, each with a part of the properties; records of one key are laid over each other.
    async fn chunked(
        &mut self,
        chunks: Chunks,
        properties: &crate::model::QueryProperties,
    ) -> Result<(Selected, Option<Answer>)> {
        let mut merged: Vec<(String, Map)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut all = Selected::default();
        let mut last = None;
        for chunk in chunks {
            let slice = self.slice.with_extra("query_properties", Value::from(chunk.clone()));
            let query = properties.parameter.clone().map(|name| (name, chunk.join(",")));
            let (selected, answer) = self.fetch(&slice, query).await?;
            all.count = selected.count;
            all.odd.extend(selected.odd);
            all.fingerprint = selected.fingerprint;
            let asks_again = answer.as_ref().is_some_and(|answer| answer.wish.is_some());
            last = answer;
            if asks_again {
                break;
            }
            for record in selected.records {
                let key = properties.chunking.as_ref().and_then(|chunking| chunking.merge_key(&record));
                let Some(key) = key else {
                    all.records.push(record);
                    continue;
                };
                let Ok(Value::Object(members)) = record.to_value() else {
                    all.odd.push(record.into_bytes());
                    continue;
                };
                match places.get(&key).and_then(|place| merged.get_mut(*place)) {
                    Some((_, there)) => lay_over(there, members),
                    None => {
                        places.insert(key.clone(), merged.len());
                        merged.push((key, members));
                    }
                }
            }
        }
        all.records.extend(merged.into_iter().map(|(_, members)| Record::Value(members)));
        Ok((all, last))
    }

    /// The page, and the token of the next one.
    fn finish(&mut self, selected: Selected, answer: Option<Answer>) -> Result<RecordPage> {
        let usable = answer.as_ref().is_some_and(|answer| answer.usable);
        let Selected { records, odd, count, fingerprint } = selected;
        self.records_since_reset += records.len();
        if let Some(windows) = self.rules.windows.as_ref().filter(|windows| windows.moves_on) {
            self.latest = records.iter().filter_map(|record| windows.rules.value_of(record)).chain(self.latest).max();
        }
        let limit = self.retriever.reset.as_ref().and_then(|reset| reset.limit);
        if usable && limit.is_some_and(|limit| self.records_since_reset >= limit) {
            self.reset()?;
            return Ok(RecordPage { records: self.fed(records), odd, next: None });
        }
        let mut next = None;
        if let (true, Some(paginator), Some(answer)) = (usable, &self.retriever.paginator, &answer) {
            let last_record = records.last();
            let fed_up = match (&self.rules.feed, last_record) {
                (Some(feed), Some(record)) => !feed.contain(record),
                _ => false,
            };
            if !fed_up {
                let page = LastPage {
                    response: &answer.response,
                    decoder: &self.retriever.decoder,
                    count,
                    kept: records.len(),
                    last_record,
                    token: self.token.as_ref(),
                    size: self.sized,
                    slice: &self.slice,
                };
                next = paginator.next_token(&page, self.run)?;
            }
            if next.is_some() {
                let token = self.token.as_ref();
                let circle = self.circles.closed_by(next.as_ref(), token, fingerprint, &answer.response.body);
                circle.map_or(Ok(()), |what| Err(self.endless(what)))?;
            }
        }
        self.token.clone_from(&next);
        if next.is_none() {
            self.next_window()?;
        }
        // A token of a part of the slice is not a place to go on from.
        let next = next.filter(|_| self.splits == 0 && self.rest.is_empty());
        Ok(RecordPage { records: self.fed(records), odd, next })
    }

    fn fed(&self, records: Vec<Record>) -> Vec<Record> {
        match &self.rules.feed {
            Some(feed) => records.into_iter().filter(|record| feed.contain(record)).collect(),
            None => records,
        }
    }

    fn endless(&self, what: String) -> Error {
        let message = format!("the paging does not end: {what}; check the strategy and where its token goes");
        let at = self.retriever.paginator.as_ref().map_or(&self.retriever.path, |paginator| &paginator.path);
        Error::new(ErrorKind::Remote, message).with("at", at)
    }

    fn reset(&mut self) -> Result<()> {
        self.resets += 1;
        if self.resets > MAX_RESETS {
            return Err(self.endless(format!("more than {MAX_RESETS} resets of one slice")));
        }
        self.records_since_reset = 0;
        self.circles = Circles::default();
        if let (Some(windows), Some(latest)) = (&self.rules.windows, self.latest) {
            let mut cursor = self.slice.cursor.clone();
            cursor.insert(windows.rules.start_field.clone(), windows.rules.write(latest)?);
            self.slice = self.slice.within(cursor);
            windows.place(&self.slice, &mut self.slicing, self.run)?;
        }
        self.token = self.retriever.paginator.as_ref().and_then(|paginator| paginator.initial_token());
        Ok(())
    }

    async fn reduce(&mut self) -> Result<()> {
        let path = &self.retriever.path;
        let (Some(reduction), Some(paginator)) = (&self.retriever.reduction, &self.retriever.paginator) else {
            let message = "the API asks for a smaller page: add `page_size_reduction` to the retriever";
            return Err(Error::new(ErrorKind::Invalid, message).with("at", path));
        };
        self.size.reduce(reduction, paginator.page_size(self.run)?, self.run, path).await
    }

    /// Reads the open window in two halves instead.
    fn split(&mut self) -> Result<()> {
        let path = &self.retriever.path;
        let (Some(splitting), Some(windows)) = (&self.retriever.splitting, &self.rules.windows) else {
            let message = "the API asks for a shorter window: give the retriever `request_window_splitting` and the \
                           stream a DatetimeBasedCursor";
            return Err(Error::new(ErrorKind::Invalid, message).with("at", path));
        };
        if self.splits >= MAX_SPLITS {
            return Err(self.endless(format!("the window was split {MAX_SPLITS} times")));
        }
        let [first, second] = windows.halves(&self.slice, splitting, path)?;
        let splits = self.splits + 1;
        self.rest.extend([(second, splits), (first, splits)]);
        self.next_window()
    }

    /// Goes to the next part of a split window; without one, the slice was read.
    fn next_window(&mut self) -> Result<()> {
        let Some((slice, splits)) = self.rest.pop() else {
            self.done = true;
            return Ok(());
        };
        if let Some(windows) = &self.rules.windows {
            windows.place(&slice, &mut self.slicing, self.run)?;
        }
        self.slice = slice;
        self.splits = splits;
        self.size = PageSize::default();
        self.records_since_reset = 0;
        self.latest = None;
        self.circles = Circles::default();
        self.token = self.retriever.paginator.as_ref().and_then(|paginator| paginator.initial_token());
        Ok(())
    }
}

const MAX_RESETS: usize = 1000;
const MAX_SPLITS: usize = 10;

/// Objects member by member, everything else replaced.
fn lay_over(there: &mut Map, new: Map) {
    for (name, value) in new {
        match (there.get_mut(&name), value) {
            (Some(Value::Object(there)), Value::Object(value)) => lay_over(there, value),
            (_, value) => drop(there.insert(name, value)),
        }
    }
}

/// Whether the API had no page for what was asked.
fn is_refused(asked: &Result<(Selected, Option<Answer>)>) -> bool {
    match asked {
        Ok((_, answer)) => answer.as_ref().is_some_and(|answer| !answer.usable),
        Err(error) => error.kind() == ErrorKind::Remote,
    }
}
